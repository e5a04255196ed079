//! `GET /api/search`: traces or spans by a filter text, newest or slowest first, page by page.
//!
//! | file         | knows                                                                      |
//! |--------------|----------------------------------------------------------------------------|
//! | `filter.rs`  | the filter text: pure                                                      |
//! | `compile.rs` | conditions to expressions: pure                                            |
//! | `cursor.rs`  | where a page ended                                                         |
//! | `spans.rs`   | pages of spans                                                             |
//! | `traces.rs`  | pages of traces                                                            |
//! | `summary.rs` | a trace in a list, from its spans in bounded memory                        |
//!
//! A trace matches when one of its spans matches all conditions and starts in the range. The store is never
//! grouped as a whole: the newest (or slowest) matching spans are read first, then the spans of the few traces
//! they belong to.

mod compile;
mod cursor;
mod filter;
mod spans;
mod summary;
#[cfg(test)]
mod tests;
mod traces;

use std::collections::BTreeMap;
use std::time::Instant;

use api::SearchAnswer;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;
use datafusion::prelude::{DataFrame, ident};
use model::{TenantId, TimeRange, UnixNanos};
use storage::table::SPANS;

use crate::engine::Engine;
use crate::engine::session::{Cost, Session, incomplete};
use crate::error::{Error, Result};
use crate::tables::{Bounds, UTC};
use crate::times::parse_range;
use cursor::Cursor;
use filter::{Condition, Field, Op};

/// Hits of a page.
const LIMIT_DEFAULT: usize = 50;
const LIMIT_MAX: usize = 200;

/// What is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Unit {
    Traces,
    Spans,
}

/// What stands first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Sort {
    Newest,
    Slowest,
}

/// A search, checked.
#[derive(Clone, Debug)]
pub struct Question {
    unit: Unit,
    sort: Sort,
    limit: usize,
    range: TimeRange,
    conditions: Vec<Condition>,
    filters: Vec<Expr>,
    /// Tells this search from others.
    identity: u64,
    cursor: Option<Cursor>,
}

impl Question {
    /// Reads the parameters of a request; those it does not know are passed over.
    ///
    /// # Errors
    /// [`Error::Invalid`]; for the filter text with a position.
    pub fn from_params(params: &BTreeMap<String, String>, now: UnixNanos) -> Result<Self> {
        let text = |name: &str| params.get(name).map(|text| text.trim()).filter(|text| !text.is_empty());
        let unit = match text("unit") {
            None | Some("traces") => Unit::Traces,
            Some("spans") => Unit::Spans,
            Some(_) => return Err(Error::invalid("unit is traces or spans")),
        };
        let sort = match text("sort") {
            None | Some("newest") => Sort::Newest,
            Some("slowest") => Sort::Slowest,
            Some(_) => return Err(Error::invalid("sort is newest or slowest")),
        };
        let limit = match text("limit") {
            None => LIMIT_DEFAULT,
            Some(limit) => match limit.parse() {
                Ok(limit @ 1..=LIMIT_MAX) => limit,
                _ => return Err(Error::invalid(format!("limit is a number from 1 to {LIMIT_MAX}"))),
            },
        };
        let query = params.get("q").map(String::as_str).unwrap_or_default();
        let conditions = filter::parse(query)?;
        let filters = compile::compile(&conditions)?;
        let identity = cursor::identity((unit, sort, query, text("from"), text("to")));
        let cursor = text("cursor").map(|text| Cursor::from_text(text, identity)).transpose()?;
        let range = match &cursor {
            Some(cursor) => cursor.range(),
            // Whoever names a trace wants it, whenever it was.
            None if names_a_trace(&conditions) && text("from").is_none() && text("to").is_none() => TimeRange::ALL,
            None => parse_range(text("from"), text("to"), now)?,
        };
        Ok(Self { unit, sort, limit, range, conditions, filters, identity, cursor })
    }

    /// Filters on the columns of spans: the range and every condition.
    fn filters(&self) -> Vec<Expr> {
        let mut filters = Vec::new();
        if self.range != TimeRange::ALL {
            filters.push(ident("start_time").gt_eq(moment(self.range.start.0)));
            filters.push(ident("start_time").lt(moment(self.range.end.0)));
        }
        filters.extend(self.filters.iter().cloned());
        filters
    }

    /// Spans that match.
    fn matching(&self, session: &Session) -> Result<DataFrame> {
        let mut frame = session.table(&SPANS)?;
        for filter in self.filters() {
            frame = frame.filter(filter)?;
        }
        Ok(frame)
    }

    fn cursor_at(&self, start: i64, trace_id: model::TraceId) -> Cursor {
        Cursor::new(self.identity, self.range, start, trace_id)
    }
}

fn names_a_trace(conditions: &[Condition]) -> bool {
    conditions.iter().any(|condition| condition.field == Field::TraceId && condition.op == Op::Eq)
}

/// A moment as a literal.
fn moment(nanos: i64) -> Expr {
    Expr::Literal(ScalarValue::TimestampNanosecond(Some(nanos), Some(UTC.into())), None)
}

/// One page.
#[derive(Debug, Default)]
struct Page {
    items: Vec<api::SearchItem>,
    next: Option<Cursor>,
    cost: Cost,
    /// Why hits may be missing.
    cut: Option<String>,
}

impl Engine {
    /// One page of hits.
    ///
    /// # Errors
    /// The limits of the configuration.
    pub async fn search(&self, tenant: &TenantId, question: Question) -> Result<SearchAnswer> {
        let started = Instant::now();
        let answer = self.run(tenant, move |session| async move {
            tracing::debug!(conditions = question.conditions.len(), "search");
            let page = match question.unit {
                Unit::Spans => spans::page(&session, &question).await?,
                Unit::Traces => traces::page(&session, &question).await?,
            };
            let segments = session.snapshot.table(&SPANS).map(|entry| &*entry.segments).unwrap_or_default();
            let bounds = Bounds::from_filters(SPANS.time, &question.filters());
            let n_read = segments.iter().filter(|segment| bounds.may_hold(segment)).count();
            let (incomplete, incomplete_reason) = incomplete(&session.snapshot, page.cut);
            Ok(SearchAnswer {
                items: page.items,
                next_cursor: page.next.map(|cursor| cursor.to_text()),
                incomplete,
                incomplete_reason,
                elapsed_ms: 0.0,
                rows_read: page.cost.rows_read,
                segments_read: n_read as u64,
                segments_total: segments.len() as u64,
            })
        });
        let answer = answer.await?;
        Ok(SearchAnswer { elapsed_ms: started.elapsed().as_secs_f64() * 1e3, ..answer })
    }
}
