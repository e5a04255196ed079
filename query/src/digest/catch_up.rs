//! Where the digest begins: what it had come to is read from its tables, and spans that arrived since from theirs.

use std::collections::BTreeMap;

use model::{TenantId, TimeRange, TraceId, UnixNanos};

use super::desk::Desk;
use super::look::LooseEnd;
use super::recent::LEADS_MAX;
use super::run::Task;
use super::stored::Stored;
use crate::error::Result;

/// Spans read before what has settled is looked at, while catching up: about 60 MB packed. Each segment is read once
/// for each window that it touches.
const WINDOW_SPANS_MAX: usize = 200_000;
/// Messages that were handled or sent earlier than this when the digest begins are not corrected by an other end that comes later.
const AWAITED_NANOS_MAX: i64 = 6 * 3_600 * UnixNanos::SECOND;

/// Ranges of arrival with about [`WINDOW_SPANS_MAX`] spans each, from the number of spans of each second; a second with
/// more is cut evenly.
fn windows(seconds: &BTreeMap<i64, usize>) -> Vec<TimeRange> {
    let moment = |second: i64| second.saturating_mul(UnixNanos::SECOND);
    let range = |start: i64, end: i64| TimeRange::new(UnixNanos(start), UnixNanos(end));
    let mut windows = Vec::new();
    let mut seconds = seconds.iter().peekable();
    while let Some((&first, &n)) = seconds.next() {
        let n_parts = i64::try_from(n.div_ceil(WINDOW_SPANS_MAX)).unwrap_or(1).max(1);
        if n_parts > 1 {
            let end_of = |part| moment(first).saturating_add(UnixNanos::SECOND * part / n_parts);
            windows.extend((0..n_parts).map(|part| range(end_of(part), end_of(part + 1))));
            continue;
        }
        let (mut after, mut n_spans) = (first + 1, n);
        while let Some((&second, &n)) = seconds.next_if(|(_, n)| n_spans + **n <= WINDOW_SPANS_MAX) {
            (after, n_spans) = (second + 1, n_spans + n);
        }
        windows.push(range(moment(first), moment(after)));
    }
    windows
}

/// What traces at rest wait for, each with the trace.
#[derive(Debug)]
pub(super) struct Waiting {
    /// Other ends of messages and status addresses.
    pub(super) ends: Vec<(LooseEnd, TraceId)>,
    /// Traces that they link to and that were never seen.
    pub(super) awaited: Vec<(TraceId, TraceId)>,
}

/// What traces that were looked at since a moment wait for, up to a bound: half of it for each kind, so that none crowds out
/// the other.
pub(super) async fn waiting(stored: &Stored, since: i64, leads_max: usize) -> Result<Waiting> {
    let half = leads_max / 2;
    Ok(Waiting { ends: stored.loose_ends_since(since, half).await?, awaited: stored.awaited_since(since, half).await? })
}

impl Task {
    /// Reads what arrived since the newest batch, in windows, and looks at what has settled within them.
    pub(crate) async fn catch_up(&self, tenant: &TenantId) -> Result<Desk> {
        let now = self.engine.now().0;
        let stored = self.stored(tenant)?;
        let progress = stored.progress().await?;
        let mut desk = Desk::new(tenant.clone(), now, self.settle_nanos);
        desk.batch = progress.map_or(0, |progress| progress.batch);
        desk.newest_arrival = progress.map_or(0, |progress| progress.arrival_low);
        let low = progress.map_or(i64::MIN, |progress| progress.counted_until());
        let counted = stored.looked_at_since(low).await?;
        counted.keys().for_each(|trace| desk.open.remember(*trace, now));
        let since = now.saturating_sub(AWAITED_NANOS_MAX);
        let waiting = waiting(&stored, since, LEADS_MAX).await?;
        waiting.ends.iter().for_each(|(end, by)| desk.open.remember_loose_end(end, *by));
        waiting.awaited.iter().for_each(|(cause, by)| desk.open.remember_awaited(*cause, *by));
        let windows = windows(&stored.arrivals(low).await?);
        drop(stored);
        for window in windows {
            let from_low = TimeRange::new(UnixNanos(window.start.0.max(low)), window.end);
            // A snapshot keeps the write buffer of its moment in memory: a new one for each window.
            let stored = self.stored(tenant)?;
            let taking = stored.each_arrived(from_low, |spans| {
                spans.retain(|(span, arrival)| counted.get(&span.trace_id).is_none_or(|counted| arrival > counted));
                desk.add(spans);
            });
            taking.await?;
            drop(stored);
            // As it would have been looked at then. Traces that are open at the end of the window wait for the next.
            let then = window.end.0.min(now);
            while self.step(&mut desk, then, self.memory_bytes_max).await? {
                if self.stop.is_cancelled() {
                    return Ok(desk);
                }
            }
        }
        Ok(desk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ```text
    ///   second   10      11      12            20          21
    ///   spans    80 k    120 k   1             480 k       5
    ///   windows  [10         12) [12     13)   [20 | | 21) [21 22)
    /// ```
    #[test]
    fn windows_are_small_however_many_spans_a_second_has() {
        let seconds = BTreeMap::from([(10, 80_000), (11, 120_000), (12, 1), (20, 480_000), (21, 5)]);
        let second = UnixNanos::SECOND;
        let ends: Vec<(i64, i64)> = windows(&seconds).iter().map(|window| (window.start.0, window.end.0)).collect();
        let third = 20 * second + second / 3;
        let two_thirds = 20 * second + second * 2 / 3;
        let expected = [
            (10 * second, 12 * second),
            (12 * second, 13 * second),
            (20 * second, third),
            (third, two_thirds),
            (two_thirds, 21 * second),
            (21 * second, 22 * second),
        ];
        assert_eq!(ends, expected);
    }
}
