//! Rows of the tables of points, one by one.

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type};
use model::{MetricKind, Temporality};

use super::buckets::{Buckets, Explicit, Exponential, Measured};
use super::change::Number;
use super::labels::Identity;
use crate::error::Result;
use crate::rows::{Floats, Ints, Lists, Texts};

/// Bit of `flags`: the series says that it has no value.
const NO_VALUE: i64 = 1;

/// A row of a table of points.
#[derive(Debug)]
pub(super) struct Row<'a> {
    pub(super) series: i64,
    pub(super) time: i64,
    /// 0 when not said.
    pub(super) start: i64,
    pub(super) is_delta: bool,
    pub(super) is_monotonic: bool,
    pub(super) value: Value,
    origin: Origin<'a>,
}

impl Row<'_> {
    /// Who sent it and what it measures; parsed anew for each call.
    pub(super) fn identity(&self) -> Identity {
        let [service, scope_name, attributes, resource, scope] =
            self.origin.texts.each_ref().map(|texts| texts.text(self.origin.row));
        Identity::new(service, scope_name, attributes, resource, scope)
    }
}

/// What a point holds.
#[derive(Debug)]
pub(super) enum Value {
    /// A staleness mark.
    Nothing,
    Number(Number),
    /// With the smallest and the largest measurement.
    Measured(Measured, [Option<f64>; 2]),
    /// With quantiles and their values.
    Summary(Measured, Vec<(f64, f64)>),
}

#[derive(Debug)]
struct Origin<'a> {
    texts: &'a [Texts; 5],
    row: usize,
}

const ORIGIN: [&str; 5] = ["service_name", "scope_name", "attributes", "resource", "scope"];

/// The columns that are read.
pub(super) fn columns(kind: MetricKind) -> Vec<&'static str> {
    let mut columns = vec!["series_id", "time", "start_time", "arrival_time", "flags"];
    columns.extend(ORIGIN);
    columns.extend(match kind {
        MetricKind::Gauge | MetricKind::Sum => &["temporality", "is_monotonic", "value_double", "value_int"][..],
        MetricKind::Histogram => &["temporality", "count", "sum", "min", "max", "bounds", "bucket_counts"],
        MetricKind::ExponentialHistogram => &[
            "temporality",
            "count",
            "sum",
            "min",
            "max",
            "scale",
            "zero_count",
            "zero_threshold",
            "positive_offset",
            "positive_counts",
            "negative_offset",
            "negative_counts",
        ],
        MetricKind::Summary => &["count", "sum", "quantiles", "quantile_values"],
    });
    columns
}

/// Hands out the rows of a batch.
///
/// # Errors
/// The first of `each`.
pub(super) fn each(batch: &RecordBatch, kind: MetricKind, mut each: impl FnMut(&Row<'_>) -> Result<()>) -> Result<()> {
    let ints = |name| Ints::of(batch, name);
    let (series, time, start) = (ints("series_id"), ints("time"), ints("start_time"));
    let (flags, temporality) = (ints("flags"), ints("temporality"));
    let monotonic: Option<&BooleanArray> =
        batch.column_by_name("is_monotonic").and_then(|column| column.as_boolean_opt());
    let texts = ORIGIN.map(|name| Texts::of(batch, name));
    let values = Values::of(batch, kind);
    for row in 0..batch.num_rows() {
        let is_mark = flags.int(row) & NO_VALUE != 0;
        each(&Row {
            series: series.int(row),
            time: time.int(row),
            start: start.int(row),
            is_delta: temporality.int32(row) == Temporality::Delta.code(),
            is_monotonic: monotonic.is_some_and(|column| column.is_valid(row) && column.value(row)),
            value: if is_mark { Value::Nothing } else { values.get(row) },
            origin: Origin { texts: &texts, row },
        })?;
    }
    Ok(())
}

/// The columns of the values of a kind.
enum Values {
    Number {
        double: Floats,
        int: Ints,
    },
    Explicit {
        count: Ints,
        sum: Floats,
        ends: [Floats; 2],
        bounds: Lists,
        counts: Lists,
    },
    Exponential {
        count: Ints,
        sum: Floats,
        ends: [Floats; 2],
        scale: Ints,
        zeros: Ints,
        threshold: Floats,
        sides: Box<[(Ints, Lists); 2]>,
    },
    Summary {
        count: Ints,
        sum: Floats,
        quantiles: Lists,
        values: Lists,
    },
}

impl Values {
    fn of(batch: &RecordBatch, kind: MetricKind) -> Self {
        let (ints, floats, lists) =
            (|name| Ints::of(batch, name), |name| Floats::of(batch, name), |name| Lists::of(batch, name));
        let (count, sum, ends) = (ints("count"), floats("sum"), ["min", "max"].map(floats));
        match kind {
            MetricKind::Gauge | MetricKind::Sum => {
                Self::Number { double: floats("value_double"), int: ints("value_int") }
            }
            MetricKind::Histogram => {
                Self::Explicit { count, sum, ends, bounds: lists("bounds"), counts: lists("bucket_counts") }
            }
            MetricKind::ExponentialHistogram => Self::Exponential {
                count,
                sum,
                ends,
                scale: ints("scale"),
                zeros: ints("zero_count"),
                threshold: floats("zero_threshold"),
                sides: Box::new([
                    (ints("positive_offset"), lists("positive_counts")),
                    (ints("negative_offset"), lists("negative_counts")),
                ]),
            },
            MetricKind::Summary => {
                Self::Summary { count, sum, quantiles: lists("quantiles"), values: lists("quantile_values") }
            }
        }
    }

    fn get(&self, row: usize) -> Value {
        let measured = |count: &Ints, sum: &Floats, buckets| Measured {
            count: count.int(row).unsigned_abs(),
            sum: sum.get(row).filter(|sum| sum.is_finite()),
            buckets,
        };
        let unsigned = |counts: Vec<i64>| -> Vec<u64> { counts.into_iter().map(i64::unsigned_abs).collect() };
        match self {
            Self::Number { double, int } => match (double.get(row), int.get(row)) {
                (Some(double), _) => Value::Number(Number::Double(double)),
                (None, Some(int)) => Value::Number(Number::Int(int)),
                (None, None) => Value::Nothing,
            },
            Self::Explicit { count, sum, ends, bounds, counts } => {
                let buckets = Explicit::new(bounds.get::<Float64Type>(row), unsigned(counts.get::<Int64Type>(row)));
                let buckets = buckets.map_or(Buckets::None, Buckets::Explicit);
                Value::Measured(measured(count, sum, buckets), ends.each_ref().map(|end| end.get(row)))
            }
            Self::Exponential { count, sum, ends, scale, zeros, threshold, sides } => {
                let [positive, negative] = sides.each_ref().map(|(offset, counts)| {
                    let first = offset.int32(row);
                    let counts = unsigned(counts.get::<Int64Type>(row)).into_iter().zip(0i32..);
                    counts.filter(|(n, _)| *n > 0).map(|(n, at)| (first.saturating_add(at), n)).collect()
                });
                let buckets = Exponential {
                    scale: scale.int32(row),
                    zeros: zeros.int(row).unsigned_abs(),
                    zero_threshold: threshold.get(row).unwrap_or_default(),
                    positive,
                    negative,
                };
                let ends = ends.each_ref().map(|end| end.get(row));
                Value::Measured(measured(count, sum, Buckets::Exponential(buckets)), ends)
            }
            Self::Summary { count, sum, quantiles, values } => {
                let quantiles = quantiles.get::<Float64Type>(row).into_iter().zip(values.get::<Float64Type>(row));
                Value::Summary(measured(count, sum, Buckets::None), quantiles.collect())
            }
        }
    }
}
