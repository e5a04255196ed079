//! Repairs on entry, before anything is written: one kind of repair per file. The same for every encoding.
//!
//! Each item goes through these steps, in this order:
//!
//! | step            | file           | rules    | why here                                                      |
//! |-----------------|----------------|----------|---------------------------------------------------------------|
//! | ids             | `ids.rs`       | V1-V4    | cheapest refusal first                                        |
//! | times           | `times.rs`     | V5, V6, V16 | a row that is too old is not worth mending                 |
//! | data points     | `points.rs`    | V17, V19, V20 | refuses what no query could read                        |
//! | nesting         | `nesting.rs`   | J12      | bounds every later walk over values                           |
//! | sizes           | `sizes.rs`     | V10-V12  | cut keys may become equal, so before duplicates               |
//! | duplicate keys  | `duplicates.rs`| V9       | sees the keys that will be stored                             |
//! | redaction       | `redaction.rs` | S16      | last: nothing comes back after it                             |
//!
//! An item that cannot be kept gives a [`Reason`]; one that was mended gives [`Repairs`], which stand in
//! its row and in our counters. Nothing is changed without one or the other.
//!
//! Not here: text that is not UTF-8 (J13), which only protobuf can hold and its reader mends.

pub(crate) mod duplicates;
pub(crate) mod ids;
pub(crate) mod nesting;
pub(crate) mod points;
pub(crate) mod redaction;
pub(crate) mod sizes;
pub(crate) mod times;

use model::{Repairs, UnixNanos};

use crate::otlp::keys::Keys;
use crate::otlp::message::{Attributes, KeyValue, LogRecord, Metric, Resource, Scope, Span, Value};
use crate::outcome::Reason;

pub(crate) use times::SpanTimes;

/// What the repairs need to know about the moment and the request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// Now, by the collector's clock.
    pub now: UnixNanos,
    /// Rows before this moment are refused.
    pub oldest: UnixNanos,
    /// The request is small enough that no item in it can be over the item limits, so sizes of whole items
    /// need not be computed.
    pub is_small: bool,
}

/// Mends a span. Its times are returned, because their columns differ from what was sent.
pub(crate) fn span(span: &mut Span<'_>, keys: &mut Keys, rules: &Rules) -> Result<(SpanTimes, Repairs), Reason> {
    ids::span(span)?;
    let times = times::span(span.start_time, span.end_time, rules)?;
    let mut repairs = times.repairs | ids::parent(span) | ids::links(span);
    repairs |= sizes::span_lists(span);
    repairs |= attributes(&mut span.attributes, &mut span.dropped_attributes_count, keys);
    for event in &mut span.events {
        repairs |= attributes(&mut event.attributes, &mut event.dropped_attributes_count, keys);
    }
    for link in &mut span.links {
        repairs |= attributes(&mut link.attributes, &mut link.dropped_attributes_count, keys);
    }
    if !rules.is_small {
        sizes::whole_span(span)?;
    }
    if keys.redaction().has_values() {
        let (redaction, bump) = (keys.redaction(), span.attributes.bump());
        repairs |= redaction.text(&mut span.name, bump);
        for event in &mut span.events {
            repairs |= redaction.text(&mut event.name, bump);
        }
        if let Some(status) = &mut span.status {
            repairs |= redaction.text(&mut status.message, bump);
        }
    }
    Ok((times, repairs))
}

/// Mends a log record; ids are cleared where they are invalid.
pub(crate) fn log(
    record: &mut LogRecord<'_>,
    keys: &mut Keys,
    rules: &Rules,
) -> Result<(times::LogTime, Repairs), Reason> {
    let time = times::log(record.time, record.observed_time, rules)?;
    let mut repairs = time.repairs | ids::log(record);
    repairs |= attributes(&mut record.attributes, &mut record.dropped_attributes_count, keys);
    if let Some(body) = &mut record.body {
        repairs |= nesting::value(body, &mut record.dropped_attributes_count);
        repairs |= redaction::body(body, keys, record.attributes.bump());
    }
    if keys.redaction().has_values() {
        let (redaction, bump) = (keys.redaction(), record.attributes.bump());
        repairs |= redaction.text(&mut record.severity_text, bump);
        repairs |= redaction.text(&mut record.event_name, bump);
    }
    Ok((time, repairs))
}

/// Mends what a metric says of itself; its repairs count for all its points.
pub(crate) fn metric(metric: &mut Metric<'_>, keys: &mut Keys) -> Repairs {
    let mut repairs = attributes(&mut metric.metadata, &mut 0, keys);
    if keys.redaction().has_values() {
        repairs |= keys.redaction().text(&mut metric.description, metric.metadata.bump());
    }
    repairs
}

/// Mends a resource; its repairs count for every item it sent.
pub(crate) fn resource(resource: &mut Resource<'_>, keys: &mut Keys) -> Repairs {
    attributes(&mut resource.attributes, &mut resource.dropped_attributes_count, keys)
}

/// Mends a scope; its repairs count for every item it made.
pub(crate) fn scope(scope: &mut Scope<'_>, keys: &mut Keys) -> Repairs {
    attributes(&mut scope.attributes, &mut scope.dropped_attributes_count, keys)
}

/// Mends a list of attributes and numbers their keys; `dropped` grows by what was left out.
pub(crate) fn attributes(list: &mut Attributes<'_>, dropped: &mut u32, keys: &mut Keys) -> Repairs {
    if list.is_empty() {
        return Repairs::NONE;
    }
    let mut repairs = sizes::count(list, dropped);
    for entry in list.iter_mut() {
        repairs |= nesting::value(&mut entry.value, dropped);
        repairs |= sizes::entry(entry);
    }
    let numbered = keys.number(list);
    if numbered.has_duplicates {
        duplicates::last_wins(list);
        repairs |= Repairs::DUPLICATE_KEY;
    }
    let is_nested = |entry: &KeyValue<'_>| matches!(entry.value, Value::List(_) | Value::Map(_));
    if numbered.has_redacted || keys.redaction().has_values() || list.iter().any(is_nested) {
        repairs |= redaction::attributes(list, dropped, keys);
    }
    repairs
}
