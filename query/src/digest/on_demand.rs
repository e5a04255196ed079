//! The relations of traces that are not at rest yet, computed when somebody asks.
//!
//! ```text
//!   arrival ────────────────┬───────────────────────────────▶
//!        at rest             │ counted_until: from here on, traces that no batch of the digest has counted
//! ```
//!
//! A reader sees the rows at rest and these together, over one snapshot. A trace that was looked at before answers with
//! its newest revision at rest until the digest has looked again, so nothing is counted twice. The work is bounded:
//! what a bound left out makes the answer incomplete, and the answer says so.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use datafusion::logical_expr::Expr;
use model::{TimeRange, TraceId, UnixNanos};
use storage::table::{SPANS, Table};

use super::columns;
use super::look::{Look, Owner, Told, extent};
use super::rollup::{MINUTE, Parts};
use super::stored::{PARTS_MAX, Stored};
use crate::analysis::analyze;
use crate::breakers::open_breakers;
use crate::config::Config;
use crate::error::Result;

/// Spans analysed for one question: about 0.2 s.
const SPANS_MAX: usize = 20_000;
/// Traces analysed for one question.
const TRACES_MAX: usize = 5_000;
/// Rows of spans looked at to find those traces.
const ROWS_MAX: usize = 2_000_000;
/// Traces at rest that are read because an open one links to them.
const LINKED_MAX: usize = 64;
/// Sums of a minute that are held at once for a query: 600 bytes each.
const PIECE_SUMS_MAX: usize = 50_000;
/// Spans of a call or journey begin at most so much before and after it.
const AROUND: i64 = 3_600 * UnixNanos::SECOND;

/// Rows by table, and what they add to the sums per minute.
#[derive(Clone, Debug, Default)]
pub(crate) struct OnDemand {
    rows: HashMap<&'static str, RecordBatch>,
    pub(crate) parts: Parts,
    /// Why rows are missing.
    cut: Option<String>,
}

impl OnDemand {
    /// Rows of a table, with its schema at rest.
    pub(crate) fn rows(&self, table: &Table) -> Option<&RecordBatch> {
        self.rows.get(table.name)
    }
}

/// Ranges with what was computed for them.
type Ranges = Vec<(TimeRange, Arc<OnDemand>)>;

/// What was computed over one snapshot. Questions that are asked together may share it. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Computed(Arc<tokio::sync::Mutex<Ranges>>);

/// What the derived relations of one question share: one snapshot, computed once.
#[derive(Debug)]
pub(crate) struct Derived {
    pub(crate) stored: Stored,
    config: Arc<Config>,
    computed: Computed,
    reason: Mutex<Option<String>>,
}

impl Derived {
    /// `computed` belongs to the same snapshot.
    pub(crate) fn new(stored: Stored, config: Arc<Config>, computed: Computed) -> Self {
        Self { stored, config, computed, reason: Mutex::new(None) }
    }

    /// Why answers that were computed here may miss rows.
    pub(crate) fn reason(&self) -> Option<String> {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Rows of the range that are not at rest; others may be among them.
    ///
    /// # Errors
    /// What went wrong while reading.
    pub(crate) async fn on_demand(&self, range: TimeRange) -> Result<Arc<OnDemand>> {
        let mut computed = self.computed.0.lock().await;
        let covers = |known: &TimeRange| known.start <= range.start && known.end >= range.end;
        let found = match computed.iter().find(|(known, _)| covers(known)) {
            Some((_, known)) => Arc::clone(known),
            None => {
                let found = Arc::new(compute(&self.stored, &self.config, range).await?);
                computed.push((range, Arc::clone(&found)));
                found
            }
        };
        if let Some(cut) = &found.cut {
            *self.reason.lock().unwrap_or_else(PoisonError::into_inner) = Some(cut.clone());
        }
        Ok(found)
    }

    /// Sums per minute of a range, at rest and on demand together.
    ///
    /// # Errors
    /// What went wrong while reading.
    pub(crate) async fn parts(&self, range: TimeRange) -> Result<Parts> {
        let mut parts = self.at_rest(range, &[]).await?;
        parts.add(&self.on_demand(range).await?.parts);
        Ok(parts)
    }

    /// Sums at rest; says so when there are more than fit in memory.
    async fn at_rest(&self, range: TimeRange, filters: &[Expr]) -> Result<Parts> {
        let (parts, is_cut) = self.stored.parts(range, filters).await?;
        if is_cut {
            let cut = format!("more than {PARTS_MAX} sums of a minute lie in the range; name a shorter range of time");
            *self.reason.lock().unwrap_or_else(PoisonError::into_inner) = Some(cut);
        }
        Ok(parts)
    }

    /// Pieces of a range to read the sums of one after the other: about 30 MB each as plain values.
    ///
    /// # Errors
    /// What went wrong while reading.
    pub(crate) async fn pieces(&self, range: TimeRange, filters: &[Expr]) -> Result<Vec<TimeRange>> {
        self.stored.pieces(range, filters, PIECE_SUMS_MAX).await
    }

    /// Sums per minute of a piece of `whole`: at rest those that pass the filters, and all on demand.
    ///
    /// # Errors
    /// What went wrong while reading.
    pub(crate) async fn parts_of(&self, piece: TimeRange, whole: TimeRange, filters: &[Expr]) -> Result<Parts> {
        let mut parts = self.at_rest(piece, filters).await?;
        let on_demand = self.on_demand(whole).await?;
        for (key, sums) in &on_demand.parts.0 {
            // A minute lies in the piece that holds its begin; that of the first may lie before it.
            let begin = UnixNanos(key.minute.saturating_mul(MINUTE)).max(whole.start);
            if piece.contains(begin) {
                parts.add_sums(key, sums);
            }
        }
        Ok(parts)
    }
}

/// Traces that are not at rest, with the spans and the newest arrival of each, and whether a bound left some out.
struct OpenNow {
    traces: BTreeMap<TraceId, i64>,
    n_spans: usize,
    is_cut: bool,
}

async fn open_now(stored: &Stored, low: i64, started: TimeRange) -> Result<OpenNow> {
    let (mut arrived, is_cut) = stored.arrived(low, started, ROWS_MAX).await?;
    if !arrived.is_empty() {
        // Whatever counted a span was written after it had arrived. A trace with late spans answers with its rows at
        // rest too.
        for trace in stored.looked_at_since(low).await?.keys() {
            arrived.remove(trace);
        }
    }
    let mut open = OpenNow { traces: BTreeMap::new(), n_spans: 0, is_cut };
    let mut newest_first: Vec<_> =
        arrived.into_iter().map(|(trace, (n_spans, arrival))| (arrival, trace, n_spans)).collect();
    newest_first.sort_unstable_by(|a, b| b.cmp(a));
    for (arrival, trace, n_spans) in newest_first {
        if open.traces.len() >= TRACES_MAX || open.n_spans + n_spans > SPANS_MAX {
            open.is_cut = true;
            continue;
        }
        open.n_spans += n_spans;
        open.traces.insert(trace, arrival);
    }
    Ok(open)
}

async fn compute(stored: &Stored, config: &Config, range: TimeRange) -> Result<OnDemand> {
    let mut found = OnDemand::default();
    if stored.snapshot.table(&SPANS).is_none() {
        return Ok(found);
    }
    let low = match stored.progress().await? {
        Some(progress) => progress.counted_until(),
        None => i64::MIN,
    };
    let around = |moment: UnixNanos, nanos: i64| UnixNanos(moment.0.saturating_add(nanos));
    let started = TimeRange::new(around(range.start, -AROUND), around(range.end, AROUND));
    let open = open_now(stored, low, started).await?;
    if open.is_cut {
        found.cut = Some(format!(
            "more traces are not at rest yet than are analysed on demand: the newest {} of them are in the answer; \
             /api/status says how far behind the digest is",
            open.traces.len()
        ));
    }
    if open.traces.is_empty() {
        return Ok(found);
    }
    let mut wanted: BTreeSet<TraceId> = open.traces.keys().copied().collect();
    let spans_max = SPANS_MAX + SPANS_MAX / 2;
    let mut spans = stored.spans_of(&wanted, spans_max).await?;
    // Spans from before: the trace was looked at then, and answers with its rows at rest.
    for (span, _) in spans.iter().filter(|(_, arrival)| *arrival < low) {
        wanted.remove(&span.trace_id);
    }
    let links = spans.iter().flat_map(|(span, _)| span.links.iter().map(|link| link.trace_id));
    let linked: BTreeSet<TraceId> = links.filter(|trace| !open.traces.contains_key(trace)).take(LINKED_MAX).collect();
    let others = stored.spans_of(&linked, SPANS_MAX).await?;
    if spans.len() > spans_max || others.len() > SPANS_MAX {
        found.cut.get_or_insert_with(|| {
            format!("traces that are not at rest yet have more than the {SPANS_MAX} spans that are analysed on demand")
        });
    }
    spans.extend(others);
    let analysis = analyze(spans.into_iter().map(|(span, _)| span).collect(), &config.options());
    let breakers = open_breakers(stored, extent(&analysis)).await?;
    let owner = |arrival_max: i64| Owner { revision: 1, arrival_max, early: false };
    let owners = open
        .traces
        .iter()
        .filter(|(trace, _)| wanted.contains(trace))
        .map(|(trace, arrival)| (*trace, owner(*arrival)))
        .collect();
    let told = Told { thresholds: &config.findings, breakers: &breakers };
    let look = Look::new(&analysis, &owners, &told);
    for batch in columns::relations(&look)? {
        found.rows.insert(batch.table().name, batch.records().clone());
    }
    look.traces.iter().for_each(|trace| found.parts.add(&trace.parts));
    Ok(found)
}
