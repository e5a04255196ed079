//! REST, gRPC and messaging side by side, from the spans of a range.
//!
//! Computed from the newest spans of the range, as many as one answer may look at: what was looked at stands in
//! `from_unix_nano` and `to_unix_nano`, and an answer over less than the range says so.

use api::{StyleRow, StylesAnswer};
use model::TimeRange;

use crate::analysis::analyze;
use crate::analysis::classify::{Protocol, Style};
use crate::analysis::compare::{Row, by_edge, by_family, is_human_readable};
use crate::analysis::statistics::Distribution;
use crate::engine::session::{Session, incomplete};
use crate::error::Result;
use crate::map::environment::Environment;

use super::newest::newest_spans;

/// Rows in an answer.
const ROWS_MAX: usize = 1_000;

/// What is put side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Families: http, graphql, grpc, rpc, websocket, messaging by system.
    Family,
    /// Edges of the service map.
    Edge,
}

/// # Errors
/// What went wrong while reading.
pub(super) async fn styles(
    session: &Session,
    range: TimeRange,
    environment: &Environment,
    by: By,
) -> Result<StylesAnswer> {
    let newest = newest_spans(session, range, environment).await?;
    let looked_at = newest.looked_at;
    let analysis = analyze(newest.spans, &session.config.options());
    let window = looked_at.end.0.saturating_sub(looked_at.start.0);
    let mut rows: Vec<StyleRow> = match by {
        By::Family => by_family(&analysis)
            .into_iter()
            .map(|(family, row)| StyleRow { system: family.system, ..style_row(family.protocol, &row, window) })
            .collect(),
        By::Edge => by_edge(&analysis)
            .into_iter()
            .map(|(key, row)| StyleRow {
                system: key.system,
                source: key.source.to_string(),
                target: key.target.to_string(),
                ..style_row(key.protocol, &row, window)
            })
            .collect(),
    };
    rows.sort_by(|a, b| {
        (b.count, &a.protocol, &a.system, &a.source, &a.target).cmp(&(
            a.count,
            &b.protocol,
            &b.system,
            &b.source,
            &b.target,
        ))
    });
    rows.truncate(ROWS_MAX);
    let (incomplete, incomplete_reason) = incomplete(&session.snapshot, newest.reason);
    Ok(StylesAnswer {
        from_unix_nano: looked_at.start.0.to_string(),
        to_unix_nano: looked_at.end.0.to_string(),
        rows,
        incomplete,
        incomplete_reason,
        elapsed_ms: 0.0,
    })
}

fn style_row(protocol: Protocol, row: &Row, window_nanos: i64) -> StyleRow {
    let percentile = |values: &Distribution, q: f64| if row.has_too_few() { None } else { values.percentile(q) };
    let perceived = if row.durations.count() > 0 { &row.durations } else { &row.send_durations };
    let sizes = if row.request_bytes.count() > 0 { &row.request_bytes } else { &row.body_bytes };
    let content_type = row.content_type();
    StyleRow {
        protocol: protocol.as_str().to_owned(),
        style: row.style.as_str().to_owned(),
        count: row.count(),
        per_minute: row.per_minute(window_nanos),
        calls: row.calls,
        sends: row.sends,
        deliveries: row.deliveries,
        error_share: row.error_share(),
        p50_nanos: percentile(perceived, 0.5),
        p95_nanos: percentile(perceived, 0.95),
        p99_nanos: percentile(perceived, 0.99),
        lag_p50_nanos: percentile(&row.lags, 0.5),
        lag_p95_nanos: percentile(&row.lags, 0.95),
        end_to_end_p50_nanos: percentile(&row.end_to_end, 0.5),
        end_to_end_p95_nanos: percentile(&row.end_to_end, 0.95),
        network_share: row.network_share(),
        request_bytes_p50: percentile(sizes, 0.5),
        response_bytes_p50: percentile(&row.response_bytes, 0.5),
        content_type: content_type.map(str::to_owned),
        human_readable: is_human_readable(protocol, content_type),
        failure_coupling: row.failure_coupling(),
        fan_out: row.fan_out(),
        moving_parts: row.moving_parts as u64,
        too_few: row.has_too_few(),
        best_for: best_for(protocol, row.style).to_owned(),
        ..StyleRow::default()
    }
}

/// Advice, not measured.
const fn best_for(protocol: Protocol, style: Style) -> &'static str {
    match (protocol, style) {
        (Protocol::Http, _) => "public APIs and simple requests that people should be able to read",
        (Protocol::Graphql, _) => "clients that pick exactly the data they need from many services",
        (Protocol::Grpc | Protocol::Rpc, _) => "fast calls between services of one team, and streams",
        (Protocol::Websocket, _) => "live updates in both directions",
        (Protocol::Messaging, _) => "work that may happen later, several consumers, and load that comes in bursts",
        (_, Style::Async) => "work that may happen later",
        _ => "",
    }
}
