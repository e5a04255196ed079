//! What people and their tools write.

use std::collections::BTreeMap;

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Request;
use model::{SpanId, TenantId, TraceId, UnixNanos};

/// 2026-01-15T10:00:00Z.
const NOW: UnixNanos = UnixNanos(1_768_471_200_000_000_000);

/// The input as text; what is not UTF-8 says nothing here.
fn text(input: &[u8]) -> &str {
    std::str::from_utf8(input).unwrap_or_default()
}

/// A filter; as it is written again, it means the same.
pub fn filter(input: &[u8]) {
    let _ = query::fuzz::filter(text(input));
}

/// Moments, ranges, durations of both kinds, parameters of questions about metrics.
pub fn times(input: &[u8]) {
    let text = text(input);
    query::fuzz::times(text, NOW);
    let params: BTreeMap<String, String> = text
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    query::fuzz::metrics(&params, NOW);
}

/// A statement of SQL, judged before it is planned.
pub fn statement(input: &[u8]) {
    let _ = query::fuzz::statement(text(input));
}

/// A file of alert rules.
pub fn rules(input: &[u8]) {
    let _ = query::fuzz::rules(text(input));
}

/// A label's value, a line end, and a template that is filled with it.
pub fn template(input: &[u8]) {
    let text = text(input);
    let (label, template) = text.split_once('\n').unwrap_or(("shop", text));
    let value = label.parse().unwrap_or(label.len() as f64);
    if let Ok(filled) = query::fuzz::template(template, label, value) {
        assert!(filled.len() <= 16 << 10, "{} bytes came out", filled.len());
    }
}

/// A set of keys, a line end, and a token: head, claims and signature, each as it is or (when it begins with `{`)
/// still to be encoded. The same bytes as `Authorization`, `Host` and target of a request.
pub fn token(input: &[u8]) {
    let at = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let (set, rest) = input.split_at(at);
    let token = text(rest.get(1..).unwrap_or_default());
    let encoded = |part: &str| if part.starts_with('{') { URL_SAFE_NO_PAD.encode(part) } else { part.to_owned() };
    let parts: Vec<String> = token.split('\t').map(encoded).collect();
    let known = door::fuzz::token(set, &parts.join("."), 1_800_000_000);
    assert!(!matches!(known, Ok(true)), "nobody signed this: {token}");
    let request = Request::builder().uri(token).header("authorization", set).header("host", token).body(Body::empty());
    if let Ok(request) = request {
        let _ = door::fuzz::head(&request);
    }
}

/// Ids, names of tenants, attributes as JSON.
pub fn model(input: &[u8]) {
    let text = text(input);
    if let Some(id) = TraceId::from_hex(text) {
        assert_eq!(TraceId::from_hex(&id.to_hex()), Some(id));
    }
    if let Some(id) = SpanId::from_hex(text) {
        assert_eq!(SpanId::from_hex(&id.to_hex()), Some(id));
    }
    TraceId::from_bytes(input);
    if let Some(tenant) = TenantId::new(text) {
        assert!(tenant.as_str() == text && !text.contains(['/', '.']), "{text:?}");
    }
    let attributes = model::attributes_from_json(text);
    let written = model::attributes_to_json(&attributes);
    assert_eq!(model::attributes_to_json(&model::attributes_from_json(&written)), written, "{text:?}");
}
