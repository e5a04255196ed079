//! One target: where it is, what waits for it, and what it has taken.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use model::UnixNanos;
use reqwest::{StatusCode, Url};
use tokio::sync::Notify;

use super::body;
use crate::alert::condition::Labels;
use crate::alert::transition::{Phase, Transition, hash};

/// Notifications that may wait for one target; the oldest are given up beyond that, counted.
const WAITING_MAX: usize = 10_000;
/// How long a request may take (S12).
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of an answer that are read (S12).
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// What speaks there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Alertmanager, API v2.
    Alertmanager,
    /// Anything that takes Alertmanager's webhooks, version 4.
    Webhook,
}

/// One thing to tell.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Notice {
    /// Tells it from others in the queue.
    pub(crate) ticket: u64,
    /// Number of its transition.
    pub(crate) seq: i64,
    pub(crate) labels: Labels,
    pub(crate) annotations: Labels,
    pub(crate) starts_at: UnixNanos,
    /// When it was over; `None` while it fires.
    pub(crate) ends_at: Option<UnixNanos>,
}

impl Notice {
    /// What a transition says to targets.
    pub(crate) fn of(transition: &Transition) -> Self {
        let standing = transition.alert.standing;
        Self {
            ticket: 0,
            seq: transition.seq,
            labels: transition.alert.labels.clone(),
            annotations: transition.alert.annotations.clone(),
            starts_at: standing.fired_at.unwrap_or(standing.active_at),
            ends_at: (transition.state == Phase::Inactive).then_some(transition.time),
        }
    }
}

/// Why a request did not do.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Worth another attempt.
    Later(String),
    /// The target will never take this.
    Refused(String),
}

/// A target.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) kind: Kind,
    url: Url,
    queue: Mutex<Queue>,
    wake: Notify,
    delivered: AtomicU64,
    dropped: AtomicU64,
    failures: AtomicU64,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<(Notice, Instant)>,
    next_ticket: u64,
    /// The newest number that was handed over.
    last_seq: i64,
    last_error: Option<String>,
    saved: i64,
}

/// Reads the URL of a target.
///
/// # Errors
/// One sentence for the person who wrote it.
pub(crate) fn parse_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("{text:?} is no URL: {error}"))?;
    match (url.scheme(), url.host()) {
        ("http" | "https", Some(_)) => Ok(url),
        _ => Err(format!("{text:?} must begin with http:// or https://")),
    }
}

impl Target {
    /// A target; an Alertmanager is named by its root and told below it.
    pub(crate) fn new(kind: Kind, mut url: Url) -> Self {
        if kind == Kind::Alertmanager {
            let path = format!("{}/api/v2/alerts", url.path().trim_end_matches('/'));
            url.set_path(&path);
        }
        let (queue, wake) = (Mutex::default(), Notify::new());
        Self {
            kind,
            url,
            queue,
            wake,
            delivered: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        }
    }

    /// Its name among documents: the same for the same URL.
    pub(crate) fn id(&self) -> String {
        format!("{:016x}", hash(self.url.as_str()))
    }

    /// Its URL for people, without password and query.
    pub(crate) fn shown(&self) -> String {
        let mut url = self.url.clone();
        // These fail for URLs without a host only.
        let _ = url.set_password(None);
        let _ = url.set_username("");
        url.set_query(None);
        url.to_string()
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Numbers up to this one are no business of it.
    pub(crate) fn begins_after(&self, seq: i64) {
        let mut queue = self.queue();
        (queue.last_seq, queue.saved) = (seq, seq);
        queue.waiting.clear();
    }

    /// Lets notices wait.
    pub(crate) fn push(&self, notices: impl IntoIterator<Item = Notice>) {
        let mut queue = self.queue();
        for notice in notices {
            queue.last_seq = queue.last_seq.max(notice.seq);
            queue.next_ticket += 1;
            let ticket = queue.next_ticket;
            queue.waiting.push_back((Notice { ticket, ..notice }, Instant::now()));
            if queue.waiting.len() > WAITING_MAX {
                queue.waiting.pop_front();
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
        drop(queue);
        self.wake.notify_one();
    }

    pub(super) fn is_idle(&self) -> bool {
        self.queue().waiting.is_empty()
    }

    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// What goes into the next request: the oldest, without anything twice; for webhooks of one alert name.
    pub(super) fn batch(&self, most: usize) -> Vec<Notice> {
        let queue = self.queue();
        let waiting = queue.waiting.iter().take(super::BATCH_MAX * 4).map(|(notice, _)| notice.clone());
        let waiting: Vec<Notice> = waiting.collect();
        drop(queue);
        let mut first = by_request(self.kind, &waiting).into_iter().next().unwrap_or_default();
        first.truncate(most);
        first
    }

    /// The target has taken them.
    pub(super) fn took(&self, batch: &[Notice]) {
        self.counted(batch.len());
        self.remove(batch);
        self.queue().last_error = None;
    }

    /// Counts what was taken besides the queue.
    pub(super) fn counted(&self, n: usize) {
        self.delivered.fetch_add(n as u64, Ordering::Relaxed);
    }

    pub(super) fn failed(&self, error: String) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.queue().last_error = Some(error);
    }

    /// They are refused for good.
    pub(super) fn gave_up(&self, batch: &[Notice], error: String) {
        self.failed(error);
        self.dropped.fetch_add(batch.len() as u64, Ordering::Relaxed);
        self.remove(batch);
    }

    fn remove(&self, batch: &[Notice]) {
        let gone: BTreeSet<u64> = batch.iter().map(|notice| notice.ticket).collect();
        self.queue().waiting.retain(|(notice, _)| !gone.contains(&notice.ticket));
    }

    /// Every transition up to this number was taken; `None` when that is known already.
    pub(crate) fn cursor(&self) -> Option<i64> {
        let mut queue = self.queue();
        let cursor = queue.waiting.iter().map(|(notice, _)| notice.seq - 1).min().unwrap_or(queue.last_seq);
        let is_new = cursor > queue.saved;
        queue.saved = cursor.max(queue.saved);
        is_new.then_some(cursor)
    }

    /// Seconds that the oldest notice has waited; 0 when none does.
    pub(crate) fn waiting_seconds(&self) -> f64 {
        self.queue().waiting.front().map_or(0.0, |(_, since)| since.elapsed().as_secs_f64())
    }

    pub(crate) fn answer(&self) -> api::AlertTarget {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let waiting_seconds = self.waiting_seconds();
        let queue = self.queue();
        api::AlertTarget {
            url: self.shown(),
            kind: match self.kind {
                Kind::Alertmanager => "alertmanager",
                Kind::Webhook => "webhook",
            }
            .to_owned(),
            waiting: queue.waiting.len() as u64,
            waiting_seconds,
            delivered: read(&self.delivered),
            dropped: read(&self.dropped),
            failures: read(&self.failures),
            last_error: queue.last_error.clone(),
        }
    }

    /// One request.
    pub(crate) async fn send(
        &self,
        client: &reqwest::Client,
        guard: &super::Guard,
        batch: &[Notice],
        valid_until: UnixNanos,
        external_url: &str,
    ) -> Result<(), Failure> {
        guard.check_url(&self.url).map_err(Failure::Later)?;
        let body = match self.kind {
            Kind::Alertmanager => body::alertmanager(batch, valid_until, external_url),
            Kind::Webhook => body::webhook(batch, external_url),
        };
        let request = client.post(self.url.clone()).header("content-type", "application/json");
        let sent = request.timeout(PATIENCE).body(body.to_string()).send().await;
        let mut response = sent.map_err(|error| Failure::Later(told(&error)))?;
        let status = response.status();
        let mut n_bytes = 0;
        // The answer is read so that the connection can be used again; what it says is nobody's business (S12).
        while let Ok(Some(chunk)) = response.chunk().await {
            n_bytes += chunk.len();
            if n_bytes > ANSWER_BYTES_MAX {
                break;
            }
        }
        match status {
            status if status.is_success() => Ok(()),
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY => {
                Err(Failure::Refused(format!("it answers {status}")))
            }
            status => Err(Failure::Later(format!("it answers {status}"))),
        }
    }
}

/// The innermost reason of a failed request: the outer ones only repeat the URL.
fn told(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("no answer within {} s", PATIENCE.as_secs());
    }
    let mut reason: &dyn std::error::Error = error;
    while let Some(source) = reason.source() {
        reason = source;
    }
    reason.to_string()
}

/// Notices request by request: none twice in one, webhooks by alert name; the order of one alert's notices is kept.
pub(super) fn by_request(kind: Kind, notices: &[Notice]) -> Vec<Vec<Notice>> {
    let mut requests: Vec<Vec<Notice>> = Vec::new();
    for notice in notices {
        let name = notice.labels.get("alertname");
        let after = requests.iter().rposition(|request| request.iter().any(|other| other.labels == notice.labels));
        let fits = |request: &Vec<Notice>| {
            request.len() < super::BATCH_MAX
                && (kind == Kind::Alertmanager
                    || request.first().is_some_and(|first| first.labels.get("alertname") == name))
        };
        let begin = after.map_or(0, |after| after + 1);
        match requests.iter_mut().skip(begin).find(|request| fits(request)) {
            Some(request) => request.push(notice.clone()),
            None => requests.push(vec![notice.clone()]),
        }
    }
    requests
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(seq: i64, name: &str, service: &str, ends_at: Option<i64>) -> Notice {
        let labels = [("alertname", name), ("service", service)].map(|(n, v)| (n.to_owned(), v.to_owned()));
        let (annotations, starts_at) = (Labels::new(), UnixNanos(0));
        Notice { ticket: 0, seq, labels: labels.into(), annotations, starts_at, ends_at: ends_at.map(UnixNanos) }
    }

    fn numbers(requests: &[Vec<Notice>]) -> Vec<Vec<i64>> {
        requests.iter().map(|request| request.iter().map(|notice| notice.seq).collect()).collect()
    }

    #[test]
    fn one_alert_is_told_in_order() {
        let all = [
            notice(1, "A", "x", None),
            notice(2, "B", "x", None),
            notice(3, "A", "x", Some(5)),
            notice(4, "A", "y", None),
        ];
        assert_eq!(numbers(&by_request(Kind::Alertmanager, &all)), [vec![1, 2, 4], vec![3]]);
        assert_eq!(numbers(&by_request(Kind::Webhook, &all)), [vec![1, 4], vec![2], vec![3]]);
    }

    /// Whatever was not taken is behind the cursor, and so is told again after a crash.
    #[test]
    fn the_cursor_passes_nothing_by() {
        let target = Target::new(Kind::Webhook, parse_url("http://user:secret@example.org/hook?key=1").expect("a URL"));
        assert_eq!(target.shown(), "http://example.org/hook");
        target.begins_after(0);
        target.push([notice(1, "A", "x", None), notice(2, "B", "x", None), notice(3, "A", "y", None)]);
        let batch = target.batch(256);
        assert_eq!(numbers(std::slice::from_ref(&batch)), [[1, 3]]);
        target.took(&batch);
        assert_eq!((target.cursor(), target.cursor()), (Some(1), None));
        target.took(&target.batch(256));
        assert_eq!((target.cursor(), target.is_idle()), (Some(3), true));
        target.push((0..WAITING_MAX as i64 + 5).map(|seq| notice(seq, "A", "x", None)));
        assert_eq!((target.answer().waiting, target.answer().dropped), (WAITING_MAX as u64, 5));
    }

    #[test]
    fn targets_are_http() {
        for text in ["ftp://a/", "a", "file:///etc/passwd", "http:///", "javascript:x"] {
            assert!(parse_url(text).is_err(), "{text}");
        }
        // S13: nothing that ends a line of the head survives.
        let odd = parse_url("http://a/x\r\ny?k=1\r\nEvil: 1#z\n").expect("a URL");
        assert!(!odd.as_str().contains(['\r', '\n']), "{odd}");
        let target = Target::new(Kind::Alertmanager, parse_url("http://a:9093/prefix/").expect("a URL"));
        assert_eq!(target.shown(), "http://a:9093/prefix/api/v2/alerts");
    }
}
