//! Pages of spans: the first of an order in which no two spans are equal.

use api::{SearchItem, SpanItem};
use arrow::array::RecordBatch;
use datafusion::prelude::ident;
use datafusion::prelude::lit;
use model::{SpanKind, StatusCode};

use super::{Page, Question, Sort, moment};
use crate::engine::session::Session;
use crate::error::Result;
use crate::trace::literal;
use crate::trace::row::{self, SpanRow};

/// # Errors
/// What went wrong while reading.
pub(super) async fn page(session: &Session, question: &Question) -> Result<Page> {
    let mut frame = question.matching(session)?;
    if let Some(cursor) = &question.cursor {
        let (start, duration) = (ident("start_time"), ident("duration_nanos"));
        let span_id = cursor.span_id.map(|id| id.as_bytes().to_vec()).unwrap_or_default();
        let same_trace = ident("trace_id").eq(literal(cursor.trace_id.as_bytes()));
        let by_id = ident("trace_id")
            .gt(literal(cursor.trace_id.as_bytes()))
            .or(same_trace.and(ident("span_id").gt(literal(&span_id))));
        let earlier = start.clone().lt(moment(cursor.start)).or(start.clone().eq(moment(cursor.start)).and(by_id));
        frame = match question.sort {
            // The first half follows from the second and prunes.
            Sort::Newest => frame.filter(start.lt_eq(moment(cursor.start)))?.filter(earlier)?,
            Sort::Slowest | Sort::Errors => frame
                .filter(duration.clone().lt_eq(lit(cursor.duration)))?
                .filter(duration.clone().lt(lit(cursor.duration)).or(duration.eq(lit(cursor.duration)).and(earlier)))?,
        };
    }
    let mut order = vec![
        ident("start_time").sort(false, false),
        ident("trace_id").sort(true, false),
        ident("span_id").sort(true, false),
    ];
    if question.sort == Sort::Slowest {
        order.insert(0, ident("duration_nanos").sort(false, false));
    }
    let n = question.limit + 1;
    let frame = frame.select(row::columns())?.sort(order)?.limit(0, Some(n))?;
    let collected = session.collect(frame, n as u64).await?;
    let mut rows: Vec<SpanRow> = collected.batches.iter().flat_map(row::read).collect();
    let has_more = rows.len() > question.limit;
    rows.truncate(question.limit);
    let next = rows.last().filter(|_| has_more).map(|last| {
        let mut cursor = question.cursor_at(last.start, last.trace_id);
        cursor.duration = last.duration;
        cursor.span_id = Some(last.span_id);
        cursor
    });
    // A span that was sent twice stands once.
    rows.dedup_by(|a, b| (a.trace_id, a.span_id, a.start, a.duration) == (b.trace_id, b.span_id, b.start, b.duration));
    Ok(Page { items: rows.into_iter().map(item).collect(), next, cost: collected.cost, cut: None })
}

/// Spans of batches with all columns, each with its start.
pub(crate) fn items(batches: &[RecordBatch]) -> Vec<(i64, SearchItem)> {
    batches.iter().flat_map(row::read).map(|row| (row.start, item(row))).collect()
}

fn item(row: SpanRow) -> SearchItem {
    SearchItem::Span(SpanItem {
        trace_id: row.trace_id,
        span_id: row.span_id,
        parent_span_id: row.parent,
        start_unix_nano: row.start.to_string(),
        duration_nanos: row.duration.unsigned_abs(),
        kind: SpanKind::word(row.kind).to_owned(),
        status: StatusCode::word(row.status).to_owned(),
        service: row.service,
        name: row.name,
        badge: row.badge,
    })
}
