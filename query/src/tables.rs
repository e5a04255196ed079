//! Everything that can be named in a FROM clause, over one snapshot.
//!
//! | file          | knows                                                            |
//! |---------------|------------------------------------------------------------------|
//! | `scan.rs`     | what every table has in common towards DataFusion                |
//! | `provider.rs` | one table of a snapshot: segments and buffer in one scan         |
//! | `readers.rs`  | readers of segments that know where pages begin                  |
//! | `footers.rs`  | footers of segments, read before anybody asks                    |
//! | `leaves.rs`   | readers that leave out row groups without a text that is wanted  |
//! | `page_texts.rs` | whether a text stands in a column chunk                       |
//! | `prune.rs`    | which segments a query can need: pure                            |
//! | `pruned.rs`   | the view of traces, over the asked time range                    |
//! | `by_id.rs`    | table functions of one id                                        |
//! | `direct.rs`   | rows found by an id, read without a statement                    |
//! | `walk.rs`     | every row of a time range, read without a statement              |
//! | `conditions.rs` | what must hold of such a row                                  |
//! | `constants.rs` | columns of a row group with one value, told by its statistics   |
//! | `visible.rs`  | leaves out what was erased                                       |
//! | `views.rs`    | relations written in SQL over the tables                         |
//! | `relations.rs` | relations of settled journeys: at rest and on demand            |
//! | `edge_minutes.rs` | the sums per minute of the same                              |
//!
//! A session holds two schemas: `raw` with the tables as they are, and `public`, which every query sees
//! without saying so: the same tables plus the views. There is no way to add to either from SQL.

pub(crate) mod by_id;
mod conditions;
mod constants;
pub(crate) mod direct;
mod edge_minutes;
pub(crate) mod footers;
mod leaves;
mod page_texts;
mod pages;
mod provider;
mod prune;
mod pruned;
mod readers;
mod relations;
pub(crate) mod scan;
#[cfg(test)]
mod tests;
mod views;
mod visible;
pub(crate) mod walk;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use api::{ColumnInfo, TableInfo};
use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use async_trait::async_trait;
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, TableReference};
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::logical_expr::builder::LogicalTableSource;
use datafusion::logical_expr::{LogicalPlan, TableSource};
use datafusion::sql::parser::DFParser;
use storage::{Snapshot, TABLES};

use crate::digest::on_demand::Derived;
pub(crate) use provider::{LOOK_UPS_MAX, Located, STORE_URL, SnapshotTable, UTC, as_sql, moment_type, sql_schema};
pub(crate) use prune::Bounds;
use pruned::PrunedView;
use scan::Scanned as _;
use storage::table::Table;

/// Name of the only catalog.
pub(crate) const CATALOG: &str = "hodoscope";
/// Schema of the tables as they are.
pub(crate) const RAW: &str = "raw";
/// Schema that every query sees.
pub(crate) const PUBLIC: &str = "public";

/// Names of all relations that people use, tables first.
pub(crate) fn relation_names() -> Vec<&'static str> {
    let views = views::VIEWS.iter().filter(|view| !view.is_table).map(|view| view.name);
    TABLES.iter().map(|table| table.name).chain(views).chain([edge_minutes::NAME]).collect()
}

/// The tables of a snapshot as they are.
#[derive(Debug)]
pub(crate) struct RawSchema(pub(crate) Arc<Snapshot>);

impl RawSchema {
    /// The table with this name.
    pub(crate) fn provider(&self, name: &str) -> Option<Arc<dyn TableProvider>> {
        Some(SnapshotTable::new(Table::by_name(name)?, Arc::clone(&self.0)).provider())
    }
}

#[async_trait]
impl SchemaProvider for RawSchema {
    fn table_names(&self) -> Vec<String> {
        TABLES.iter().map(|table| table.name.to_owned()).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        Ok(self.provider(name))
    }

    fn table_exist(&self, name: &str) -> bool {
        Table::by_name(name).is_some()
    }
}

/// Plans of views over the schemas of their tables, made when a view is first named and good for every snapshot: to plan
/// one of sixty columns takes about a millisecond.
pub(crate) type ViewPlans = Arc<Mutex<HashMap<&'static str, LogicalPlan>>>;

/// Tables and views of a snapshot.
#[derive(Debug)]
pub(crate) struct PublicSchema {
    raw: RawSchema,
    /// A session whose catalog holds the schema `raw` only.
    planner: Arc<SessionState>,
    plans: ViewPlans,
    derived: Arc<Derived>,
}

impl PublicSchema {
    pub(crate) const fn new(
        snapshot: Arc<Snapshot>,
        planner: Arc<SessionState>,
        plans: ViewPlans,
        derived: Arc<Derived>,
    ) -> Self {
        Self { raw: RawSchema(snapshot), planner, plans, derived }
    }

    /// The plan of a view over the tables of the snapshot.
    async fn plan(&self, view: &'static views::View) -> Result<LogicalPlan, DataFusionError> {
        let known = self.plans.lock().unwrap_or_else(PoisonError::into_inner).get(view.name).cloned();
        let plan = match known {
            Some(plan) => plan,
            None => {
                let statement = DFParser::parse_sql(view.sql)?.pop_front();
                let statement =
                    statement.ok_or_else(|| DataFusionError::Internal(format!("view {} is empty", view.name)))?;
                let plan = self.planner.statement_to_plan(statement).await?;
                let schema = |name: &TableReference| Table::by_name(name.table()).map(sql_schema);
                let plan = with_sources(plan, |name| Some(Arc::new(LogicalTableSource::new(schema(name)?))))?;
                self.plans.lock().unwrap_or_else(PoisonError::into_inner).insert(view.name, plan.clone());
                plan
            }
        };
        with_sources(plan, |name| Some(provider_as_source(self.raw.provider(name.table())?)))
    }
}

/// Reads the scans of a plan from other sources; `None` leaves a scan as it is.
///
/// # Errors
/// When a plan cannot be put together again: a bug.
pub(crate) fn with_sources(
    plan: LogicalPlan,
    source: impl Fn(&TableReference) -> Option<Arc<dyn TableSource>>,
) -> Result<LogicalPlan, DataFusionError> {
    let sourced = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::TableScan(mut scan) => Ok(match source(&scan.table_name) {
            Some(source) => {
                scan.source = source;
                Transformed::yes(LogicalPlan::TableScan(scan))
            }
            None => Transformed::no(LogicalPlan::TableScan(scan)),
        }),
        other => Ok(Transformed::no(other)),
    })?;
    Ok(sourced.data)
}

#[async_trait]
impl SchemaProvider for PublicSchema {
    fn table_names(&self) -> Vec<String> {
        relation_names().into_iter().map(str::to_owned).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        if let Some(relation) = relations::by_name(name, &self.derived) {
            return Ok(Some(relation));
        }
        let Some(view) = views::by_name(name) else { return self.raw.table(name).await };
        let plan = self.plan(view).await?;
        if view.is_pruned {
            return Ok(Some(PrunedView::new(plan).provider()));
        }
        Ok(Some(Arc::new(ViewTable::new(plan, None))))
    }

    fn table_exist(&self, name: &str) -> bool {
        name == edge_minutes::NAME || views::by_name(name).is_some() || self.raw.table_exist(name)
    }
}

/// Every relation: name, kind, columns.
///
/// # Errors
/// When a view cannot be planned: a bug.
pub(crate) async fn relation_schemas(
    public: &dyn SchemaProvider,
) -> Result<Vec<(&'static str, &'static str, SchemaRef)>, DataFusionError> {
    let mut found = Vec::new();
    for name in relation_names() {
        let Some(provider) = public.table(name).await? else { continue };
        let kind = if Table::by_name(name).is_some() { "table" } else { "view" };
        found.push((name, kind, provider.schema()));
    }
    Ok(found)
}

/// Tables and views for `/api/tables`, with the rows of each table as of the snapshot.
///
/// # Errors
/// When a view cannot be planned: a bug.
pub(crate) async fn describe(
    public: &dyn SchemaProvider,
    snapshot: &Snapshot,
) -> Result<Vec<TableInfo>, DataFusionError> {
    let mut infos = Vec::new();
    for name in relation_names() {
        let Some(provider) = public.table(name).await? else { continue };
        let table = Table::by_name(name);
        let view = views::by_name(name);
        let schema = DFSchema::try_from(provider.schema())?;
        let columns = schema.fields().iter().map(|field| ColumnInfo {
            name: field.name().clone(),
            data_type: type_name(field.data_type()),
            nullable: field.is_nullable(),
            help: match name {
                edge_minutes::NAME => edge_minutes::help(field.name()),
                _ => column_help(field.name(), table, view),
            }
            .to_owned(),
        });
        let help = table.map(|table| table.help).or(view.map(|view| view.help));
        infos.push(TableInfo {
            name: name.to_owned(),
            kind: if table.is_some() { "table" } else { "view" }.to_owned(),
            help: help.unwrap_or(edge_minutes::HELP).to_owned(),
            columns: columns.collect(),
            rows: table.map(|table| n_rows(snapshot, table)),
        });
    }
    Ok(infos)
}

fn column_help(name: &str, table: Option<&'static Table>, view: Option<&views::View>) -> &'static str {
    let of_view = view.and_then(|view| view.columns.iter().find(|(column, _)| *column == name)).map(|(_, help)| *help);
    let of_table = |table: &'static Table| table.column(name).map(|(_, column)| column.help);
    of_view
        .or_else(|| table.and_then(of_table))
        .or_else(|| TABLES.iter().find_map(|table| of_table(table)))
        .unwrap_or_default()
}

fn n_rows(snapshot: &Snapshot, table: &Table) -> u64 {
    let Some(entry) = snapshot.table(table) else { return 0 };
    let in_segments: u64 = entry.segments.iter().map(|segment| segment.n_rows).sum();
    let in_buffer: u64 = entry.buffer.iter().map(|rows| rows.records.num_rows() as u64).sum();
    in_segments + in_buffer
}

/// A type in words that people use in SQL.
pub(crate) fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Null => "null".to_owned(),
        DataType::Boolean => "boolean".to_owned(),
        DataType::Int8 | DataType::Int16 | DataType::Int32 => "int".to_owned(),
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::Int64 => "bigint".to_owned(),
        DataType::UInt64 => "bigint unsigned".to_owned(),
        DataType::Float16 | DataType::Float32 | DataType::Float64 => "double".to_owned(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text".to_owned(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            "binary".to_owned()
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => "timestamp".to_owned(),
        DataType::Timestamp(..) => "timestamp".to_owned(),
        DataType::Date32 | DataType::Date64 => "date".to_owned(),
        DataType::Time32(_) | DataType::Time64(_) => "time".to_owned(),
        DataType::Interval(_) | DataType::Duration(_) => "interval".to_owned(),
        DataType::Dictionary(_, value) => type_name(value),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            format!("{}[]", type_name(item.data_type()))
        }
        DataType::Struct(fields) => {
            let fields: Vec<_> =
                fields.iter().map(|field| format!("{} {}", field.name(), type_name(field.data_type()))).collect();
            format!("struct({})", fields.join(", "))
        }
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) => format!("decimal({p},{s})"),
        DataType::Decimal128(p, s) | DataType::Decimal256(p, s) => format!("decimal({p},{s})"),
        other => other.to_string().to_lowercase(),
    }
}
