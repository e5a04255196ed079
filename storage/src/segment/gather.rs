//! Rows of many batches in a given order, a row group at a time.
//!
//! Labels get one dictionary for all batches before anything is copied: merging hundreds of dictionaries
//! anew for each row group would cost more than everything else.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, Int32Array, RecordBatch, StringArray};
use arrow::compute::interleave;
use arrow::datatypes::{DataType, Int32Type, SchemaRef};

use super::order::Place;
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
    Plain(Vec<&'a dyn Array>),
    Labels {
        /// All values of all batches, each once.
        values: Arc<StringArray>,
        /// Per batch: its keys, and what each of its codes is in `values`.
        batches: Vec<(&'a Int32Array, Vec<Option<i32>>)>,
    },
}

impl<'a> Gather<'a> {
    pub(crate) fn new(schema: &SchemaRef, batches: &[&'a RecordBatch]) -> Self {
        let columns = (0..schema.fields().len()).map(|index| {
            let arrays: Vec<&'a dyn Array> = batches.iter().map(|batch| batch.column(index).as_ref()).collect();
            match schema.field(index).data_type() {
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
            Source::Plain(arrays) => Ok(interleave(arrays, places)?),
            Source::Labels { values, batches } => {
                let keys = places.iter().map(|(batch, row)| {
                    let (keys, codes) = &batches[*batch];
                    if keys.is_null(*row) { None } else { codes[keys.value(*row) as usize] }
                });
                let keys: Int32Array = keys.collect();
                Ok(Arc::new(DictionaryArray::try_new(keys, Arc::clone(values) as ArrayRef)?) as ArrayRef)
            }
        });
        let arrays = arrays.collect::<Result<Vec<_>>>()?;
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), arrays)?)
    }
}

fn labels<'a>(arrays: &[&'a dyn Array]) -> Source<'a> {
    let mut codes: HashMap<&str, i32> = HashMap::new();
    let mut texts: Vec<&str> = Vec::new();
    let mut batches = Vec::with_capacity(arrays.len());
    for array in arrays {
        let column = array.as_dictionary::<Int32Type>();
        let values: &'a StringArray = column.values().as_string::<i32>();
        let mapping = values.iter().map(|value| {
            let value = value?;
            Some(*codes.entry(value).or_insert_with(|| {
                texts.push(value);
                (texts.len() - 1) as i32
            }))
        });
        batches.push((column.keys(), mapping.collect()));
    }
    Source::Labels { values: Arc::new(StringArray::from(texts)), batches }
}
