//! What went over one edge of the service map, step by step: rows of SQL as lines of equal distances.

use serde_json::Value as Json;

use super::clock;

const MINUTE: i64 = 60_000_000_000;
const DAY_MINUTES: i64 = 1_440;
/// Steps of a line at most.
const STEPS_MAX: i64 = 90;

/// Lines over a range; `None` where nothing went over the edge.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Trend {
    /// Calls, messages or deliveries a minute; nothing is 0.
    pub(crate) per_minute: Vec<Option<f64>>,
    /// Share that failed, 0 to 1.
    pub(crate) failed: Vec<Option<f64>>,
    /// 95th percentile in nanoseconds.
    pub(crate) p95: Vec<Option<f64>>,
    /// Of the wait in the broker.
    pub(crate) wait_p95: Vec<Option<f64>>,
}

/// Minutes of a step for a range in nanoseconds: whole days for ranges of more than a few weeks.
pub(crate) fn step_minutes(from: i64, to: i64) -> i64 {
    let minutes = (to.saturating_sub(from) / MINUTE).max(1);
    let days = || (minutes as u64).div_ceil(STEPS_MAX as u64 * DAY_MINUTES as u64) as i64 * DAY_MINUTES;
    [1, 2, 5, 10, 15, 30, 60, 120, 360, 720].into_iter().find(|step| minutes / step <= STEPS_MAX).unwrap_or_else(days)
}

impl Trend {
    /// Of rows `moment, n, errors, p95, wait_p95`, where a moment is the beginning of a step.
    pub(crate) fn new(rows: &[Vec<Json>], from: i64, to: i64) -> Self {
        let step = step_minutes(from, to) * MINUTE;
        let first = from.div_euclid(step);
        let count =
            usize::try_from((to.saturating_sub(1).div_euclid(step) - first + 1).clamp(1, STEPS_MAX + 2)).unwrap_or(1);
        let mut trend = Self {
            per_minute: vec![Some(0.0); count],
            failed: vec![None; count],
            p95: vec![None; count],
            wait_p95: vec![None; count],
        };
        // Rows are of whole minutes from that of `from` on: the first and the last step may hold less than a step, and a rate of what
        // is there is of the time it took. Less than a minute says too little to be a rate.
        let begun = from.div_euclid(MINUTE) * MINUTE;
        let minutes = |at: usize| {
            let start = first.saturating_add(at as i64).saturating_mul(step);
            let covered = to.min(start.saturating_add(step)).saturating_sub(begun.max(start)).max(MINUTE);
            covered as f64 / MINUTE as f64
        };
        let number = |value: &Json| value.as_f64().or_else(|| value.as_str()?.parse().ok());
        for row in rows {
            let [moment, rest @ ..] = row.as_slice() else { continue };
            let Some(moment) = moment.as_str().and_then(|text| clock::parse(text, 0)) else { continue };
            let Some(at) = usize::try_from(moment.div_euclid(step) - first).ok().filter(|at| *at < count) else {
                continue;
            };
            let value = |which: usize| rest.get(which).and_then(number);
            let n = value(0).unwrap_or_default();
            trend.per_minute[at] = Some(n / minutes(at));
            trend.failed[at] = value(1).filter(|_| n > 0.0).map(|errors| errors / n);
            (trend.p95[at], trend.wait_p95[at]) = (value(2), value(3));
        }
        trend
    }

    /// True when a line has a value.
    pub(crate) fn has(line: &[Option<f64>]) -> bool {
        line.iter().any(Option::is_some)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Ten minutes, three of them with calls: one row a minute, each at its place.
    #[test]
    fn rows_stand_at_their_minute() {
        let from = clock::parse("2026-11-21T10:00:00Z", 0).expect("a moment");
        let rows = [
            vec![json!("2026-11-21T10:00:00Z"), json!("30"), json!("3"), json!("5000000"), Json::Null],
            vec![json!("2026-11-21T10:09:00Z"), json!(60), json!(0), json!(7), json!(9)],
            vec![json!("2026-11-21T11:09:00Z"), json!(60), json!(0), json!(7), json!(9)],
            vec![json!("never")],
            vec![],
        ];
        let trend = Trend::new(&rows, from, from + 10 * MINUTE);
        assert_eq!(trend.per_minute.len(), 10);
        assert_eq!((trend.per_minute[0], trend.failed[0], trend.p95[0]), (Some(30.0), Some(0.1), Some(5e6)));
        assert_eq!((trend.per_minute[5], trend.p95[5]), (Some(0.0), None));
        assert_eq!((trend.per_minute[9], trend.wait_p95[9]), (Some(60.0), Some(9.0)));
        assert!(Trend::has(&trend.wait_p95) && !Trend::has(&[None, None]));
    }

    /// However long the range, there are few steps; a step of several minutes is a rate per minute too.
    #[test]
    fn long_ranges_have_longer_steps() {
        assert_eq!((step_minutes(0, 60 * MINUTE), step_minutes(0, 1_440 * MINUTE)), (1, 30));
        for days in [1, 40, 91, 92, 93, 400, 4_000] {
            let (from, to) = (17 * MINUTE, (17 + days * 1_440) * MINUTE);
            let (trend, step) = (Trend::new(&[], from, to), step_minutes(from, to) * MINUTE);
            assert!(trend.p95.len() <= 92, "{days} days in {} steps", trend.p95.len());
            assert!(trend.p95.len() as i64 * step >= to - from, "{days} days: not cut short");
        }
        let rows = [vec![json!("1970-01-01T00:30:00Z"), json!(90), json!(9), json!(1), json!(1)]];
        assert_eq!(Trend::new(&rows, 0, 1_440 * MINUTE).per_minute[1], Some(3.0));
    }

    /// Two minutes of the first step are in the range, and three of the last: the same rate everywhere is one line.
    #[test]
    fn steps_in_part_are_rates_of_their_part() {
        let moment = |minute: i64| json!(clock::rfc3339(minute * MINUTE));
        let (from, to) = (8 * MINUTE + 5_000_000_000, 203 * MINUTE);
        assert_eq!(step_minutes(from, to), 5);
        let rows = [(5, 20), (10, 50), (200, 30)]
            .map(|(minute, n)| vec![moment(minute), json!(n), json!(0), json!(1), Json::Null]);
        let trend = Trend::new(&rows, from, to);
        assert_eq!(
            (trend.per_minute[0], trend.per_minute[1], trend.per_minute[39]),
            (Some(10.0), Some(10.0), Some(10.0))
        );
        assert_eq!(trend.per_minute.len(), 40);
    }
}
