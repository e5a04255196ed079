//! Conditions of a walk, tried on batches: on the columns they name, before any other column of a row group is read.
//!
//! Each leaves fewer rows for the next one, and where all columns of one are one value or none ([`Constants`]), it is tried once for the
//! whole row group, which is not read when it does not hold. Conditions on ids, and those that want an attribute to be a certain text,
//! are left to statements, which ask the index for ids and look for texts before they decode the list of attributes (`leaves.rs`).

use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray as _, BooleanArray, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::{cast, prep_null_mask_filter};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::DFSchema;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::optimizer::simplify_expressions::{ExprSimplifier, SimplifyContext};
use datafusion::physical_expr::PhysicalExpr;
use parquet::arrow::ProjectionMask;
use parquet::file::metadata::ParquetMetaData;
use storage::table::{Kind, Table};

use super::constants::Constants;
use super::direct::{arrow, parquet};
use crate::engine::session::Session;
use crate::error::Result;
use crate::functions::{shown_text, while_decoding};

/// One of the things that must hold of a row.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    holds: Arc<dyn PhysicalExpr>,
    /// The columns it names, in the types of a statement.
    schema: SchemaRef,
    names: Vec<&'static str>,
}

impl Condition {
    /// In the order in which they are tried: those that need a list come last. `None` when a statement is the better way.
    ///
    /// # Errors
    /// When an expression does not fit the table: a bug.
    pub(super) fn all(session: &Session, table: &'static Table, conditions: &[Expr]) -> Result<Option<Vec<Self>>> {
        let parts = conditions.iter().flat_map(split_conjunction);
        let found = parts.map(|condition| Self::of(session, table, condition)).collect::<Result<Option<Vec<_>>>>()?;
        Ok(found.map(|mut found| {
            found.sort_by_key(|condition| condition.schema.fields().iter().any(|field| is_list(field)));
            found
        }))
    }

    fn of(session: &Session, table: &'static Table, condition: &Expr) -> Result<Option<Self>> {
        if shown_text(&while_decoding(condition.clone(), table)).is_some() {
            return Ok(None);
        }
        let known = session.table(table)?;
        let (mut names, mut fields): (Vec<&'static str>, Vec<Field>) = (Vec::new(), Vec::new());
        let mut named: Vec<&str> = condition.column_refs().into_iter().map(|column| column.name()).collect();
        named.sort_unstable();
        for name in named {
            let Some((_, column)) = table.column(name).filter(|(_, column)| is_tried(column.kind)) else {
                return Ok(None);
            };
            names.push(column.name);
            fields.push(known.schema().field_with_unqualified_name(name)?.as_ref().clone().with_nullable(true));
        }
        let schema = Arc::new(Schema::new(fields));
        let typed = DFSchema::try_from(Arc::clone(&schema))?;
        // Some functions are only computed in their simple form.
        let simple = ExprSimplifier::new(SimplifyContext::builder().with_schema(Arc::new(typed.clone())).build());
        let condition = simple.simplify(simple.coerce(condition.clone(), &typed)?)?;
        let holds = session.context.state().create_physical_expr(condition, &typed)?;
        Ok(Some(Self { holds, schema, names }))
    }

    /// The columns it names.
    pub(super) fn columns(&self) -> &[&'static str] {
        &self.names
    }

    /// Leaves that are read even where they have no value: functions of a list know it with all of its leaves.
    pub(super) fn whole(&self, metadata: &ParquetMetaData) -> ProjectionMask {
        let lists = self.schema.fields().iter().filter(|field| is_list(field)).map(|field| field.name().as_str());
        ProjectionMask::columns(metadata.file_metadata().schema_descr(), lists)
    }

    /// Which rows of a batch it holds for; a column that it does not have is null.
    ///
    /// # Errors
    /// When a value cannot be computed.
    pub(super) fn holding(&self, batch: &RecordBatch) -> Result<BooleanArray> {
        let n_rows = batch.num_rows();
        let columns = self.schema.fields().iter().map(|field| match batch.column_by_name(field.name()) {
            Some(array) if array.data_type() == field.data_type() => Ok(Arc::clone(array)),
            Some(array) => cast(array, field.data_type()),
            None => Ok(new_null_array(field.data_type(), n_rows)),
        });
        let columns = columns.collect::<std::result::Result<Vec<ArrayRef>, _>>().map_err(arrow)?;
        let options = RecordBatchOptions::new().with_row_count(Some(n_rows));
        let rows = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options).map_err(arrow)?;
        let holds = self.holds.evaluate(&rows)?.into_array(n_rows)?;
        let holds = holds.as_boolean();
        Ok(if holds.null_count() > 0 { prep_null_mask_filter(holds) } else { holds.clone() })
    }

    /// Whether it holds for rows of which no column has values of its own.
    ///
    /// # Errors
    /// When a value cannot be computed.
    pub(super) fn holds_for(&self, constants: &Constants) -> Result<bool> {
        let options = RecordBatchOptions::new().with_row_count(Some(1));
        let row = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options).map_err(arrow)?;
        Ok(self.holding(&constants.beside(&row).map_err(parquet)?)?.value(0))
    }
}

fn is_list(field: &Field) -> bool {
    matches!(field.data_type(), DataType::List(_))
}

/// Columns that are decoded to try a condition.
fn is_tried(kind: Kind) -> bool {
    use Kind::{Events, Floats, Id8, Id16, Ints, JsonText, Links};
    !matches!(kind, Id16 | Id8 | Events | Links | Ints | Floats | JsonText)
}
