//! `GET /api/metrics?from=&to=&q=&kind=&limit=&cursor=`: what metrics there are; and
//! `GET /api/metrics/{name}?from=&to=&step=&q=&by=&function=&across=&quantile=&kind=&unit=&limit=&exemplars=`: one of them
//! over time.
//!
//! Both take the filter language of the search box: `service=shop point.http.route=/cart resource.host.name=a*`. A word
//! alone looks for metrics by name.

use std::collections::BTreeMap;

use model::{SpanId, TraceId};
use serde::{Deserialize, Serialize};

/// Metrics of which a point lies in the range; one page, by name, kind and unit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MetricsAnswer {
    /// Start of the range.
    pub from_unix_nano: String,
    /// End of the range.
    pub to_unix_nano: String,
    /// One entry per name, kind and unit.
    pub metrics: Vec<MetricItem>,
    /// For the next page; `null` at the end.
    pub next_cursor: Option<String>,
    /// The answer does not hold everything.
    pub incomplete: bool,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incomplete_reason: Option<String>,
    /// Time spent by the server.
    pub elapsed_ms: f64,
}

/// One metric. The same name sent as another kind, or in another unit, is another metric.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MetricItem {
    /// Name of the instrument.
    pub name: String,
    /// `gauge`, `sum`, `histogram`, `exponential_histogram` or `summary`.
    pub kind: String,
    /// Unit in UCUM; empty when not said.
    pub unit: String,
    /// What it measures; empty when not said.
    pub description: String,
    /// A sum that never falls but at resets: a counter.
    pub is_monotonic: bool,
    /// `delta`, `cumulative`, or `mixed` when its senders differ; empty for gauges and summaries.
    pub temporality: String,
    /// Who sends it, by name; 20 at most.
    pub services: Vec<String>,
    /// How many send it.
    pub n_services: u64,
    /// Series with a point in the range.
    pub series: u64,
    /// Points in the range.
    pub points: u64,
    /// Usual time between the points of a series; `null` when no series has two.
    pub interval_nanos: Option<i64>,
    /// Its earliest point in the range.
    pub first_unix_nano: String,
    /// Its latest point in the range.
    pub last_unix_nano: String,
}

/// One metric over time: groups of its series, each with one value per step.
///
/// Value `i` belongs to the step that begins `i * step_nanos` after `from_unix_nano`. It is `null` where nothing came:
/// nothing is carried over, drawn through or guessed. Values that are no numbers (NaN, infinite) are `null` too; SQL
/// shows them as they were sent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MetricAnswer {
    /// The metric.
    pub name: String,
    /// `gauge`, `sum`, `histogram`, `exponential_histogram` or `summary`.
    pub kind: String,
    /// Unit in UCUM as sent. Values of `rate` are in this unit per second, of histograms in measurements per second.
    pub unit: String,
    /// What it measures.
    pub description: String,
    /// A sum that never falls but at resets: a counter.
    pub is_monotonic: bool,
    /// `delta`, `cumulative`, `mixed` or empty.
    pub temporality: String,
    /// Begin of the first step.
    pub from_unix_nano: String,
    /// End of the last step.
    pub to_unix_nano: String,
    /// Length of a step.
    pub step_nanos: i64,
    /// Values of each series.
    pub steps: u64,
    /// What was done with the points of a series in a step: `last`, `avg`, `min`, `max`, `sum`, `count`, `rate`,
    /// `increase`, `quantile` or `heatmap`.
    pub function: String,
    /// What was done with the series of a group: `sum`, `avg`, `min`, `max` or `count`; empty for histograms and
    /// summaries, whose measurements are put together.
    pub across: String,
    /// Functions that this kind of metric has; the first is what it is shown as when nobody says.
    pub functions: Vec<String>,
    /// What the groups share; empty when all series are one group, `*` when each stands for itself.
    pub by: Vec<String>,
    /// Groups, the largest first.
    pub series: Vec<MetricSeries>,
    /// Groups found; more than `series` when the answer was cut.
    pub n_groups: u64,
    /// Series as sent that match.
    pub n_series: u64,
    /// Counters that began anew, or were seen to.
    pub resets: u64,
    /// What can be grouped and filtered by.
    pub attributes: Vec<MetricAttribute>,
    /// Measurements that lead to a trace, by time.
    pub exemplars: Vec<MetricExemplar>,
    /// The answer does not hold everything.
    pub incomplete: bool,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incomplete_reason: Option<String>,
    /// Points read.
    pub rows_read: u64,
    /// Time spent by the server.
    pub elapsed_ms: f64,
}

/// A group of series.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MetricSeries {
    /// What it shares, by field of the filter language. A field that was not sent is left out.
    pub labels: BTreeMap<String, String>,
    /// Which quantile the values are; `null` for other functions.
    pub quantile: Option<f64>,
    /// Of a heatmap: the bucket whose measurements the values count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub band: Option<MetricBand>,
    /// Series as sent in it.
    pub n_series: u64,
    /// One per step.
    pub values: Vec<Option<f64>>,
}

/// A bucket of a heatmap: measurements above `from`, up to and with `to`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MetricBand {
    /// `null`: nothing is below.
    pub from: Option<f64>,
    /// `null`: nothing is above.
    pub to: Option<f64>,
}

/// An attribute of the series of a metric.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MetricAttribute {
    /// As it is written in a filter or behind `by=`.
    pub field: String,
    /// `field`, `point` or `resource`.
    pub place: String,
    /// Different values, counted up to 1,000.
    pub n_values: u64,
    /// Some of them, by text.
    pub values: Vec<String>,
}

/// A measurement with the trace it was made in; `GET /api/journeys/{trace_id}` is its journey.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MetricExemplar {
    /// When.
    pub time_unix_nano: String,
    /// What was measured.
    pub value: Option<f64>,
    /// In which trace.
    pub trace_id: Option<TraceId>,
    /// In which span.
    pub span_id: Option<SpanId>,
    /// Labels of its group.
    pub labels: BTreeMap<String, String>,
    /// Attributes that its series does not carry.
    pub attributes: BTreeMap<String, String>,
}
