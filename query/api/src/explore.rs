//! What stands around the list of hits: `GET /api/search/histogram`, `GET /api/search/facets`,
//! `POST /api/search/differs`.
//!
//! All three take the question of `GET /api/search` (`unit`, `q`, `from`, `to`) and count **items**: every span that
//! matches; with `unit=traces` the root span of each trace that matches; with `unit=journeys` each journey that does.

use model::{SpanId, TraceId};
use serde::{Deserialize, Serialize};

/// Items over time and duration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HistogramAnswer {
    /// Start of the first column.
    pub from_unix_nano: String,
    /// End of the range.
    pub to_unix_nano: String,
    /// Width of a column.
    pub step_nanos: u64,
    /// Columns, one entry each.
    pub times: Vec<HistogramTime>,
    /// Edges of the rows in nanoseconds, from the shortest on: row `i` holds `edges[i] <= value < edges[i + 1]`. A
    /// logarithmic scale: all rows span the same factor.
    pub edges_nanos: Vec<u64>,
    /// Cells that hold items, by column, then row.
    pub cells: Vec<HistogramCell>,
    /// Items.
    pub count: u64,
    /// Those that failed.
    pub errors: u64,
    /// Median of the plotted value, within 1.1 %; `None` without items.
    pub p50_nanos: Option<u64>,
    /// 95th percentile.
    pub p95_nanos: Option<u64>,
    /// 99th percentile.
    pub p99_nanos: Option<u64>,
    /// Every item by itself, by start, when there are not more than the asked `dots`; else empty.
    pub dots: Vec<HistogramDot>,
    /// The answer does not hold everything.
    pub incomplete: bool,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incomplete_reason: Option<String>,
    /// Time spent by the server.
    pub elapsed_ms: f64,
    /// Rows read from segments and buffer.
    pub rows_read: u64,
}

/// One column: the RED line above the cells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HistogramTime {
    /// Items that start in it.
    pub count: u64,
    /// Those that failed.
    pub errors: u64,
    /// Their 95th percentile, within 1.1 %; `None` without items.
    pub p95_nanos: Option<u64>,
}

/// One cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistogramCell {
    /// Index into `times`.
    pub column: u32,
    /// Row, 0 for the shortest.
    pub row: u32,
    /// Items in it; never 0.
    pub count: u64,
    /// Those that failed.
    pub errors: u64,
}

/// One item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistogramDot {
    /// Its trace; for a journey its id.
    pub trace_id: TraceId,
    /// The span; the root span of a trace or journey.
    pub span_id: Option<SpanId>,
    /// Start.
    pub start_unix_nano: String,
    /// The plotted value.
    pub nanos: u64,
    /// It failed.
    pub error: bool,
}

/// What the items have in common, with counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FacetsAnswer {
    /// Items.
    pub count: u64,
    /// One entry per asked attribute that an item has; without `keys` in a fixed order, with `keys=*` the most
    /// frequent first.
    pub facets: Vec<Facet>,
    /// The answer does not hold everything.
    pub incomplete: bool,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incomplete_reason: Option<String>,
    /// Time spent by the server.
    pub elapsed_ms: f64,
    /// Rows read from segments and buffer.
    pub rows_read: u64,
}

/// Where an attribute stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AttributePlace {
    /// A field of every item: `service`, `name`, `kind`, `status`, ...
    Field,
    /// On the span.
    Span,
    /// On the resource that sent it.
    Resource,
}

/// An attribute and its most frequent values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Facet {
    /// Where it stands.
    pub place: AttributePlace,
    /// Its key, by today's name.
    pub key: String,
    /// Items that have it.
    pub count: u64,
    /// Different values; a lower bound when `many`.
    pub distinct: u64,
    /// It has more values than are counted, such as an id: no values are listed.
    pub many: bool,
    /// The most frequent values.
    pub values: Vec<FacetValue>,
}

/// A value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FacetValue {
    /// The value as text; after 256 bytes it is cut.
    pub value: String,
    /// Items that have it.
    pub count: u64,
    /// Condition for `q` that keeps items with this value; `None` when the filter language has none.
    pub filter: Option<String>,
}

/// `POST /api/search/differs`: which attributes stand out in a selection.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiffersRequest {
    /// `journeys`, `traces` or `spans`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Filter text: what is selected and what is outside both match it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub q: Option<String>,
    /// Start of the whole range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// End of the whole range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Which value the brush is about: as in the histogram.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plot: Option<String>,
    /// The selection.
    pub brush: Brush,
    /// Attributes wanted at most, 1 to 200; 20 when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// A rectangle in time and duration; a side that is left out is open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Brush {
    /// Items that start at this time or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Items that start before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Items whose value is at least this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_nanos: Option<u64>,
    /// Items whose value is below this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_nanos: Option<u64>,
    /// Only items that failed, or only those that did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<bool>,
}

/// Attributes by how much they differ between the selection and everything else.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DiffersAnswer {
    /// Items in the brush.
    pub selected: u64,
    /// Items outside.
    pub outside: u64,
    /// Fewer than 20 items are selected: shares say little.
    pub too_few: bool,
    /// The largest gap first.
    pub attributes: Vec<DiffersAttribute>,
    /// The answer does not hold everything.
    pub incomplete: bool,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incomplete_reason: Option<String>,
    /// Time spent by the server.
    pub elapsed_ms: f64,
    /// Rows read from segments and buffer.
    pub rows_read: u64,
}

/// An attribute, with the values that differ most.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DiffersAttribute {
    /// Where it stands.
    pub place: AttributePlace,
    /// Its key, by today's name.
    pub key: String,
    /// The largest gap of its values, 0 to 1.
    pub gap: f64,
    /// Different values; a lower bound when `many`.
    pub distinct: u64,
    /// It has more values than are counted, such as an id: only whether it is there is compared.
    pub many: bool,
    /// At most 5, the largest gap first.
    pub values: Vec<DiffersValue>,
}

/// A value in the selection and outside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DiffersValue {
    /// The value as text, cut after 256 bytes; `None`: the attribute is not there.
    pub value: Option<String>,
    /// Items in the selection with it.
    pub selected: u64,
    /// Items outside with it.
    pub outside: u64,
    /// Share of the selection, 0 to 1.
    pub selected_share: f64,
    /// Share of everything else, 0 to 1.
    pub outside_share: f64,
    /// Condition for `q` that keeps items with this value.
    pub filter: Option<String>,
    /// Condition for `q` that leaves them out.
    pub filter_out: Option<String>,
}
