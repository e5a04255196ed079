//! Alerts over HTTP: rules and alerts as Prometheus answers them, and our own routes for changes.
//!
//! `/api/v1/rules` and `/api/v1/alerts` keep Prometheus' envelope, also for errors; everything else answers as the native API does.

use std::collections::BTreeMap;

use api::{PreviewRequest, SilenceRequest};
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{StatusCode, header};
use model::{TenantId, UnixNanos};
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};

use super::App;
use super::body::object;
use super::native::{Params, Who, json as answer, params, tenant};
use super::problem::Refusal;
use crate::alert::Alerting;
use crate::alert::answers::{Alert, Kind, Labels, Loaded, Ruled, go_scientific, health, worst};
use crate::error::{Error, Result};
use crate::times::format_moment;

/// Groups of one answer unless `group_limit` says fewer.
const GROUPS_MAX: usize = 100_000;

fn alerting<'a>(app: &'a App, tenant: &TenantId) -> Result<&'a Alerting, Refusal> {
    let alerting = app.sources.alerts.as_ref();
    let alerting = alerting.ok_or_else(|| Error::NotFound("alerts are off: query.alerts = false".to_owned()))?;
    Ok(alerting.of(tenant)?)
}

fn read<T: DeserializeOwned>(body: Result<Bytes, BytesRejection>, such_as: &str) -> Result<T, Refusal> {
    let body = whole(body)?;
    object(&body).map_err(|error| Refusal::invalid(format!("the body must be JSON such as {such_as}: {error}")))
}

fn whole(body: Result<Bytes, BytesRejection>) -> Result<Bytes, Refusal> {
    body.map_err(|rejection| {
        Refusal::new(rejection.status(), "too-large", "The request is too large", rejection.body_text())
    })
}

// ---- our own routes

pub(super) async fn list_rules(State(app): State<App>, who: Who) -> Result<Response, Refusal> {
    answer(&alerting(&app, &tenant(who))?.rules())
}

pub(super) async fn get_rule(State(app): State<App>, who: Who, Path(id): Path<String>) -> Result<Response, Refusal> {
    answer(&alerting(&app, &tenant(who))?.rule(&id)?)
}

pub(super) async fn put_rule(
    State(app): State<App>,
    who: Who,
    Path(id): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let text = String::from_utf8(whole(body)?.to_vec())
        .map_err(|_| Refusal::invalid("the rule must be UTF-8 text: YAML or JSON"))?;
    answer(&alerting(&app, &tenant(who))?.keep_rule(&id, text).await?)
}

pub(super) async fn delete_rule(State(app): State<App>, who: Who, Path(id): Path<String>) -> Result<Response, Refusal> {
    alerting(&app, &tenant(who))?.delete_rule(&id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(super) async fn proposed(State(app): State<App>, who: Who) -> Result<Response, Refusal> {
    answer(&alerting(&app, &tenant(who))?.proposed().await?)
}

pub(super) async fn accept(State(app): State<App>, who: Who, Path(id): Path<String>) -> Result<Response, Refusal> {
    answer(&alerting(&app, &tenant(who))?.accept(&id).await?)
}

pub(super) async fn preview(
    State(app): State<App>,
    who: Who,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let request: PreviewRequest = read(body, "{\"rule\": \"alert: A\\nfinding: retry_storm\", \"from\": \"now-1d\"}")?;
    answer(&alerting(&app, &tenant(who))?.preview(request).await?)
}

pub(super) async fn list_alerts(State(app): State<App>, who: Who) -> Result<Response, Refusal> {
    answer(&alerting(&app, &tenant(who))?.alerts())
}

pub(super) async fn history(State(app): State<App>, who: Who, given: Params) -> Result<Response, Refusal> {
    answer(&alerting(&app, &tenant(who))?.history(&params(given)?).await?)
}

pub(super) async fn list_silences(State(app): State<App>, who: Who) -> Result<Response, Refusal> {
    answer(&alerting(&app, &tenant(who))?.silences())
}

pub(super) async fn silence(
    State(app): State<App>,
    who: Who,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let such_as = "{\"matchers\": [{\"name\": \"alertname\", \"value\": \"Errors\"}], \"endsAt\": \"now+2h\", \"comment\": \"deploy\"}";
    let request: SilenceRequest = read(body, such_as)?;
    answer(&alerting(&app, &tenant(who))?.silence(&request).await?)
}

pub(super) async fn end_silence(State(app): State<App>, who: Who, Path(id): Path<String>) -> Result<Response, Refusal> {
    answer(&alerting(&app, &tenant(who))?.end_silence(&id).await?)
}

// ---- Prometheus

/// Prometheus' envelope.
fn success(data: &Json) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], json!({"status": "success", "data": data}).to_string())
        .into_response()
}

fn bad_data(error: &str) -> Response {
    let body = json!({"status": "error", "errorType": "bad_data", "error": error}).to_string();
    (StatusCode::BAD_REQUEST, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// What `/api/v1/rules` is asked for.
#[derive(Debug, Default)]
struct Wanted {
    kind: Option<Listed>,
    names: Vec<String>,
    groups: Vec<String>,
    files: Vec<String>,
    without_alerts: bool,
    limit: Option<usize>,
    token: Option<String>,
}

/// `type` of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Listed {
    Alert,
    Record,
}

impl Wanted {
    fn read(query: Option<&str>) -> Result<Self, String> {
        let mut wanted = Self::default();
        for (name, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            let value = value.into_owned();
            match &*name {
                "type" => {
                    wanted.kind = match value.as_str() {
                        "" => None,
                        "alert" => Some(Listed::Alert),
                        "record" => Some(Listed::Record),
                        other => return Err(format!("not supported value {other:?}")),
                    }
                }
                "rule_name[]" => wanted.names.push(value),
                "rule_group[]" => wanted.groups.push(value),
                "file[]" => wanted.files.push(value),
                "match[]" => {
                    return Err("match[] needs PromQL's selectors, which are not there yet; use rule_name[]".to_owned());
                }
                "exclude_alerts" => {
                    wanted.without_alerts = match value.as_str() {
                        "true" | "1" => true,
                        "false" | "0" | "" => false,
                        other => return Err(format!("error parsing exclude_alerts: {other:?} is not true or false")),
                    }
                }
                "group_limit" => {
                    let limit = value.parse::<usize>().ok().filter(|limit| *limit > 0);
                    wanted.limit = Some(limit.ok_or("group_limit must be a whole number greater than 0")?);
                }
                "group_next_token" => wanted.token = Some(value),
                // Prometheus does not mind what it does not know.
                _ => {}
            }
        }
        if wanted.token.is_some() && wanted.limit.is_none() {
            return Err("group_limit needs to be present in order to paginate over the groups".to_owned());
        }
        Ok(wanted)
    }

    fn wants(&self, ruled: &Ruled) -> bool {
        let is_kind = match (self.kind, ruled.rule.kind) {
            (None, _) | (Some(Listed::Alert), Kind::Alerting(_)) | (Some(Listed::Record), Kind::Recording) => true,
            (Some(_), _) => false,
        };
        is_kind && (self.names.is_empty() || self.names.contains(&ruled.rule.name))
    }

    fn wants_group(&self, loaded: &Loaded) -> bool {
        let is_in = |list: &Vec<String>, name: &String| list.is_empty() || list.contains(name);
        is_in(&self.groups, &loaded.group.name) && is_in(&self.files, &loaded.file)
    }
}

/// Names a group in a list that is read piece by piece.
fn token(loaded: &Loaded) -> String {
    crate::alert::answers::group_token(&loaded.file, &loaded.group.name)
}

pub(super) async fn prometheus_rules(
    State(app): State<App>,
    who: Who,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let wanted = match Wanted::read(query.as_deref()) {
        Ok(wanted) => wanted,
        Err(error) => return Ok(bad_data(&error)),
    };
    let loaded = alerting(&app, &tenant(who))?.groups();
    let mut sorted: Vec<_> = loaded.iter().filter(|loaded| wanted.wants_group(loaded)).collect();
    sorted.sort_by(|a, b| (&a.file, &a.group.name).cmp(&(&b.file, &b.group.name)));
    let begin = match &wanted.token {
        None => 0,
        Some(given) => match sorted.iter().position(|loaded| token(loaded) == *given) {
            Some(begin) => begin,
            None => return Ok(bad_data("invalid group_next_token: the group is gone; begin anew")),
        },
    };
    let limit = wanted.limit.unwrap_or(GROUPS_MAX);
    let (mut groups, mut next) = (Vec::new(), None);
    for loaded in sorted.into_iter().skip(begin) {
        let rules: Vec<Json> =
            loaded.rules.iter().filter(|ruled| wanted.wants(ruled)).map(|ruled| rule(ruled, &wanted)).collect();
        let is_filtered = wanted.kind.is_some() || !wanted.names.is_empty();
        if rules.is_empty() && is_filtered {
            continue;
        }
        if groups.len() == limit {
            next = Some(token(loaded));
            break;
        }
        groups.push(group(loaded, &rules));
    }
    let mut data = json!({"groups": groups});
    if let Some(next) = next {
        data["groupNextToken"] = Json::String(next);
    }
    Ok(success(&data))
}

fn group(loaded: &Loaded, rules: &[Json]) -> Json {
    let (mut last, mut seconds) = (None, 0.0);
    for ruled in &loaded.rules {
        let seat = ruled.seat();
        last = last.max(seat.last_evaluation);
        seconds += seat.seconds;
    }
    json!({
        "name": loaded.group.name,
        "file": loaded.file,
        "rules": rules,
        "interval": whole_seconds(loaded.interval_nanos),
        "limit": loaded.group.limit,
        "evaluationTime": seconds,
        "lastEvaluation": moment(last),
    })
}

fn rule(ruled: &Ruled, wanted: &Wanted) -> Json {
    let seat = ruled.seat();
    let raw = |texts: &BTreeMap<String, crate::alert::answers::Text>| -> Json {
        texts
            .iter()
            .map(|(name, text)| (name.clone(), Json::String(text.raw.clone())))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    let mut rule = json!({
        "name": ruled.rule.name,
        "query": ruled.rule.condition.query(),
        "labels": raw(&ruled.rule.labels),
        "health": health(seat.last_error.as_deref(), seat.last_evaluation),
        "evaluationTime": seat.seconds,
        "lastEvaluation": moment(seat.last_evaluation),
        "type": "recording",
    });
    if let Some(error) = &seat.last_error {
        rule["lastError"] = Json::String(error.clone());
    }
    if let Kind::Alerting(hold) = ruled.rule.kind {
        rule["type"] = json!("alerting");
        rule["state"] = json!(worst(&seat.alerts).as_str());
        rule["duration"] = whole_seconds(hold.for_nanos);
        rule["keepFiringFor"] = whole_seconds(hold.keep_nanos);
        rule["annotations"] = raw(&ruled.rule.annotations);
        let alerts = seat.alerts.values().filter(|_| !wanted.without_alerts);
        rule["alerts"] = alerts.map(alert).collect();
    }
    rule
}

/// Seconds, without a fraction when there is none.
fn whole_seconds(nanos: i64) -> Json {
    if nanos % UnixNanos::SECOND == 0 { json!(nanos / UnixNanos::SECOND) } else { json!(nanos as f64 / 1e9) }
}

/// RFC 3339; Go's zero when there was none.
fn moment(at: Option<UnixNanos>) -> String {
    at.map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), |at| format_moment(at.0))
}

fn alert(alert: &Alert) -> Json {
    let (labels, annotations): (&Labels, &Labels) = (&alert.labels, &alert.annotations);
    let state = if alert.standing.is_firing() { "firing" } else { "pending" };
    let mut json = json!({
        "labels": labels,
        "annotations": annotations,
        "state": state,
        "activeAt": format_moment(alert.standing.active_at.0),
        "value": go_scientific(alert.standing.value),
    });
    if let Some(since) = alert.standing.kept_since {
        json["keepFiringSince"] = Json::String(format_moment(since.0));
    }
    json
}

pub(super) async fn prometheus_alerts(State(app): State<App>, who: Who) -> Result<Response, Refusal> {
    let groups = alerting(&app, &tenant(who))?.groups();
    let mut alerts = Vec::new();
    for ruled in groups.iter().flat_map(|loaded| &loaded.rules) {
        alerts.extend(ruled.seat().alerts.values().map(alert));
    }
    Ok(success(&json!({"alerts": alerts})))
}
