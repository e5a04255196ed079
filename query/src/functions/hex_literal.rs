//! `trace_id = '4bf92f3577b34da6a3ce929d0e0e4736'`: hex text compared with binary means the bytes.

use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, ScalarValue, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator};

/// Turns hex text into bytes where it is compared with a binary column.
#[derive(Debug)]
pub(super) struct HexLiteralRewrite;

impl FunctionRewrite for HexLiteralRewrite {
    fn name(&self) -> &str {
        "hex_literals"
    }

    fn rewrite(&self, expr: Expr, schema: &DFSchema, _: &ConfigOptions) -> Result<Transformed<Expr>> {
        match expr {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_comparison(op) => {
                if is_binary(&left, schema) && text(&right).is_some() {
                    let right = Box::new(bytes(*right)?);
                    Ok(Transformed::yes(Expr::BinaryExpr(BinaryExpr { left, op, right })))
                } else if is_binary(&right, schema) && text(&left).is_some() {
                    let left = Box::new(bytes(*left)?);
                    Ok(Transformed::yes(Expr::BinaryExpr(BinaryExpr { left, op, right })))
                } else {
                    Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right })))
                }
            }
            Expr::InList(InList { expr, list, negated }) if is_binary(&expr, schema) => {
                let list = list.into_iter().map(|item| if text(&item).is_some() { bytes(item) } else { Ok(item) });
                let list = list.collect::<Result<Vec<_>>>()?;
                Ok(Transformed::yes(Expr::InList(InList { expr, list, negated })))
            }
            other => Ok(Transformed::no(other)),
        }
    }
}

const fn is_comparison(op: Operator) -> bool {
    matches!(
        op,
        Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom
    )
}

fn is_binary(expr: &Expr, schema: &DFSchema) -> bool {
    matches!(expr, Expr::Column(_) | Expr::ScalarFunction(_) | Expr::Alias(_))
        && matches!(expr.get_type(schema), Ok(DataType::Binary | DataType::LargeBinary | DataType::BinaryView))
}

fn text(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Literal(value, _) => value.try_as_str().flatten(),
        _ => None,
    }
}

fn bytes(expr: Expr) -> Result<Expr> {
    let Some(hex) = text(&expr) else { return Ok(expr) };
    let digits: Option<Vec<u32>> = hex.chars().map(|digit| digit.to_digit(16)).collect();
    match digits {
        Some(digits) if digits.len() % 2 == 0 => {
            let bytes = digits.chunks_exact(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect();
            Ok(Expr::Literal(ScalarValue::Binary(Some(bytes)), None))
        }
        _ => plan_err!("'{hex}' is compared with an id and is not hex; a trace id has 32 hex digits, a span id 16"),
    }
}
