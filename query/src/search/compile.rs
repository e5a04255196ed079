//! A filter to expressions over the columns of spans and journeys. No text of the caller's becomes SQL.
//!
//! A condition holds or does not: where its value is missing it does not hold, and its negation does.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::Like;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use datafusion::prelude::{ident, lit};
use model::semconv::{self, On};
use model::{SpanId, SpanKind, StatusCode, TraceId};
use storage::table::{Kind, SPANS, Table};

use super::Unit;
use super::filter::{Condition, Field, Filter, Member, Op, Place, Value, number};
use crate::error::{Error, Result};
use crate::functions::nested::{Nested, Test, any_nested};
use crate::functions::{
    attribute_column, attribute_is, attribute_number, attribute_text, names_of, resource_number, resource_text,
    scope_number, scope_text,
};
use crate::times::parse_duration;
use crate::trace::literal;

/// What must hold, in parts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Compiled {
    /// Over the columns of spans.
    pub(crate) spans: Vec<Expr>,
    /// Over the columns of journeys.
    pub(crate) journeys: Vec<Expr>,
}

/// # Errors
/// [`Error::Invalid`] at the condition that does not fit the unit.
pub(crate) fn compile(filter: Option<&Filter>, unit: Unit) -> Result<Compiled> {
    let mut compiled = Compiled::default();
    for part in filter.map(Filter::conjuncts).unwrap_or_default() {
        let conditions = part.conditions();
        let of_journey = conditions.iter().find(|condition| condition.field.is_of_journey());
        match of_journey {
            None => compiled.spans.push(expression(part)?),
            Some(condition) if unit != Unit::Journeys => {
                let detail = format!("{} is known of journeys only: ask with unit=journeys", condition.field);
                return Err(Error::invalid_at(condition.field_at, detail));
            }
            Some(condition) => {
                if !conditions.iter().all(|condition| condition.field.is_of_journey()) {
                    let detail = format!(
                        "{} is about the whole journey; put it beside conditions on spans with and, outside of brackets",
                        condition.field
                    );
                    return Err(Error::invalid_at(condition.field_at, detail));
                }
                compiled.journeys.push(expression(part)?);
            }
        }
    }
    Ok(compiled)
}

/// What must hold of the rows of a table of metric points.
///
/// # Errors
/// [`Error::Invalid`] at the first condition on something that points do not have.
pub(crate) fn compile_points(filter: &Filter, table: &'static Table) -> Result<Expr> {
    each(filter, &|condition| of_point(condition, table))
}

fn expression(filter: &Filter) -> Result<Expr> {
    each(filter, &one)
}

fn each(filter: &Filter, one: &dyn Fn(&Condition) -> Result<Expr>) -> Result<Expr> {
    let joined = |parts: &[Filter], join: fn(Expr, Expr) -> Expr| -> Result<Expr> {
        let parts = parts.iter().map(|part| each(part, one)).collect::<Result<Vec<_>>>()?;
        parts.into_iter().reduce(join).ok_or_else(|| Error::Internal("a filter without parts".to_owned()))
    };
    match filter {
        Filter::All(parts) => joined(parts, Expr::and),
        Filter::Any(parts) => joined(parts, Expr::or),
        Filter::Not(part) => Ok(each(part, one)?.is_not_true()),
        Filter::Is(condition) => one(condition),
    }
}

/// A condition on a data point.
fn of_point(condition: &Condition, table: &'static Table) -> Result<Expr> {
    let column = |name: &str| text(ident(name), condition);
    match &condition.field {
        Field::Named(Member::Service) => column("service_name"),
        Field::Named(Member::Name) => column("metric_name"),
        Field::Named(Member::ScopeName) => column("scope_name"),
        Field::At(Place::Point, key) => attribute(key, condition, &[On::Item], table),
        Field::At(Place::Resource, key) => attribute(key, condition, &[On::Resource], table),
        Field::Anywhere(key) => attribute(key, condition, places_of(key), table),
        Field::At(Place::Scope, key) if condition.op.is_order() => order(scope_number(key), condition),
        Field::At(Place::Scope, key) => text(scope_text(key), condition),
        field @ (Field::Named(_) | Field::At(Place::Span | Place::Event | Place::Link, _)) => Err(Error::invalid_at(
            condition.field_at,
            format!(
                "metrics have no {field}; they have service, name, scope:name, point.key, resource.key and scope.key"
            ),
        )),
    }
}

/// Where a key is looked for. One that the conventions put on spans and points is not looked for on resources, which
/// would cost a look at every resource; all other keys may stand on both.
fn places_of(key: &str) -> &'static [On] {
    match semconv::find(key) {
        Some(convention) if convention.on == On::Item => &[On::Item],
        _ => &[On::Item, On::Resource],
    }
}

fn one(condition: &Condition) -> Result<Expr> {
    let wrong = |detail: &str| Error::invalid_at(condition.value_at, detail);
    let member = match &condition.field {
        Field::Named(member) => *member,
        Field::At(Place::Span, key) => return attribute(key, condition, &[On::Item], &SPANS),
        Field::At(Place::Resource, key) => return attribute(key, condition, &[On::Resource], &SPANS),
        Field::Anywhere(key) => return attribute(key, condition, places_of(key), &SPANS),
        Field::At(Place::Point, _) => {
            let detail = format!("{} is of data points: ask for it at /api/metrics", condition.field);
            return Err(Error::invalid_at(condition.field_at, detail));
        }
        Field::At(Place::Scope, key) if condition.op.is_order() => return order(scope_number(key), condition),
        Field::At(Place::Scope, key) => return text(scope_text(key), condition),
        Field::At(Place::Event, key) => return nested("events", Nested::EventAttribute(names_of(key)), condition),
        Field::At(Place::Link, key) => return nested("links", Nested::LinkAttribute(names_of(key)), condition),
    };
    let value = condition.value.text();
    let is_present = condition.value == Value::Anything;
    let column = |name: &str| if is_present { present(ident(name), condition) } else { text(ident(name), condition) };
    match member {
        Member::Service => column("service_name"),
        Member::Name => column("name"),
        Member::StatusMessage => column("status_message"),
        Member::Exception => column("exception_type"),
        Member::ScopeName => column("scope_name"),
        Member::JourneyService => column("service"),
        Member::JourneyName => column("name"),
        Member::JourneyProtocol => column("protocol"),
        Member::JourneyResult => column("status"),
        Member::JourneyFinding => column("worst_finding"),
        Member::JourneyQueue => queue(condition),
        Member::Kind if is_present => present(ident("kind"), condition),
        Member::Kind => {
            let kind = SpanKind::from_word(value).map(SpanKind::code).or_else(|| value.parse().ok());
            equality(ident("kind"), lit(kind.ok_or_else(|| wrong("this is no kind of span"))?), condition)
        }
        Member::Status if is_present => present(ident("status_code"), condition),
        Member::Status => {
            let status = StatusCode::from_word(value).map(StatusCode::code).or_else(|| value.parse().ok());
            equality(ident("status_code"), lit(status.ok_or_else(|| wrong("this is no status"))?), condition)
        }
        Member::JourneyStatus if is_present => present(ident("error"), condition),
        Member::JourneyStatus => equality(ident("error"), lit(value == "error"), condition),
        Member::Duration => nanos("duration_nanos", condition),
        Member::JourneyDuration => nanos("settled", condition),
        Member::JourneyAnswer => nanos("response", condition),
        Member::JourneyWait => nanos("wait", condition),
        Member::Events => count("event_count", condition),
        Member::Links => count("link_count", condition),
        Member::JourneyErrors => count("errors", condition),
        Member::TraceId => id("trace_id", TraceId::from_hex(value).map(|id| id.as_bytes().to_vec()), condition),
        Member::SpanId => id("span_id", SpanId::from_hex(value).map(|id| id.as_bytes().to_vec()), condition),
        Member::ParentId => id("parent_span_id", SpanId::from_hex(value).map(|id| id.as_bytes().to_vec()), condition),
        Member::EventName => nested("events", Nested::EventName, condition),
        Member::LinkTrace => nested("links", Nested::LinkTrace, condition),
        Member::LinkSpan => nested("links", Nested::LinkSpan, condition),
    }
}

/// `*`: there is a value, or there is none.
fn present(column: Expr, condition: &Condition) -> Result<Expr> {
    Ok(if condition.op.is_negative() { column.is_null() } else { column.is_not_null() })
}

fn id(column: &str, id: Option<Vec<u8>>, condition: &Condition) -> Result<Expr> {
    if condition.value == Value::Anything {
        return present(ident(column), condition);
    }
    let id = id.ok_or_else(|| Error::invalid_at(condition.value_at, "this is no id"))?;
    equality(ident(column), literal(&id), condition)
}

fn nanos(column: &str, condition: &Condition) -> Result<Expr> {
    if condition.value == Value::Anything {
        return present(ident(column), condition);
    }
    let nanos = parse_duration(condition.value.text());
    let nanos = nanos.ok_or_else(|| Error::invalid_at(condition.value_at, "this is no duration"))?;
    Ok(binary(ident(column), operator(condition)?, lit(nanos)))
}

fn count(column: &str, condition: &Condition) -> Result<Expr> {
    if condition.value == Value::Anything {
        return present(ident(column), condition);
    }
    let n: i32 =
        condition.value.text().parse().map_err(|_| Error::invalid_at(condition.value_at, "this is no number"))?;
    Ok(binary(ident(column), operator(condition)?, lit(n)))
}

/// A queue among those of a journey, which are a JSON list.
fn queue(condition: &Condition) -> Result<Expr> {
    let list = || ident("queues");
    let Value::Text(value) = &condition.value else {
        let none = list().eq(lit("[]"));
        return Ok(if condition.op.is_negative() { none } else { none.is_not_true() });
    };
    let quoted = serde_json::to_string(value).unwrap_or_default();
    Ok(match condition.op {
        Op::Eq => contains(list(), &quoted, false),
        Op::NotEq => contains(list(), &quoted, false).is_not_true(),
        // Inside of a name, without the quotes around it.
        Op::Contains => contains(list(), quoted.trim_matches('"'), true),
        Op::NotContains => contains(list(), quoted.trim_matches('"'), true).is_not_true(),
        _ => return text(list(), condition),
    })
}

/// A condition on the events or links of a span: one of them must hold it; none for `!=`.
fn nested(column: &str, member: Nested, condition: &Condition) -> Result<Expr> {
    let value = condition.value.text();
    let test = match (condition.op, &condition.value) {
        (_, Value::Anything) => Test::Present,
        (Op::Eq | Op::NotEq, _) => Test::Equals(value.to_owned()),
        (Op::Contains | Op::NotContains, _) => Test::contains(value),
        (Op::Matches | Op::NotMatches, _) => Test::Matches(regex(condition)?),
        (Op::Gt | Op::GtEq | Op::Lt | Op::LtEq, _) => Test::Order(operator(condition)?, number_of(condition)?),
    };
    let counted = if column == "events" { "event_count" } else { "link_count" };
    let found = ident(counted).gt(lit(0)).and(any_nested(ident(column), member, test));
    Ok(if condition.op.is_negative() { found.is_not_true() } else { found })
}

fn number_of(condition: &Condition) -> Result<f64> {
    number(condition.value.text()).ok_or_else(|| Error::invalid_at(condition.value_at, "this is no number"))
}

fn regex(condition: &Condition) -> Result<regex::Regex> {
    super::filter::regex(condition.value.text()).map_err(|(_, detail)| Error::invalid_at(condition.value_at, detail))
}

/// A condition on an attribute that may stand in several places: one of them must hold it, or none for `!=`.
fn attribute(key: &str, condition: &Condition, places: &[On], table: &'static Table) -> Result<Expr> {
    let one = |on: &On| -> Result<Expr> {
        let is_item = *on == On::Item;
        let whole = || if is_item { attribute_text(key, table) } else { resource_text(key, table) };
        if condition.value == Value::Anything {
            return present(whole()?, condition);
        }
        if condition.op.is_order() {
            let number = if is_item { attribute_number(key, table) } else { resource_number(key, table) };
            return order(number?, condition);
        }
        let value = condition.value.text();
        if condition.op == Op::Eq
            && is_item
            && let Some((column, Kind::Label | Kind::Text)) = attribute_column(key, table)
            && !may_be_of_other_type(value)
        {
            return Ok(ident(column).eq(lit(value)));
        }
        if matches!(condition.op, Op::Eq | Op::NotEq)
            && is_item
            && let Some(is) = attribute_is(key, value, table)
        {
            return Ok(if condition.op == Op::Eq { is } else { is.is_not_true() });
        }
        text(whole()?, condition)
    };
    let parts = places.iter().map(one).collect::<Result<Vec<_>>>()?;
    let is_negative = condition.op.is_negative();
    let joined = parts.into_iter().reduce(|a, b| if is_negative { a.and(b) } else { a.or(b) });
    joined.ok_or_else(|| Error::Internal("an attribute stands nowhere".to_owned()))
}

/// True when a number, boolean or list may be shown as this text. Only such a value of a promoted text attribute
/// stands outside of its column.
fn may_be_of_other_type(value: &str) -> bool {
    value.is_empty()
        || value.parse::<f64>().is_ok()
        || matches!(value, "true" | "false")
        || value.starts_with(['[', '{', '"'])
}

fn order(column: Expr, condition: &Condition) -> Result<Expr> {
    Ok(binary(column, operator(condition)?, lit(number_of(condition)?)))
}

fn text(column: Expr, condition: &Condition) -> Result<Expr> {
    let Value::Text(value) = &condition.value else { return present(column, condition) };
    match condition.op {
        Op::Eq => Ok(column.eq(lit(value))),
        Op::NotEq => Ok(binary(column, Operator::IsDistinctFrom, lit(value))),
        Op::Contains => Ok(contains(column, value, true)),
        Op::NotContains => Ok(contains(column, value, true).is_not_true()),
        Op::Matches => Ok(binary(column, Operator::RegexMatch, lit(value))),
        Op::NotMatches => Ok(binary(column, Operator::RegexMatch, lit(value)).is_not_true()),
        Op::Gt | Op::GtEq | Op::Lt | Op::LtEq => {
            Err(Error::invalid_at(condition.value_at, format!("{} is text", condition.field)))
        }
    }
}

/// Equality of a column; where it is null, `!=` holds.
fn equality(column: Expr, value: Expr, condition: &Condition) -> Result<Expr> {
    Ok(if condition.op.is_negative() { binary(column, Operator::IsDistinctFrom, value) } else { column.eq(value) })
}

/// Contains the text, taken literally.
fn contains(column: Expr, value: &str, any_case: bool) -> Expr {
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
    Expr::Like(Like::new(false, Box::new(column), Box::new(pattern), None, any_case))
}

fn operator(condition: &Condition) -> Result<Operator> {
    Ok(match condition.op {
        Op::Eq => Operator::Eq,
        Op::NotEq => Operator::IsDistinctFrom,
        Op::Gt => Operator::Gt,
        Op::GtEq => Operator::GtEq,
        Op::Lt => Operator::Lt,
        Op::LtEq => Operator::LtEq,
        Op::Contains | Op::NotContains | Op::Matches | Op::NotMatches => {
            let detail = format!("{} takes = != > >= < <=", condition.field);
            return Err(Error::invalid_at(condition.value_at, detail));
        }
    })
}

fn binary(left: Expr, op: Operator, right: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr { left: Box::new(left), op, right: Box::new(right) })
}
