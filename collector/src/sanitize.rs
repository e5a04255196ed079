//! Repairs on entry, before anything is written: one kind of repair per file.
//!
//! Each item goes through these steps, in this order:
//!
//! | step            | file           | rules    | why here                                                      |
//! |-----------------|----------------|----------|---------------------------------------------------------------|
//! | ids             | `ids.rs`       | V1-V4    | cheapest refusal first                                        |
//! | times           | `times.rs`     | V5, V6, V16 | a row that is too old is not worth mending                 |
//! | data points     | `points.rs`    | V17, V19, V20 | refuses what no query could read                        |
//! | nesting         | `nesting.rs`   | J12, J14 | bounds every later walk over values                           |
//! | sizes           | `sizes.rs`     | V10-V12  | cut keys may become equal, so before duplicates               |
//! | duplicate keys  | `duplicates.rs`| V9       | last: sees the keys that will be stored                       |
//!
//! An item that cannot be kept gives a [`Reason`]; one that was mended gives [`Repairs`], which stand in
//! its row and in our counters. Nothing is changed without one or the other.

pub(crate) mod duplicates;
pub(crate) mod ids;
pub(crate) mod nesting;
pub(crate) mod points;
pub(crate) mod sizes;
pub(crate) mod times;

use model::{Repairs, UnixNanos};
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;

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
pub(crate) fn span(span: &mut Span, rules: &Rules) -> Result<(SpanTimes, Repairs), Reason> {
    ids::span(span)?;
    let times = times::span(span.start_time_unix_nano, span.end_time_unix_nano, rules)?;
    let mut repairs = times.repairs | ids::parent(span) | ids::links(span);
    repairs |= sizes::span_lists(span);
    repairs |= attributes(&mut span.attributes, &mut span.dropped_attributes_count);
    for event in &mut span.events {
        repairs |= attributes(&mut event.attributes, &mut event.dropped_attributes_count);
    }
    for link in &mut span.links {
        repairs |= attributes(&mut link.attributes, &mut link.dropped_attributes_count);
    }
    if !rules.is_small {
        sizes::whole_span(span)?;
    }
    Ok((times, repairs))
}

/// Mends a log record; ids are cleared where they are invalid.
pub(crate) fn log(record: &mut LogRecord, rules: &Rules) -> Result<(times::LogTime, Repairs), Reason> {
    let time = times::log(record.time_unix_nano, record.observed_time_unix_nano, rules)?;
    let mut repairs = time.repairs | ids::log(record);
    repairs |= attributes(&mut record.attributes, &mut record.dropped_attributes_count);
    if let Some(body) = &mut record.body {
        repairs |= nesting::value(body, &mut record.dropped_attributes_count);
    }
    Ok((time, repairs))
}

/// Mends a resource; its repairs count for every item it sent.
pub(crate) fn resource(resource: &mut Resource) -> Repairs {
    attributes(&mut resource.attributes, &mut resource.dropped_attributes_count)
}

/// Mends a scope; its repairs count for every item it made.
pub(crate) fn scope(scope: &mut InstrumentationScope) -> Repairs {
    attributes(&mut scope.attributes, &mut scope.dropped_attributes_count)
}

/// Mends a list of attributes; `dropped` grows by what was left out.
pub(crate) fn attributes(list: &mut Vec<KeyValue>, dropped: &mut u32) -> Repairs {
    if list.is_empty() {
        return Repairs::NONE;
    }
    let mut repairs = sizes::count(list, dropped);
    for entry in list.iter_mut() {
        if let Some(value) = &mut entry.value {
            repairs |= nesting::value(value, dropped);
        }
        repairs |= sizes::entry(entry);
    }
    repairs | duplicates::last_wins(list)
}
