//! Conditions on attribute lists, in a form that is tried while a segment is decoded.
//!
//! ```text
//!   attr_listed(attributes, 'order.id') = 'x'                      decodes every column of every row, then compares
//!   holds(attr_listed(attributes, 'order.id') = 'x') IS NOT NULL   decodes attributes, compares, decodes what is left
//! ```
//!
//! The Parquet reader takes a condition on a list column only when it is, or holds, one of a few expressions; `IS NOT NULL` is one.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, AsArray, BooleanArray};
use arrow::datatypes::DataType;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Expr, ScalarUDF};
use storage::table::Table;

use super::unary::unary;

static HOLDS: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| unary("holds", DataType::Boolean, DataType::Boolean, |conditions| Ok(true_or_null(conditions))));

/// True where the condition is, else null.
fn true_or_null(conditions: &ArrayRef) -> ArrayRef {
    let conditions = conditions.as_boolean();
    Arc::new(conditions.iter().map(|holds| holds.filter(|holds| *holds)).collect::<BooleanArray>())
}

/// A condition on rows of `table` that passes the same rows, in the form that decodes least.
pub(crate) fn while_decoding(condition: Expr, table: &Table) -> Expr {
    let is_list =
        |name: &str| table.column(name).is_some_and(|(_, column)| matches!(column.kind.arrow(), DataType::List(_)));
    if condition.column_refs().iter().any(|column| is_list(&column.name)) {
        Expr::ScalarFunction(ScalarFunction::new_udf(Arc::clone(&HOLDS), vec![condition])).is_not_null()
    } else {
        condition
    }
}
