//! Pages of journeys: rows of the relation `journeys`, at rest and not yet.

use api::{JourneyItem, SearchItem};
use arrow::array::{Array, AsArray, RecordBatch};
use datafusion::logical_expr::Expr;
use datafusion::prelude::{ident, lit};
use model::TraceId;

use super::{Page, Question, Sort, items, moment};
use crate::engine::session::Session;
use crate::error::Result;
use crate::rows::{Bytes, Ints, Texts};
use crate::trace::literal;

/// Columns of a journey in a list.
const COLUMNS: [&str; 20] = [
    "time",
    "journey",
    "service",
    "name",
    "protocol",
    "status",
    "start",
    "response",
    "settled",
    "wait",
    "error",
    "spans",
    "errors",
    "traces",
    "hops",
    "services",
    "queues",
    "worst_finding",
    "worst_severity",
    "revision",
];

/// # Errors
/// What went wrong while reading.
pub(super) async fn page(session: &Session, question: &Question) -> Result<Page> {
    let mut frame = items::journeys(session, &question.scope).await?;
    // First the value by which the list stands, then the start, then the id: no two journeys are equal.
    let value = match question.sort {
        Sort::Newest => None,
        Sort::Slowest => Some("settled"),
        Sort::Errors => Some("errors"),
    };
    if let Some(cursor) = &question.cursor {
        let same_start = ident("time").eq(moment(cursor.start));
        let after = same_start.and(ident("journey").gt(literal(cursor.trace_id.as_bytes())));
        let earlier = ident("time").lt(moment(cursor.start)).or(after);
        frame = match value {
            // The first half follows from the second and prunes.
            None => frame.filter(ident("time").lt_eq(moment(cursor.start)))?.filter(earlier)?,
            Some(value) => {
                let (less, same) = (ident(value).lt(lit(cursor.duration)), ident(value).eq(lit(cursor.duration)));
                frame.filter(less.or(same.and(earlier)))?
            }
        };
    }
    let mut order = vec![ident("time").sort(false, false), ident("journey").sort(true, false)];
    if let Some(value) = value {
        order.insert(0, ident(value).sort(false, false));
    }
    let n = question.limit + 1;
    let columns: Vec<Expr> = COLUMNS.iter().map(|name| ident(*name)).collect();
    let collected = session.collect(frame.select(columns)?.sort(order)?.limit(0, Some(n))?, n as u64).await?;
    let mut rows: Vec<(i64, TraceId, JourneyItem)> = collected.batches.iter().flat_map(read).collect();
    let has_more = rows.len() > question.limit;
    rows.truncate(question.limit);
    let next = rows.last().filter(|_| has_more).map(|(start, id, item)| {
        let mut cursor = question.cursor_at(*start, *id);
        cursor.duration = match question.sort {
            Sort::Newest => 0,
            Sort::Slowest => i64::try_from(item.settled_nanos).unwrap_or(i64::MAX),
            Sort::Errors => i64::try_from(item.errors).unwrap_or(i64::MAX),
        };
        cursor
    });
    let items = rows.into_iter().map(|(_, _, item)| SearchItem::Journey(item)).collect();
    Ok(Page { items, next, cost: collected.cost, cut: session.derived.reason() })
}

/// Journeys of a batch of the relation, each with its place in time and its id.
pub(crate) fn read(batch: &RecordBatch) -> Vec<(i64, TraceId, JourneyItem)> {
    let (ints, texts) = (|name| Ints::of(batch, name), |name| Texts::of(batch, name));
    let (time, start, id) = (ints("time"), ints("start"), Bytes::of(batch, "journey"));
    let (service, name, protocol, result) = (texts("service"), texts("name"), texts("protocol"), texts("status"));
    let (response, settled, wait) = (ints("response"), ints("settled"), ints("wait"));
    let (spans, errors, traces, hops) = (ints("spans"), ints("errors"), ints("traces"), ints("hops"));
    let (services, queues) = (texts("services"), texts("queues"));
    let (finding, severity) = (texts("worst_finding"), texts("worst_severity"));
    let error = batch.column_by_name("error").and_then(|column| column.as_boolean_opt().cloned());
    let count = |ints: &Ints, row| u64::try_from(ints.int(row)).unwrap_or_default();
    let list = |texts: &Texts, row| serde_json::from_str(texts.text(row)).unwrap_or_default();
    let item = |row: usize| {
        let id = id.get(row).and_then(TraceId::from_bytes)?;
        let item = JourneyItem {
            id: id.to_hex(),
            service: service.text(row).to_owned(),
            name: name.text(row).to_owned(),
            protocol: protocol.text(row).to_owned(),
            result: result.text(row).to_owned(),
            start_unix_nano: start.int(row).to_string(),
            response_nanos: count(&response, row),
            settled_nanos: count(&settled, row),
            wait_nanos: count(&wait, row),
            error: error.as_ref().is_some_and(|error| error.is_valid(row) && error.value(row)),
            spans: count(&spans, row),
            errors: count(&errors, row),
            traces: count(&traces, row),
            hops: count(&hops, row),
            services: list(&services, row),
            queues: list(&queues, row),
            worst_finding: finding.text(row).to_owned(),
            worst_severity: severity.text(row).to_owned(),
        };
        Some((time.int(row), id, item))
    };
    (0..batch.num_rows()).filter_map(item).collect()
}
