//! Conditions to expressions over the columns of spans. No text of the caller's becomes SQL.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::Like;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use datafusion::prelude::{ident, lit};
use model::semconv::{self, On};
use model::{SpanId, SpanKind, StatusCode, TraceId};
use storage::table::SPANS;

use super::filter::{Condition, Field, Op};
use crate::error::{Error, Result};
use crate::functions::{attribute_number, attribute_text, resource_number, resource_text};
use crate::times::parse_duration;
use crate::trace::literal;

/// One expression per condition; all must hold.
///
/// # Errors
/// [`Error::Invalid`] at the value when it does not fit the field.
pub(crate) fn compile(conditions: &[Condition]) -> Result<Vec<Expr>> {
    conditions.iter().map(condition).collect()
}

fn condition(condition: &Condition) -> Result<Expr> {
    let value = condition.value.as_str();
    let wrong = |detail: String| Error::invalid_at(condition.position, detail);
    match &condition.field {
        Field::Service => text(ident("service_name"), "service", condition),
        Field::Name => text(ident("name"), "name", condition),
        Field::Kind => {
            let words: Vec<_> = SpanKind::ALL.iter().map(|kind| kind.as_str()).collect();
            let kind = SpanKind::from_word(value).map(SpanKind::code).or_else(|| value.parse().ok());
            let kind = kind.ok_or_else(|| wrong(format!("kind is one of {}", words.join(", "))))?;
            equality(ident("kind"), lit(kind), "kind", condition)
        }
        Field::Status => {
            let words: Vec<_> = StatusCode::ALL.iter().map(|status| status.as_str()).collect();
            let status = StatusCode::from_word(value).map(StatusCode::code).or_else(|| value.parse().ok());
            let status = status.ok_or_else(|| wrong(format!("status is one of {}", words.join(", "))))?;
            equality(ident("status_code"), lit(status), "status", condition)
        }
        Field::Duration => {
            let nanos = parse_duration(value).ok_or_else(|| {
                wrong("a duration has a unit: ns, us, ms, s, m or h, as in duration>=100ms".to_owned())
            })?;
            let op = number_op(condition.op).ok_or_else(|| wrong("duration takes = != > >= < <=".to_owned()))?;
            Ok(binary(ident("duration_nanos"), op, lit(nanos)))
        }
        Field::TraceId => {
            let id = TraceId::from_hex(value).ok_or_else(|| wrong("a trace id has 32 hex digits".to_owned()))?;
            equality(ident("trace_id"), literal(id.as_bytes()), "trace_id", condition)
        }
        Field::SpanId => {
            let id = SpanId::from_hex(value).ok_or_else(|| wrong("a span id has 16 hex digits".to_owned()))?;
            equality(ident("span_id"), literal(id.as_bytes()), "span_id", condition)
        }
        Field::Span(key) => attribute(key, condition, &[On::Item]),
        Field::Resource(key) => attribute(key, condition, &[On::Resource]),
        // A key that the conventions put on spans is not looked for on resources, which would cost a look at
        // every resource; all other keys may stand on both.
        Field::Anywhere(key) => match semconv::find(key) {
            Some(convention) if convention.on == On::Item => attribute(key, condition, &[On::Item]),
            _ => attribute(key, condition, &[On::Item, On::Resource]),
        },
    }
}

/// A condition on an attribute that may stand in several places: one of them must hold it, or none for `!=`.
fn attribute(key: &str, condition: &Condition, places: &[On]) -> Result<Expr> {
    let one = |on: &On| -> Result<Expr> {
        let text_of = if *on == On::Item { attribute_text } else { resource_text };
        let number_of = if *on == On::Item { attribute_number } else { resource_number };
        match condition.op {
            Op::Eq | Op::NotEq | Op::Contains | Op::NotContains => text(text_of(key, &SPANS)?, key, condition),
            Op::Gt | Op::GtEq | Op::Lt | Op::LtEq => {
                let detail = format!("{key}{} compares numbers; {} is none", condition.op.spelled(), condition.value);
                let number: f64 = condition.value.parse().map_err(|_| Error::invalid_at(condition.position, detail))?;
                let op = number_op(condition.op).unwrap_or(Operator::Eq);
                Ok(binary(number_of(key, &SPANS)?, op, lit(number)))
            }
        }
    };
    let is_negative = matches!(condition.op, Op::NotEq | Op::NotContains);
    let parts = places.iter().map(one).collect::<Result<Vec<_>>>()?;
    let joined = parts.into_iter().reduce(|a, b| if is_negative { a.and(b) } else { a.or(b) });
    joined.ok_or_else(|| Error::Internal("an attribute stands nowhere".to_owned()))
}

fn text(column: Expr, name: &str, condition: &Condition) -> Result<Expr> {
    let value = condition.value.as_str();
    match condition.op {
        Op::Eq => Ok(column.eq(lit(value))),
        Op::NotEq => Ok(binary(column, Operator::IsDistinctFrom, lit(value))),
        Op::Contains => Ok(contains(column, value)),
        Op::NotContains => Ok(contains(column.clone(), value).is_not_true()),
        Op::Gt | Op::GtEq | Op::Lt | Op::LtEq => {
            Err(Error::invalid_at(condition.position, format!("{name} is text and takes = != ~ !~")))
        }
    }
}

fn equality(column: Expr, value: Expr, name: &str, condition: &Condition) -> Result<Expr> {
    match condition.op {
        Op::Eq => Ok(column.eq(value)),
        Op::NotEq => Ok(column.not_eq(value)),
        _ => Err(Error::invalid_at(condition.position, format!("{name} takes = and !="))),
    }
}

/// Contains, any case. The text is taken literally.
fn contains(column: Expr, value: &str) -> Expr {
    let mut pattern = String::with_capacity(value.len() + 2);
    pattern.push('%');
    for c in value.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    let pattern = Expr::Literal(ScalarValue::Utf8(Some(pattern)), None);
    Expr::Like(Like::new(false, Box::new(column), Box::new(pattern), None, true))
}

const fn number_op(op: Op) -> Option<Operator> {
    Some(match op {
        Op::Eq => Operator::Eq,
        Op::NotEq => Operator::NotEq,
        Op::Gt => Operator::Gt,
        Op::GtEq => Operator::GtEq,
        Op::Lt => Operator::Lt,
        Op::LtEq => Operator::LtEq,
        Op::Contains | Op::NotContains => return None,
    })
}

fn binary(left: Expr, op: Operator, right: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr { left: Box::new(left), op, right: Box::new(right) })
}
