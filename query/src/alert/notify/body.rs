//! The two forms of a notification: Alertmanager's API v2, and its webhook, version 4. Pure.

use std::collections::BTreeMap;

use model::UnixNanos;
use serde_json::{Value as Json, json};

use super::target::Notice;
use crate::alert::condition::Labels;
use crate::alert::transition::fingerprint;
use crate::times::format_moment;

/// The moment that says "not over" in webhooks.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// The body of `POST /api/v2/alerts`.
pub(super) fn alertmanager(notices: &[Notice], valid_until: UnixNanos, external_url: &str) -> Json {
    let one = |notice: &Notice| {
        json!({
            "labels": notice.labels,
            "annotations": notice.annotations,
            "startsAt": format_moment(notice.starts_at.0),
            "endsAt": format_moment(notice.ends_at.unwrap_or(valid_until).0),
            "generatorURL": generator(&notice.labels, external_url),
        })
    };
    notices.iter().map(one).collect()
}

/// The body of a webhook: notices of one alert name.
pub(super) fn webhook(notices: &[Notice], external_url: &str) -> Json {
    let is_firing = notices.iter().any(|notice| notice.ends_at.is_none());
    let status = |is_firing: bool| if is_firing { "firing" } else { "resolved" };
    let name = notices.first().and_then(|notice| notice.labels.get("alertname")).cloned().unwrap_or_default();
    let one = |notice: &Notice| {
        json!({
            "status": status(notice.ends_at.is_none()),
            "labels": notice.labels,
            "annotations": notice.annotations,
            "startsAt": format_moment(notice.starts_at.0),
            "endsAt": notice.ends_at.map_or_else(|| NEVER.to_owned(), |at| format_moment(at.0)),
            "generatorURL": generator(&notice.labels, external_url),
            "fingerprint": fingerprint(&notice.labels),
        })
    };
    json!({
        "version": "4",
        "groupKey": format!("{{}}:{{alertname={name:?}}}"),
        "truncatedAlerts": 0,
        "status": status(is_firing),
        "receiver": "hodoscope",
        "groupLabels": {"alertname": name},
        "commonLabels": common(notices.iter().map(|notice| &notice.labels)),
        "commonAnnotations": common(notices.iter().map(|notice| &notice.annotations)),
        "externalURL": external_url,
        "alerts": notices.iter().map(one).collect::<Vec<_>>(),
    })
}

/// Where the rule is seen.
fn generator(labels: &Labels, external_url: &str) -> String {
    let name = labels.get("alertname").map(String::as_str).unwrap_or_default();
    let encoded: String = url::form_urlencoded::byte_serialize(name.as_bytes()).collect();
    format!("{}/alerts?name={encoded}", external_url.trim_end_matches('/'))
}

/// What all have in common.
fn common<'a>(mut all: impl Iterator<Item = &'a Labels>) -> BTreeMap<String, String> {
    let Some(mut common) = all.next().cloned() else { return BTreeMap::new() };
    for other in all {
        common.retain(|name, value| other.get(name) == Some(value));
    }
    common
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(service: &str, ends_at: Option<i64>) -> Notice {
        let labels = [("alertname", "A b"), ("service", service)].map(|(n, v)| (n.to_owned(), v.to_owned()));
        Notice {
            ticket: 0,
            seq: 1,
            labels: labels.into(),
            annotations: [("summary".to_owned(), "x\r\ny".to_owned())].into(),
            starts_at: UnixNanos(1_768_471_200_000_000_000),
            ends_at: ends_at.map(UnixNanos),
        }
    }

    #[test]
    fn alertmanagers_are_told_until_when() {
        let body = alertmanager(&[notice("a", None), notice("b", Some(5))], UnixNanos(10), "http://h/");
        assert_eq!(body[0]["startsAt"], "2026-01-15T10:00:00.000000000Z");
        assert_eq!(body[0]["endsAt"], "1970-01-01T00:00:00.000000010Z");
        assert_eq!(body[1]["endsAt"], "1970-01-01T00:00:00.000000005Z");
        assert_eq!(body[0]["generatorURL"], "http://h/alerts?name=A+b");
        assert_eq!(body[0]["labels"]["service"], "a");
    }

    #[test]
    fn webhooks_have_version_4() {
        let body = webhook(&[notice("a", None), notice("b", Some(5))], "http://h");
        assert_eq!(
            (&body["version"], &body["status"], &body["truncatedAlerts"]),
            (&json!("4"), &json!("firing"), &json!(0))
        );
        assert_eq!(body["commonLabels"], json!({"alertname": "A b"}));
        assert_eq!(body["groupLabels"], json!({"alertname": "A b"}));
        assert_eq!((&body["alerts"][0]["status"], &body["alerts"][0]["endsAt"]), (&json!("firing"), &json!(NEVER)));
        assert_eq!(body["alerts"][1]["status"], "resolved");
        assert_eq!(webhook(&[notice("b", Some(5))], "")["status"], "resolved");
    }
}
