//! The collector's own traces, kept where everybody else's are: one for each request that is looked at, with what storing it took.
//!
//! ```text
//! request ─▶ layer over the routes ─▶ span POST /v1/traces       at most `own_traces_per_s`
//!                                       ├ decode  waiting for a turn, and decoding
//!                                       └ append  until storage has synced it
//!                                  │ queue of finished traces, bounded
//!                                  ▼
//!                        every second: encode ─▶ to_batches ─▶ Appender::append
//! ```
//!
//! **No loop.** What is kept here goes to storage as a batch, not as a request: no layer sees it, so it makes no trace of its own. One
//! trace is stored for one request of somebody else, whatever it is about.
//!
//! Off unless `collector.own_traces_per_s` is more than 0; then nothing of this is in the way of a request. Names are closed sets: routes as they
//! are declared, never what was asked for. A trace begins here: what a peer says of its own trace is not taken up, because its tenant is
//! another.
//!
//! Limits: [`QUEUE_TRACES_MAX`] traces wait, [`STEPS_MAX`] steps of each; more are counted and left out. What cannot be stored is counted, too.

use std::future::Future;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use http::{HeaderMap, Method};
use model::semconv::key;
use model::{TenantId, UnixNanos};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message as _;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::ingest::{Encoding, Ingest};
use crate::outcome::Signal;

/// The name under which the collector is a service.
const SERVICE: &str = "hodoscope";
/// Finished traces that wait to be stored: a second of the highest rate that makes sense.
const QUEUE_TRACES_MAX: usize = 1024;
/// Steps of one trace: a large request is appended in several goes.
const STEPS_MAX: usize = 32;
/// How long finished traces are gathered.
const GATHER: Duration = Duration::from_secs(1);

tokio::task_local! {
    /// Steps of the request that this task answers, when it is looked at.
    static STEPS: Arc<Mutex<Vec<Step>>>;
}

/// A part of answering a request.
#[derive(Debug)]
struct Step {
    name: &'static str,
    start: UnixNanos,
    end: UnixNanos,
}

/// A request that was answered.
#[derive(Debug)]
struct Finished {
    method: &'static str,
    /// As the route is declared; `None` when nothing is there.
    route: Option<String>,
    status: u16,
    /// gRPC status, where one stands in the head: of refusals.
    grpc_status: Option<i64>,
    start: UnixNanos,
    end: UnixNanos,
    steps: Vec<Step>,
}

/// Looks at requests, and hands what it saw to the task that stores it. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct OwnTraces {
    ingest: Arc<Ingest>,
    finished: mpsc::Sender<Finished>,
    taken: Arc<Mutex<Taken>>,
}

/// How many requests were looked at in the second that began then.
#[derive(Debug)]
struct Taken {
    since: Instant,
    n: u64,
}

/// The task that stores own traces; to be closed before storage is.
#[derive(Debug)]
pub struct OwnTracesTask {
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
}

impl OwnTracesTask {
    /// Stores what waits, and ends.
    pub async fn close(self) {
        self.stop.cancel();
        if let Some(task) = self.task
            && let Err(error) = task.await
        {
            tracing::error!(%error, "own traces ended early");
        }
    }
}

/// Starts looking, if the settings say so.
pub(crate) fn start(ingest: &Arc<Ingest>) -> (Option<OwnTraces>, OwnTracesTask) {
    let stop = CancellationToken::new();
    if ingest.config.own_traces_per_s == 0 {
        return (None, OwnTracesTask { stop, task: None });
    }
    let (finished, queue) = mpsc::channel(QUEUE_TRACES_MAX);
    let taken = Arc::new(Mutex::new(Taken { since: Instant::now(), n: 0 }));
    let task = tokio::spawn(store(Arc::clone(ingest), queue, stop.clone()));
    (Some(OwnTraces { ingest: Arc::clone(ingest), finished, taken }), OwnTracesTask { stop, task: Some(task) })
}

/// Looks at the requests to these routes.
pub(crate) fn over(own: Option<&OwnTraces>, routes: Router) -> Router {
    match own {
        Some(own) => routes.layer(from_fn_with_state(own.clone(), look)),
        None => routes,
    }
}

/// Remembers how long `work` took, when the request it belongs to is looked at.
pub(crate) async fn step<T>(ingest: &Ingest, name: &'static str, work: impl Future<Output = T>) -> T {
    let Ok(steps) = STEPS.try_with(Arc::clone) else { return work.await };
    let start = ingest.now();
    let done = work.await;
    let mut steps = locked(&steps);
    if steps.len() < STEPS_MAX {
        steps.push(Step { name, start, end: ingest.now() });
    }
    done
}

async fn look(State(own): State<OwnTraces>, request: Request, next: Next) -> Response {
    if !locked(&own.taken).takes(own.ingest.config.own_traces_per_s, Instant::now()) {
        return next.run(request).await;
    }
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let (method, start) = (known(request.method()), own.ingest.now());
    let steps = Arc::new(Mutex::new(Vec::new()));
    let answer = STEPS.scope(Arc::clone(&steps), next.run(request)).await;
    let steps = std::mem::take(&mut *locked(&steps));
    let (status, grpc_status, end) = (answer.status().as_u16(), grpc_status(answer.headers()), own.ingest.now());
    own.keep(Finished { method, route, status, grpc_status, start, end, steps });
    answer
}

impl Taken {
    /// True for the first `per_s` requests of a second.
    fn takes(&mut self, per_s: u64, now: Instant) -> bool {
        if now.saturating_duration_since(self.since) >= Duration::from_secs(1) {
            *self = Self { since: now, n: 0 };
        }
        self.n += 1;
        self.n <= per_s
    }
}

impl OwnTraces {
    fn keep(&self, finished: Finished) {
        let n_spans = 1 + finished.steps.len() as u64;
        if self.finished.try_send(finished).is_err() {
            self.ingest.metrics.own_spans_dropped.fetch_add(n_spans, Ordering::Relaxed);
        }
    }
}

/// Stores finished traces until it is told to stop and nothing waits any more.
async fn store(ingest: Arc<Ingest>, mut queue: mpsc::Receiver<Finished>, stop: CancellationToken) {
    let mut gathered = Vec::new();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            n = queue.recv_many(&mut gathered, QUEUE_TRACES_MAX) => if n == 0 { break },
        }
        tokio::select! { () = stop.cancelled() => break, () = tokio::time::sleep(GATHER) => {} }
        while gathered.len() < QUEUE_TRACES_MAX
            && let Ok(more) = queue.try_recv()
        {
            gathered.push(more);
        }
        append(&ingest, gathered.drain(..)).await;
    }
    while let Ok(more) = queue.try_recv() {
        gathered.push(more);
    }
    append(&ingest, gathered.drain(..)).await;
}

async fn append(ingest: &Ingest, finished: impl Iterator<Item = Finished>) {
    let spans: Vec<Span> = finished.flat_map(spans).collect();
    if spans.is_empty() {
        return;
    }
    let n_spans = spans.len() as u64;
    let body = request(spans).encode_to_vec();
    let kept = async {
        // The settings were checked.
        let tenant = TenantId::new(&ingest.config.own_traces_tenant).unwrap_or_else(TenantId::default_tenant);
        let batches = ingest.batches_of_own(Signal::Traces, Encoding::Protobuf, &body)?;
        Ok::<_, crate::Error>(ingest.append_own(&tenant, batches).await?)
    };
    if let Err(error) = kept.await {
        tracing::debug!(%error, n_spans, "own traces are not stored");
        ingest.metrics.own_spans_dropped.fetch_add(n_spans, Ordering::Relaxed);
    }
}

/// A trace of a request: the span of its answer, and of each step.
fn spans(finished: Finished) -> impl Iterator<Item = Span> {
    let Finished { method, route, status, grpc_status, start, end, steps } = finished;
    let trace_id = rand::random::<[u8; 16]>().to_vec();
    let span_id = || (rand::random::<u64>() | 1).to_be_bytes().to_vec();
    let made = |name: String, start: UnixNanos, end: UnixNanos| Span {
        trace_id: trace_id.clone(),
        span_id: span_id(),
        name,
        kind: SpanKind::Internal.into(),
        start_time_unix_nano: start.0.unsigned_abs(),
        end_time_unix_nano: end.0.unsigned_abs(),
        ..Span::default()
    };
    let name = route.as_ref().map_or_else(|| method.to_owned(), |route| format!("{method} {route}"));
    let mut root = Span { kind: SpanKind::Server.into(), ..made(name, start, end) };
    root.attributes.push(text(key::HTTP_METHOD, method));
    root.attributes.push(int(key::HTTP_STATUS, i64::from(status)));
    root.attributes.extend(route.map(|route| text(key::HTTP_ROUTE, &route)));
    root.attributes.extend(grpc_status.map(|status| int(key::GRPC_STATUS, status)));
    // Ours: a refusal that the peer has earned is none.
    if status >= 500 || grpc_status.is_some_and(|status| [2, 13, 14, 15].contains(&status)) {
        root.status = Some(Status { code: StatusCode::Error.into(), ..Status::default() });
    }
    let parent = root.span_id.clone();
    let steps: Vec<Span> = steps
        .into_iter()
        .map(|step| Span { parent_span_id: parent.clone(), ..made(step.name.to_owned(), step.start, step.end) })
        .collect();
    std::iter::once(root).chain(steps)
}

fn request(spans: Vec<Span>) -> ExportTraceServiceRequest {
    let attributes = vec![text(key::SERVICE_NAME, SERVICE), text(key::SERVICE_VERSION, env!("CARGO_PKG_VERSION"))];
    let scope = InstrumentationScope { name: module_path!().to_owned(), ..InstrumentationScope::default() };
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource { attributes, ..Resource::default() }),
            scope_spans: vec![ScopeSpans { scope: Some(scope), spans, schema_url: String::new() }],
            schema_url: String::new(),
        }],
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn int(key: &str, value: i64) -> KeyValue {
    attribute(key, Value::IntValue(value))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// Methods are a closed set, as the conventions want it.
fn known(method: &Method) -> &'static str {
    const KNOWN: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("_OTHER")
}

fn grpc_status(head: &HeaderMap) -> Option<i64> {
    head.get("grpc-status")?.to_str().ok()?.parse().ok()
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many a second, and anew in the next one.
    #[test]
    fn requests_are_taken_by_the_second() {
        let now = Instant::now();
        let mut taken = Taken { since: now, n: 0 };
        let took = |taken: &mut Taken, at: Instant| (0..10).filter(|_| taken.takes(3, at)).count();
        assert_eq!((took(&mut taken, now), took(&mut taken, now + Duration::from_millis(999))), (3, 0));
        assert_eq!(took(&mut taken, now + Duration::from_secs(1)), 3);
    }

    /// S18: a method that nobody knows and a path that is not there have no name of their own; failures of ours are errors, refusals are not.
    #[test]
    fn names_are_closed_sets() {
        assert_eq!(known(&Method::from_bytes(b"BREW").expect("a method")), "_OTHER");
        let finished = |status, grpc_status| Finished {
            method: "POST",
            route: None,
            status,
            grpc_status,
            start: UnixNanos(1),
            end: UnixNanos(2),
            steps: vec![Step { name: "decode", start: UnixNanos(1), end: UnixNanos(2) }],
        };
        for (status, grpc_status, is_error) in
            [(200, None, false), (400, None, false), (503, None, true), (200, Some(3), false), (200, Some(14), true)]
        {
            let all: Vec<Span> = spans(finished(status, grpc_status)).collect();
            assert_eq!((all.len(), all[0].name.as_str(), all[1].name.as_str()), (2, "POST", "decode"));
            assert!(all[1].parent_span_id == all[0].span_id && all[1].trace_id == all[0].trace_id);
            assert_eq!(all[0].status.is_some(), is_error, "{status} {grpc_status:?}");
        }
    }
}
