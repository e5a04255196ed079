//! `GET /api/openapi.json`: the whole API as an OpenAPI 3.1 document, made from the table of routes and the types in `api`.
//!
//! What each route takes and answers stands in [`operations`]; a test holds that table against the table of routes, so a route
//! cannot be added without being described. Schemas, with the words of the types' own documentation, come from `api::schemas`.

use std::sync::LazyLock;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{Method, header};
use model::Scope;
use serde_json::{Map, Value as Json, json};

use super::routes::routes;

/// A parameter behind the question mark: name, type, meaning.
type Parameter = (&'static str, &'static str, &'static str);

const FROM: Parameter =
    ("from", "string", "begin: RFC 3339, unix s, ms, us or ns, or now-15m; an hour ago when not said");
const TO: Parameter = ("to", "string", "end, not included; now when not said");
const Q: Parameter = ("q", "string", "filter text, see docs/search.md");
const UNIT: Parameter = ("unit", "string", "journeys, traces or spans");
const LIMIT: Parameter = ("limit", "integer", "how many at most");
const CURSOR: Parameter = ("cursor", "string", "next_cursor of the page before");
const ENV: Parameter = ("env", "string", "deployment environment, such as production; all when not said");
const STEP: Parameter = ("step", "string", "length of a step, such as 30s, 5m or 1h");

/// What a route takes and answers.
struct Operation {
    method: Method,
    path: &'static str,
    asks: &'static [Parameter],
    takes: Option<Sent>,
    answers: Sent,
    status: &'static str,
}

/// A body: media types, and the schema of the JSON one.
struct Sent {
    media_types: &'static [&'static str],
    schema: Json,
}

const JSON: &[&str] = &["application/json"];

/// A reference to the schema of a type.
fn of<T>() -> Json {
    let name = std::any::type_name::<T>().rsplit("::").next().unwrap_or_default();
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// Any JSON object: a form that others define.
fn object() -> Json {
    json!({ "type": "object" })
}

fn text() -> Json {
    json!({ "type": "string" })
}

impl Operation {
    fn new(method: Method, path: &'static str) -> Self {
        let answers = Sent { media_types: JSON, schema: object() };
        Self { method, path, asks: &[], takes: None, answers, status: "200" }
    }

    fn asks(self, asks: &'static [Parameter]) -> Self {
        Self { asks, ..self }
    }

    fn takes<T>(self) -> Self {
        Self { takes: Some(Sent { media_types: JSON, schema: of::<T>() }), ..self }
    }

    fn answers<T>(self) -> Self {
        Self { answers: Sent { media_types: self.answers.media_types, schema: of::<T>() }, ..self }
    }

    fn in_types(self, media_types: &'static [&'static str]) -> Self {
        Self { answers: Sent { media_types, ..self.answers }, ..self }
    }

    fn in_text(self, media_types: &'static [&'static str]) -> Self {
        Self { answers: Sent { media_types, schema: text() }, ..self }
    }
}

/// THE table of what routes take and answer.
fn operations() -> Vec<Operation> {
    let get = |path| Operation::new(Method::GET, path);
    let post = |path| Operation::new(Method::POST, path);
    let put = |path| Operation::new(Method::PUT, path);
    vec![
        post("/api/sql").takes::<api::SqlRequest>().answers::<api::SqlAnswer>().in_types(&[
            "application/json",
            "text/csv",
            "application/x-ndjson",
            "application/vnd.apache.arrow.stream",
        ]),
        get("/api/tables").answers::<api::TablesAnswer>(),
        get("/api/openapi.json"),
        get("/api/search")
            .asks(&[UNIT, Q, FROM, TO, ("sort", "string", "newest, slowest, or errors of journeys"), LIMIT, CURSOR])
            .answers::<api::SearchAnswer>(),
        get("/api/search/histogram")
            .asks(&[
                UNIT,
                Q,
                FROM,
                TO,
                ("plot", "string", "of journeys: answer, last_effect or wait"),
                ("columns", "integer", "steps of time, at most"),
                ("rows", "integer", "steps of duration, at most"),
                ("dots", "integer", "list items one by one when there are no more than this"),
            ])
            .answers::<api::HistogramAnswer>(),
        get("/api/search/facets")
            .asks(&[UNIT, Q, FROM, TO, ("keys", "string", "attributes, separated by commas; * counts all"), LIMIT])
            .answers::<api::FacetsAnswer>(),
        post("/api/search/differs").takes::<api::DiffersRequest>().answers::<api::DiffersAnswer>(),
        get("/api/live").asks(&[UNIT, Q]).in_text(&["text/event-stream"]),
        get("/api/services").asks(&[FROM, TO, ENV]).answers::<api::ServicesAnswer>(),
        get("/api/services/{name}").asks(&[FROM, TO, ENV]).answers::<api::ServiceAnswer>(),
        get("/api/metrics")
            .asks(&[
                FROM,
                TO,
                Q,
                ("kind", "string", "gauge, sum, histogram, exponential_histogram or summary"),
                LIMIT,
                CURSOR,
            ])
            .answers::<api::MetricsAnswer>(),
        get("/api/metrics/{name}")
            .asks(&[
                FROM,
                TO,
                STEP,
                Q,
                ("by", "string", "fields that the series of a group share, separated by commas; * keeps all apart"),
                ("function", "string", "last, avg, min, max, sum, count, rate, increase, quantile, or p95"),
                ("across", "string", "what is done with the series of a group: sum, avg, min, max or count"),
                ("quantile", "string", "up to eight numbers from 0 to 1, separated by commas"),
                ("kind", "string", "which one, when the name is sent as several kinds"),
                ("unit", "string", "which one, when the name is sent in several units"),
                LIMIT,
                ("exemplars", "integer", "measurements with a trace, at most"),
            ])
            .answers::<api::MetricAnswer>(),
        get("/api/red")
            .asks(&[
                FROM,
                TO,
                ("step", "string", "whole minutes, such as 1m or 1h"),
                ("by", "string", "service, operation or edge"),
                ("node", "string", "only this service, or node of the map"),
                ENV,
                LIMIT,
            ])
            .answers::<api::RedAnswer>(),
        get("/api/map")
            .asks(&[FROM, TO, ("vs", "string", "previous, or begin of the range to compare with"), ENV])
            .answers::<api::MapAnswer>(),
        get("/api/findings").asks(&[FROM, TO, ENV]).answers::<api::FindingsAnswer>(),
        get("/api/compare")
            .asks(&[("a", "string", "id of a journey"), ("b", "string", "id of another journey, or usual")])
            .answers::<api::CompareAnswer>(),
        get("/api/compare/styles")
            .asks(&[FROM, TO, ENV, ("by", "string", "family or edge")])
            .answers::<api::StylesAnswer>(),
        get("/api/traces/{trace_id}").asks(&[FROM, TO]).in_types(&["application/json", "application/x-protobuf"]),
        get("/api/traces/{trace_id}/timeline").answers::<api::Timeline>(),
        get("/api/traces/{trace_id}/spans/{span_id}").answers::<api::SpanDetail>(),
        get("/api/traces/{trace_id}/find").asks(&[("q", "string", "text to look for")]).answers::<api::FindAnswer>(),
        get("/api/journeys/{trace_id}")
            .asks(&[
                ("span", "string", "id of the span that picks the cause of an ambiguous seed"),
                ("cut", "string", "ids of traces that are no part of it, separated by commas"),
                ("wider", "integer", "times as many traces, spans and deliveries as the bounds allow, 1 to 8"),
            ])
            .answers::<api::JourneyAnswer>(),
        get("/api/erasures").answers::<api::ErasuresAnswer>(),
        Operation {
            status: "202",
            ..post("/api/erasures").takes::<api::ErasureRequest>().answers::<api::ErasureAnswer>()
        },
        get("/api/v1/rules"),
        get("/api/v1/alerts"),
        get("/api/alert-rules").answers::<api::AlertRulesAnswer>(),
        get("/api/alert-rules/proposed").answers::<api::ProposedRulesAnswer>(),
        post("/api/alert-rules/proposed/{id}").answers::<api::AlertRuleKept>(),
        post("/api/alert-rules/preview").takes::<api::PreviewRequest>().answers::<api::PreviewAnswer>(),
        get("/api/alert-rules/{name}").answers::<api::AlertRuleAnswer>(),
        Operation {
            takes: Some(Sent { media_types: &["application/yaml", "application/json"], schema: object() }),
            ..Operation::new(Method::PUT, "/api/alert-rules/{name}").answers::<api::AlertRuleKept>()
        },
        Operation { status: "204", ..Operation::new(Method::DELETE, "/api/alert-rules/{name}").in_types(&[]) },
        get("/api/alerts").answers::<api::AlertsAnswer>(),
        get("/api/alerts/history")
            .asks(&[FROM, TO, ("name", "string", "only of this rule")])
            .answers::<api::AlertHistoryAnswer>(),
        get("/api/silences").answers::<api::SilencesAnswer>(),
        post("/api/silences").takes::<api::SilenceRequest>().answers::<api::SilenceAnswer>(),
        Operation::new(Method::DELETE, "/api/silences/{id}").answers::<api::SilenceAnswer>(),
        get("/api/colors").answers::<api::ColorsAnswer>(),
        post("/api/colors").takes::<api::ColorsRequest>().answers::<api::ColorsAnswer>(),
        put("/api/colors").takes::<api::ColorsRequest>().answers::<api::ColorsAnswer>(),
        get("/api/queries").answers::<api::QueriesAnswer>(),
        put("/api/queries/{name}").takes::<api::QueryRequest>().answers::<api::SavedQuery>(),
        Operation { status: "204", ..Operation::new(Method::DELETE, "/api/queries/{name}").in_types(&[]) },
        get("/api/status").answers::<api::StatusAnswer>(),
        get("/api/session").answers::<api::SessionAnswer>(),
        Operation { status: "204", ..post("/api/session").takes::<api::SessionRequest>().in_types(&[]) },
        Operation { status: "204", ..Operation::new(Method::DELETE, "/api/session").in_types(&[]) },
        get("/healthz").in_text(&["text/plain"]),
        get("/readyz").in_text(&["text/plain"]),
        get("/metrics").in_text(&["application/openmetrics-text"]),
    ]
}

/// A route and what is said of it.
fn operation(said: &Operation, scope: Scope, help: &str) -> Json {
    let parameter = |place: &str, name: &str, data_type: &str, help: &str| json!({ "name": name, "in": place, "required": place == "path", "description": help, "schema": { "type": data_type } });
    let in_path = said.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let in_path = in_path.map(|name| parameter("path", name, "string", ""));
    let behind = said.asks.iter().map(|(name, data_type, help)| parameter("query", name, data_type, help));
    let parameters: Vec<Json> = in_path.chain(behind).collect();
    let content = |sent: &Sent| -> Json {
        let body = |media_type: &&str| {
            let is_json = media_type.ends_with("json") || media_type.ends_with("yaml") || sent.media_types.len() == 1;
            let schema = if is_json { sent.schema.clone() } else { text() };
            ((*media_type).to_owned(), json!({ "schema": schema }))
        };
        Json::Object(sent.media_types.iter().map(body).collect())
    };
    let mut answered = json!({ "description": help });
    if !said.answers.media_types.is_empty() {
        answered["content"] = content(&said.answers);
    }
    let problem = json!({ "$ref": "#/components/responses/Problem" });
    let mut operation = json!({
        "summary": help,
        "operationId": id(said),
        "tags": [scope.as_str()],
        "parameters": parameters,
        "responses": { (said.status): answered, "default": problem },
    });
    if let Some(sent) = &said.takes {
        operation["requestBody"] = json!({ "required": true, "content": content(sent) });
    }
    operation
}

/// A name such as `getSearchHistogram`; what is not below `/api` is about the process, as in `getProcessMetrics`.
fn id(said: &Operation) -> String {
    let mut id = said.method.as_str().to_lowercase();
    let path = said.path.strip_prefix("/api/").unwrap_or_else(|| {
        id.push_str("Process");
        said.path
    });
    let words = path.split(|c: char| !c.is_ascii_alphanumeric());
    for word in words.filter(|word| !word.is_empty()) {
        let (first, rest) = word.split_at(1);
        id.push_str(&first.to_uppercase());
        id.push_str(rest);
    }
    id
}

/// The document.
fn document() -> Json {
    let said = operations();
    let mut paths: Map<String, Json> = Map::new();
    for route in routes() {
        let Some(said) = said.iter().find(|said| said.method == route.method && said.path == route.path) else {
            continue; // a test says that there is none
        };
        let operation = operation(said, route.scope, route.help);
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method.as_str().to_lowercase()] = operation;
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Hodoscope",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
            "description": "64-bit integers and moments (nanoseconds since 1970, UTC) are decimal text, *_nanos durations are numbers, \
                ids are lower-case hex. An answer that does not hold everything says so: incomplete, with the reason.",
        },
        "paths": paths,
        "components": {
            "schemas": api::schemas(),
            "responses": {
                "Problem": {
                    "description": "what went wrong and what to do about it (RFC 9457)",
                    "content": { "application/problem+json": { "schema": of::<api::Problem>() } },
                },
            },
        },
    })
}

static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| document().to_string().into());

pub(super) async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT.clone()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each route is described once, and nothing is described that is no route.
    #[test]
    fn routes_and_descriptions_agree() {
        let name = |method: &Method, path: &str| format!("{method} {path}");
        let mut served: Vec<String> = routes().iter().map(|route| name(&route.method, route.path)).collect();
        let mut said: Vec<String> = operations().iter().map(|said| name(&said.method, said.path)).collect();
        served.sort();
        said.sort();
        assert_eq!(served, said);
    }

    /// Every reference leads somewhere, every schema is used, and names of operations are distinct.
    #[test]
    fn the_document_is_whole() {
        let document = document();
        let mut waiting = vec![&document];
        let (mut used, mut ids) = (std::collections::BTreeSet::new(), Vec::new());
        while let Some(value) = waiting.pop() {
            match value {
                Json::Object(members) => {
                    if let Some(Json::String(to)) = members.get("$ref") {
                        let pointer = to.strip_prefix('#').expect("inside of the document");
                        assert!(document.pointer(pointer).is_some(), "{to} leads nowhere");
                        used.insert(pointer.rsplit('/').next().unwrap_or_default().to_owned());
                    }
                    ids.extend(members.get("operationId").and_then(Json::as_str));
                    waiting.extend(members.values());
                }
                Json::Array(items) => waiting.extend(items),
                _ => {}
            }
        }
        let schemas = document["components"]["schemas"].as_object().expect("schemas");
        assert!(schemas.len() > 60, "{}", schemas.len());
        let unused: Vec<&String> = schemas.keys().filter(|name| !used.contains(*name)).collect();
        assert_eq!(unused, ["LiveFigures", "LiveItems"], "all others are part of an answer");
        let n_ids = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!((n_ids, ids.len()), (operations().len(), operations().len()));
        let sum = &document["components"]["schemas"]["MetricSeries"]["properties"]["values"];
        assert!(sum["description"].as_str().is_some_and(|text| text.contains("per step")), "{sum}");
    }
}
