//! Encodings, statistics and bloom filters by kind of column.
//!
//! | kind                  | encoding                          | statistics            |
//! |-----------------------|-----------------------------------|-----------------------|
//! | ids                   | lengths apart, no dictionary      | none: ids are random  |
//! | integers, moments     | delta: constants take no room     | per page              |
//! | doubles               | plain, no dictionary              | per page              |
//! | labels, text          | dictionary                        | per page              |
//! | JSON that repeats     | dictionary                        | none: long, compared for each row |
//! | JSON that is unique   | plain, no dictionary              | none                  |
//! | nested                | dictionary where text repeats     | none                  |
//!
//! A dictionary costs a hash and a look-up for each row, so integers have none. Text has one even where it is mostly
//! unique: without, spans took 77 bytes in place of 67.
//!
//! zstd 1 for what was flushed or merged once, 3 for what was merged twice and stays for good: [`ZSTD_LEVELS`]. Row groups of
//! 32 k rows and pages of 2 k rows so that a reader can skip; `trace_id` has a bloom filter per row group for readers
//! without our index.

use std::sync::OnceLock;

use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder, WriterVersion};
use parquet::schema::types::ColumnPath;

use crate::table::{Kind, TABLES, Table};

/// Rows per row group.
pub(crate) const ROW_GROUP_ROWS: usize = 32 << 10;
/// Rows per page.
const PAGE_ROWS: usize = 2 << 10;
/// Text in statistics is cut after so many bytes.
const STATISTICS_BYTES: usize = 64;
/// zstd levels by how often the rows of a segment were merged. See docs/decisions/34-zstd-by-tier.md.
const ZSTD_LEVELS: [i32; 3] = [1, 1, 3];
/// The column that has a bloom filter, in every table that has the column.
const BLOOM_COLUMN: &str = "trace_id";
/// How often it says yes wrongly, at most. Its size is a power of two: 32 KiB per row group, a byte per row; with 0.01 it
/// would be twice that.
const BLOOM_FALSE: f64 = 0.03;

/// Writer settings of a table for a segment of this level; made once.
pub(crate) fn properties(table: &'static Table, level: u8) -> WriterProperties {
    static PROPERTIES: OnceLock<Vec<[WriterProperties; ZSTD_LEVELS.len()]>> = OnceLock::new();
    let all =
        PROPERTIES.get_or_init(|| TABLES.iter().map(|table| ZSTD_LEVELS.map(|zstd| build(table, zstd))).collect());
    all[table.index()][usize::from(level).min(ZSTD_LEVELS.len() - 1)].clone()
}

fn build(table: &'static Table, zstd: i32) -> WriterProperties {
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
        let path = |parts: &[&str]| ColumnPath::new(parts.iter().map(|part| (*part).to_owned()).collect());
        let own = path(&[column.name]);
        builder = match column.kind {
            Kind::Id16 | Kind::Id8 => without_statistics(ids(builder, own.clone()), own),
            Kind::JsonText => without_statistics(plain(builder, own.clone()), own),
            // Hashes that repeat: their differences would take eight bytes each.
            Kind::Int64 if column.name == "series_id" => builder,
            Kind::UnixNanos | Kind::Int64 | Kind::Int32 | Kind::Flags => delta(builder, own),
            Kind::Float64 => builder.set_column_dictionary_enabled(own, false),
            Kind::Attributes => {
                nested(builder, column.name, &["key", "str", "int", "double", "bool", "json"], &["bytes"])
            }
            Kind::Events => {
                let time = path(&[column.name, "list", "element", "time"]);
                let leaves = &["time", "name", "attributes", "dropped_attributes_count"];
                delta(nested(builder, column.name, leaves, &[]), time)
            }
            Kind::Links => {
                let leaves = &["trace_state", "attributes", "dropped_attributes_count", "flags"];
                nested(builder, column.name, leaves, &["trace_id", "span_id"])
            }
            Kind::Ints | Kind::Floats => without_statistics(builder, path(&[column.name, "list", "element"])),
            Kind::Json => without_statistics(builder, own),
            Kind::Label | Kind::Text | Kind::Bool => builder,
        };
        if column.name == BLOOM_COLUMN {
            let own = path(&[column.name]);
            builder = builder
                .set_column_bloom_filter_enabled(own.clone(), true)
                .set_column_bloom_filter_fpp(own.clone(), BLOOM_FALSE)
                .set_column_bloom_filter_max_ndv(own, ROW_GROUP_ROWS as u64);
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

/// Leaves of a list of structs: `repeating` keep their dictionary, `unique` have none; none has statistics.
fn nested(
    mut builder: WriterPropertiesBuilder,
    name: &str,
    repeating: &[&str],
    unique: &[&str],
) -> WriterPropertiesBuilder {
    let path = |leaf: &str| ColumnPath::new([name, "list", "element", leaf].map(str::to_owned).to_vec());
    for leaf in repeating {
        builder = without_statistics(builder, path(leaf));
    }
    for leaf in unique {
        builder = without_statistics(plain(builder, path(leaf)), path(leaf));
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
