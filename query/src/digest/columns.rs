//! A look as batches of the derived tables: one function per table, one line per column. Pure.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanArray, Float64Array, Int32Array, Int64Array, Int64Builder, ListBuilder,
    StringArray, StringDictionaryBuilder,
};
use arrow::datatypes::{DataType, Field, Int32Type};
use model::{SpanId, TraceId, UnixNanos};
use serde_json::json;
use storage::Batch;
use storage::table::{CALLS, DIGEST_PROGRESS, DIGEST_TRACES, EDGE_MINUTE_PARTS, FINDINGS, HOPS, JOURNEYS, SEGMENTS};

use super::look::Look;
use super::rollup::{Counts, MINUTE, Parts};
use crate::analysis::calls::Missing;
use crate::analysis::node::Node;
use crate::error::{Error, Result};

/// Columns of one table, each as long as the others.
type Columns = Vec<(&'static str, ArrayRef)>;

fn ints<T>(rows: &[T], value: impl Fn(&T) -> i64) -> ArrayRef {
    Arc::new(rows.iter().map(value).collect::<Int64Array>())
}

fn maybe_ints<T>(rows: &[T], value: impl Fn(&T) -> Option<i64>) -> ArrayRef {
    Arc::new(rows.iter().map(value).collect::<Int64Array>())
}

fn shorts<T>(rows: &[T], value: impl Fn(&T) -> i32) -> ArrayRef {
    Arc::new(rows.iter().map(value).collect::<Int32Array>())
}

fn bools<T>(rows: &[T], value: impl Fn(&T) -> Option<bool>) -> ArrayRef {
    Arc::new(rows.iter().map(value).collect::<BooleanArray>())
}

fn floats<T>(rows: &[T], value: impl Fn(&T) -> f64) -> ArrayRef {
    Arc::new(rows.iter().map(value).collect::<Float64Array>())
}

fn texts<T>(rows: &[T], value: impl Fn(&T) -> String) -> ArrayRef {
    Arc::new(rows.iter().map(|row| Some(value(row))).collect::<StringArray>())
}

fn maybe_texts<T>(rows: &[T], value: impl Fn(&T) -> Option<String>) -> ArrayRef {
    Arc::new(rows.iter().map(value).collect::<StringArray>())
}

fn labels<'a, T, S: AsRef<str>>(rows: &'a [T], value: impl Fn(&'a T) -> Option<S>) -> ArrayRef {
    let mut builder = StringDictionaryBuilder::<Int32Type>::new();
    rows.iter().for_each(|row| builder.append_option(value(row)));
    Arc::new(builder.finish())
}

fn traces<T>(rows: &[T], value: impl Fn(&T) -> Option<TraceId>) -> ArrayRef {
    let mut builder = BinaryBuilder::with_capacity(rows.len(), rows.len() * TraceId::BYTES);
    rows.iter().for_each(|row| builder.append_option(value(row).as_ref().map(|id| &id.as_bytes()[..])));
    Arc::new(builder.finish())
}

fn spans<T>(rows: &[T], value: impl Fn(&T) -> Option<SpanId>) -> ArrayRef {
    let mut builder = BinaryBuilder::with_capacity(rows.len(), rows.len() * SpanId::BYTES);
    rows.iter().for_each(|row| builder.append_option(value(row).as_ref().map(|id| &id.as_bytes()[..])));
    Arc::new(builder.finish())
}

/// Histograms: bucket, count, bucket, count.
fn counts<'a, T>(rows: &'a [T], value: impl Fn(&'a T) -> &'a Counts) -> ArrayRef {
    let item = Arc::new(Field::new("element", DataType::Int64, false));
    let mut builder = ListBuilder::new(Int64Builder::new()).with_field(item);
    for row in rows {
        for (bucket, count) in &value(row).0 {
            builder.values().append_value(i64::from(*bucket));
            builder.values().append_value(*count);
        }
        builder.append(true);
    }
    Arc::new(builder.finish())
}

fn json_list<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> String {
    json!(items.into_iter().map(|item| item.as_ref().to_owned()).collect::<Vec<_>>()).to_string()
}

fn batch(table: &'static storage::table::Table, n_rows: usize, columns: Columns) -> Result<Option<Batch>> {
    if n_rows == 0 {
        return Ok(None);
    }
    let made = Batch::from_columns(table, n_rows, columns);
    made.map(Some).map_err(|error| Error::Internal(format!("the digest made rows that do not fit: {error}")))
}

/// Every relation of a look, tables without rows left out.
///
/// # Errors
/// When the columns here and those of the tables differ: a bug.
pub(crate) fn relations(look: &Look<'_>) -> Result<Vec<Batch>> {
    let made = [journeys(look)?, calls(look)?, hops(look)?, segments(look)?, findings(look)?];
    Ok(made.into_iter().flatten().collect())
}

fn calls(look: &Look<'_>) -> Result<Option<Batch>> {
    let (rows, graph) = (&look.calls[..], &look.analysis.graph);
    let id = |span: Option<usize>| span.map(|span| look.span_id(span));
    let srv_end = |server: Option<usize>| server.map(|server| graph.spans[server].end());
    let missing = |missing| match missing {
        Missing::Nothing => "nothing",
        Missing::Server => "server",
        Missing::Client => "client",
        Missing::Caller => "caller",
        Missing::Entry => "entry",
    };
    let is_loopback = |span: usize| graph.spans[span].facts.host.as_deref().is_some_and(is_loopback);
    let columns: Columns = vec![
        ("time", ints(rows, |(call, _)| call.start)),
        ("journey", traces(rows, |(_, trace)| Some(look.journey_of(*trace)))),
        ("trace", traces(rows, |(_, trace)| Some(*trace))),
        ("revision", shorts(rows, |(_, trace)| look.revision(*trace))),
        ("client_span", spans(rows, |(call, _)| id(call.client))),
        ("server_span", spans(rows, |(call, _)| id(call.server))),
        ("entry_span", spans(rows, |(call, _)| id(call.entry))),
        ("parent_span", spans(rows, |(call, _)| id(call.parent))),
        ("src", labels(rows, |(call, _)| Some(call.source.as_str()))),
        ("dst", labels(rows, |(call, _)| Some(call.target.as_str()))),
        ("style", labels(rows, |(call, _)| Some(call.style.as_str()))),
        ("protocol", labels(rows, |(call, _)| Some(call.protocol.as_str()))),
        ("system", labels(rows, |(call, _)| Some(call.system.as_ref()))),
        ("op", labels(rows, |(call, _)| Some(&*call.op))),
        ("start", ints(rows, |(call, _)| call.start)),
        ("end", ints(rows, |(call, _)| call.end)),
        ("dur", ints(rows, |(call, _)| call.duration())),
        ("srv_end", maybe_ints(rows, |(call, _)| srv_end(call.server))),
        ("srv_dur", maybe_ints(rows, |(call, _)| call.server_nanos)),
        ("network", maybe_ints(rows, |(call, _)| call.network_nanos)),
        ("error", bools(rows, |(call, _)| Some(call.is_error))),
        ("fault", bools(rows, |(call, _)| Some(call.is_fault))),
        ("timeout", bools(rows, |(call, _)| Some(call.is_timeout))),
        ("contract_fail", bools(rows, |(call, _)| Some(call.is_contract_failure))),
        ("status", labels(rows, |(call, _)| call.status.as_deref())),
        ("resend", ints(rows, |(call, _)| call.resend_count)),
        ("attempts", ints(rows, |(call, _)| call.attempts as i64)),
        ("scheme", labels(rows, |(call, _)| call.scheme.as_deref())),
        ("secure", bools(rows, |(call, _)| call.is_secure)),
        ("mesh", bools(rows, |(call, _)| Some(call.is_through_mesh))),
        ("loopback", bools(rows, |(call, _)| Some(is_loopback(call.span())))),
        ("client_ver", labels(rows, |(call, _)| call.client_version.as_deref())),
        ("server_ver", labels(rows, |(call, _)| call.server_version.as_deref())),
        ("request_bytes", maybe_ints(rows, |(call, _)| call.request_bytes)),
        ("response_bytes", maybe_ints(rows, |(call, _)| call.response_bytes)),
        ("flags", labels(rows, |(call, _)| call.proxy_flags.as_deref())),
        ("missing", labels(rows, |(call, _)| Some(missing(call.missing)))),
        ("inferred", bools(rows, |(call, _)| Some(call.is_inferred))),
        ("weight", floats(rows, |(call, _)| call.weight)),
        ("environment", labels(rows, |(call, _)| call.environment(graph).map(|environment| &**environment))),
    ];
    batch(&CALLS, rows.len(), columns)
}

/// The host is the machine of the caller.
fn is_loopback(host: &str) -> bool {
    host == "localhost" || host == "::1" || host.starts_with("127.")
}

fn hops(look: &Look<'_>) -> Result<Option<Batch>> {
    let (rows, messages) = (&look.hops[..], &look.analysis.messages);
    let known = |span: usize| &look.analysis.graph.spans[span];
    let delivery = |hop: &crate::analysis::hops::Hop| &messages.deliveries[hop.delivery];
    let sent_queue = |hop: &crate::analysis::hops::Hop| {
        let class = &known(hop.send?).class;
        let queue = Node::queue(&class.system, class.destination.as_deref()?);
        (queue != delivery(hop).queue).then(|| queue.to_string())
    };
    let source = |send: Option<usize>| send.map_or_else(Node::unknown, |send| Node::service(&known(send).service));
    let columns: Columns = vec![
        ("time", ints(rows, |(hop, _)| delivery(hop).received)),
        ("journey", traces(rows, |(_, trace)| Some(look.journey_of(*trace)))),
        ("trace", traces(rows, |(_, trace)| Some(*trace))),
        ("revision", shorts(rows, |(_, trace)| look.revision(*trace))),
        ("send_trace", traces(rows, |(hop, _)| Some(hop.context.0))),
        ("send_span", spans(rows, |(hop, _)| hop.send.map(|send| look.span_id(send)))),
        ("consumer_span", spans(rows, |(hop, _)| Some(look.span_id(hop.consumer)))),
        ("prev_span", spans(rows, |(hop, _)| hop.prev.map(|prev| look.span_id(messages.hops[prev].consumer)))),
        ("src", labels(rows, |(hop, _)| Some(source(hop.send).to_string()))),
        ("dst", labels(rows, |(hop, _)| Some(Node::service(&known(hop.consumer).service).to_string()))),
        ("queue", labels(rows, |(hop, _)| Some(delivery(hop).queue.as_str()))),
        ("sent_queue", labels(rows, |(hop, _)| sent_queue(hop))),
        ("system", labels(rows, |(hop, _)| Some(known(hop.consumer).class.system.as_ref()))),
        ("op", labels(rows, |(hop, _)| Some(&*known(hop.consumer).class.op))),
        ("grp", labels(rows, |(hop, _)| delivery(hop).group.as_deref())),
        ("message", texts(rows, |(hop, _)| look.message(hop))),
        ("sent", maybe_ints(rows, |(hop, _)| hop.send.map(|send| known(send).end()))),
        ("received", ints(rows, |(hop, _)| delivery(hop).received)),
        ("finished", ints(rows, |(hop, _)| known(hop.consumer).end())),
        ("lag", ints(rows, |(hop, _)| hop.lag)),
        ("overlap", bools(rows, |(hop, _)| Some(hop.is_overlap))),
        ("broker_wait", maybe_ints(rows, |(hop, _)| hop.broker_wait)),
        ("attempt", ints(rows, |(hop, _)| hop.attempt as i64)),
        ("attempts", ints(rows, |(hop, _)| hop.attempts as i64)),
        ("error", bools(rows, |(hop, _)| Some(known(hop.consumer).is_error))),
        ("fault", bools(rows, |(hop, _)| Some(known(hop.consumer).is_fault))),
        ("joined_by", labels(rows, |(hop, _)| Some(hop.joined_by.as_str()))),
        ("producer_ver", labels(rows, |(hop, _)| hop.send.and_then(|send| known(send).version.as_deref()))),
        ("consumer_ver", labels(rows, |(hop, _)| known(hop.consumer).version.as_deref())),
        (
            "body_bytes",
            maybe_ints(rows, |(hop, _)| {
                let bytes = |span: usize| known(span).facts.message.as_ref().and_then(|message| message.body_bytes);
                bytes(hop.consumer).or_else(|| hop.send.and_then(bytes))
            }),
        ),
        (
            "contract_fail",
            bools(rows, |(hop, _)| {
                let consumer = known(hop.consumer);
                Some(consumer.is_error && consumer.facts.is_contract_failure)
            }),
        ),
        ("environment", labels(rows, |(hop, _)| known(hop.consumer).environment.as_deref())),
    ];
    batch(&HOPS, rows.len(), columns)
}

fn segments(look: &Look<'_>) -> Result<Option<Batch>> {
    let rows: Vec<_> =
        look.journeys.iter().flat_map(|row| row.segments().map(move |(path, segment)| (row, path, segment))).collect();
    let rows = &rows[..];
    let known = |row: &super::look::JourneyRow, segment: &crate::analysis::critical_path::Segment| {
        &look.analysis.graph.spans[row.journey.scene.spans[segment.span]]
    };
    let columns: Columns = vec![
        ("time", ints(rows, |(_, _, segment)| segment.start)),
        ("journey", traces(rows, |(row, ..)| Some(row.journey.origin))),
        ("trace", traces(rows, |(row, _, segment)| Some(known(row, segment).span.trace_id))),
        ("revision", shorts(rows, |(row, ..)| row.owner.revision)),
        ("path", labels(rows, |(_, path, _)| Some(*path))),
        ("span", spans(rows, |(row, _, segment)| Some(known(row, segment).span.span_id))),
        ("node", labels(rows, |(row, _, segment)| Some(row.journey.node_of(look.analysis, segment).to_string()))),
        ("kind", labels(rows, |(_, _, segment)| Some(segment.kind.as_str()))),
        ("protocol", labels(rows, |(row, _, segment)| Some(known(row, segment).class.protocol.as_str()))),
        ("op", labels(rows, |(row, _, segment)| Some(&*known(row, segment).class.op))),
        ("start", ints(rows, |(_, _, segment)| segment.start)),
        ("end", ints(rows, |(_, _, segment)| segment.end)),
    ];
    batch(&SEGMENTS, rows.len(), columns)
}

fn journeys(look: &Look<'_>) -> Result<Option<Batch>> {
    let rows = &look.journeys[..];
    let touched: Vec<_> = rows.iter().map(|row| row.touched(look.analysis)).collect();
    let root =
        |row: &super::look::JourneyRow| &look.analysis.graph.spans[row.journey.scene.spans[row.journey.scene.root]];
    let start = |row: &super::look::JourneyRow| row.journey.scene.start[row.journey.scene.root];
    let list = |of: &dyn Fn(usize) -> String| -> ArrayRef {
        let at: Vec<usize> = (0..rows.len()).collect();
        labels(&at, |at| Some(of(*at)))
    };
    let members =
        |row: &super::look::JourneyRow| json_list(row.journey.members.iter().map(|member| member.trace.to_hex()));
    let columns: Columns = vec![
        ("time", ints(rows, start)),
        ("journey", traces(rows, |row| Some(row.journey.origin))),
        ("revision", shorts(rows, |row| row.owner.revision)),
        ("name", labels(rows, |row| Some(&*row.journey.name))),
        ("service", labels(rows, |row| Some(&*root(row).service))),
        ("root_span", spans(rows, |row| Some(root(row).span.span_id))),
        ("kind", shorts(rows, |row| root(row).span.kind.code())),
        ("protocol", labels(rows, |row| Some(root(row).class.protocol.as_str()))),
        ("status", labels(rows, |row| root(row).facts.status_text())),
        ("start", ints(rows, start)),
        ("end", ints(rows, |row| start(row).saturating_add(row.journey.settled_nanos))),
        ("response", ints(rows, |row| row.journey.response_nanos)),
        ("settled", ints(rows, |row| row.journey.settled_nanos)),
        ("wait", ints(rows, |row| row.journey.wait_nanos())),
        ("error", bools(rows, |row| Some(root(row).is_error))),
        ("fault", bools(rows, |row| Some(root(row).is_fault))),
        ("spans", ints(rows, |row| row.journey.scene.len() as i64)),
        ("errors", ints(rows, |row| row.errors(look.analysis) as i64)),
        ("traces", ints(rows, |row| row.journey.members.len() as i64)),
        ("calls", ints(rows, |row| row.journey.calls.len() as i64)),
        ("hops", ints(rows, |row| row.journey.hops.len() as i64)),
        ("n_services", {
            let counts: Vec<i64> = touched.iter().map(|(services, _)| services.len() as i64).collect();
            ints(&counts, |count| *count)
        }),
        ("services", list(&|at| json_list(&touched[at].0))),
        ("queues", list(&|at| json_list(&touched[at].1))),
        ("findings", ints(rows, |row| row.findings.len() as i64)),
        ("worst_finding", labels(rows, |row| row.findings.first().map(|finding| finding.name.as_str()))),
        ("worst_severity", labels(rows, |row| row.findings.first().map(|finding| finding.severity.as_str()))),
        ("confidence", labels(rows, |row| Some(row.journey.confidence.as_str()))),
        ("other_inputs", ints(rows, |row| row.journey.other_inputs as i64)),
        ("truncated", labels(rows, |row| row.journey.cuts.first().map(|cut| cut.reason.as_str()))),
        ("early", bools(rows, |row| Some(row.owner.early))),
        ("members", texts(rows, members)),
        ("environment", labels(rows, |row| root(row).environment.as_deref())),
    ];
    batch(&JOURNEYS, rows.len(), columns)
}

fn findings(look: &Look<'_>) -> Result<Option<Batch>> {
    let rows: Vec<_> =
        look.journeys.iter().flat_map(|row| row.findings.iter().map(move |finding| (row, finding))).collect();
    let rows = &rows[..];
    let known = |span: &usize| &look.analysis.graph.spans[*span];
    let start = |row: &super::look::JourneyRow| row.journey.scene.start[row.journey.scene.root];
    let scope = |scope| match scope {
        crate::analysis::findings::Scope::Journey => "journey",
        crate::analysis::findings::Scope::Window => "window",
    };
    let numbers = |finding: &crate::analysis::findings::Finding| {
        let numbers = finding.numbers.iter().map(|(name, number)| ((*name).to_owned(), number.to_json()));
        serde_json::Value::Object(numbers.collect()).to_string()
    };
    let columns: Columns = vec![
        (
            "time",
            ints(rows, |(row, finding)| finding.spans.first().map_or_else(|| start(row), |span| known(span).start())),
        ),
        ("journey", traces(rows, |(row, _)| Some(row.journey.origin))),
        ("revision", shorts(rows, |(row, _)| row.owner.revision)),
        ("id", labels(rows, |(_, finding)| Some(finding.name.as_str()))),
        ("severity", labels(rows, |(_, finding)| Some(finding.severity.as_str()))),
        ("scope", labels(rows, |(_, finding)| Some(scope(finding.scope)))),
        ("service", labels(rows, |(_, finding)| finding.spans.first().map(|span| &*known(span).service))),
        ("op", labels(rows, |(_, finding)| finding.spans.first().map(|span| &*known(span).class.op))),
        ("summary", texts(rows, |(_, finding)| finding.summary.clone())),
        ("spans", texts(rows, |(_, finding)| json_list(finding.spans.iter().map(|at| look.span_id(*at).to_hex())))),
        ("numbers", texts(rows, |(_, finding)| numbers(finding))),
    ];
    batch(&FINDINGS, rows.len(), columns)
}

/// Sums per minute.
///
/// # Errors
/// As [`relations`].
pub(crate) fn minute_parts(parts: &Parts, number: i64) -> Result<Option<Batch>> {
    let rows: Vec<_> = parts.0.iter().collect();
    let rows = &rows[..];
    let columns: Columns = vec![
        ("time", ints(rows, |(key, _)| key.minute.saturating_mul(MINUTE))),
        ("batch", ints(rows, |_| number)),
        ("src", labels(rows, |(key, _)| Some(&key.src))),
        ("dst", labels(rows, |(key, _)| Some(&key.dst))),
        ("protocol", labels(rows, |(key, _)| Some(&key.protocol))),
        ("system", labels(rows, |(key, _)| Some(&key.system))),
        ("op", labels(rows, |(key, _)| Some(&key.op))),
        ("count", ints(rows, |(_, sums)| sums.count)),
        ("errors", ints(rows, |(_, sums)| sums.errors)),
        ("faults", ints(rows, |(_, sums)| sums.faults)),
        ("request_bytes", ints(rows, |(_, sums)| sums.request_bytes)),
        ("response_bytes", ints(rows, |(_, sums)| sums.response_bytes)),
        ("durations", counts(rows, |(_, sums)| &sums.durations)),
        ("networks", counts(rows, |(_, sums)| &sums.networks)),
        ("lags", counts(rows, |(_, sums)| &sums.lags)),
        ("first_seen", ints(rows, |(_, sums)| sums.first_seen.unwrap_or_default())),
        ("last_seen", ints(rows, |(_, sums)| sums.last_seen.unwrap_or_default())),
        ("slowest", ints(rows, |(_, sums)| sums.slowest.map_or(0, |(nanos, _)| nanos))),
        ("slowest_journey", traces(rows, |(_, sums)| sums.slowest.map(|(_, journey)| journey))),
        ("failed", maybe_ints(rows, |(_, sums)| sums.failed.map(|(start, _)| start))),
        ("failed_journey", traces(rows, |(_, sums)| sums.failed.map(|(_, journey)| journey))),
        ("environment", labels(rows, |(key, _)| Some(&*key.environment).filter(|text| !text.is_empty()))),
    ];
    batch(&EDGE_MINUTE_PARTS, rows.len(), columns)
}

/// Which traces were looked at, and what each added.
///
/// # Errors
/// As [`relations`].
pub(crate) fn trace_rows(look: &Look<'_>, number: i64, now: i64) -> Result<Option<Batch>> {
    let rows = &look.traces[..];
    let columns: Columns = vec![
        ("time", ints(rows, |_| now)),
        ("trace_id", traces(rows, |row| Some(row.trace))),
        ("journey", traces(rows, |row| Some(row.journey))),
        ("revision", shorts(rows, |row| row.owner.revision)),
        ("batch", ints(rows, |_| number)),
        ("spans", ints(rows, |row| row.spans as i64)),
        ("arrival_max", ints(rows, |row| row.owner.arrival_max)),
        ("start", ints(rows, |row| row.start)),
        ("end", ints(rows, |row| row.end)),
        ("early", bools(rows, |row| Some(row.owner.early))),
        ("sums", texts(rows, |row| row.parts.to_text())),
        ("awaits", maybe_texts(rows, |row| (!row.awaits.is_empty()).then(|| json!(row.awaits).to_string()))),
    ];
    batch(&DIGEST_TRACES, rows.len(), columns)
}

/// How much later than its arrival a row may become visible: an append is answered within 4 s.
const ARRIVAL_SLACK: i64 = 10 * UnixNanos::SECOND;

/// One batch of the digest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Until when what had become visible was taken, nanoseconds since 1970.
    pub(crate) time: i64,
    /// Its number, from 1.
    pub(crate) batch: i64,
    /// Spans that arrived earlier are at rest.
    pub(crate) arrival_low: i64,
    /// Traces looked at.
    pub(crate) traces: i64,
    /// Spans looked at.
    pub(crate) spans: i64,
    /// Traces that were at rest before.
    pub(crate) late: i64,
    /// Traces that had not settled.
    pub(crate) early: i64,
}

impl Progress {
    /// Spans that arrived earlier are counted in this batch or one before: they are at rest, and were visible when the
    /// digest took what there was.
    pub(crate) fn counted_until(&self) -> i64 {
        self.arrival_low.min(self.time.saturating_sub(ARRIVAL_SLACK))
    }
}

/// # Errors
/// As [`relations`].
pub(crate) fn progress(progress: Progress) -> Result<Option<Batch>> {
    let rows = &[progress][..];
    let columns: Columns = vec![
        ("time", ints(rows, |row| row.time)),
        ("batch", ints(rows, |row| row.batch)),
        ("arrival_low", ints(rows, |row| row.arrival_low)),
        ("traces", ints(rows, |row| row.traces)),
        ("spans", ints(rows, |row| row.spans)),
        ("late", ints(rows, |row| row.late)),
        ("early", ints(rows, |row| row.early)),
    ];
    batch(&DIGEST_PROGRESS, rows.len(), columns)
}
