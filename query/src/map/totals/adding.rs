//! Adding up rows at rest, on several threads and within a bound.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{Array, AsArray, ListArray, RecordBatch};
use arrow::datatypes::Int64Type;
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt as _;
use hashbrown::HashMap;
use model::TraceId;
use tokio::task::JoinSet;

use super::{By, BySpan, Edge, Histogram, Totals};
use crate::error::{Error, Result};
use crate::rows::{Bytes, Ints, Texts};

/// What is held of what is read.
#[derive(Clone)]
pub(super) struct Bounds {
    pub(super) sums_max: usize,
    /// Of these edges; none: of all.
    pub(super) only: Option<Arc<BTreeSet<Edge>>>,
}

/// Adds each part on a thread of its own; `None` when there are more than `sums_max` sums.
///
/// A sum that several threads meet counts once for each of them. When they hold more than `sums_max` together, all of them
/// stop, and one goes on with what they found and with what they have not read yet: no row is decoded twice.
pub(super) async fn add_up(
    streams: Vec<SendableRecordBatchStream>,
    by: By,
    span_nanos: i64,
    bounds: Bounds,
) -> Result<Option<Adding>> {
    let Bounds { sums_max, only } = bounds;
    // Dropping the set ends them all.
    let mut parts = JoinSet::new();
    let n_sums = Arc::new(AtomicUsize::new(0));
    for mut stream in streams {
        let (n_sums, only) = (Arc::clone(&n_sums), only.clone());
        parts.spawn(async move {
            let mut adding = Adding { only, ..Adding::default() };
            while n_sums.load(Ordering::Relaxed) <= sums_max {
                let Some(batch) = stream.next().await else { return Ok((adding, None)) };
                let before = adding.sums.len();
                adding.add_rows(&batch?, by, span_nanos);
                n_sums.fetch_add(adding.sums.len() - before, Ordering::Relaxed);
            }
            Ok::<_, Error>((adding, Some(stream)))
        });
    }
    let (mut all, mut unread) = (Adding::default(), Vec::new());
    while let Some(part) = parts.join_next().await {
        let (part, stream) = part.map_err(|error| Error::Internal(error.to_string()))??;
        all.merge(part);
        unread.extend(stream);
    }
    for mut stream in unread {
        while all.sums.len() <= sums_max {
            let Some(batch) = stream.next().await else { break };
            all.add_rows(&batch?, by, span_nanos);
        }
    }
    Ok((all.sums.len() <= sums_max).then_some(all))
}

/// Sums under construction; edges are numbers here.
#[derive(Debug, Default)]
pub(super) struct Adding {
    numbers: HashMap<Edge, u32>,
    sums: HashMap<(i64, u32), Totals>,
    only: Option<Arc<BTreeSet<Edge>>>,
}

impl Adding {
    /// None for an edge that is not wanted.
    fn number(&mut self, edge: [&str; 5]) -> Option<u32> {
        let (next, edge) = (self.numbers.len() as u32, Edge::new(edge));
        let is_wanted = self.only.as_ref().is_none_or(|only| only.contains(&edge));
        is_wanted.then(|| *self.numbers.entry(edge).or_insert(next))
    }

    fn merge(&mut self, other: Self) {
        if self.sums.is_empty() {
            *self = other;
            return;
        }
        let mut ours = vec![0; other.numbers.len()];
        for (edge, theirs) in other.numbers {
            let next = self.numbers.len() as u32;
            ours[theirs as usize] = *self.numbers.entry(edge).or_insert(next);
        }
        for ((span, theirs), sums) in other.sums {
            self.sums.entry((span, ours[theirs as usize])).or_default().add(&sums);
        }
    }

    pub(super) fn finish(self) -> BySpan {
        // Edges by rank, so that numbers are sorted and not names.
        let mut edges: Vec<(Edge, u32)> = self.numbers.into_iter().collect();
        edges.sort_unstable();
        let mut rank = vec![0; edges.len()];
        edges.iter().enumerate().for_each(|(at, (_, number))| rank[*number as usize] = at);
        let mut sums: Vec<((i64, usize), Totals)> =
            self.sums.into_iter().map(|((span, number), sums)| ((span, rank[number as usize]), sums)).collect();
        sums.sort_unstable_by_key(|(key, _)| *key);
        sums.into_iter().map(|((span, at), sums)| ((span, edges[at].0.clone()), sums)).collect()
    }

    fn add_rows(&mut self, batch: &RecordBatch, by: By, span_nanos: i64) {
        let [source, target, protocol, system] =
            ["src", "dst", "protocol", "system"].map(|name| Texts::of(batch, name));
        let (op, time) = (Texts::of(batch, "op"), Ints::of(batch, "time"));
        let [count, errors, faults, request_bytes, response_bytes] =
            ["count", "errors", "faults", "request_bytes", "response_bytes"].map(|name| Ints::of(batch, name));
        let [first_seen, last_seen, slowest, failed] =
            ["first_seen", "last_seen", "slowest", "failed"].map(|name| Ints::of(batch, name));
        let [slowest_journey, failed_journey] =
            ["slowest_journey", "failed_journey"].map(|name| Bytes::of(batch, name));
        let [durations, networks, lags] = ["durations", "networks", "lags"].map(|name| Lists::of(batch, name));
        let edge_of = |row: usize| by.key([&source, &target, &protocol, &system, &op].map(|texts| texts.text(row)));
        let has_waits = by.has_waits();
        // Rows are sorted by edge and time: an edge is looked up once, a span of time once for its rows.
        let mut edge_at_hand = None;
        let mut row = 0;
        while row < batch.num_rows() {
            let (edge, span) = (edge_of(row), time.int(row).div_euclid(span_nanos));
            let is_same = |next: &usize| time.int(*next).div_euclid(span_nanos) == span && edge_of(*next) == edge;
            let end = (row + 1..batch.num_rows()).find(|next| !is_same(next)).unwrap_or(batch.num_rows());
            let number = match edge_at_hand {
                Some((known, number)) if known == edge => number,
                _ => self.number(edge),
            };
            edge_at_hand = Some((edge, number));
            let begin = std::mem::replace(&mut row, end);
            let Some(number) = number else { continue };
            let sums = self.sums.entry((span, number)).or_default();
            for row in begin..end {
                sums.count += count.int(row);
                sums.errors += errors.int(row);
                sums.faults += faults.int(row);
                sums.request_bytes += request_bytes.int(row);
                sums.response_bytes += response_bytes.int(row);
                durations.add_to(&mut sums.durations, row);
                if has_waits {
                    networks.add_to(&mut sums.networks, row);
                    lags.add_to(&mut sums.lags, row);
                }
                let moment = |ints: &Ints| ints.get(row).filter(|moment| *moment != 0);
                sums.first_seen = [sums.first_seen, moment(&first_seen)].into_iter().flatten().min();
                sums.last_seen = sums.last_seen.max(moment(&last_seen));
                if slowest.get(row) > sums.slowest.map(|(nanos, _)| nanos)
                    && let Some(journey) = slowest_journey.get(row).and_then(TraceId::from_bytes)
                {
                    sums.slowest = Some((slowest.int(row), journey));
                }
                if let Some(start) = failed.get(row)
                    && let Some(journey) = failed_journey.get(row).and_then(TraceId::from_bytes)
                {
                    sums.failed = [sums.failed, Some((start, journey))].into_iter().flatten().min();
                }
            }
        }
    }
}

/// Histograms in a list column: bucket, count, bucket, count.
struct Lists(Option<(ListArray, Arc<dyn Array>)>);

impl Lists {
    fn of(batch: &RecordBatch, name: &str) -> Self {
        let lists = batch.column_by_name(name).and_then(|column| column.as_list_opt::<i32>()).cloned();
        Self(lists.map(|lists| {
            let values = Arc::clone(lists.values());
            (lists, values)
        }))
    }

    fn add_to(&self, histogram: &mut Histogram, row: usize) {
        let Some((lists, values)) = &self.0 else { return };
        let Some(values) = values.as_primitive_opt::<Int64Type>() else { return };
        let offsets = lists.value_offsets();
        let range = offsets[row] as usize..offsets[row + 1] as usize;
        for pair in values.values()[range].chunks_exact(2) {
            histogram.add_one(pair[0], pair[1]);
        }
    }
}
