//! `GET /api/search`: journeys, traces or spans by a filter text, newest or slowest first, page by page.
//!
//! | file         | knows                                                                      |
//! |--------------|----------------------------------------------------------------------------|
//! | `filter.rs`  | the filter text: pure                                                      |
//! | `compile.rs` | conditions to expressions: pure                                            |
//! | `cursor.rs`  | where a page ended                                                         |
//! | `spans.rs`   | pages of spans                                                             |
//! | `traces.rs`  | pages of traces, the slowest first                                         |
//! | `newest.rs`  | pages of traces, the newest first                                          |
//! | `journeys.rs` | pages of journeys                                                         |
//! | `summary.rs` | a trace in a list, from its spans in bounded memory                        |
//! | `items.rs`   | what histogram, facets and "what differs" count                            |
//! | `histogram.rs` | items over time and duration                                             |
//! | `facets.rs`  | attributes with counts; what differs between a selection and the rest      |
//! | `tally.rs`   | counting attributes in one pass and bounded memory                         |
//!
//! A trace matches when one of its spans matches all conditions and starts in the range. The store is never
//! grouped as a whole: the newest (or slowest) matching spans are read first, then the spans of the few traces
//! they belong to.

pub(crate) mod compile;
mod cursor;
mod facets;
pub(crate) mod filter;
mod histogram;
pub(crate) mod items;
pub(crate) mod journeys;
mod newest;
pub(crate) mod spans;
mod summary;
mod tally;
#[cfg(test)]
mod tests;
pub(crate) mod traces;

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
use crate::functions::while_decoding;
use crate::tables::{Bounds, UTC};
use crate::times::parse_range;
use cursor::Cursor;
pub use facets::{DiffersQuestion, FacetsQuestion};
use filter::{Field, Filter, Member, Op};
pub use histogram::Picture;

/// Hits of a page.
const LIMIT_DEFAULT: usize = 50;
const LIMIT_MAX: usize = 200;

/// What is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Unit {
    Journeys,
    Traces,
    Spans,
}

/// What stands first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Sort {
    Newest,
    Slowest,
    /// Most failed spans first. Journeys only.
    Errors,
}

/// What a question is about: unit, filter and range.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    pub(crate) unit: Unit,
    range: TimeRange,
    /// Conditions on spans, as expressions over their columns.
    pub(crate) conditions: Vec<Expr>,
    /// Conditions on journeys, as expressions over their columns.
    pub(crate) of_journeys: Vec<Expr>,
}

impl Scope {
    /// Reads `unit`, `q`, `from` and `to`.
    ///
    /// # Errors
    /// [`Error::Invalid`]; for the filter text with a position.
    pub(crate) fn read<'a>(text: &impl Fn(&str) -> Option<&'a str>, now: UnixNanos) -> Result<Self> {
        let unit = match text("unit") {
            None | Some("traces") => Unit::Traces,
            Some("spans") => Unit::Spans,
            Some("journeys") => Unit::Journeys,
            Some(_) => return Err(Error::invalid("unit is journeys, traces or spans")),
        };
        let filter = filter::parse(text("q").unwrap_or_default())?;
        let compiled = compile::compile(filter.as_ref(), unit)?;
        let range = if names_a_trace(filter.as_ref()) && text("from").is_none() && text("to").is_none() {
            // Whoever names a trace wants it, whenever it was.
            TimeRange::ALL
        } else {
            parse_range(text("from"), text("to"), now)?
        };
        Ok(Self { unit, range, conditions: compiled.spans, of_journeys: compiled.journeys })
    }

    /// The same question about another range.
    pub(crate) fn within(&self, range: TimeRange) -> Self {
        Self { range, ..self.clone() }
    }

    /// True when every span of the range matches.
    const fn is_everything(&self) -> bool {
        self.conditions.is_empty()
    }

    /// True when every item of the range matches.
    pub(crate) const fn has_no_conditions(&self) -> bool {
        self.conditions.is_empty() && self.of_journeys.is_empty()
    }

    /// Filters on the columns of spans: the range and every condition.
    fn filters(&self) -> Vec<Expr> {
        let mut filters = Vec::new();
        if self.range != TimeRange::ALL {
            filters.push(ident("start_time").gt_eq(moment(self.range.start.0)));
            filters.push(ident("start_time").lt(moment(self.range.end.0)));
        }
        filters.extend(self.conditions.iter().map(|condition| while_decoding(condition.clone(), &SPANS)));
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
}

/// A search, checked.
#[derive(Clone, Debug)]
pub struct Question {
    scope: Scope,
    sort: Sort,
    limit: usize,
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
        let mut scope = Scope::read(&text, now)?;
        let sort = match text("sort") {
            None | Some("newest") => Sort::Newest,
            Some("slowest") => Sort::Slowest,
            Some("errors") if scope.unit == Unit::Journeys => Sort::Errors,
            Some("errors") => {
                return Err(Error::invalid("sort=errors is known of journeys only: ask with unit=journeys"));
            }
            Some(_) => return Err(Error::invalid("sort is newest, slowest or errors")),
        };
        let limit = match text("limit") {
            None => LIMIT_DEFAULT,
            Some(limit) => match limit.parse() {
                Ok(limit @ 1..=LIMIT_MAX) => limit,
                _ => return Err(Error::invalid(format!("limit is a number from 1 to {LIMIT_MAX}"))),
            },
        };
        let query = params.get("q").map(String::as_str).unwrap_or_default();
        let identity = cursor::identity((scope.unit, sort, query, text("from"), text("to")));
        let cursor = text("cursor").map(|text| Cursor::from_text(text, identity)).transpose()?;
        if let Some(cursor) = &cursor {
            scope.range = cursor.range();
        }
        Ok(Self { scope, sort, limit, identity, cursor })
    }

    /// Spans that match.
    fn matching(&self, session: &Session) -> Result<DataFrame> {
        self.scope.matching(session)
    }

    fn cursor_at(&self, start: i64, trace_id: model::TraceId) -> Cursor {
        Cursor::new(self.identity, self.scope.range, start, trace_id)
    }
}

fn names_a_trace(filter: Option<&Filter>) -> bool {
    let names = |part: &Filter| match part {
        Filter::Is(condition) => condition.field == Field::Named(Member::TraceId) && condition.op == Op::Eq,
        _ => false,
    };
    filter.is_some_and(|filter| filter.conjuncts().iter().any(names))
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
            tracing::debug!(conditions = question.scope.conditions.len(), "search");
            let page = match question.scope.unit {
                Unit::Journeys => journeys::page(&session, &question).await?,
                Unit::Spans => spans::page(&session, &question).await?,
                Unit::Traces => traces::page(&session, &question).await?,
            };
            let segments = session.snapshot.table(&SPANS).map(|entry| &*entry.segments).unwrap_or_default();
            let bounds = Bounds::from_filters(SPANS.time, &question.scope.filters());
            let n_read = segments.iter().filter(|segment| bounds.may_hold(segment)).count();
            let (incomplete, incomplete_reason) = incomplete(&session.snapshot, session.noted(page.cut.as_deref()));
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
