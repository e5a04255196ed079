//! Encodings and statistics by kind of column.
//!
//! | kind                  | encoding                          | statistics            |
//! |-----------------------|-----------------------------------|-----------------------|
//! | ids                   | lengths apart, no dictionary      | none: ids are random  |
//! | ids of pieces of a journey | dictionary                   | none                  |
//! | integers, moments     | delta: constants take no room     | per page              |
//! | moments of arrival    | the same; a dictionary where rows share them | per page   |
//! | doubles               | plain, no dictionary              | per page              |
//! | labels to sort by     | dictionary                        | per page              |
//! | other labels, text    | dictionary; lengths apart where they hardly repeat | per row group |
//! | JSON that repeats     | dictionary                        | none: long, compared for each row |
//! | JSON that is unique   | plain, no dictionary              | none                  |
//! | nested                | dictionary where text repeats     | per row group where most rows have none: a reader skips what is empty |
//!
//! A dictionary costs a hash and a look-up for each row, so integers have none. Where texts hardly repeat it costs bytes as
//! well, 4.4 for a user in place of 3.2; where they do, spans without took 77 bytes in place of 67. So the rows decide: [`Shape`].
//!
//! Smallest and largest texts of pages are most of a footer, in the file and a dozen times as much in the memory of whoever reads
//! it; and neighbours in the sort order differ in them no more than row groups do.
//!
//! zstd 1 for what was flushed or merged once, 3 for what was merged twice and stays for good: [`ZSTD_LEVELS`]. Row groups of
//! 32 k rows and pages of 2 k rows so that a reader can skip. No bloom filters: the index beside a segment knows rows where a filter
//! knows row groups, and they took a byte a row.

use std::collections::HashSet;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::{ParquetMetaData, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder, WriterVersion};
use parquet::schema::types::ColumnPath;

use crate::table::{Column, Kind, SEGMENTS, Table};

/// Rows per row group.
pub(crate) const ROW_GROUP_ROWS: usize = 32 << 10;
/// Rows per page.
const PAGE_ROWS: usize = 2 << 10;
/// Text in statistics is cut after so many bytes.
const STATISTICS_BYTES: usize = 64;
/// zstd levels by how often the rows of a segment were merged. See docs/decisions/34-zstd-by-tier.md.
const ZSTD_LEVELS: [i32; 3] = [1, 1, 3];
/// The column that says when a row arrived, in every table that has it.
const ARRIVAL_COLUMN: &str = "arrival_time";
/// Rows that share a moment of arrival, on average, from which on a dictionary of moments is the smaller one.
const ROWS_PER_ARRIVAL: usize = 4;
/// Texts hardly repeat when so many of ten are different ones.
const DIFFERENT_OF_TEN: usize = 7;
/// Fewer texts say nothing.
const TEXTS_MIN: usize = 256;

/// What the rows of a file are like, as far as it decides how they are written best.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Requests have many rows, which share a moment of arrival: a dictionary of moments takes 1 byte a row in place of 4.
    has_shared_arrivals: bool,
    /// Columns of texts that hardly repeat; for attributes, their texts.
    unique: Vec<&'static str>,
}

impl Shape {
    /// Of rows that stand for those of a file; some thousand neighbours are enough.
    pub(crate) fn of(table: &'static Table, rows: &RecordBatch) -> Self {
        let moments = rows.column_by_name(ARRIVAL_COLUMN).and_then(|column| column.as_primitive_opt::<Int64Type>());
        let distinct: HashSet<i64> = moments.iter().flat_map(|moments| moments.values().iter().copied()).collect();
        let has_shared_arrivals = !distinct.is_empty() && distinct.len() * ROWS_PER_ARRIVAL <= rows.num_rows();
        let is_unique = |column: &&&Column| {
            let Some(array) = rows.column_by_name(column.name) else { return false };
            let texts = array.as_list_opt::<i32>().and_then(|list| list.values().as_struct_opt());
            let texts = texts.and_then(|entries| entries.column_by_name("str"));
            hardly_repeat(texts.unwrap_or(array))
        };
        let unique = texts(table).filter(|column| is_unique(&column)).map(|column| column.name).collect();
        Self { has_shared_arrivals, unique }
    }

    /// Of rows that are in a file, by how they were written.
    pub(super) fn of_file(table: &'static Table, metadata: &ParquetMetaData) -> Self {
        let is_written = |path: ColumnPath, encoding: Encoding| {
            let groups = metadata.row_groups();
            let position = |path| groups.first()?.columns().iter().position(|leaf| leaf.column_path() == path);
            let Some(at) = position(&path) else { return false };
            groups.iter().any(|group| group.column(at).encodings().any(|found| found == encoding))
        };
        let is_unique = |column: &&Column| is_written(text_path(column), Encoding::DELTA_LENGTH_BYTE_ARRAY);
        Self {
            has_shared_arrivals: is_written(path_of(&[ARRIVAL_COLUMN]), Encoding::RLE_DICTIONARY),
            unique: texts(table).filter(is_unique).map(|column| column.name).collect(),
        }
    }

    /// What most rows are like, of files with so many rows each.
    pub(crate) fn of_most(table: &'static Table, files: &[(&Self, u64)]) -> Self {
        let n_rows: u64 = files.iter().map(|(_, n_rows)| n_rows).sum();
        let are_most = |is_so: &dyn Fn(&Self) -> bool| {
            let so: u64 = files.iter().filter(|(shape, _)| is_so(shape)).map(|(_, n_rows)| n_rows).sum();
            so > n_rows / 2
        };
        let is_unique = |column: &&Column| are_most(&|shape| shape.unique.contains(&column.name));
        Self {
            has_shared_arrivals: are_most(&|shape| shape.has_shared_arrivals),
            unique: texts(table).filter(is_unique).map(|column| column.name).collect(),
        }
    }
}

/// Columns with texts that may repeat or not.
fn texts(table: &'static Table) -> impl Iterator<Item = &'static Column> {
    let is_text = |column: &&Column| match column.kind {
        Kind::Label | Kind::Text => !table.sort.contains(&column.name),
        Kind::Attributes => true,
        _ => false,
    };
    table.columns().iter().filter(is_text)
}

/// Where the texts of such a column are.
fn text_path(column: &Column) -> ColumnPath {
    match column.kind {
        Kind::Attributes => path_of(&[column.name, "list", "element", "str"]),
        _ => path_of(&[column.name]),
    }
}

fn path_of(parts: &[&str]) -> ColumnPath {
    ColumnPath::new(parts.iter().map(|part| (*part).to_owned()).collect())
}

fn hardly_repeat(texts: &dyn Array) -> bool {
    let n_texts = texts.len() - texts.null_count();
    let n_different = match (texts.as_dictionary_opt::<Int32Type>(), texts.as_string_opt::<i32>()) {
        (Some(labels), _) => labels.keys().iter().flatten().collect::<HashSet<i32>>().len(),
        (_, Some(texts)) => texts.iter().flatten().collect::<HashSet<&str>>().len(),
        _ => return false,
    };
    n_texts >= TEXTS_MIN && n_different * 10 >= n_texts * DIFFERENT_OF_TEN
}

/// Writer settings of a table for a segment of this level with such rows.
pub(crate) fn properties(table: &'static Table, level: u8, shape: &Shape) -> WriterProperties {
    let zstd = ZSTD_LEVELS[usize::from(level).min(ZSTD_LEVELS.len() - 1)];
    let level = ZstdLevel::try_new(zstd).expect("1 and 3 are zstd levels");
    let mut builder = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_created_by(format!("hodoscope {}", env!("CARGO_PKG_VERSION")))
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_write_batch_size(PAGE_ROWS)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_statistics_truncate_length(Some(STATISTICS_BYTES))
        .set_column_index_truncate_length(Some(STATISTICS_BYTES))
        .set_sorting_columns(Some(sorting(table)));
    for column in table.columns() {
        let path = path_of;
        let own = path(&[column.name]);
        builder = match column.kind {
            // A journey has a dozen pieces, one after the other.
            Kind::Id16 if table.name == SEGMENTS.name => without_statistics(builder, own),
            Kind::Id16 | Kind::Id8 => without_statistics(ids(builder, own.clone()), own),
            Kind::JsonText => without_statistics(plain(builder, own.clone()), own),
            // Hashes that repeat: their differences would take eight bytes each.
            Kind::Int64 if column.name == "series_id" => builder,
            Kind::UnixNanos if column.name == ARRIVAL_COLUMN && shape.has_shared_arrivals => builder,
            Kind::UnixNanos | Kind::Int64 | Kind::Int32 | Kind::Flags => delta(builder, own),
            Kind::Float64 => builder.set_column_dictionary_enabled(own, false),
            Kind::Attributes => {
                let rare = &["int", "double", "bool", "bytes", "json"];
                let leaves = &["key", "str", "int", "double", "bool", "json"];
                with_counts(nested(builder, column.name, leaves, &["bytes"]), column.name, rare)
            }
            Kind::Events => {
                let time = path(&[column.name, "list", "element", "time"]);
                let leaves = &["time", "name", "attributes", "dropped_attributes_count"];
                with_counts(delta(nested(builder, column.name, leaves, &[]), time), column.name, leaves)
            }
            Kind::Links => {
                let leaves = &["trace_state", "attributes", "dropped_attributes_count", "flags"];
                let ids = &["trace_id", "span_id"];
                let builder = nested(builder, column.name, leaves, ids);
                with_counts(with_counts(builder, column.name, leaves), column.name, ids)
            }
            Kind::Ints | Kind::Floats => without_statistics(builder, path(&[column.name, "list", "element"])),
            Kind::Json => without_statistics(builder, own),
            Kind::Label if table.sort.contains(&column.name) => builder,
            Kind::Label | Kind::Text | Kind::Bool => {
                builder.set_column_statistics_enabled(own, EnabledStatistics::Chunk)
            }
        };
        if shape.unique.contains(&column.name) {
            builder = ids(builder, text_path(column));
        }
    }
    builder.build()
}

fn plain(builder: WriterPropertiesBuilder, path: ColumnPath) -> WriterPropertiesBuilder {
    builder.set_column_dictionary_enabled(path.clone(), false).set_column_encoding(path, Encoding::PLAIN)
}

/// Lengths apart from the bytes: they are all the same, and between random bytes zstd needs one for each.
fn ids(builder: WriterPropertiesBuilder, path: ColumnPath) -> WriterPropertiesBuilder {
    builder
        .set_column_dictionary_enabled(path.clone(), false)
        .set_column_encoding(path, Encoding::DELTA_LENGTH_BYTE_ARRAY)
}

fn delta(builder: WriterPropertiesBuilder, path: ColumnPath) -> WriterPropertiesBuilder {
    builder.set_column_dictionary_enabled(path.clone(), false).set_column_encoding(path, Encoding::DELTA_BINARY_PACKED)
}

fn without_statistics(builder: WriterPropertiesBuilder, path: ColumnPath) -> WriterPropertiesBuilder {
    builder.set_column_statistics_enabled(path, EnabledStatistics::None)
}

/// Leaves of a list of structs: `repeating` keep their dictionary, `unique` have none; none has statistics unless [`with_counts`] asks
/// for them.
fn nested(
    mut builder: WriterPropertiesBuilder,
    name: &str,
    repeating: &[&str],
    unique: &[&str],
) -> WriterPropertiesBuilder {
    let path = |leaf: &str| path_of(&[name, "list", "element", leaf]);
    for leaf in repeating {
        builder = without_statistics(builder, path(leaf));
    }
    for leaf in unique {
        builder = without_statistics(plain(builder, path(leaf)), path(leaf));
    }
    builder
}

/// Leaves of a list of structs of which a row group says how many values it has.
fn with_counts(mut builder: WriterPropertiesBuilder, name: &str, leaves: &[&str]) -> WriterPropertiesBuilder {
    for leaf in leaves {
        let path = path_of(&[name, "list", "element", leaf]);
        builder = builder.set_column_statistics_enabled(path, EnabledStatistics::Chunk);
    }
    builder
}

/// The sort order in Parquet's words. Sort columns stand before any nested one, so that their position is
/// also their leaf's.
pub(super) fn sorting(table: &'static Table) -> Vec<SortingColumn> {
    let leaf = |name: &&'static str| {
        let (index, _) = table.column(name)?;
        let before = &table.columns()[..index];
        let is_flat = before.iter().all(|column| !matches!(column.kind, Kind::Attributes | Kind::Events | Kind::Links));
        is_flat.then_some(SortingColumn { column_idx: index as i32, descending: false, nulls_first: true })
    };
    table.sort.iter().map_while(leaf).collect()
}
