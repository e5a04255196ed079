//! The only place that talks HTTP.
//!
//! Every call answers with the wire type or with a [`Problem`], also when the server cannot be reached or
//! answers something else: a page never sees another kind of error. What is asked without a key waits until somebody has signed in:
//! `client/session.rs`.

pub(crate) mod session;

use api::{
    AlertHistoryAnswer, AlertRuleKept, AlertRulesAnswer, AlertsAnswer, ColorsAnswer, ColorsRequest, CompareAnswer,
    DiffersAnswer, DiffersRequest, FacetsAnswer, FindAnswer, HistogramAnswer, JourneyAnswer, MapAnswer, MetricAnswer,
    MetricsAnswer, PreviewAnswer, PreviewRequest, Problem, ProposedRulesAnswer, QueriesAnswer, QueryRequest,
    SavedQuery, SearchAnswer, ServiceAnswer, ServicesAnswer, SilenceAnswer, SilenceRequest, SilencesAnswer, SpanDetail,
    SqlAnswer, SqlRequest, StatusAnswer, TablesAnswer, Timeline,
};
use gloo_net::http::{Request, Response};
use model::{SpanId, TraceId};
use serde::de::DeserializeOwned;

use crate::view::behind;
use crate::view::namespaces::Namespaces;
use crate::view::scope::Scope;
use crate::view::stitched::Finding;
use crate::view::url::{self, ExploreState, RangeText};

/// Rows asked for at once.
pub(crate) const PAGE_ROWS: usize = 50;
/// Hits drawn one by one at most; more are drawn as cells.
const DOTS_MAX: usize = 2_000;

/// Questions that can be given up together while they are under way: the server ends what nobody waits for. The default cannot be.
#[derive(Clone, Default)]
pub(crate) struct Calls(Option<web_sys::AbortController>);

impl Calls {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self(web_sys::AbortController::new().ok())
    }

    /// Ends them; each answers with a problem.
    pub(crate) fn give_up(&self) {
        if let Some(controller) = &self.0 {
            controller.abort();
        }
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Problem> {
        let signal = self.0.as_ref().map(web_sys::AbortController::signal);
        let make = || Request::get(path).header("Accept", "application/json").abort_signal(signal.as_ref()).build();
        answer(send(make).await).await
    }
}

/// One page of hits for a view of Explore.
pub(crate) async fn search(
    state: &ExploreState,
    limit: usize,
    cursor: Option<&str>,
    calls: &Calls,
) -> Result<SearchAnswer, Problem> {
    calls.get(&format!("/api/search{}", state.api_query(limit, cursor))).await
}

/// Hits over time and duration, in at most this many columns and rows; few hits come one by one.
pub(crate) async fn histogram(
    state: &ExploreState,
    columns: usize,
    rows: usize,
    calls: &Calls,
) -> Result<HistogramAnswer, Problem> {
    let (columns, rows, dots) = (columns.to_string(), rows.to_string(), DOTS_MAX.to_string());
    let mut all = state.question();
    all.extend([("columns", columns.as_str()), ("rows", rows.as_str()), ("dots", dots.as_str())]);
    if state.unit == url::Unit::Journeys {
        all.push(("plot", state.plot.name()));
    }
    calls.get(&format!("/api/search/histogram{}", url::query_string(all))).await
}

/// What the hits have in common. `keys`: these attributes, `*` for all; empty for the usual ones.
pub(crate) async fn facets(state: &ExploreState, keys: &str, calls: &Calls) -> Result<FacetsAnswer, Problem> {
    let mut all = state.question();
    if !keys.is_empty() {
        all.push(("keys", keys));
    }
    calls.get(&format!("/api/search/facets{}", url::query_string(all))).await
}

/// Which attributes stand out in a selection.
pub(crate) async fn differs(request: &DiffersRequest) -> Result<DiffersAnswer, Problem> {
    post("/api/search/differs", request).await
}

/// Services seen in the range and environment.
pub(crate) async fn services(scope: &Scope) -> Result<ServicesAnswer, Problem> {
    get(&format!("/api/services{}", url::query_string(scope.parameters()))).await
}

/// Structure of a trace, in columns.
pub(crate) async fn timeline(trace_id: TraceId) -> Result<Timeline, Problem> {
    get(&format!("/api/traces/{trace_id}/timeline")).await
}

/// Everything about one span.
pub(crate) async fn span(trace_id: TraceId, span_id: SpanId) -> Result<SpanDetail, Problem> {
    get(&format!("/api/traces/{trace_id}/spans/{span_id}")).await
}

/// Spans of a trace that hold a text anywhere.
pub(crate) async fn find(trace_id: TraceId, text: &str) -> Result<FindAnswer, Problem> {
    get(&format!("/api/traces/{trace_id}/find{}", url::query_string([("q", text)]))).await
}

/// The journey that holds a trace; with `span`, the one in which that span's cause is followed; without the traces in `cut`, ids
/// with commas between, and with `wider` times as many traces and spans as usual.
pub(crate) async fn journey(
    trace_id: TraceId,
    span: Option<SpanId>,
    cut: &str,
    wider: usize,
) -> Result<JourneyAnswer, Problem> {
    let span = span.map(|span| span.to_hex()).unwrap_or_default();
    get(&journey_path(trace_id, &span, cut, wider)).await
}

fn journey_path(trace_id: TraceId, span: &str, cut: &str, wider: usize) -> String {
    let wider = if wider > 1 { wider.to_string() } else { String::new() };
    let all = [("span", span), ("cut", cut), ("wider", wider.as_str())];
    format!("/api/journeys/{trace_id}{}", url::query_string(all.into_iter().filter(|(_, value)| !value.is_empty())))
}

/// What the waterfall needs of a journey to show its traces as one list: which there are, the messages between them, the critical path.
#[derive(Debug, serde::Deserialize)]
pub(crate) struct Way {
    /// The trace it starts in, first; then in the order in which they were found.
    pub(crate) members: Vec<api::JourneyMember>,
    /// Messages.
    pub(crate) hops: Vec<api::JourneyHop>,
    /// What held it up.
    pub(crate) paths: api::JourneyPaths,
    /// What bounds left out.
    pub(crate) truncated: Option<serde::de::IgnoredAny>,
    /// What the server found in it.
    pub(crate) findings: Vec<Finding>,
}

/// The same as [`journey`], without reading its spans.
pub(crate) async fn way(trace_id: TraceId, cut: &str, wider: usize) -> Result<Way, Problem> {
    get(&journey_path(trace_id, "", cut, wider)).await
}

/// Two journeys side by side; `b` is a trace id or `usual`.
pub(crate) async fn compare(a: TraceId, b: &str) -> Result<CompareAnswer, Problem> {
    get(&format!("/api/compare{}", url::query_string([("a", a.to_hex().as_str()), ("b", b)]))).await
}

/// Who talks to whom in the range and environment; `vs` is the start of an earlier range of the same length.
pub(crate) async fn map(scope: &Scope, vs: Option<&str>) -> Result<MapAnswer, Problem> {
    let mut all = scope.parameters();
    all.extend(vs.map(|vs| ("vs", vs)));
    get(&format!("/api/map{}", url::query_string(all))).await
}

/// Metrics with a point in the range, at most `limit`.
pub(crate) async fn metrics(range: &RangeText, limit: usize) -> Result<MetricsAnswer, Problem> {
    let limit = limit.to_string();
    let query = [("from", range.from.as_str()), ("to", range.to.as_str()), ("limit", limit.as_str())];
    get(&format!("/api/metrics{}", url::query_string(query))).await
}

/// One metric over time; `question` holds the other parameters of the API.
pub(crate) async fn metric(name: &str, range: &RangeText, question: &[(&str, &str)]) -> Result<MetricAnswer, Problem> {
    let name = url::encode(name).replace('+', "%20");
    let mut all = vec![("from", range.from.as_str()), ("to", range.to.as_str())];
    all.extend_from_slice(question);
    get(&format!("/api/metrics/{name}{}", url::query_string(all))).await
}

/// Why an address is refused; `None` when it is answered, which is not waited for to its end: a stream has none.
pub(crate) async fn refusal(path: &str) -> Option<Problem> {
    let controller = web_sys::AbortController::new().ok()?;
    let signal = controller.signal();
    let sent = send(|| Request::get(path).abort_signal(Some(&signal)).build()).await;
    let refused = match sent {
        Ok(response) if response.ok() => None,
        sent => answer::<serde::de::IgnoredAny>(sent).await.err(),
    };
    controller.abort();
    refused
}

/// State of the collector.
pub(crate) async fn status() -> Result<StatusAnswer, Problem> {
    get("/api/status").await
}

/// Tables, views and functions of SQL.
pub(crate) async fn tables() -> Result<TablesAnswer, Problem> {
    get("/api/tables").await
}

/// Runs one statement.
pub(crate) async fn sql(request: &SqlRequest) -> Result<SqlAnswer, Problem> {
    post("/api/sql", request).await
}

/// Runs one statement; the answer as text in another format, e.g. `text/csv`.
pub(crate) async fn sql_as(request: &SqlRequest, accept: &str) -> Result<String, Problem> {
    let response =
        send(|| Request::post("/api/sql").header("Accept", accept).json(request)).await.map_err(unreachable)?;
    let status = response.status();
    let body = response.text().await.map_err(|error| unexpected(status, &error.to_string()))?;
    if response.ok() { Ok(body) } else { Err(serde_json::from_str(&body).unwrap_or_else(|_| unexpected(status, ""))) }
}

/// The namespace of each service in the range and environment.
pub(crate) async fn namespaces(scope: &Scope) -> Result<Namespaces, Problem> {
    let answer = sql(&scope.statement(behind::namespaces())).await?;
    Ok(Namespaces::read(&answer.rows))
}

/// One operation of a service over time; nothing when it was not called.
pub(crate) async fn operation(service: &str, name: &str, scope: &Scope) -> Result<Option<Box<Operation>>, Problem> {
    let node = format!("service:{service}");
    let mut all = scope.parameters();
    all.extend([("by", "operation"), ("node", node.as_str()), ("limit", "1000")]);
    let answer: Operations = get(&format!("/api/red{}", url::query_string(all))).await?;
    Ok(answer.series.into_iter().find(|series| series.operation == name).map(Box::new))
}

/// What the service page draws of an operation.
#[derive(Clone, Debug, serde::Deserialize)]
pub(crate) struct Operation {
    operation: String,
    /// Over the whole range.
    pub(crate) total: api::MapFigures,
    /// Per step.
    pub(crate) calls: Vec<u64>,
    /// Those that failed.
    pub(crate) errors: Vec<u64>,
    /// As callers perceived it.
    pub(crate) p95_nanos: Vec<Option<i64>>,
}

#[derive(serde::Deserialize)]
struct Operations {
    series: Vec<Operation>,
}

/// One service in the range and environment.
pub(crate) async fn service(name: &str, scope: &Scope) -> Result<ServiceAnswer, Problem> {
    let name = url::encode(name).replace('+', "%20");
    get(&format!("/api/services/{name}{}", url::query_string(scope.parameters()))).await
}

/// Every alert rule.
pub(crate) async fn alert_rules() -> Result<AlertRulesAnswer, Problem> {
    get("/api/alert-rules").await
}

/// What is pending or firing.
pub(crate) async fn alerts() -> Result<AlertsAnswer, Problem> {
    get("/api/alerts").await
}

/// What the frame and Home read of alerts. The answer's own type would be a part of the first load of each program.
#[derive(Debug, Default, serde::Deserialize)]
pub(crate) struct Fires {
    /// Its labels, `alertname` among them.
    pub(crate) labels: std::collections::BTreeMap<String, String>,
    /// Texts and links.
    pub(crate) annotations: std::collections::BTreeMap<String, String>,
    /// `pending` or `firing`.
    pub(crate) state: String,
    /// Newest value.
    pub(crate) value: f64,
    /// Since when it fires.
    pub(crate) fired_unix_nano: Option<String>,
    /// A silence holds it back.
    pub(crate) silenced: bool,
}

#[derive(serde::Deserialize)]
struct AllFires {
    alerts: Vec<Fires>,
}

/// What fires and is told, in the order of the answer.
pub(crate) async fn firing() -> Result<Vec<Fires>, Problem> {
    let mut all = get::<AllFires>("/api/alerts").await?.alerts;
    all.retain(|alert| alert.state == "firing" && !alert.silenced);
    Ok(all)
}

/// Past transitions, of one rule's name or of all.
pub(crate) async fn alert_history(from: &str, to: &str, name: Option<&str>) -> Result<AlertHistoryAnswer, Problem> {
    let mut all = vec![("from", from), ("to", to)];
    all.extend(name.map(|name| ("name", name)));
    get(&format!("/api/alerts/history{}", url::query_string(all))).await
}

/// Rules worth having.
pub(crate) async fn proposed_rules() -> Result<ProposedRulesAnswer, Problem> {
    get("/api/alert-rules/proposed").await
}

/// What a rule would have done.
pub(crate) async fn preview_rule(request: &PreviewRequest) -> Result<PreviewAnswer, Problem> {
    post("/api/alert-rules/preview", request).await
}

/// Keeps a rule under a name.
pub(crate) async fn keep_rule(id: &str, rule: &str) -> Result<AlertRuleKept, Problem> {
    let path = format!("/api/alert-rules/{}", url::encode(id));
    answer(send(|| Request::put(&path).header("Content-Type", "application/yaml").body(rule)).await).await
}

/// Takes a kept rule away.
pub(crate) async fn delete_rule(id: &str) -> Result<(), Problem> {
    done(send(|| Request::delete(&format!("/api/alert-rules/{}", url::encode(id))).build()).await).await
}

/// Silences, the newest end first.
pub(crate) async fn silences() -> Result<SilencesAnswer, Problem> {
    get("/api/silences").await
}

/// Makes a silence.
pub(crate) async fn silence(request: &SilenceRequest) -> Result<SilenceAnswer, Problem> {
    post("/api/silences", request).await
}

/// Ends a silence now.
pub(crate) async fn end_silence(id: &str) -> Result<SilenceAnswer, Problem> {
    answer(send(|| Request::delete(&format!("/api/silences/{}", url::encode(id))).build()).await).await
}

/// Tells of services and answers with the colours of all.
pub(crate) async fn see_colors(request: &ColorsRequest) -> Result<ColorsAnswer, Problem> {
    post("/api/colors", request).await
}

/// What the command box reads of any list: names and kinds. The answers' own types would be a tenth of the first load of a
/// program that needs nothing else of them.
#[derive(Clone, Debug, Default, serde::Deserialize)]
pub(crate) struct Named {
    /// Name in addresses, of queries.
    pub(crate) id: Option<String>,
    /// What people call a query.
    pub(crate) title: Option<String>,
    /// Name of a rule or a metric.
    pub(crate) name: Option<String>,
    /// Kind of a node, a rule or a metric.
    pub(crate) kind: Option<String>,
    /// Unit of a metric.
    pub(crate) unit: Option<String>,
    /// A node as the API writes it.
    pub(crate) node: Option<String>,
    /// What people call a node.
    pub(crate) label: Option<String>,
}

#[derive(serde::Deserialize)]
struct Names {
    #[serde(alias = "nodes", alias = "queries", alias = "rules", alias = "metrics")]
    all: Vec<Named>,
}

/// Nodes of the map in the range.
pub(crate) async fn node_names(range: &RangeText) -> Result<Vec<Named>, Problem> {
    names(&format!("/api/map{}", url::query_string([("from", range.from.as_str()), ("to", range.to.as_str())]))).await
}

/// Saved queries.
pub(crate) async fn query_names() -> Result<Vec<Named>, Problem> {
    names("/api/queries").await
}

/// Rules.
pub(crate) async fn rule_names() -> Result<Vec<Named>, Problem> {
    names("/api/alert-rules").await
}

/// Metrics with a point in the range, at most `limit`.
pub(crate) async fn metric_names(range: &RangeText, limit: usize) -> Result<Vec<Named>, Problem> {
    let limit = limit.to_string();
    let query = [("from", range.from.as_str()), ("to", range.to.as_str()), ("limit", limit.as_str())];
    names(&format!("/api/metrics{}", url::query_string(query))).await
}

async fn names(path: &str) -> Result<Vec<Named>, Problem> {
    get::<Names>(path).await.map(|names| names.all)
}

/// Saved queries.
pub(crate) async fn queries() -> Result<QueriesAnswer, Problem> {
    get("/api/queries").await
}

/// Keeps a query under a name.
pub(crate) async fn keep_query(id: &str, query: &QueryRequest) -> Result<SavedQuery, Problem> {
    answer(send(|| Request::put(&format!("/api/queries/{}", url::encode(id))).json(query)).await).await
}

/// Keeps an address under a short name.
pub(crate) async fn keep_link(id: &str, sql: &str) -> Result<(), Problem> {
    let query = QueryRequest { title: id.to_owned(), sql: sql.to_owned() };
    done(send(|| Request::put(&format!("/api/queries/{id}")).json(&query)).await).await
}

/// Takes a saved query away.
pub(crate) async fn delete_query(id: &str) -> Result<(), Problem> {
    done(send(|| Request::delete(&format!("/api/queries/{}", url::encode(id))).build()).await).await
}

/// An answer without a body.
async fn done(sent: Result<Response, gloo_net::Error>) -> Result<(), Problem> {
    let response = sent.map_err(unreachable)?;
    let (status, is_ok) = (response.status(), response.ok());
    let body = response.text().await.unwrap_or_default();
    if is_ok { Ok(()) } else { Err(serde_json::from_str(&body).unwrap_or_else(|_| unexpected(status, ""))) }
}

async fn post<B: serde::Serialize, T: DeserializeOwned>(path: &str, body: &B) -> Result<T, Problem> {
    answer(send(|| Request::post(path).header("Accept", "application/json").json(body)).await).await
}

async fn get<T: DeserializeOwned>(path: &str) -> Result<T, Problem> {
    answer(send(|| Request::get(path).header("Accept", "application/json").build()).await).await
}

/// Sends a request, and again once somebody has signed in when the server asks for a key.
async fn send(make: impl Fn() -> Result<Request, gloo_net::Error>) -> Result<Response, gloo_net::Error> {
    loop {
        let round = session::round();
        let response = make()?.send().await?;
        if response.status() != session::UNAUTHORIZED || !session::signed_in_since(round).await {
            return Ok(response);
        }
    }
}

async fn answer<T: DeserializeOwned>(sent: Result<Response, gloo_net::Error>) -> Result<T, Problem> {
    let response = sent.map_err(unreachable)?;
    let status = response.status();
    let body = response.text().await.map_err(|error| unexpected(status, &error.to_string()))?;
    if response.ok() {
        serde_json::from_str(&body).map_err(|error| unexpected(status, &error.to_string()))
    } else {
        Err(serde_json::from_str(&body).unwrap_or_else(|_| unexpected(status, body.get(..300).unwrap_or(&body))))
    }
}

fn unreachable(error: gloo_net::Error) -> Problem {
    Problem {
        kind: "unreachable".to_owned(),
        title: "The server does not answer".to_owned(),
        detail: format!("Is it still running? The browser says: {error}"),
        ..Problem::default()
    }
}

/// The server answered, but not in the way its API says.
fn unexpected(status: u16, why: &str) -> Problem {
    Problem {
        kind: "unexpected-answer".to_owned(),
        title: format!("Unexpected answer (HTTP {status})"),
        status,
        detail: format!("Page and server may be of different versions: reload the page. {why}"),
        position: None,
    }
}
