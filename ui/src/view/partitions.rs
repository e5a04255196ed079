//! How long messages of a queue waited in each of its partitions: rows of SQL, the slowest first.

use serde_json::Value as Json;

/// Messages of one partition to one consumer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Partition {
    /// The consumer, as a node.
    pub(crate) consumer: String,
    /// As the broker calls it.
    pub(crate) name: String,
    /// Messages delivered.
    pub(crate) deliveries: u64,
    /// Those that failed.
    pub(crate) errors: u64,
    /// 95th percentile of the wait, in nanoseconds.
    pub(crate) wait_p95: f64,
    /// The wait of the newest one.
    pub(crate) newest: f64,
    /// It waits at least twice as long as the middle one of its consumer.
    pub(crate) is_slow: bool,
}

/// How many times as long as the middle one a slow partition waits.
const SLOW: f64 = 2.0;
/// A wait that nobody notices is never slow.
const NOTICED_NANOS: f64 = 10_000_000.0;

/// Reads rows `consumer, partition, deliveries, errors, p95, newest`.
pub(crate) fn partitions(rows: &[Vec<Json>]) -> Vec<Partition> {
    let number = |value: &Json| value.as_f64().or_else(|| value.as_str()?.parse().ok());
    let mut all: Vec<Partition> = rows
        .iter()
        .filter_map(|row| {
            let [Json::String(consumer), Json::String(name), deliveries, errors, p95, newest] = row.as_slice() else {
                return None;
            };
            let count = |value: &Json| number(value).map_or(0, |number| number.max(0.0) as u64);
            Some(Partition {
                consumer: consumer.clone(),
                name: name.clone(),
                deliveries: count(deliveries),
                errors: count(errors),
                wait_p95: number(p95).unwrap_or_default(),
                newest: number(newest).unwrap_or_default(),
                is_slow: false,
            })
        })
        .collect();
    let waits = |consumer: &str| {
        let mut waits: Vec<f64> =
            all.iter().filter(|other| other.consumer == consumer).map(|other| other.wait_p95).collect();
        waits.sort_by(f64::total_cmp);
        waits
    };
    let slow: Vec<bool> = all
        .iter()
        .map(|one| {
            let waits = waits(&one.consumer);
            // Of two, the lower one is what the other is held against.
            let middle = waits[(waits.len() - 1) / 2];
            waits.len() > 1 && one.wait_p95 >= middle * SLOW && one.wait_p95 >= NOTICED_NANOS
        })
        .collect();
    for (one, slow) in all.iter_mut().zip(slow) {
        one.is_slow = slow;
    }
    all.sort_by(|a, b| b.wait_p95.total_cmp(&a.wait_p95).then_with(|| a.name.cmp(&b.name)));
    all
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Three partitions of one consumer, of which one waits; another consumer has one only.
    #[test]
    fn the_partition_that_waits_stands_first() {
        let row = |consumer: &str, name: &str, p95: f64| {
            vec![json!(consumer), json!(name), json!("7"), json!(0), json!(p95), json!("5")]
        };
        let rows = [
            row("service:a", "0", 20e6),
            row("service:a", "1", 21e6),
            row("service:a", "2", 1e9),
            row("service:b", "0", 5e8),
        ];
        let all = partitions(&rows);
        let said: Vec<(&str, &str, bool)> =
            all.iter().map(|one| (one.consumer.as_str(), one.name.as_str(), one.is_slow)).collect();
        assert_eq!(
            said,
            [("service:a", "2", true), ("service:b", "0", false), ("service:a", "1", false), ("service:a", "0", false)]
        );
        assert_eq!((all[0].deliveries, all[0].newest), (7, 5.0));
        assert!(partitions(&[vec![Json::Null], vec![]]).is_empty());
    }

    /// Waits that nobody notices are not slow, however different they are.
    #[test]
    fn short_waits_are_never_slow() {
        let row =
            |name: &str, p95: f64| vec![json!("service:a"), json!(name), json!(1), json!(0), json!(p95), json!(0)];
        assert!(partitions(&[row("0", 1e5), row("1", 9e6)]).iter().all(|one| !one.is_slow));
    }
}
