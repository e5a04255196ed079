//! THE schema: every table and column at rest, said once.
//!
//! The Arrow schema, the Parquet settings, the Delta schema, `docs/tables.md` and the answers of
//! `/api/tables` are all made from here.
//!
//! | file          | table                                                                     |
//! |---------------|---------------------------------------------------------------------------|
//! | `column.rs`   | kinds of columns and what each is in Arrow                                |
//! | `spans.rs`    | one row per span, events and links nested                                 |
//! | `logs.rs`     | one row per log record                                                    |
//! | `points.rs`   | one row per data point: numbers, histograms, exponential histograms, summaries; exemplars |
//! | `alerts.rs`   | what became of alerts; written by the rules only                          |
//! | `derived.rs`  | settled journeys and their parts; written by the digest only              |
//!
//! Columns are added, never renamed or retyped; a reader fills a missing column with null.

mod alerts;
mod column;
mod derived;
mod logs;
mod points;
mod spans;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use arrow::datatypes::{Schema, SchemaRef};
use model::semconv::{self, On, ValueKind};

pub use alerts::ALERTS;
pub use column::{
    Column, Kind, Need, attributes_fields, attributes_item, events_fields, events_item, floats_item, ints_item,
    links_fields, links_item,
};
pub use derived::{CALLS, DIGEST_PROGRESS, DIGEST_TRACES, EDGE_MINUTE_PARTS, FINDINGS, HOPS, JOURNEYS, SEGMENTS};
pub use logs::LOGS;
pub use points::{EXEMPLARS, EXP_HISTOGRAM_POINTS, HISTOGRAM_POINTS, NUMBER_POINTS, SUMMARY_POINTS};
pub use spans::SPANS;

/// What exists at rest under one name.
#[derive(Debug)]
pub struct Table {
    /// Name in SQL and on disk.
    pub name: &'static str,
    /// One line for people.
    pub help: &'static str,
    /// The column by which rows are partitioned into days and pruned; of kind [`Kind::UnixNanos`].
    pub time: &'static str,
    /// Sort order of a fresh segment.
    pub sort: &'static [&'static str],
    /// Its rows are made here from those of other tables, not sent: by the digest, or by alert rules.
    pub is_derived: bool,
    /// Columns of the table's own.
    own: &'static [Column],
    /// Which promoted attributes follow the own columns.
    promotes: &'static [On],
    built: OnceLock<Built>,
}

#[derive(Debug)]
struct Built {
    columns: Vec<Column>,
    by_name: HashMap<&'static str, usize>,
    schema: SchemaRef,
}

/// Every table, in the order in which they are listed for people. Its length is small and fixed.
pub const TABLES: &[&Table] = &[
    &SPANS,
    &LOGS,
    &NUMBER_POINTS,
    &HISTOGRAM_POINTS,
    &EXP_HISTOGRAM_POINTS,
    &SUMMARY_POINTS,
    &EXEMPLARS,
    &JOURNEYS,
    &CALLS,
    &HOPS,
    &SEGMENTS,
    &FINDINGS,
    &EDGE_MINUTE_PARTS,
    &DIGEST_TRACES,
    &DIGEST_PROGRESS,
    &ALERTS,
];

impl Table {
    const fn new(
        name: &'static str,
        help: &'static str,
        time: &'static str,
        sort: &'static [&'static str],
        own: &'static [Column],
        promotes: &'static [On],
    ) -> Self {
        Self { name, help, time, sort, is_derived: false, own, promotes, built: OnceLock::new() }
    }

    const fn derived(
        name: &'static str,
        help: &'static str,
        sort: &'static [&'static str],
        own: &'static [Column],
    ) -> Self {
        Self { name, help, time: "time", sort, is_derived: true, own, promotes: &[], built: OnceLock::new() }
    }

    /// The table with this name.
    pub fn by_name(name: &str) -> Option<&'static Self> {
        TABLES.iter().copied().find(|table| table.name == name)
    }

    /// Position in [`TABLES`].
    pub fn index(&self) -> usize {
        TABLES.iter().position(|table| table.name == self.name).expect("every table stands in TABLES: tested")
    }

    /// Own columns, then promoted resource attributes, then promoted item attributes.
    pub fn columns(&self) -> &[Column] {
        &self.built().columns
    }

    /// Position and declaration of a column.
    pub fn column(&self, name: &str) -> Option<(usize, &Column)> {
        let built = self.built();
        let index = *built.by_name.get(name)?;
        Some((index, built.columns.get(index)?))
    }

    /// The Arrow schema of batches of this table; fields in column order.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.built().schema)
    }

    fn built(&self) -> &Built {
        self.built.get_or_init(|| {
            let promoted = self.promotes.iter().flat_map(|on| semconv::promoted(*on)).filter_map(|convention| {
                let kind = match convention.value {
                    ValueKind::Label => Kind::Label,
                    ValueKind::Text => Kind::Text,
                    ValueKind::Int => Kind::Int64,
                };
                Some(Column::optional(convention.column?, kind, convention.help))
            });
            let columns: Vec<Column> = self.own.iter().cloned().chain(promoted).collect();
            let fields: Vec<_> = columns.iter().map(Column::field).collect();
            let by_name = columns.iter().enumerate().map(|(index, column)| (column.name, index)).collect();
            Built { columns, by_name, schema: Arc::new(Schema::new(fields)) }
        })
    }
}

impl PartialEq for Table {
    /// Tables are singletons; their name is their identity.
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Table {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// Names are unique, the time and sort columns exist, time is never null.
    #[test]
    fn tables_are_consistent() {
        for table in TABLES {
            let names: HashSet<_> = table.columns().iter().map(|column| column.name).collect();
            assert_eq!(names.len(), table.columns().len(), "{}: a column stands twice", table.name);
            let (_, time) = table.column(table.time).expect("time column exists");
            assert_eq!((time.kind, time.need), (Kind::UnixNanos, Need::Always), "{}", table.name);
            assert!(table.sort.iter().all(|name| names.contains(name)), "{}: sort", table.name);
        }
    }
}
