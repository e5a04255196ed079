//! The pictures in a list: their scale, and the way of a journey in pieces.

use std::collections::{HashMap, HashSet};

use api::{JourneyItem, SearchItem};
use serde_json::Value as Json;

use super::behind;

/// How many times the 90th percentile a trace may last and still set the scale for all.
const OUTLIER: u64 = 2;

/// The duration that fills the width of a strip: the longest of the list, or twice the 90th percentile when
/// single traces are longer than that. Those few are drawn to their own length, marked as such: one import
/// of an hour must not turn every request beside it into a dot. 0 for an empty list.
pub(crate) fn common_scale(durations: &mut [u64]) -> u64 {
    durations.sort_unstable();
    let (Some(longest), Some(usual)) = (durations.last(), durations.get(durations.len() * 9 / 10)) else { return 0 };
    (*longest).min(usual.saturating_mul(OUTLIER).max(1))
}

/// Journeys of which the pieces are asked for at once.
pub(crate) const ASKED_MAX: usize = 60;
/// Pieces of an answer.
pub(crate) const PIECES_MAX: usize = 4_000;
/// Rows of a journey may begin a little before it: clocks disagree.
const AROUND_NANOS: i64 = 60_000_000_000;

/// Where a piece of a journey's way to its last effect was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// At work in a service.
    Service(String),
    /// Waiting in a broker.
    Queue,
    /// Waiting for the next attempt.
    Backoff,
    /// On the wire, at somebody who sends no spans, or nobody knows.
    Elsewhere,
}

/// A piece of the way to the last effect.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Piece {
    /// Nanoseconds since 1970.
    pub(crate) start: i64,
    /// Length.
    pub(crate) nanos: u64,
    /// Where.
    pub(crate) place: Place,
}

/// Pieces by journey.
pub(crate) type Pieces = HashMap<String, Vec<Piece>>;

/// The statement that asks for the pieces of journeys, and how many nanoseconds of time it looks at; `None` without journeys.
pub(crate) fn question(items: &[&JourneyItem]) -> Option<(String, u64)> {
    let start = |item: &&JourneyItem| item.start_unix_nano.parse::<i64>().ok();
    let end = |item: &&JourneyItem| Some(start(item)?.saturating_add(i64::try_from(item.settled_nanos).ok()?));
    let from = items.iter().filter_map(start).min()?.saturating_sub(AROUND_NANOS);
    let to = items.iter().filter_map(end).max()?.saturating_add(AROUND_NANOS);
    let ids: Vec<&str> = items.iter().map(|item| item.id.as_str()).collect();
    Some((behind::pieces_of(&ids, from, to), to.saturating_sub(from).unsigned_abs()))
}

/// Reads rows `journey, kind, node, start, end`, by journey. `is_cut`: there were more of them, so that the last journey is left out.
pub(crate) fn pieces(rows: &[Vec<Json>], is_cut: bool) -> Pieces {
    let mut all = Pieces::new();
    let mut last = "";
    for row in rows {
        let [Json::String(journey), Json::String(kind), Json::String(node), start, end] = row.as_slice() else {
            continue;
        };
        let number = |value: &Json| value.as_i64().or_else(|| value.as_str()?.parse().ok());
        let (Some(start), Some(end)) = (number(start), number(end)) else { continue };
        let place = match (kind.as_str(), node.strip_prefix("service:")) {
            ("queue", _) => Place::Queue,
            ("backoff", _) => Place::Backoff,
            ("self", Some(service)) => Place::Service(service.to_owned()),
            _ => Place::Elsewhere,
        };
        last = journey;
        let piece = Piece { start, nanos: end.saturating_sub(start).max(0).unsigned_abs(), place };
        all.entry(journey.clone()).or_default().push(piece);
    }
    if is_cut {
        all.remove(last);
    }
    all
}

/// Keeps the pieces of these hits only.
pub(crate) fn keep(known: &mut Pieces, items: &[SearchItem]) {
    let ids = items.iter().filter_map(|item| if let SearchItem::Journey(item) = item { Some(&item.id) } else { None });
    let listed: HashSet<&String> = ids.collect();
    known.retain(|id, _| listed.contains(id));
}

/// Forgets that these journeys were asked for: no answer came. What is known of one stays.
pub(crate) fn forget(known: &mut Pieces, asked: &[String]) {
    for id in asked {
        if known.get(id).is_some_and(Vec::is_empty) {
            known.remove(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// One journey: order works, a message waits, mailer works; of another one not all pieces came.
    #[test]
    fn pieces_are_read_by_journey() {
        let rows = [
            vec![json!("aa"), json!("self"), json!("service:order"), json!("100"), json!("400")],
            vec![json!("aa"), json!("queue"), json!("queue:kafka/a"), json!("400"), json!("900")],
            vec![json!("aa"), json!("self"), json!("service:mailer"), json!(900), json!(950)],
            vec![json!("aa"), json!("remote"), json!("ext:mail.example"), json!(950), json!(940)],
            vec![json!("bb"), json!("backoff"), json!("service:order"), json!("1"), json!("2")],
            vec![json!("bb")],
        ];
        let whole = pieces(&rows, false);
        let of_first: Vec<(i64, u64, Place)> =
            whole["aa"].iter().map(|piece| (piece.start, piece.nanos, piece.place.clone())).collect();
        assert_eq!(
            of_first,
            [
                (100, 300, Place::Service("order".to_owned())),
                (400, 500, Place::Queue),
                (900, 50, Place::Service("mailer".to_owned())),
                (950, 0, Place::Elsewhere),
            ]
        );
        assert_eq!(whole["bb"][0].place, Place::Backoff);
        let cut = pieces(&rows, true);
        assert!(cut.contains_key("aa") && !cut.contains_key("bb"), "half a way is none");
    }

    /// A question that failed leaves nothing behind, a full store keeps what is in the list.
    #[test]
    fn what_is_not_known_is_asked_again() {
        let piece = Piece { start: 0, nanos: 1, place: Place::Queue };
        let mut known = Pieces::from([("aa".to_owned(), vec![piece.clone()]), ("bb".to_owned(), Vec::new())]);
        forget(&mut known, &["aa".to_owned(), "bb".to_owned(), "cc".to_owned()]);
        assert_eq!(known.keys().collect::<Vec<_>>(), ["aa"], "what came in the meantime stays");
        known.insert("dd".to_owned(), vec![piece]);
        let listed = SearchItem::Journey(JourneyItem { id: "dd".to_owned(), ..JourneyItem::default() });
        keep(&mut known, &[listed]);
        assert_eq!(known.keys().collect::<Vec<_>>(), ["dd"]);
    }

    /// The statement looks at the time of the journeys only.
    #[test]
    fn the_question_is_about_the_time_of_the_journeys() {
        let item = |id: &str, start: i64, settled: u64| JourneyItem {
            id: id.to_owned(),
            start_unix_nano: start.to_string(),
            settled_nanos: settled,
            ..JourneyItem::default()
        };
        let (first, last) = (item("aa", 1_000_000_000_000, 5), item("bb", 1_060_000_000_000, 2_000_000_000));
        let (sql, nanos) = question(&[&first, &last]).expect("two journeys");
        assert!(sql.contains("'aa', 'bb'") && sql.contains("time >= '1970-01-01T00:15:40.000Z'"), "{sql}");
        assert_eq!(nanos, 182_000_000_000);
        assert_eq!(question(&[]), None);
    }

    #[test]
    fn the_longest_sets_the_scale_unless_it_is_far_out() {
        let mut twenty = [100; 20];
        twenty[3] = 190;
        assert_eq!(common_scale(&mut twenty), 190);
        twenty[0] = 90_000;
        assert_eq!(common_scale(&mut twenty), 380);
        assert_eq!(common_scale(&mut [300, 100, 200]), 300);
        assert_eq!(common_scale(&mut [0, 0, 0]), 0);
        assert_eq!(common_scale(&mut []), 0);
    }
}
