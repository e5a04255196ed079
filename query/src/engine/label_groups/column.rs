//! What was seen of a key: each value has a number, in the order in which they came.

use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray as _, Int64Array, RecordBatch, StringViewArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type, Int64Type};
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalExpr;
use hashbrown::HashMap;

use super::runs::Runs;
use super::{GROUP_BYTES, Key};

/// The values of a key, and their numbers.
pub(super) enum Column {
    Label { of: Arc<dyn PhysicalExpr>, numbers: HashMap<Option<Box<str>>, u32>, known: Option<Known>, bytes: usize },
    Number { of: Arc<dyn PhysicalExpr>, numbers: HashMap<Option<i64>, u32> },
}

/// The dictionary of the batch before, and the number of each of its texts that a row has had.
pub(super) struct Known {
    texts: ArrayRef,
    numbers: Vec<Option<u32>>,
}

impl Column {
    pub(super) fn of(key: &Key) -> Self {
        match key {
            Key::Label(of) => Self::Label { of: Arc::clone(of), numbers: HashMap::new(), known: None, bytes: 0 },
            Key::Number(of) => Self::Number { of: Arc::clone(of), numbers: HashMap::new() },
        }
    }

    /// The number of the value in each row.
    pub(super) fn numbers(&mut self, batch: &RecordBatch) -> Result<Runs> {
        let (Self::Label { of, .. } | Self::Number { of, .. }) = &*self;
        let array = of.evaluate(batch)?.into_array(batch.num_rows())?;
        match self {
            Self::Label { numbers, known, bytes, .. } => {
                let labels = array.as_dictionary::<Int32Type>();
                let texts = labels.values().as_string::<i32>();
                let known = match known {
                    Some(known) if Arc::ptr_eq(&known.texts, labels.values()) => known,
                    known => {
                        known.insert(Known { texts: Arc::clone(labels.values()), numbers: vec![None; texts.len()] })
                    }
                };
                let mut number_of = |text: Option<&str>| {
                    let next = numbers.len() as u32;
                    *numbers.entry(text.map(Box::from)).or_insert_with(|| {
                        *bytes += text.map_or(0, str::len) + GROUP_BYTES;
                        next
                    })
                };
                let number_of_code = |code: Option<i32>| {
                    let Some((code, place)) =
                        code.and_then(|code| Some((code as usize, known.numbers.get_mut(code as usize)?)))
                    else {
                        return number_of(None);
                    };
                    *place.get_or_insert_with(|| number_of(texts.is_valid(code).then(|| texts.value(code))))
                };
                Ok(Runs::of(labels.keys().values(), labels.keys().nulls(), number_of_code))
            }
            Self::Number { numbers, .. } => {
                let array = cast(&array, &DataType::Int64)?;
                let array = array.as_primitive::<Int64Type>();
                Ok(Runs::of(array.values(), array.nulls(), |value| {
                    let next = numbers.len() as u32;
                    *numbers.entry(value).or_insert(next)
                }))
            }
        }
    }

    /// The values with these numbers, as they are handed on; the numbers begin anew.
    pub(super) fn take(&mut self, wanted: impl Iterator<Item = u32>, of: &DataType) -> Result<ArrayRef> {
        match self {
            Self::Label { numbers, known, bytes, .. } => {
                let mut texts = vec![None; numbers.len()];
                numbers.drain().for_each(|(text, number)| texts[number as usize] = text);
                (*known, *bytes) = (None, 0);
                let texts = &texts;
                Ok(Arc::new(wanted.map(|number| texts[number as usize].as_deref()).collect::<StringViewArray>()))
            }
            Self::Number { numbers, .. } => {
                let mut values = vec![None; numbers.len()];
                numbers.drain().for_each(|(value, number)| values[number as usize] = value);
                let values: Int64Array = wanted.map(|number| values[number as usize]).collect();
                Ok(cast(&values, of)?)
            }
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Label { bytes, known, .. } => bytes + known.as_ref().map_or(0, |known| 8 * known.numbers.len()),
            Self::Number { numbers, .. } => GROUP_BYTES * numbers.len(),
        }
    }
}
