//! Attributes with counts, and what differs between a selection and everything else.
//!
//! Both count the same items as the histogram (`items.rs`). Items of traces and journeys are told by their root: the
//! root span's attributes, the journey's own columns.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Instant;

use api::{
    AttributePlace as Place, DiffersAnswer, DiffersAttribute, DiffersRequest, DiffersValue, Facet, FacetValue,
    FacetsAnswer,
};
use arrow::array::RecordBatch;
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::logical_expr::Expr;
use datafusion::prelude::ident;
use model::semconv::{self, On, key};
use model::{TenantId, UnixNanos};
use storage::table::SPANS;

use super::items::{self, Items, Plot};
use super::tally::{self, Counted, Keys, Read, Source, Tally, Values, Wanted, canonical};
use super::{Scope, Unit, filter};
use crate::engine::Engine;
use crate::engine::session::{Cost, Session, incomplete};
use crate::error::{Error, Result};
use crate::tables::walk::{self, Walk};
use crate::times::parse_moment;

/// Values of a facet when nobody says, and at most.
const VALUES: (usize, usize) = (10, 1_000);
/// Attributes of an answer when nobody says, and at most.
const ATTRIBUTES: (usize, usize) = (20, 200);
/// Facets of `keys=*`.
const FACETS_MAX: usize = 200;
/// Keys that may be asked for.
const KEYS_MAX: usize = 100;
/// Values of an attribute that differs.
const DIFFERING_VALUES: usize = 5;
/// Shares of fewer items say little.
const SELECTED_MIN: u64 = 20;

/// Facets of spans and traces when nobody says: fields, then promoted attributes.
const FACETS: &[&str] = &[
    key::HTTP_METHOD,
    key::HTTP_ROUTE,
    key::HTTP_STATUS,
    key::RPC_SYSTEM,
    key::RPC_METHOD,
    key::DB_SYSTEM,
    key::MESSAGING_SYSTEM,
    key::MESSAGING_DESTINATION,
    key::ERROR_TYPE,
    key::SERVICE_VERSION,
    key::DEPLOYMENT_ENVIRONMENT,
];

/// Fields of an item that are no attributes, in the order in which they are shown.
fn fields(unit: Unit) -> Vec<Source> {
    match unit {
        Unit::Spans | Unit::Traces => vec![
            Source::field("status", "status_code", Read::Status),
            Source::field("service", "service_name", Read::AsIs),
            Source::field("name", "name", Read::AsIs),
            Source::field("kind", "kind", Read::Kind),
            Source::field("exception", "exception_type", Read::AsIs),
        ],
        Unit::Journeys => vec![
            Source::field("journey:status", "error", Read::Failed),
            Source::field("service", "services", Read::JsonList),
            Source::field("journey:queue", "queues", Read::JsonList),
            Source::field("journey:service", "service", Read::AsIs),
            Source::field("journey:name", "name", Read::AsIs),
            Source::field("journey:protocol", "protocol", Read::AsIs),
            Source::field("journey:result", "status", Read::AsIs),
            Source::field("journey:finding", "worst_finding", Read::AsIs),
        ],
    }
}

/// What is counted when nobody says.
fn usual(unit: Unit) -> Wanted {
    let mut sources = fields(unit);
    if unit != Unit::Journeys {
        sources.extend(FACETS.iter().filter_map(|key| semconv::find(key)).filter_map(Source::promoted));
    }
    Wanted { sources, ..Wanted::default() }
}

/// Every attribute.
fn everything(unit: Unit) -> Wanted {
    let mut sources = fields(unit);
    if unit == Unit::Journeys {
        return Wanted { sources, ..Wanted::default() };
    }
    sources.extend(tally::promoted_on_spans());
    Wanted { sources, listed: Keys::All, resource: Keys::All }
}

/// The attributes with these names: fields, `span.key`, `resource.key`, or a key alone, which may stand on both.
fn named(unit: Unit, names: &str) -> Result<Wanted> {
    let mut wanted = Wanted::default();
    let names: Vec<&str> = names.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    if names.len() > KEYS_MAX {
        return Err(Error::invalid(format!(
            "at most {KEYS_MAX} keys can be asked for at once; keys=* counts all of them"
        )));
    }
    for name in names {
        if let Some(field) = fields(unit).into_iter().find(|field| field.key == name) {
            wanted.sources.push(field);
            continue;
        }
        if unit == Unit::Journeys {
            let known: Vec<String> = fields(unit).into_iter().map(|field| field.key).collect();
            let known = known.join(", ");
            return Err(Error::invalid(format!(
                "facets of journeys are {known}; other attributes have facets with unit=spans"
            )));
        }
        let (on_span, on_resource) = (name.strip_prefix("span."), name.strip_prefix("resource."));
        let key = canonical(on_span.or(on_resource).unwrap_or(name));
        let convention = semconv::find(key);
        match convention.and_then(Source::promoted) {
            Some(source) if on_span.is_none() || source.place == Place::Span => wanted.sources.push(source),
            _ => {
                let is_on = |on: On| convention.is_none_or(|convention| convention.on == on);
                if on_resource.is_none() && (on_span.is_some() || is_on(On::Item)) {
                    wanted.listed.add(key);
                }
                if on_span.is_none() && (on_resource.is_some() || is_on(On::Resource)) {
                    wanted.resource.add(key);
                }
            }
        }
    }
    Ok(wanted)
}

/// Counts the items of a question.
async fn count(session: &Session, scope: &Scope, wanted: &Wanted, plot: Plot, brush: Brush) -> Result<(Counted, Cost)> {
    let mut names: Vec<&'static str> = wanted.sources.iter().map(|source| source.column).collect();
    if wanted.listed != Keys::None {
        names.push("attributes");
    }
    if wanted.resource != Keys::None {
        names.push("resource");
    }
    let pool = std::sync::Arc::clone(&session.context.runtime_env().memory_pool);
    let start = {
        let wanted = wanted.clone();
        move || Tally::new(wanted.clone(), MemoryConsumer::new("attribute counts").register(&pool))
    };
    let add = move |tally: &mut Tally, batch: &RecordBatch, items: &Items| {
        let is_selected: Vec<bool> = (0..items.len()).map(|row| brush.holds(items, row)).collect();
        tally.add(batch, &is_selected)
    };
    if scope.unit == Unit::Spans {
        let mut columns: Vec<&'static str> = names.iter().copied().chain(items::span_columns()).collect();
        columns.sort_unstable();
        columns.dedup();
        let walk = Walk { table: &SPANS, range: scope.range, columns: &columns, conditions: &scope.conditions };
        let each = move |tally: &mut Tally, batch: RecordBatch| add(tally, &batch, &Items::of_spans(&batch));
        if let Some((parts, cost)) = walk::fold(session, walk, &start, each).await? {
            return Ok((Tally::merged(parts), cost));
        }
    }
    names.sort_unstable();
    names.dedup();
    let mut columns = items::columns(scope.unit, plot);
    columns.extend(names.into_iter().map(ident).collect::<Vec<Expr>>());
    let frame = items::frame(session, scope).await?.select(columns)?;
    let plan = session.plan(frame.logical_plan()).await?;
    let (parts, cost) = session
        .fold_parts(plan, start, move |tally, batch| {
            add(tally, &batch, &Items::of(&batch))?;
            Ok(ControlFlow::Continue(()))
        })
        .await?;
    Ok((Tally::merged(parts), cost))
}

/// The condition that keeps items with a value; `None` when the language has none.
fn condition(place: Place, key: &str, op: &str, value: &str, is_cut: bool) -> Option<String> {
    let field = match place {
        Place::Field if filter::is_field(key) => key.to_owned(),
        Place::Field => return None,
        Place::Span => filter::attribute("span", key),
        Place::Resource => filter::attribute("resource", key),
    };
    let op = match (op, is_cut) {
        ("=", true) => "~",
        ("!=", true) => "!~",
        (op, _) => op,
    };
    Some(format!("{field}{op}{}", filter::quoted(value)))
}

/// The condition that keeps items without an attribute, or leaves them out.
fn absent(place: Place, key: &str, op: &str) -> Option<String> {
    let any = condition(place, key, "=", "x", false)?;
    let field = any.strip_suffix("=x")?;
    Some(format!("{field}{}*", if op == "=" { "!=" } else { "=" }))
}

const CUT: &str = "some attributes were not counted because there are too many different ones; ask for fewer with keys=, or narrow the \
     question";

/// A question about facets.
#[derive(Clone, Debug)]
pub struct FacetsQuestion {
    scope: Scope,
    wanted: Wanted,
    /// Everything was asked for: the most frequent first.
    is_everything: bool,
    values: usize,
}

impl FacetsQuestion {
    /// Reads the parameters of a request; those it does not know are passed over.
    ///
    /// # Errors
    /// [`Error::Invalid`]; for the filter text with a position.
    pub fn from_params(params: &BTreeMap<String, String>, now: UnixNanos) -> Result<Self> {
        let text = |name: &str| params.get(name).map(|text| text.trim()).filter(|text| !text.is_empty());
        let scope = Scope::read(&text, now)?;
        let values = limit(text("limit"), VALUES)?;
        let wanted = match text("keys") {
            None => usual(scope.unit),
            Some("*") => everything(scope.unit),
            Some(names) => named(scope.unit, names)?,
        };
        Ok(Self { scope, wanted, is_everything: text("keys") == Some("*"), values })
    }
}

fn limit(given: Option<&str>, (default, most): (usize, usize)) -> Result<usize> {
    match given.map(str::parse) {
        None => Ok(default),
        Some(Ok(n)) if (1..=most).contains(&n) => Ok(n),
        Some(_) => Err(Error::invalid(format!("limit is a number from 1 to {most}"))),
    }
}

fn facet((place, key): (Place, String), values: &Values, limit: usize) -> Facet {
    let mut counted: Vec<(&str, u64)> = values.counts.iter().map(|(value, n)| (&**value, n[0] + n[1])).collect();
    counted.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
    counted.truncate(limit);
    let value = |(value, count): (&str, u64)| FacetValue {
        value: value.to_owned(),
        count,
        filter: condition(place, &key, "=", value, tally::is_cut(value)),
    };
    Facet {
        place,
        count: values.present[0] + values.present[1],
        distinct: values.distinct(),
        many: values.is_many,
        values: counted.into_iter().map(value).collect(),
        key,
    }
}

impl Engine {
    /// Attributes of the items of a question, with counts.
    ///
    /// # Errors
    /// The limits of the configuration.
    pub async fn facets(&self, tenant: &TenantId, question: FacetsQuestion) -> Result<FacetsAnswer> {
        let started = Instant::now();
        let answer = self.run(tenant, move |session| async move {
            let FacetsQuestion { scope, wanted, is_everything, values } = &question;
            let (counted, cost) = count(&session, scope, wanted, Plot::Answer, Brush::NOTHING).await?;
            let order: Vec<(Place, &str)> =
                wanted.sources.iter().map(|source| (source.place, source.key.as_str())).collect();
            let mut cut = counted.is_cut;
            let attributes = counted.attributes.into_iter();
            let mut facets: Vec<Facet> =
                attributes.map(|(attribute, counts)| facet(attribute, &counts, *values)).collect();
            if *is_everything {
                facets.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| (a.place, &a.key).cmp(&(b.place, &b.key))));
                cut |= facets.len() > FACETS_MAX;
                facets.truncate(FACETS_MAX);
            } else {
                let place = |facet: &Facet| order.iter().position(|known| *known == (facet.place, facet.key.as_str()));
                facets.sort_by_key(|facet| place(facet).unwrap_or(usize::MAX));
            }
            let (incomplete, incomplete_reason) = told(&session, cut);
            let count = counted.total[0] + counted.total[1];
            Ok(FacetsAnswer {
                count,
                facets,
                incomplete,
                incomplete_reason,
                elapsed_ms: 0.0,
                rows_read: cost.rows_read,
            })
        });
        let answer = answer.await?;
        Ok(FacetsAnswer { elapsed_ms: started.elapsed().as_secs_f64() * 1e3, ..answer })
    }

    /// Attributes by how much they differ between a selection and everything else.
    ///
    /// # Errors
    /// The limits of the configuration.
    pub async fn differs(&self, tenant: &TenantId, question: DiffersQuestion) -> Result<DiffersAnswer> {
        let started = Instant::now();
        let answer = self.run(tenant, move |session| async move {
            let DiffersQuestion { scope, plot, brush, limit } = &question;
            let (counted, cost) = count(&session, scope, &everything(scope.unit), *plot, *brush).await?;
            let (incomplete, incomplete_reason) = told(&session, counted.is_cut);
            let total = counted.total;
            Ok(DiffersAnswer {
                selected: total[0],
                outside: total[1],
                too_few: total[0] < SELECTED_MIN,
                attributes: ranked(counted, *limit),
                incomplete,
                incomplete_reason,
                elapsed_ms: 0.0,
                rows_read: cost.rows_read,
            })
        });
        let answer = answer.await?;
        Ok(DiffersAnswer { elapsed_ms: started.elapsed().as_secs_f64() * 1e3, ..answer })
    }
}

fn told(session: &Session, is_cut: bool) -> (bool, Option<String>) {
    let reasons = [is_cut.then(|| CUT.to_owned()), session.derived.reason()];
    let reason = reasons.into_iter().flatten().reduce(|a, b| format!("{a}; {b}"));
    incomplete(&session.snapshot, session.noted(reason.as_deref()))
}

/// What is selected.
#[derive(Clone, Copy, Debug)]
struct Brush {
    start: i64,
    end: i64,
    min: u64,
    /// Inclusive, so that "no bound" holds every value.
    max: u64,
    error: Option<bool>,
}

impl Brush {
    /// Holds no item.
    const NOTHING: Self = Self { start: i64::MAX, end: i64::MIN, min: u64::MAX, max: 0, error: None };

    fn read(brush: &api::Brush, now: UnixNanos) -> Result<Self> {
        let moment = |text: &Option<String>, open: i64| match text.as_deref().filter(|text| !text.trim().is_empty()) {
            None => Ok(open),
            Some(text) => parse_moment(text, now).map(|moment| moment.0),
        };
        let read = Self {
            start: moment(&brush.from, i64::MIN)?,
            end: moment(&brush.to, i64::MAX)?,
            min: brush.min_nanos.unwrap_or(0),
            max: match brush.max_nanos {
                None => u64::MAX,
                Some(0) => return Err(Error::invalid("the brush is empty: max_nanos must be greater than 0")),
                Some(max) => max - 1,
            },
            error: brush.error,
        };
        if read.start >= read.end || read.min > read.max {
            return Err(Error::invalid("the brush is empty: from must be before to, and min_nanos below max_nanos"));
        }
        Ok(read)
    }

    fn holds(&self, items: &Items, row: usize) -> bool {
        let (start, value) = (items.start(row), items.value(row));
        start >= self.start
            && start < self.end
            && value >= self.min
            && value <= self.max
            && self.error.is_none_or(|error| items.is_error(row) == error)
    }
}

/// A question about a selection.
#[derive(Clone, Debug)]
pub struct DiffersQuestion {
    scope: Scope,
    plot: Plot,
    brush: Brush,
    limit: usize,
}

impl DiffersQuestion {
    /// Reads a request.
    ///
    /// # Errors
    /// [`Error::Invalid`]; for the filter text with a position.
    pub fn from_request(request: &DiffersRequest, now: UnixNanos) -> Result<Self> {
        let text = |name: &str| {
            let given = match name {
                "unit" => &request.unit,
                "q" => &request.q,
                "from" => &request.from,
                "to" => &request.to,
                _ => &None,
            };
            given.as_deref().map(str::trim).filter(|text| !text.is_empty())
        };
        let scope = Scope::read(&text, now)?;
        let plot = Plot::read(request.plot.as_deref(), scope.unit)?;
        let brush = Brush::read(&request.brush, now)?;
        let limit = match request.limit {
            None => ATTRIBUTES.0,
            Some(n) if (1..=ATTRIBUTES.1).contains(&n) => n,
            Some(_) => return Err(Error::invalid(format!("limit is a number from 1 to {}", ATTRIBUTES.1))),
        };
        Ok(Self { scope, plot, brush, limit })
    }
}

fn share(n: u64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { n as f64 / of as f64 }
}

/// Attributes by their largest gap; equal ones by place and key, so that the answer does not depend on chance.
fn ranked(counted: Counted, limit: usize) -> Vec<DiffersAttribute> {
    let total = counted.total;
    let gap = |value: &DiffersValue| (value.selected_share - value.outside_share).abs();
    let by_gap = |a: &DiffersValue, b: &DiffersValue| {
        let by_gap = gap(b).partial_cmp(&gap(a)).unwrap_or(Ordering::Equal);
        by_gap.then_with(|| (b.selected, &a.value).cmp(&(a.selected, &b.value)))
    };
    let attribute = |((place, key), values): ((Place, String), Values)| {
        let value = |value: Option<&str>, n: [u64; 2]| {
            let written = |op| match value {
                Some(text) => condition(place, &key, op, text, tally::is_cut(text)),
                // Absence is written as "not any value".
                None => absent(place, &key, op),
            };
            DiffersValue {
                selected: n[0],
                outside: n[1],
                selected_share: share(n[0], total[0]),
                outside_share: share(n[1], total[1]),
                filter: written("="),
                filter_out: written("!="),
                value: value.map(str::to_owned),
            }
        };
        let mut differing: Vec<DiffersValue> = values.counts.iter().map(|(text, n)| value(Some(text), *n)).collect();
        // A list of values per item may count an item more than once; nobody lacks it then.
        let absent = [0, 1].map(|side| total[side].saturating_sub(values.present[side]));
        if absent != [0; 2] {
            differing.push(value(None, absent));
        }
        differing.sort_by(by_gap);
        differing.truncate(DIFFERING_VALUES);
        DiffersAttribute {
            place,
            gap: differing.first().map_or(0.0, gap),
            distinct: values.distinct(),
            many: values.is_many,
            values: differing,
            key,
        }
    };
    let mut attributes: Vec<DiffersAttribute> = counted.attributes.into_iter().map(attribute).collect();
    attributes.retain(|attribute| attribute.gap > 0.0);
    attributes.sort_by(|a, b| {
        let by_gap = b.gap.partial_cmp(&a.gap).unwrap_or(Ordering::Equal);
        by_gap.then_with(|| (a.place, &a.key).cmp(&(b.place, &b.key)))
    });
    attributes.truncate(limit);
    attributes
}
