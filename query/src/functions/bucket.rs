//! `time_bucket('5m', time)` and `duration_bucket(nanos)`: what to group by.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimeUnit};
use datafusion::common::{exec_err, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

use super::unary::unary;
use crate::times::parse_duration;

/// `time_bucket(width text, time timestamp) -> timestamp`: the beginning of the bucket, counted from 1970 in UTC.
pub(super) fn time_bucket() -> Arc<ScalarUDF> {
    let signature = Signature::new(TypeSignature::Any(2), Volatility::Immutable);
    Arc::new(ScalarUDF::new_from_impl(TimeBucket { signature }))
}

/// `duration_bucket(nanos bigint) -> bigint`: the lower edge of its quarter of an octave, as in the histogram.
pub(super) fn duration_bucket() -> Arc<ScalarUDF> {
    unary("duration_bucket", DataType::Int64, DataType::Int64, |array| {
        let nanos = array.as_primitive::<Int64Type>();
        let edges: Int64Array = nanos.unary(edge);
        Ok(Arc::new(edges) as ArrayRef)
    })
}

fn edge(nanos: i64) -> i64 {
    if nanos < 2 {
        return 0;
    }
    let mut quarter = ((nanos as f64).log2() * 4.0).floor();
    let lower = |quarter: f64| (quarter / 4.0).exp2().ceil() as i64;
    // Logarithms are not exact at the edges.
    while lower(quarter) > nanos {
        quarter -= 1.0;
    }
    while lower(quarter + 1.0) <= nanos {
        quarter += 1.0;
    }
    lower(quarter)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct TimeBucket {
    signature: Signature,
}

impl ScalarUDFImpl for TimeBucket {
    fn name(&self) -> &str {
        "time_bucket"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        match given {
            [width, DataType::Timestamp(_, zone)] if width.is_string() => {
                Ok(DataType::Timestamp(TimeUnit::Nanosecond, zone.clone()))
            }
            _ => plan_err!("write time_bucket('5m', start_time), with a width and a time"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let width = match &args.args[0] {
            ColumnarValue::Scalar(value) => value.try_as_str().flatten().and_then(parse_duration),
            ColumnarValue::Array(_) => None,
        };
        let Some(width) = width.filter(|width| *width > 0) else {
            return exec_err!("the width of time_bucket is a constant with a unit: '30s', '5m', '1h' or '1d'");
        };
        let gives = args.return_field.data_type().clone();
        let times = cast(&args.args[1].to_array(args.number_rows)?, &gives)?;
        let nanos = cast(&times, &DataType::Int64)?;
        let starts: Int64Array =
            nanos.as_primitive::<Int64Type>().unary(|nanos| nanos.saturating_sub(nanos.rem_euclid(width)));
        let starts: ArrayRef = Arc::new(starts);
        Ok(ColumnarValue::Array(cast(&starts, &gives)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each edge is its own bucket, and what is just below belongs to the one before.
    #[test]
    fn edges_are_their_own_buckets() {
        for nanos in [0, 1, 2, 3, 1_000, 1_024, 999_999_999, 1 << 40, i64::MAX / 4] {
            let lower = edge(nanos);
            assert!(lower <= nanos && edge(lower) == lower, "{nanos} {lower}");
            assert!(lower < 4 || edge(lower - 1) < lower, "{nanos} {lower}");
        }
        assert_eq!(edge(1_024), 1_024);
    }
}
