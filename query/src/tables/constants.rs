//! Columns of a row group that hold the same value in each row, which its statistics tell: they need not be read.
//!
//! Rows are sorted by service and name, so a row group is about one service or a few: what its resource says, and the scope, is one
//! value of each column for all 32 k rows. A third of the columns with values are such; of a few rows they cost as much as the others.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, DictionaryArray, Int32Array, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, FieldRef, Int32Type, Schema};
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};

/// Columns with one value each.
#[derive(Clone, Debug, Default)]
pub(super) struct Constants(Vec<(FieldRef, ArrayRef)>);

impl Constants {
    /// Those of these columns that have one value in a row group and no null. Lists never are: statistics tell of their leaves.
    ///
    /// # Errors
    /// When statistics are not of the type of their column.
    pub(super) fn of(file: &ArrowReaderMetadata, group: &RowGroupMetaData, columns: &HashSet<&str>) -> Result<Self> {
        let mut found = Vec::new();
        for column in group.columns().iter().filter(|column| is_constant(column)) {
            let [name] = column.column_path().parts() else { continue };
            let Some((_, field)) = file.schema().fields().find(name).filter(|_| columns.contains(name.as_str())) else {
                continue;
            };
            if is_supported(field.data_type()) {
                let converter = StatisticsConverter::try_new(name, file.schema(), file.parquet_schema())?;
                found.push((Arc::clone(field), converter.row_group_mins(std::iter::once(group))?));
            }
        }
        Ok(Self(found))
    }

    /// True for the name of one of them.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(field, _)| field.name() == name)
    }

    /// Rows that were read without these columns, with them.
    ///
    /// # Errors
    /// When the values are not of the type of their column.
    pub(super) fn beside(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let n_rows = batch.num_rows();
        let mut fields: Vec<FieldRef> = batch.schema().fields().iter().cloned().collect();
        let mut columns = batch.columns().to_vec();
        for (field, value) in &self.0 {
            fields.push(Arc::clone(field));
            columns.push(repeated(value, field.data_type(), n_rows)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(n_rows));
        Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?)
    }
}

/// One value, and statistics that say so exactly.
fn is_constant(column: &ColumnChunkMetaData) -> bool {
    column.statistics().is_some_and(|statistics| {
        statistics.null_count_opt() == Some(0)
            && statistics.min_is_exact()
            && statistics.max_is_exact()
            && statistics.min_bytes_opt().is_some()
            && statistics.min_bytes_opt() == statistics.max_bytes_opt()
    })
}

/// Types of which equal statistics are equal values: not floating-point numbers, of which not-a-numbers are left out.
fn is_supported(of: &DataType) -> bool {
    match of {
        DataType::Dictionary(keys, values) => **keys == DataType::Int32 && **values == DataType::Utf8,
        DataType::Utf8 | DataType::Binary | DataType::Boolean | DataType::Timestamp(..) => true,
        other => other.is_integer(),
    }
}

/// The only value of an array, `n` times.
fn repeated(value: &ArrayRef, of: &DataType, n: usize) -> Result<ArrayRef> {
    let made: ArrayRef = match of {
        DataType::Dictionary(..) => {
            Arc::new(DictionaryArray::<Int32Type>::try_new(Int32Array::from(vec![0; n]), Arc::clone(value))?)
        }
        _ => take(value, &UInt32Array::from(vec![0; n]), None)?,
    };
    if made.data_type() != of {
        return Err(ParquetError::General(format!("statistics of {} for a column of {of}", made.data_type())));
    }
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{BooleanArray, Float64Array, Int64Array, StringArray, TimestampNanosecondArray};
    use bytes::Bytes;
    use parquet::arrow::ArrowWriter;
    use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
    use parquet::file::properties::WriterProperties;

    /// Two row groups of ten rows: `label` and `text` are one value in the first only, `long` is longer than statistics are,
    /// `sometimes` has nulls.
    fn file() -> Bytes {
        let rows = || 0..20usize;
        let column = |name: &str, array: ArrayRef| (name.to_owned(), array, true);
        let labels: DictionaryArray<Int32Type> = rows().map(|row| Some(if row < 15 { "one" } else { "two" })).collect();
        let texts: StringArray = rows().map(|row| Some(if row < 12 { "a" } else { "b" })).collect();
        let long: StringArray = rows().map(|_| Some("x".repeat(200))).collect();
        let sometimes: StringArray = rows().map(|row| (row % 2 == 0).then_some("s")).collect();
        let batch = RecordBatch::try_from_iter_with_nullable([
            column("number", Arc::new(rows().map(|row| row as i64).collect::<Int64Array>())),
            column("label", Arc::new(labels)),
            column("text", Arc::new(texts)),
            column("seven", Arc::new(Int64Array::from(vec![7; 20]))),
            column("yes", Arc::new(BooleanArray::from(vec![true; 20]))),
            column("moment", Arc::new(TimestampNanosecondArray::from(vec![5; 20]))),
            column("half", Arc::new(Float64Array::from(vec![0.5; 20]))),
            column("long", Arc::new(long)),
            column("sometimes", Arc::new(sometimes)),
        ])
        .expect("columns of one length");
        let properties =
            WriterProperties::builder().set_max_row_group_row_count(Some(10)).set_statistics_truncate_length(Some(64));
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties.build())).expect("a writer");
        writer.write(&batch).expect("rows");
        writer.into_inner().expect("a file").into()
    }

    #[test]
    fn constant_columns_are_those_that_were_written() {
        let file = file();
        let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()).expect("a footer");
        let names = ["label", "text", "seven", "yes", "moment", "half", "long", "sometimes"];
        let asked = HashSet::from(names);
        for (number, expected) in
            [(0, &["label", "text", "seven", "yes", "moment"][..]), (1, &["seven", "yes", "moment"])]
        {
            let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file.clone(), metadata.clone());
            let mut rows = builder.with_row_groups(vec![number]).build().expect("a reader");
            let whole = rows.next().expect("ten rows").expect("they can be read");
            let found = Constants::of(&metadata, metadata.metadata().row_group(number), &asked).expect("statistics");
            let is_found: Vec<&str> = names.into_iter().filter(|name| found.has(name)).collect();
            assert_eq!(is_found, expected, "row group {number}");
            let position = |name: &&str| whole.schema().index_of(name).expect("a column");
            let without: Vec<usize> =
                (0..whole.num_columns()).filter(|at| !expected.iter().any(|name| position(name) == *at)).collect();
            let restored = found.beside(&whole.project(&without).expect("columns")).expect("rows");
            assert_eq!(restored.num_columns(), whole.num_columns());
            for name in expected {
                let (read, made) = (whole.column(position(name)), restored.column_by_name(name).expect("it is there"));
                assert_eq!(read.data_type(), made.data_type(), "{name}");
                assert_eq!(
                    &arrow::compute::cast(read, &DataType::Utf8).expect("texts"),
                    &arrow::compute::cast(made, &DataType::Utf8).expect("texts"),
                    "{name}"
                );
            }
            let none = Constants::of(&metadata, metadata.metadata().row_group(number), &HashSet::new());
            assert!(none.expect("statistics").0.is_empty(), "none was asked for");
        }
    }
}
