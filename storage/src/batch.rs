//! Rows of one table in Arrow, known to fit it.

use std::sync::{Arc, OnceLock};

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, new_null_array};
use arrow::datatypes::DataType;
use model::{TimeRange, UnixNanos};

use crate::error::{Error, Result};
use crate::table::{Need, TABLES, Table};

/// Rows of one table that are proven to match it: every column there, in order, of its type, and
/// without nulls where the table allows none.
#[derive(Clone, Debug)]
pub struct Batch {
    table: &'static Table,
    records: RecordBatch,
}

impl Batch {
    /// Checks and takes record batches that already have the table's schema.
    ///
    /// # Errors
    /// [`Error::BatchMismatch`] when the schema differs.
    pub fn new(table: &'static Table, records: RecordBatch) -> Result<Self> {
        if records.schema_ref() != &table.schema() {
            let detail = format!("schema is {}, expected {}", records.schema(), table.schema());
            return Err(Error::BatchMismatch { table: table.name, detail });
        }
        Ok(Self { table, records })
    }

    /// Zips arrays with the table's columns by name. Optional columns that are not named are null.
    ///
    /// # Errors
    /// [`Error::BatchMismatch`] when a needed column is missing, one is given twice or unknown, or a
    /// type or length differs.
    pub fn from_columns(
        table: &'static Table,
        n_rows: usize,
        columns: impl IntoIterator<Item = (&'static str, ArrayRef)>,
    ) -> Result<Self> {
        let mismatch = |detail: String| Error::BatchMismatch { table: table.name, detail };
        let mut slots: Vec<Option<ArrayRef>> = vec![None; table.columns().len()];
        for (name, array) in columns {
            let (index, _) = table.column(name).ok_or_else(|| mismatch(format!("no column {name}")))?;
            if slots[index].replace(array).is_some() {
                return Err(mismatch(format!("column {name} is given twice")));
            }
        }
        let schema = table.schema();
        let arrays =
            slots.into_iter().zip(table.columns()).zip(schema.fields()).map(|((slot, column), field)| match slot {
                Some(array) => Ok(array),
                None if column.need == Need::Optional => Ok(nulls(field.data_type(), n_rows)),
                None => Err(mismatch(format!("column {} is missing", column.name))),
            });
        let arrays = arrays.collect::<Result<Vec<_>>>()?;
        let records = RecordBatch::try_new(schema, arrays).map_err(|error| mismatch(error.to_string()))?;
        Ok(Self { table, records })
    }

    /// The table these rows belong to.
    pub const fn table(&self) -> &'static Table {
        self.table
    }

    /// The rows.
    pub const fn records(&self) -> &RecordBatch {
        &self.records
    }

    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.records.num_rows()
    }

    /// Bytes held in memory. Columns without any value count nothing: they share their memory.
    pub fn bytes(&self) -> u64 {
        held_bytes(&self.records)
    }

    /// Values of the table's time column.
    pub fn times(&self) -> &Int64Array {
        let (index, _) = self.table.column(self.table.time).expect("every table declares its time column");
        let column: &Arc<dyn Array> = self.records.column(index);
        debug_assert_eq!(column.data_type(), &DataType::Int64);
        column.as_any().downcast_ref().expect("the time column is Int64: checked by the schema")
    }

    /// From the earliest row to just after the latest; `None` without rows.
    pub fn time_range(&self) -> Option<TimeRange> {
        let times = self.times();
        let start = arrow::compute::min(times)?;
        let end = arrow::compute::max(times)?;
        Some(TimeRange::new(UnixNanos(start), UnixNanos(end.saturating_add(1))))
    }
}

/// Bytes that rows hold in memory of their own. Columns of small batches that are null in every row share one array.
pub(crate) fn held_bytes(records: &RecordBatch) -> u64 {
    let is_shared = |column: &ArrayRef| column.len() <= SHARED_NULLS && column.null_count() == column.len();
    let own = records.columns().iter().filter(|column| !is_shared(column));
    own.map(|column| column.get_array_memory_size() as u64).sum()
}

/// Rows of a shared array of nulls: more than most requests have.
const SHARED_NULLS: usize = 8 << 10;

/// A column without any value. Most columns of most batches are: made anew, they took a third of the write buffer.
pub(crate) fn nulls(data_type: &DataType, n_rows: usize) -> ArrayRef {
    static SHARED: OnceLock<Vec<ArrayRef>> = OnceLock::new();
    let shared = SHARED.get_or_init(|| {
        let mut arrays: Vec<ArrayRef> = Vec::new();
        for column in TABLES.iter().flat_map(|table| table.columns()) {
            let data_type = column.kind.arrow();
            if !arrays.iter().any(|array| array.data_type() == &data_type) {
                arrays.push(new_null_array(&data_type, SHARED_NULLS));
            }
        }
        arrays
    });
    match shared.iter().find(|array| array.data_type() == data_type) {
        Some(array) if n_rows <= SHARED_NULLS => array.slice(0, n_rows),
        _ => new_null_array(data_type, n_rows),
    }
}
