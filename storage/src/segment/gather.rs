//! Rows of many batches in a given order, a row group at a time.
//!
//! Labels get one dictionary for all batches before anything is copied: merging hundreds of dictionaries
//! anew for each row group would cost more than everything else. A column without any value, and that is most
//! of them, is not copied at all.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, Int32Array, RecordBatch, StringArray};
use arrow::buffer::ScalarBuffer;
use arrow::compute::interleave;
use arrow::datatypes::{DataType, Int32Type, SchemaRef};
use hashbrown::HashMap;

use super::order::Place;
use crate::batch::nulls;
use crate::error::Result;

/// Takes rows out of many batches of one schema.
#[derive(Debug)]
pub(crate) struct Gather<'a> {
    schema: SchemaRef,
    columns: Vec<Source<'a>>,
}

/// One column of all batches.
#[derive(Debug)]
enum Source<'a> {
    /// Null in every row of every batch.
    Empty(DataType),
    Plain(Vec<&'a dyn Array>),
    Labels {
        /// All values of all batches, each once.
        values: Arc<StringArray>,
        /// Per batch: its keys, and what each of its codes is in `values`.
        batches: Vec<(&'a Int32Array, Vec<i32>)>,
        has_nulls: bool,
    },
}

impl<'a> Gather<'a> {
    pub(crate) fn new(schema: &SchemaRef, batches: &[&'a RecordBatch]) -> Self {
        let columns = (0..schema.fields().len()).map(|index| {
            let arrays: Vec<&'a dyn Array> = batches.iter().map(|batch| batch.column(index).as_ref()).collect();
            match schema.field(index).data_type() {
                data_type if arrays.iter().all(|array| array.null_count() == array.len()) => {
                    Source::Empty(data_type.clone())
                }
                DataType::Dictionary(..) => labels(&arrays),
                _ => Source::Plain(arrays),
            }
        });
        Self { columns: columns.collect(), schema: Arc::clone(schema) }
    }

    /// The rows at these places, in this order.
    ///
    /// # Errors
    /// When more than 2^31 bytes of one column would come together.
    pub(crate) fn take(&self, places: &[Place]) -> Result<RecordBatch> {
        let arrays = self.columns.iter().map(|source| match source {
            Source::Empty(data_type) => Ok(nulls(data_type, places.len())),
            Source::Plain(arrays) => Ok(interleave(arrays, places)?),
            Source::Labels { values, batches, has_nulls } => {
                let code = |(batch, row): &Place| {
                    let (keys, codes) = &batches[*batch];
                    // Rows without a value may hold any key.
                    codes.get(keys.values()[*row] as usize).copied().unwrap_or(NONE)
                };
                let keys: Vec<i32> = places.iter().map(code).collect();
                let validity = has_nulls.then(|| {
                    let is_valid =
                        |((batch, row), code): (&Place, &i32)| *code != NONE && batches[*batch].0.is_valid(*row);
                    places.iter().zip(&keys).map(is_valid).collect::<Vec<bool>>().into()
                });
                let keys = ScalarBuffer::from(keys);
                let keys = Int32Array::try_new(keys, validity)?;
                Ok(Arc::new(DictionaryArray::try_new(keys, Arc::clone(values) as ArrayRef)?) as ArrayRef)
            }
        });
        let arrays = arrays.collect::<Result<Vec<_>>>()?;
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), arrays)?)
    }
}

/// Code of no text.
const NONE: i32 = -1;

fn labels<'a>(arrays: &[&'a dyn Array]) -> Source<'a> {
    let mut codes: HashMap<&str, i32> = HashMap::new();
    let mut texts: Vec<&str> = Vec::new();
    let mut batches = Vec::with_capacity(arrays.len());
    let mut has_nulls = false;
    for array in arrays {
        let column = array.as_dictionary::<Int32Type>();
        let values: &'a StringArray = column.values().as_string::<i32>();
        has_nulls |= column.keys().null_count() + values.null_count() > 0;
        let mapping = values.iter().map(|value| {
            let Some(value) = value else { return NONE };
            *codes.entry(value).or_insert_with(|| {
                texts.push(value);
                (texts.len() - 1) as i32
            })
        });
        batches.push((column.keys(), mapping.collect()));
    }
    Source::Labels { values: Arc::new(StringArray::from(texts)), batches, has_nulls }
}
