//! What a metric data point is at rest: one table per shape of value, exemplars in their own.
//!
//! Every point carries its whole series (metric, resource, scope, attributes). These repeat from point
//! to point and are dictionary-coded, so they cost next to nothing and no join is needed to filter.

use model::semconv::On;

use super::Table;
use super::column::{Column, Kind};

/// Declares a point table: the columns of its series, then those of its value.
macro_rules! point_table {
    ($(#[$doc:meta])* $static:ident, $name:literal, $help:literal, [$($value:expr,)*]) => {
        $(#[$doc])*
        pub static $static: Table = Table::new(
            $name,
            $help,
            "time",
            &["metric_name", "series_id", "time"],
            &[
                Column::always("time", Kind::UnixNanos, "moment of the point, as sent"),
                Column::always("start_time", Kind::UnixNanos, "start of the interval, as sent; 0 when not said"),
                Column::always("arrival_time", Kind::UnixNanos, "when the collector took it, by the collector's clock"),
                Column::always("metric_name", Kind::Label, "name of the instrument"),
                Column::always("metric_unit", Kind::Label, "unit in UCUM; empty when not said"),
                Column::always("metric_description", Kind::Label, "what it measures; empty when not said"),
                Column::optional("metric_metadata", Kind::Json, "metadata of the metric as OTLP/JSON list, when sent"),
                Column::always("service_name", Kind::Label, "service that sent it; unknown_service when not said"),
                Column::always("series_id", Kind::Int64, "hash of metric, resource, scope and attributes: equal in one series"),
                $($value,)*
                Column::always("flags", Kind::Int64, "bit 0: no recorded value (a staleness mark)"),
                Column::always("attributes", Kind::Json, "attributes of the series as OTLP/JSON list"),
                Column::always("resource", Kind::Json, "the whole resource as OTLP/JSON"),
                Column::optional("resource_schema_url", Kind::Label, "schema of the resource, as sent"),
                Column::always("scope_name", Kind::Label, "instrumentation library; empty when not said"),
                Column::always("scope", Kind::Json, "the whole instrumentation scope as OTLP/JSON"),
                Column::optional("scope_schema_url", Kind::Label, "schema of the scope's data, as sent"),
                Column::always("repairs", Kind::Flags, "what was mended on entry, one bit per repair"),
            ],
            &[On::Resource],
        );
    };
}

point_table!(
    /// One row per point of a gauge or sum.
    NUMBER_POINTS, "number_points", "one row per data point of a gauge or sum", [
        Column::always("metric_kind", Kind::Int32, "1 gauge, 2 sum"),
        Column::always("temporality", Kind::Int32, "0 gauge, 1 delta, 2 cumulative"),
        Column::always("is_monotonic", Kind::Bool, "the sum never falls but at resets"),
        Column::optional("value_double", Kind::Float64, "value, when sent as a double"),
        Column::optional("value_int", Kind::Int64, "value, when sent as an integer"),
    ]
);

point_table!(
    /// One row per point of a histogram with explicit buckets.
    HISTOGRAM_POINTS, "histogram_points", "one row per data point of a histogram with explicit buckets", [
        Column::always("temporality", Kind::Int32, "1 delta, 2 cumulative"),
        Column::always("count", Kind::Int64, "measurements in the interval"),
        Column::optional("sum", Kind::Float64, "sum of the measurements"),
        Column::optional("min", Kind::Float64, "smallest measurement"),
        Column::optional("max", Kind::Float64, "largest measurement"),
        Column::always("bounds", Kind::Floats, "upper bounds of all buckets but the last"),
        Column::always("bucket_counts", Kind::Ints, "measurements per bucket, one more than bounds"),
    ]
);

point_table!(
    /// One row per point of an exponential histogram.
    EXP_HISTOGRAM_POINTS, "exp_histogram_points", "one row per data point of an exponential histogram", [
        Column::always("temporality", Kind::Int32, "1 delta, 2 cumulative"),
        Column::always("count", Kind::Int64, "measurements in the interval"),
        Column::optional("sum", Kind::Float64, "sum of the measurements"),
        Column::optional("min", Kind::Float64, "smallest measurement"),
        Column::optional("max", Kind::Float64, "largest measurement"),
        Column::always("scale", Kind::Int32, "bucket base is 2 to the power of 2 to the minus scale"),
        Column::always("zero_count", Kind::Int64, "measurements within the zero threshold"),
        Column::always("zero_threshold", Kind::Float64, "half width of the zero bucket"),
        Column::always("has_positive", Kind::Bool, "the positive buckets were sent, even if empty"),
        Column::always("positive_offset", Kind::Int32, "index of the first positive bucket"),
        Column::always("positive_counts", Kind::Ints, "measurements per positive bucket"),
        Column::always("has_negative", Kind::Bool, "the negative buckets were sent, even if empty"),
        Column::always("negative_offset", Kind::Int32, "index of the first negative bucket"),
        Column::always("negative_counts", Kind::Ints, "measurements per negative bucket"),
    ]
);

point_table!(
    /// One row per point of a summary.
    SUMMARY_POINTS, "summary_points", "one row per data point of a summary", [
        Column::always("count", Kind::Int64, "measurements in the interval"),
        Column::always("sum", Kind::Float64, "sum of the measurements"),
        Column::always("quantiles", Kind::Floats, "quantiles from 0 to 1"),
        Column::always("quantile_values", Kind::Floats, "value at each quantile"),
    ]
);

/// One row per exemplar: a measurement that points to a trace.
pub static EXEMPLARS: Table = Table::new(
    "exemplars",
    "one row per exemplar: a measurement that points to its trace",
    "time",
    &["metric_name", "series_id", "time"],
    &[
        Column::always("time", Kind::UnixNanos, "moment of the measurement; the point's when not said"),
        Column::optional("sent_time", Kind::UnixNanos, "moment as sent, if time differs from it"),
        Column::always("point_time", Kind::UnixNanos, "moment of the data point that carried it"),
        Column::always("arrival_time", Kind::UnixNanos, "when the collector took it, by the collector's clock"),
        Column::always("metric_name", Kind::Label, "name of the instrument"),
        Column::always("service_name", Kind::Label, "service that sent it; unknown_service when not said"),
        Column::always("series_id", Kind::Int64, "the series of the point that carried it"),
        Column::optional("trace_id", Kind::Id16, "trace in which it was measured"),
        Column::optional("span_id", Kind::Id8, "span in which it was measured"),
        Column::optional("value_double", Kind::Float64, "value, when sent as a double"),
        Column::optional("value_int", Kind::Int64, "value, when sent as an integer"),
        Column::always("attributes", Kind::JsonText, "attributes that the series does not carry, as OTLP/JSON list"),
        Column::always("repairs", Kind::Flags, "what was mended on entry, one bit per repair"),
    ],
    &[],
);
