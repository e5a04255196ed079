//! `increase(value, time)` and `rate(value, time)`: what a cumulative counter grew by, resets included.
//!
//! Points may come in any order. A value below the one before it means that the counter began again at zero: all of it
//! counts. One group must hold one series (`GROUP BY series_id`). Points of delta temporality are simply summed with
//! `sum(value)`. Nothing is extrapolated to the edges of the range, unlike PromQL's functions of these names.

use std::mem::size_of;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Int64Type};
use datafusion::common::utils::SingleRowListArrayBuilder;
use datafusion::common::{ScalarValue, internal_err};
use datafusion::error::Result;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, TypeSignature, Volatility};

/// `increase(value double, time timestamp) -> double`.
pub(super) fn increase() -> Arc<AggregateUDF> {
    Arc::new(AggregateUDF::new_from_impl(Counter::new("increase", false)))
}

/// `rate(value double, time timestamp) -> double`, per second.
pub(super) fn rate() -> Arc<AggregateUDF> {
    Arc::new(AggregateUDF::new_from_impl(Counter::new("rate", true)))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Counter {
    name: &'static str,
    is_rate: bool,
    signature: Signature,
}

impl Counter {
    fn new(name: &'static str, is_rate: bool) -> Self {
        Self { name, is_rate, signature: Signature::new(TypeSignature::Any(2), Volatility::Immutable) }
    }
}

impl AggregateUDFImpl for Counter {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        match given {
            [value, DataType::Timestamp(..) | DataType::Int64] if value.is_numeric() || value.is_null() => {
                Ok(DataType::Float64)
            }
            _ => datafusion::common::plan_err!(
                "{0} takes a number and a time, as in {0}(value, time); GROUP BY series_id to keep series apart",
                self.name
            ),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let list = |name: &str, item: DataType| {
            let item = Field::new_list_field(item, true);
            Arc::new(Field::new(format!("{}[{name}]", args.name), DataType::List(Arc::new(item)), true))
        };
        Ok(vec![list("times", DataType::Int64), list("values", DataType::Float64)])
    }

    fn accumulator(&self, _: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Points { is_rate: self.is_rate, points: Vec::new() }))
    }
}

/// Points of one series: nanoseconds and value.
#[derive(Debug)]
struct Points {
    is_rate: bool,
    points: Vec<(i64, f64)>,
}

impl Points {
    fn add(&mut self, times: &ArrayRef, values: &ArrayRef) -> Result<()> {
        let (times, values) = (cast(times, &DataType::Int64)?, cast(values, &DataType::Float64)?);
        let (times, values) = (times.as_primitive::<Int64Type>(), values.as_primitive::<Float64Type>());
        let both = times.iter().zip(values).filter_map(|(time, value)| Some((time?, value?)));
        self.points.extend(both.filter(|(_, value)| !value.is_nan()));
        Ok(())
    }
}

/// What the counter grew by, and over how many seconds; `None` with fewer than two points.
fn grown(mut points: Vec<(i64, f64)>) -> Option<(f64, f64)> {
    points.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.total_cmp(&b.1)));
    let (first, last) = (points.first()?.0, points.last()?.0);
    if points.len() < 2 || first == last {
        return None;
    }
    let step = |pair: &[(i64, f64)]| if pair[1].1 < pair[0].1 { pair[1].1 } else { pair[1].1 - pair[0].1 };
    Some((points.windows(2).map(step).sum(), (last.saturating_sub(first)) as f64 / 1e9))
}

impl Accumulator for Points {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        let [values, times] = columns else { return internal_err!("a counter takes two columns") };
        // Moments of any unit become nanoseconds first.
        let times = match times.data_type() {
            DataType::Timestamp(_, zone) => {
                cast(times, &DataType::Timestamp(arrow::datatypes::TimeUnit::Nanosecond, zone.clone()))?
            }
            _ => Arc::clone(times),
        };
        self.add(&times, values)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let [times, values] = states else { return internal_err!("a counter has two states") };
        let (times, values) = (times.as_list::<i32>(), values.as_list::<i32>());
        for row in 0..times.len() {
            if times.is_valid(row) && values.is_valid(row) {
                self.add(&times.value(row), &values.value(row))?;
            }
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let times: Int64Array = self.points.iter().map(|(time, _)| *time).collect();
        let values: Float64Array = self.points.iter().map(|(_, value)| *value).collect();
        let list = |array: ArrayRef| SingleRowListArrayBuilder::new(array).build_list_scalar();
        Ok(vec![list(Arc::new(times)), list(Arc::new(values))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let grown = grown(std::mem::take(&mut self.points));
        Ok(ScalarValue::Float64(grown.map(|(by, seconds)| if self.is_rate { by / seconds } else { by })))
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.points.capacity() * size_of::<(i64, f64)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(values: &[f64], by: Option<f64>) {
        let points: Vec<(i64, f64)> =
            values.iter().zip(1..).map(|(value, second)| (second * 1_000_000_000, *value)).collect();
        assert_eq!(grown(points.clone()).map(|(by, _)| by), by, "{values:?}");
        let mut turned = points;
        turned.reverse();
        assert_eq!(grown(turned).map(|(by, _)| by), by, "{values:?} in another order");
    }

    /// After a reset the counter has counted from zero.
    #[test]
    fn resets_count() {
        check(&[], None);
        check(&[5.0], None);
        check(&[5.0, 5.0], Some(0.0));
        check(&[5.0, 7.0, 12.0], Some(7.0));
        check(&[5.0, 7.0, 2.0, 3.0], Some(5.0));
        check(&[5.0, 0.0, 0.0, 4.0], Some(4.0));
    }
}
