//! Rows of many batches in a given order, a row group at a time.
//!
//! Labels get one dictionary for all batches before anything is copied: merging hundreds of dictionaries
//! anew for each row group would cost more than everything else. A column without any value, and that is most
//! of them, is not copied at all.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayData, ArrayRef, AsArray, DictionaryArray, Int32Array, MutableArrayData, RecordBatch, StringArray,
    make_array,
};
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

/// Rows of one batch that follow each other.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Run {
    /// Number of the batch.
    pub batch: usize,
    /// The first row.
    pub start: usize,
    /// Just after the last row.
    pub end: usize,
}

/// The rows of these runs, in this order. Copies run by run: for long runs much cheaper than row by row.
///
/// # Errors
/// When more than 2^31 bytes of one column would come together.
pub(crate) fn gather_runs(schema: &SchemaRef, batches: &[RecordBatch], runs: &[Run]) -> Result<RecordBatch> {
    let n_rows = runs.iter().map(|run| run.end - run.start).sum();
    let batches: Vec<&RecordBatch> = batches.iter().collect();
    let gather = Gather::new(schema, &batches);
    let arrays = gather.columns.iter().map(|source| match source {
        Source::Empty(data_type) => Ok(nulls(data_type, n_rows)),
        Source::Plain(arrays) => {
            let data: Vec<ArrayData> = arrays.iter().map(|array| array.to_data()).collect();
            let mut copied = MutableArrayData::new(data.iter().collect(), false, n_rows);
            runs.iter().try_for_each(|run| copied.try_extend(run.batch, run.start, run.end))?;
            Ok(make_array(copied.freeze()))
        }
        Source::Labels { values, batches, has_nulls } => {
            let mut keys: Vec<i32> = Vec::with_capacity(n_rows);
            for run in runs {
                let (old, codes) = &batches[run.batch];
                // Rows without a value may hold any key.
                let code = |key: &i32| codes.get(*key as usize).copied().unwrap_or(NONE);
                keys.extend(old.values()[run.start..run.end].iter().map(code));
            }
            let validity = has_nulls.then(|| {
                let rows = runs.iter().flat_map(|run| (run.start..run.end).map(move |row| (run.batch, row)));
                let is_valid =
                    |((batch, row), code): ((usize, usize), &i32)| *code != NONE && batches[batch].0.is_valid(row);
                rows.zip(&keys).map(is_valid).collect::<Vec<bool>>().into()
            });
            let keys = Int32Array::try_new(ScalarBuffer::from(keys), validity)?;
            Ok(Arc::new(DictionaryArray::try_new(keys, Arc::clone(values) as ArrayRef)?) as ArrayRef)
        }
    });
    let arrays = arrays.collect::<Result<Vec<_>>>()?;
    Ok(RecordBatch::try_new(Arc::clone(schema), arrays)?)
}

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
