//! `attr('key')`, `attr_number('key')` and `resource_attr('key')`: written without columns, rewritten to the
//! columns in scope before a plan is made.
//!
//! ```text
//!   attr('http.method')          coalesce(http_request_method, attr_listed(attributes, 'http.request.method', 'http.method'))
//!   attr('order.id')             attr_listed(attributes, 'order.id')
//!   resource_attr('host.name')   coalesce(host_name, event_attr(resource, 'host.name'))
//! ```
//!
//! A promoted attribute of another type than its column stands in the list, therefore both are looked at.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, DFSchema, ExprSchema, plan_err};
use datafusion::error::Result;
use datafusion::functions::core::expr_fn::coalesce;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility, cast,
};
use datafusion::prelude::{ident, lit};
use model::semconv::{self, Convention, On};
use storage::table::Kind;

use super::{json, listed};

/// What a call asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Asked {
    Text,
    Number,
    Resource,
    ResourceNumber,
}

impl Asked {
    const ALL: [Self; 4] = [Self::Text, Self::Number, Self::Resource, Self::ResourceNumber];

    const fn name(self) -> &'static str {
        match self {
            Self::Text => "attr",
            Self::Number => "attr_number",
            Self::Resource => "resource_attr",
            Self::ResourceNumber => "resource_attr_number",
        }
    }

    const fn gives(self) -> DataType {
        match self {
            Self::Number | Self::ResourceNumber => DataType::Float64,
            Self::Text | Self::Resource => DataType::Utf8,
        }
    }

    /// The column that holds what no other column does.
    const fn holder(self) -> &'static str {
        match self {
            Self::Resource | Self::ResourceNumber => "resource",
            Self::Text | Self::Number => "attributes",
        }
    }
}

/// The functions as people write them. They exist only until they are rewritten.
pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    let function = |asked| {
        let signature = Signature::one_of(vec![TypeSignature::Any(1), TypeSignature::Any(2)], Volatility::Immutable);
        Arc::new(ScalarUDF::new_from_impl(Attr { asked, signature }))
    };
    Asked::ALL.map(function).into()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Attr {
    asked: Asked,
    signature: Signature,
}

impl ScalarUDFImpl for Attr {
    fn name(&self) -> &str {
        self.asked.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.asked.gives())
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        plan_err!("{}() cannot be used here", self.asked.name())
    }
}

/// Turns the functions into columns and look-ups.
#[derive(Debug)]
pub(super) struct AttributeRewrite;

impl FunctionRewrite for AttributeRewrite {
    fn name(&self) -> &str {
        "attributes"
    }

    fn rewrite(&self, expr: Expr, schema: &DFSchema, _: &ConfigOptions) -> Result<Transformed<Expr>> {
        let Expr::ScalarFunction(call) = &expr else { return Ok(Transformed::no(expr)) };
        let Some(asked) = Asked::ALL.into_iter().find(|asked| call.func.name() == asked.name()) else {
            return Ok(Transformed::no(expr));
        };
        let (key, holder) = arguments(asked, call, schema)?;
        let promoted = |convention: &Convention| {
            let column = Column::new(holder.relation.clone(), convention.column?);
            schema.has_column(&column).then_some(column)
        };
        look_up(asked, &key, &holder, schema.field_from_column(&holder)?.data_type(), promoted).map(Transformed::yes)
    }
}

/// Text of an attribute of `table`'s rows: its column or the list; null when not sent.
pub(crate) fn attribute_text(key: &str, table: &'static storage::table::Table) -> Result<Expr> {
    of_table(Asked::Text, key, table)
}

/// Where an attribute of `table`'s rows is shown as a text: true, or null for everything else. `None` for one that may stand in a
/// column of its own, and for tables without a typed list.
pub(crate) fn attribute_is(key: &str, value: &str, table: &'static storage::table::Table) -> Option<Expr> {
    let (_, holder) = table.column(Asked::Text.holder())?;
    if attribute_column(key, table).is_some() || !matches!(holder.kind.arrow(), DataType::List(_)) {
        return None;
    }
    let mut args = vec![ident(holder.name), lit(value)];
    args.extend(names_of(key).into_iter().map(lit));
    Some(Expr::ScalarFunction(ScalarFunction::new_udf(listed::is(), args)))
}

/// Number of an attribute of `table`'s rows; null when not sent or not a number.
pub(crate) fn attribute_number(key: &str, table: &'static storage::table::Table) -> Result<Expr> {
    of_table(Asked::Number, key, table)
}

/// Text of an attribute of the resource of `table`'s rows; null when not sent.
pub(crate) fn resource_text(key: &str, table: &'static storage::table::Table) -> Result<Expr> {
    of_table(Asked::Resource, key, table)
}

/// Number of an attribute of the resource of `table`'s rows; null when not sent or not a number.
pub(crate) fn resource_number(key: &str, table: &'static storage::table::Table) -> Result<Expr> {
    of_table(Asked::ResourceNumber, key, table)
}

/// The column of `table` that holds an attribute of its rows, and what it is; `None` when it stands in the list only.
pub(crate) fn attribute_column(key: &str, table: &'static storage::table::Table) -> Option<(&'static str, Kind)> {
    let convention = semconv::find(key).filter(|convention| convention.on == On::Item)?;
    let (_, column) = table.column(convention.column?)?;
    Some((column.name, column.kind))
}

/// A key and its other names of the same meaning.
pub(crate) fn names_of(key: &str) -> Vec<String> {
    let mut names = vec![key.to_owned()];
    if let Some(convention) = semconv::find(key) {
        let others = convention.replaces.iter().chain([&convention.key]).filter(|name| **name != key);
        names.extend(others.map(|name| (*name).to_owned()));
    }
    names
}

/// Text of an attribute of the instrumentation scope of a row; null when not sent.
pub(crate) fn scope_text(key: &str) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(json::text(), vec![ident("scope"), lit(key)]))
}

/// Number of an attribute of the instrumentation scope of a row; null when not sent or not a number.
pub(crate) fn scope_number(key: &str) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(json::number(), vec![ident("scope"), lit(key)]))
}

fn of_table(asked: Asked, key: &str, table: &'static storage::table::Table) -> Result<Expr> {
    let Some((_, holder)) = table.column(asked.holder()) else {
        return plan_err!("{} has no column {}", table.name, asked.holder());
    };
    let promoted = |convention: &Convention| {
        let (_, column) = table.column(convention.column?)?;
        Some(Column::new_unqualified(column.name))
    };
    look_up(asked, key, &Column::new_unqualified(holder.name), &holder.kind.arrow(), promoted)
}

fn look_up(
    asked: Asked,
    key: &str,
    holder: &Column,
    holder_type: &DataType,
    promoted: impl Fn(&Convention) -> Option<Column>,
) -> Result<Expr> {
    let on = if matches!(asked, Asked::Resource | Asked::ResourceNumber) { On::Resource } else { On::Item };
    let convention = semconv::find(key).filter(|convention| convention.on == on);
    let function = match (holder_type, asked) {
        (DataType::List(_), Asked::Number) => listed::number(),
        (DataType::List(_), _) => listed::text(),
        (_, Asked::Number | Asked::ResourceNumber) => json::number(),
        _ => json::text(),
    };
    let mut args = vec![Expr::Column(holder.clone())];
    args.extend(names_of(key).into_iter().map(lit));
    let listed = Expr::ScalarFunction(ScalarFunction::new_udf(function, args));
    Ok(match convention.and_then(promoted) {
        Some(column) => coalesce(vec![cast(Expr::Column(column), asked.gives()), listed]),
        None => listed,
    })
}

/// The key and the column that holds the attributes.
fn arguments(asked: Asked, call: &ScalarFunction, schema: &DFSchema) -> Result<(String, Column)> {
    let name = asked.name();
    let holder = match call.args.as_slice() {
        [Expr::Column(column), _] => column.clone(),
        [_] => in_scope(asked, schema)?,
        _ => return plan_err!("write {name}('key'), or {name}({}, 'key') with the column itself", asked.holder()),
    };
    match call.args.last() {
        Some(Expr::Literal(value, _)) => match value.try_as_str().flatten() {
            Some(key) if !key.is_empty() => Ok((key.to_owned(), holder)),
            _ => plan_err!("the key of {name} must be text, as in {name}('order.id')"),
        },
        _ => plan_err!("the key of {name} must be a text constant, as in {name}('order.id')"),
    }
}

fn in_scope(asked: Asked, schema: &DFSchema) -> Result<Column> {
    let holder = asked.holder();
    let found: Vec<Column> = schema.columns_with_unqualified_name(holder);
    match found.as_slice() {
        [column] => Ok(column.clone()),
        [] => plan_err!(
            "{}('key') needs the column {holder} of the relation it is used on, and it is not there: use it inside the \
             subquery, or in the SELECT list when sorting by it",
            asked.name()
        ),
        _ => plan_err!("{holder} stands in more than one table; write {}(table.{holder}, 'key')", asked.name()),
    }
}
