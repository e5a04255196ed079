//! The task: every rule at its moments.
//!
//! ```text
//!   replay ends ──▶ states as the process before left them ──▶ tick ──▶ slot of a group ──▶ its rules, side by side
//! ```
//!
//! A group's moments are multiples of its interval plus a part that its name decides: the same after every restart, and groups
//! are spread out. Rules of a group see the same moment, less the offset for rows that come late, and do not wait for each other:
//! one that takes longer than a second gives its place to others. A rule whose evaluation has not ended at its next moment misses
//! that one, counted. When the clock jumps, waiting alerts neither fire by that nor start anew: what was waited is kept.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use model::UnixNanos;
use serde_json::json;
use storage::Shelf;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::condition::{self, Sample};
use super::desk::{Desk, Loaded, Ruled, kept_wrongly};
use super::instances::{Alert, evaluate, labels_of};
use super::points::Point;
use super::record;
use super::rule::{Condition, Kind};
use super::state::Move;
use super::transition::{Phase, Reason, Restored, Transition, hash, restore};
use super::{instances, notify};
use crate::error::{Error, Result};

/// Longest pause between two looks at the clock.
const TICK: Duration = Duration::from_millis(250);
/// Pause after storage could not be read.
const FAILURE_PAUSE: Duration = Duration::from_secs(1);
/// How often files and kept rules are looked at.
const RELOAD: Duration = Duration::from_secs(3);
/// How often it is written down that rules are evaluated.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// A clock that differs so much from the steady one has jumped.
const JUMP_NANOS: i64 = 5 * UnixNanos::SECOND;
/// A rule that takes longer makes room for others.
const QUICK: Duration = Duration::from_secs(1);
/// An alert that goes on is written again so often, so that retention does not take its row.
const AGAIN_NANOS: i64 = UnixNanos::DAY;
/// Transitions told to targets after a restart.
const TOLD_MAX: usize = 10_000;
/// Looks at whether everything is written before the process ends.
const WRITE_LOOKS: usize = 8;
/// Document that says when rules were last evaluated.
const HEARTBEAT_NAME: &str = "last";

/// Evaluates until told to stop.
pub(crate) async fn run(desk: Arc<Desk>, stop: CancellationToken) {
    let Some((restored, downtime)) = begin(&desk, &stop).await else { return };
    let mut tasks = JoinSet::new();
    tasks.spawn(record::run(Arc::clone(&desk), restored.last_seq));
    for target in &desk.targets {
        tasks.spawn(notify::run(Arc::clone(&desk), Arc::clone(target), stop.clone()));
    }
    drop(restored);
    while let Err(error) = desk.reload(downtime).await {
        tracing::error!(%error, "alert rules cannot be read; they are tried again");
        if pause(&stop, FAILURE_PAUSE).await {
            return;
        }
    }
    let mut schedule = Schedule::new(&desk);
    let mut evaluations: JoinSet<()> = JoinSet::new();
    let (mut reloaded, mut beaten): (Option<Instant>, Option<Instant>) = (Some(Instant::now()), None);
    loop {
        schedule.look(&desk, &mut evaluations);
        while evaluations.try_join_next().is_some() {}
        if tasks.try_join_next().is_some() {
            // A bug in a notification or in the recorder: the log says which.
            return;
        }
        if reloaded.is_none_or(|at| at.elapsed() >= RELOAD) {
            reloaded = Some(Instant::now());
            if let Err(error) = desk.reload(0).await {
                tracing::warn!(%error, "alert rules could not be read again; those in force stay");
            }
        }
        if beaten.is_none_or(|at| at.elapsed() >= HEARTBEAT) {
            beaten = Some(Instant::now());
            beat(&desk).await;
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            () = desk.changed.notified() => reloaded = None,
            () = tokio::time::sleep(schedule.pause(desk.now())) => {}
        }
    }
    evaluations.shutdown().await;
    // What was decided is written, if storage takes it soon.
    for _ in 0..WRITE_LOOKS {
        if desk.transitions.capacity() == desk.transitions.max_capacity() {
            break;
        }
        tokio::time::sleep(TICK).await;
    }
    beat(&desk).await;
    // Queues are on disk: whatever was not taken is told by the next process.
    tasks.shutdown().await;
}

/// Waits for the old rows and reads what they say about alerts; gives for how long nothing was evaluated. `None` when told to stop.
async fn begin(desk: &Desk, stop: &CancellationToken) -> Option<(Restored, i64)> {
    while desk.reader.is_replaying() {
        if pause(stop, TICK).await {
            return None;
        }
    }
    loop {
        match recall(desk).await {
            Ok(recalled) => return Some(recalled),
            Err(error) => tracing::error!(%error, "the state of alerts cannot be read; it is tried again"),
        }
        if pause(stop, FAILURE_PAUSE).await {
            return None;
        }
    }
}

async fn recall(desk: &Desk) -> Result<(Restored, i64)> {
    let cursors = desk.cursors().await?;
    let after = desk.targets.iter().filter_map(|target| cursors.get(&target.id()).copied()).min().unwrap_or(i64::MAX);
    let session = desk.engine.session(desk.reader.snapshot(&desk.tenant))?;
    let restored = restore(&session, after, TOLD_MAX).await?;
    desk.load_silences().await?;
    let last = last_beat(desk).await?.max(restored.last_time);
    let downtime = last.map_or(0, |last| (desk.now() - last).max(0));
    desk.adopt(&restored, downtime).await;
    for target in &desk.targets {
        match cursors.get(&target.id()) {
            Some(cursor) => {
                target.begins_after(*cursor);
                let missed = restored.told.iter().filter(|transition| transition.seq > *cursor);
                target.push(missed.map(notify::Notice::of));
            }
            None => {
                // A new target hears of what fires now, and of nothing before. It is known from here on.
                target.begins_after(restored.last_seq);
                desk.keep_cursor(target, restored.last_seq).await?;
                let alerts =
                    restored.standing.values().flatten().filter(|alert| alert.standing.is_firing() && alert.is_told);
                target.push(alerts.map(|alert| notify::Notice {
                    ticket: 0,
                    seq: restored.last_seq,
                    labels: alert.labels.clone(),
                    annotations: alert.annotations.clone(),
                    starts_at: alert.standing.fired_at.unwrap_or(alert.standing.active_at),
                    ends_at: None,
                }));
            }
        }
    }
    Ok((restored, downtime))
}

async fn last_beat(desk: &Desk) -> Result<Option<UnixNanos>> {
    let found = desk.documents.list(&desk.tenant, Shelf::Evaluations).await.map_err(kept_wrongly)?;
    let beat = found.iter().find(|(name, _)| name == HEARTBEAT_NAME);
    let at = |text: &[u8]| serde_json::from_slice::<serde_json::Value>(text).ok()?.get("at")?.as_i64();
    Ok(beat.and_then(|(_, text)| at(text)).map(UnixNanos))
}

async fn beat(desk: &Desk) {
    let text = json!({"at": desk.now().0}).to_string().into_bytes();
    if let Err(error) = desk.documents.put(&desk.tenant, Shelf::Evaluations, HEARTBEAT_NAME, text).await {
        tracing::debug!(%error, "that rules are evaluated could not be written down");
    }
}

/// True when told to stop.
async fn pause(stop: &CancellationToken, pause: Duration) -> bool {
    tokio::select! {
        biased;
        () = stop.cancelled() => true,
        () = tokio::time::sleep(pause) => false,
    }
}

/// The newest moment of a group up to `now`.
fn slot(now: UnixNanos, interval_nanos: i64, phase_nanos: i64) -> UnixNanos {
    UnixNanos((now.0 - phase_nanos).div_euclid(interval_nanos).saturating_mul(interval_nanos) + phase_nanos)
}

/// When which group is due.
struct Schedule {
    /// The groups in force that `groups` was made from.
    of: Arc<Vec<Arc<Loaded>>>,
    groups: Vec<(Arc<Loaded>, UnixNanos)>,
    last: (UnixNanos, Instant),
}

impl Schedule {
    fn new(desk: &Desk) -> Self {
        let mut schedule = Self { of: Arc::default(), groups: Vec::new(), last: (desk.now(), Instant::now()) };
        schedule.take_over(desk);
        schedule
    }

    fn phase(loaded: &Loaded) -> i64 {
        let name = format!("{};{}", loaded.file, loaded.group.name);
        i64::try_from(hash(&name) % loaded.interval_nanos.unsigned_abs().max(1)).unwrap_or(0)
    }

    /// Groups in force now; those that were there keep their next moment.
    fn take_over(&mut self, desk: &Desk) {
        let now = desk.now();
        let next = |loaded: &Arc<Loaded>| {
            let is_same = |(known, _): &&(Arc<Loaded>, UnixNanos)| {
                (&known.file, &known.group.name, known.interval_nanos)
                    == (&loaded.file, &loaded.group.name, loaded.interval_nanos)
            };
            let known = self.groups.iter().find(is_same).map(|(_, next)| *next);
            known.unwrap_or_else(|| slot(now, loaded.interval_nanos, Self::phase(loaded)) + loaded.interval_nanos)
        };
        let of = desk.groups();
        self.groups = of.iter().map(|loaded| (Arc::clone(loaded), next(loaded))).collect();
        self.of = of;
    }

    fn pause(&self, now: UnixNanos) -> Duration {
        let next = self.groups.iter().map(|(_, next)| next.0).min().unwrap_or(i64::MAX);
        let nanos = u64::try_from(next.saturating_sub(now.0)).unwrap_or(0);
        Duration::from_nanos(nanos).min(TICK)
    }

    /// Begins the evaluations that are due.
    fn look(&mut self, desk: &Arc<Desk>, evaluations: &mut JoinSet<()>) {
        let (now, steady) = (desk.now(), Instant::now());
        let passed = i64::try_from((steady - self.last.1).as_nanos()).unwrap_or(i64::MAX);
        let jump = (now - self.last.0) - passed;
        self.last = (now, steady);
        if !Arc::ptr_eq(&self.of, &desk.groups()) {
            self.take_over(desk);
        }
        if jump.abs() > JUMP_NANOS {
            self.jumped(desk, now, jump);
        }
        for (loaded, next) in &mut self.groups {
            if now < *next {
                continue;
            }
            let due = slot(now, loaded.interval_nanos, Self::phase(loaded));
            let n_missed = u64::try_from((due - *next) / loaded.interval_nanos).unwrap_or(0);
            *next = due + loaded.interval_nanos;
            for ruled in &loaded.rules {
                let was_running = ruled.is_running.swap(true, Ordering::AcqRel);
                let n_missed = n_missed + u64::from(was_running);
                if n_missed > 0 {
                    ruled.missed.fetch_add(n_missed, Ordering::Relaxed);
                    desk.figures.missed.fetch_add(n_missed, Ordering::Relaxed);
                }
                if !was_running {
                    let (desk, ruled, offset) = (Arc::clone(desk), Arc::clone(ruled), loaded.offset_nanos);
                    evaluations.spawn(async move {
                        let running = Running(&ruled);
                        one(&desk, &ruled, due, offset).await;
                        drop(running);
                    });
                }
            }
        }
    }

    /// Nobody has lived through the time that was skipped, or repeated.
    fn jumped(&mut self, desk: &Desk, now: UnixNanos, jump_nanos: i64) {
        tracing::warn!(
            jump_s = jump_nanos / UnixNanos::SECOND,
            "the clock jumped: alerts wait as long as they would have"
        );
        desk.figures.clock_jumps.fetch_add(1, Ordering::Relaxed);
        for ruled in desk.groups().iter().flat_map(|group| &group.rules) {
            for alert in ruled.seat().alerts.values_mut() {
                alert.standing = alert.standing.shifted(jump_nanos);
            }
        }
        for (loaded, next) in &mut self.groups {
            *next = slot(now, loaded.interval_nanos, Self::phase(loaded)) + loaded.interval_nanos;
        }
    }
}

/// Says that an evaluation has ended, however it does.
struct Running<'a>(&'a Ruled);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.is_running.store(false, Ordering::Release);
    }
}

/// One evaluation of one rule.
async fn one(desk: &Arc<Desk>, ruled: &Arc<Ruled>, at: UnixNanos, offset_nanos: i64) {
    let begun = Instant::now();
    let samples = match &ruled.rule.condition {
        Condition::Own(own) => {
            let health = desk.health();
            let before = ruled.seat().health.replace(health.clone());
            Ok(own.ask(&health, before.as_ref()))
        }
        _ => ask(desk, ruled, at - offset_nanos).await,
    };
    let result = match samples {
        Err(error) => Err(error.to_string()),
        Ok(samples) => match ruled.rule.kind {
            Kind::Recording => keep(desk, ruled, at - offset_nanos, &samples).await.map_err(|error| error.to_string()),
            Kind::Alerting(_) => {
                let taken = take(desk, ruled, at, &samples);
                match taken {
                    Err(error) => Err(error),
                    Ok((transitions, complaint)) => {
                        desk.tell(transitions).await;
                        complaint.map_or(Ok(()), Err)
                    }
                }
            }
        },
    };
    desk.figures.evaluations.fetch_add(1, Ordering::Relaxed);
    let mut seat = ruled.seat();
    if let Err(error) = &result {
        desk.figures.failures.fetch_add(1, Ordering::Relaxed);
        if seat.last_error.as_ref() != Some(error) {
            tracing::warn!(rule = ruled.key.name, group = ruled.key.group, error, "a rule cannot be evaluated");
        }
    }
    seat.last_error = result.err();
    seat.last_evaluation = Some(at);
    seat.seconds = begun.elapsed().as_secs_f64();
}

/// Asks the condition, in a place for quick rules as long as it is one.
async fn ask(desk: &Desk, ruled: &Ruled, at: UnixNanos) -> Result<Vec<Sample>> {
    let closed = |_| Error::Internal("the rules have stopped".to_owned());
    let quick = desk.quick.acquire().await.map_err(closed)?;
    let (condition, limit) = (ruled.rule.condition.clone(), ruled.limit);
    let work = move |session| {
        let condition = condition.clone();
        async move { condition::ask(&session, &condition, at, limit).await }
    };
    let mut asked = std::pin::pin!(desk.engine.run_aside(&desk.tenant, work));
    if let Ok(answer) = tokio::time::timeout(QUICK, &mut asked).await {
        return answer;
    }
    drop(quick);
    let Ok(_slow) = desk.slow.try_acquire() else {
        return Err(Error::TooLarge(
            "the rule takes longer than a second while other slow rules run; narrow its range or its groups".to_owned(),
        ));
    };
    asked.await
}

async fn keep(desk: &Desk, ruled: &Ruled, at: UnixNanos, samples: &[Sample]) -> Result<()> {
    let mut recorded = Vec::with_capacity(samples.len());
    for sample in samples {
        let (labels, complaint) = labels_of(&ruled.rule, sample, &desk.settings.external_url);
        if let Some(complaint) = complaint {
            return Err(Error::invalid(complaint));
        }
        recorded.push(Point { name: ruled.rule.name.clone(), at, labels, value: Some(sample.value) });
    }
    record::samples(desk, &recorded).await
}

/// Takes samples: alerts change at once, transitions are given back to be written and told.
fn take(
    desk: &Desk,
    ruled: &Ruled,
    at: UnixNanos,
    samples: &[Sample],
) -> std::result::Result<(Vec<Transition>, Option<String>), String> {
    let mut seat = ruled.seat();
    let instances::Outcome { mut alerts, changes, complaint } =
        evaluate(&ruled.rule, &seat.alerts, samples, at, &desk.settings.external_url)?;
    let mut transitions = Vec::new();
    let mut add = |alert: &Alert, before, state, reason, told| {
        let alert = alert.clone();
        transitions.push(Transition { seq: 0, time: at, rule: ruled.key.clone(), before, state, reason, alert, told });
    };
    for change in &changes {
        // The alert as it is from now on; those that are over are in the change only.
        let silenced = desk.is_silenced(&change.alert.labels, at);
        match change.change {
            Move::Resolved => {
                let alert = Alert { is_silenced: silenced, ..change.alert.clone() };
                add(&alert, Phase::Firing, Phase::Inactive, Reason::Condition, alert.is_told);
            }
            Move::Dropped => add(&change.alert, Phase::Pending, Phase::Inactive, Reason::Condition, false),
            Move::Pending | Move::Firing => {
                let Some(alert) = alerts.get_mut(&change.alert.labels) else { continue };
                let is_firing = change.change == Move::Firing;
                (alert.is_silenced, alert.is_told, alert.written_at) = (silenced, is_firing && !silenced, at);
                let was_pending = seat.alerts.contains_key(&change.alert.labels);
                let before = if was_pending { Phase::Pending } else { Phase::Inactive };
                let state = if is_firing { Phase::Firing } else { Phase::Pending };
                add(alert, before, state, Reason::Condition, alert.is_told);
            }
        }
    }
    for alert in alerts.values_mut() {
        let phase = Phase::of(alert);
        let silenced = desk.is_silenced(&alert.labels, at);
        let is_unsilenced = phase == Phase::Firing && !silenced && !alert.is_told;
        alert.is_silenced = silenced;
        if is_unsilenced {
            (alert.is_told, alert.written_at) = (true, at);
            add(alert, phase, phase, Reason::Unsilenced, true);
        } else if at - alert.written_at >= AGAIN_NANOS {
            alert.written_at = at;
            add(alert, phase, phase, Reason::Again, false);
        }
    }
    seat.alerts = alerts;
    Ok((transitions, complaint))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same moments after every restart.
    #[test]
    fn slots_are_multiples() {
        let second = UnixNanos::SECOND;
        for (now, at) in [(100, 95), (109, 95), (110, 110), (111, 110)] {
            assert_eq!(slot(UnixNanos(now * second), 15 * second, 5 * second), UnixNanos(at * second), "{now}");
        }
    }
}
