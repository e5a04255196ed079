//! Names of metric kinds and temporalities.

use crate::span::named_code;

named_code! {
    /// Whether a point tells the change since the last one or since the start.
    Temporality {
        0 Unspecified "unspecified" "Not said; such sums and histograms are refused (V17).",
        1 Delta "delta" "Since the previous point.",
        2 Cumulative "cumulative" "Since `start_time`.",
    } other "unspecified"
}

named_code! {
    /// The OTLP data of a metric; the number is our own.
    MetricKind {
        1 Gauge "gauge" "A value at a moment.",
        2 Sum "sum" "A sum over an interval, monotonic or not.",
        3 Histogram "histogram" "Counts in explicit buckets.",
        4 ExponentialHistogram "exponential_histogram" "Counts in buckets of a growing base.",
        5 Summary "summary" "Quantiles computed by the sender.",
    } other "unspecified"
}
