//! `histogram_quantile(q, bucket_counts, bounds)` and `exp_histogram_quantile(q, scale, zero_count, offset, counts)`.
//!
//! Inside a bucket measurements are taken as spread evenly (explicit buckets) or evenly on the logarithmic scale
//! (exponential ones). The last explicit bucket has no upper bound: its lower bound is the answer, as in PromQL.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type, Int32Type, Int64Type};
use datafusion::common::exec_err;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

/// `histogram_quantile(q double, bucket_counts bigint[], bounds double[]) -> double`.
pub(super) fn histogram_quantile() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(Quantile::new("histogram_quantile", 3)))
}

/// `exp_histogram_quantile(q double, scale int, zero_count bigint, positive_offset int, positive_counts bigint[]) ->
/// double`.
pub(super) fn exp_histogram_quantile() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(Quantile::new("exp_histogram_quantile", 5)))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Quantile {
    name: &'static str,
    signature: Signature,
}

impl Quantile {
    fn new(name: &'static str, n_arguments: usize) -> Self {
        Self { name, signature: Signature::new(TypeSignature::Any(n_arguments), Volatility::Immutable) }
    }
}

/// An argument as a list of this type.
fn list(array: &ArrayRef, item: DataType) -> Result<ArrayRef> {
    Ok(cast(array, &DataType::List(Arc::new(Field::new_list_field(item, true))))?)
}

impl ScalarUDFImpl for Quantile {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let n_rows = args.number_rows;
        let arrays = args.args.iter().map(|arg| arg.to_array(n_rows)).collect::<Result<Vec<_>>>()?;
        let q = cast(&arrays[0], &DataType::Float64)?;
        let q = q.as_primitive::<Float64Type>();
        if q.iter().flatten().any(|q| !(0.0..=1.0).contains(&q)) {
            return exec_err!("the quantile of {} is a number from 0 to 1, such as 0.95", self.name);
        }
        let found: Float64Array = if arrays.len() == 3 {
            let (counts, bounds) = (list(&arrays[1], DataType::Int64)?, list(&arrays[2], DataType::Float64)?);
            let (counts, bounds) = (counts.as_list::<i32>(), bounds.as_list::<i32>());
            (0..n_rows)
                .map(|row| {
                    if q.is_null(row) || counts.is_null(row) || bounds.is_null(row) {
                        return None;
                    }
                    let (counts, bounds) = (counts.value(row), bounds.value(row));
                    let counts: Vec<f64> = counted(counts.as_primitive::<Int64Type>());
                    let bounds: Vec<f64> = bounds.as_primitive::<Float64Type>().values().to_vec();
                    explicit(q.value(row), &counts, &bounds)
                })
                .collect()
        } else {
            let ints = |index: usize| cast(&arrays[index], &DataType::Int32);
            let (scale, offset) = (ints(1)?, ints(3)?);
            let (scale, offset) = (scale.as_primitive::<Int32Type>(), offset.as_primitive::<Int32Type>());
            let zeros = cast(&arrays[2], &DataType::Int64)?;
            let (zeros, counts) = (zeros.as_primitive::<Int64Type>(), list(&arrays[4], DataType::Int64)?);
            let counts = counts.as_list::<i32>();
            (0..n_rows)
                .map(|row| {
                    if [q.is_null(row), scale.is_null(row), offset.is_null(row), counts.is_null(row)].contains(&true) {
                        return None;
                    }
                    let list = counts.value(row);
                    let counts = counted(list.as_primitive::<Int64Type>());
                    let zeros = if zeros.is_null(row) { 0.0 } else { zeros.value(row).max(0) as f64 };
                    exponential(q.value(row), scale.value(row), zeros, offset.value(row), &counts)
                })
                .collect()
        };
        Ok(ColumnarValue::Array(Arc::new(found)))
    }
}

fn counted(counts: &arrow::array::PrimitiveArray<Int64Type>) -> Vec<f64> {
    counts.iter().map(|n| n.unwrap_or_default().max(0) as f64).collect()
}

/// The bucket in which the measurement of rank `q` lies, and how far in it (0 to 1).
fn place(q: f64, counts: &[f64]) -> Option<(usize, f64)> {
    let total: f64 = counts.iter().sum();
    if total <= 0.0 {
        return None;
    }
    let (rank, mut before) = (q * total, 0.0);
    for (index, n) in counts.iter().enumerate() {
        if *n > 0.0 && before + n >= rank {
            return Some((index, ((rank - before) / n).clamp(0.0, 1.0)));
        }
        before += n;
    }
    None
}

/// A quantile of explicit buckets; `None` without measurements, or when counts and bounds do not fit.
fn explicit(q: f64, counts: &[f64], bounds: &[f64]) -> Option<f64> {
    if counts.len() != bounds.len() + 1 {
        return None;
    }
    let (bucket, part) = place(q, counts)?;
    let Some(upper) = bounds.get(bucket) else { return bounds.last().copied() };
    // The first bucket begins at zero, unless it holds what is below zero.
    let lower = if bucket > 0 { bounds[bucket - 1] } else { upper.min(0.0) };
    Some(lower + (upper - lower) * part)
}

/// A quantile of exponential buckets of values from zero on.
fn exponential(q: f64, scale: i32, zeros: f64, offset: i32, counts: &[f64]) -> Option<f64> {
    let all: Vec<f64> = std::iter::once(zeros).chain(counts.iter().copied()).collect();
    let (bucket, part) = place(q, &all)?;
    if bucket == 0 {
        return Some(0.0);
    }
    let base_log2 = (-f64::from(scale)).exp2();
    let index = f64::from(offset) + (bucket - 1) as f64 + part;
    Some((index * base_log2).exp2())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn explicit_buckets() {
        let (counts, bounds) = ([10.0, 10.0, 0.0, 5.0], [1.0, 3.0, 7.0]);
        assert_eq!(explicit(0.2, &counts, &bounds), Some(0.5));
        assert_eq!(explicit(0.4, &counts, &bounds), Some(1.0));
        assert_eq!(explicit(0.6, &counts, &bounds), Some(2.0));
        assert_eq!(explicit(1.0, &counts, &bounds), Some(7.0), "the last bucket has no end");
        assert_eq!(explicit(0.5, &[0.0, 0.0], &[1.0]), None, "no measurements");
        assert_eq!(explicit(0.5, &[1.0], &[1.0]), None, "counts and bounds do not fit");
        assert_eq!(explicit(0.5, &[2.0, 0.0], &[-5.0]), Some(-5.0));
    }

    #[test]
    fn exponential_buckets() {
        // Scale 0: buckets (1, 2], (2, 4], (4, 8].
        assert_eq!(exponential(0.5, 0, 0.0, 0, &[1.0, 0.0, 1.0]), Some(2.0));
        assert_eq!(exponential(1.0, 0, 0.0, 0, &[1.0, 0.0, 1.0]), Some(8.0));
        assert_eq!(exponential(0.5, 0, 8.0, 0, &[1.0]), Some(0.0));
        assert_eq!(exponential(0.5, 0, 0.0, 0, &[]), None);
        let fine = exponential(0.5, 5, 0.0, 32 * 10, &[2.0]).expect("a value");
        assert!((1_024.0..1_047.0).contains(&fine), "{fine}");
    }
}
