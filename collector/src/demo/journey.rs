//! One fresh copy of a scenario: new ids, new times, the same story. Pure but for its dice.
//!
//! - Ids are replaced one for one, so parents, links and spans that share an id still do.
//! - Times go through one rising curve: whatever was inside, before or after something else still is, but
//!   every span takes another time than in the last copy.
//! - Orders, messages and jobs get new names, everywhere the same.

use hashbrown::HashMap;
use model::semconv::{self, key};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};
use rand::Rng as _;
use rand::rngs::StdRng;

use super::scenarios::Scenario;

/// Pieces of the curve of times.
const CURVE_PIECES: usize = 12;
/// How much slower or faster each piece may run.
const PACE: std::ops::Range<f64> = 0.6..1.7;

/// A copy whose last span ends at `end_unix_nanos`.
pub(super) fn fresh(scenario: &Scenario, end_unix_nanos: u64, rng: &mut StdRng) -> Vec<ResourceSpans> {
    let mut copy = scenario.request.clone();
    let curve = Curve::new(&copy, end_unix_nanos, rng);
    let mut ids = Ids::default();
    let texts: Vec<(&str, String)> = scenario.unique.iter().map(|text| (*text, respell(text, rng))).collect();
    let offset_step = rng.random_range(0..1_000_000);
    for span in spans_mut(&mut copy) {
        ids.refresh(&mut span.trace_id, rng);
        ids.refresh(&mut span.span_id, rng);
        ids.refresh(&mut span.parent_span_id, rng);
        span.start_time_unix_nano = curve.at(span.start_time_unix_nano);
        span.end_time_unix_nano = curve.at(span.end_time_unix_nano);
        rename(&mut span.attributes, &texts, offset_step);
        for event in &mut span.events {
            event.time_unix_nano = curve.at(event.time_unix_nano);
            rename(&mut event.attributes, &texts, offset_step);
        }
        for link in &mut span.links {
            ids.refresh(&mut link.trace_id, rng);
            ids.refresh(&mut link.span_id, rng);
            rename(&mut link.attributes, &texts, offset_step);
        }
    }
    copy.resource_spans
}

/// Every span of a request.
pub(super) fn spans(request: &ExportTraceServiceRequest) -> impl Iterator<Item = &Span> {
    request.resource_spans.iter().flat_map(|resource| &resource.scope_spans).flat_map(|scope| &scope.spans)
}

fn spans_mut(request: &mut ExportTraceServiceRequest) -> impl Iterator<Item = &mut Span> {
    request.resource_spans.iter_mut().flat_map(|resource| &mut resource.scope_spans).flat_map(|scope| &mut scope.spans)
}

/// A new id for each old one.
#[derive(Debug, Default)]
struct Ids {
    fresh: HashMap<Vec<u8>, Vec<u8>>,
}

impl Ids {
    fn refresh(&mut self, id: &mut Vec<u8>, rng: &mut StdRng) {
        if id.is_empty() {
            return;
        }
        let n_bytes = id.len();
        let fresh = self.fresh.entry(std::mem::take(id)).or_insert_with(|| {
            let mut bytes: Vec<u8> = (0..n_bytes).map(|_| rng.random()).collect();
            // Never all zero.
            bytes[0] |= 1;
            bytes
        });
        id.clone_from(fresh);
    }
}

/// A rising curve from recorded to new times, made of straight pieces.
#[derive(Debug)]
struct Curve {
    start: u64,
    piece_nanos: f64,
    /// New time after each piece, from the start; one more than there are pieces.
    after: Vec<f64>,
    new_start: u64,
}

impl Curve {
    fn new(request: &ExportTraceServiceRequest, end_unix_nanos: u64, rng: &mut StdRng) -> Self {
        let times = || spans(request).flat_map(|span| [span.start_time_unix_nano, span.end_time_unix_nano]);
        let start = times().min().unwrap_or(0);
        let length = times().max().unwrap_or(0).saturating_sub(start).max(1);
        let piece_nanos = length as f64 / CURVE_PIECES as f64;
        let mut after = vec![0.0];
        for piece in 0..CURVE_PIECES {
            after.push(after[piece] + piece_nanos * rng.random_range(PACE));
        }
        let new_length = after[CURVE_PIECES].ceil() as u64;
        Self { start, piece_nanos, after, new_start: end_unix_nanos.saturating_sub(new_length) }
    }

    fn at(&self, recorded: u64) -> u64 {
        if recorded == 0 {
            return 0;
        }
        let offset = recorded.saturating_sub(self.start) as f64 / self.piece_nanos;
        let piece = (offset as usize).min(CURVE_PIECES - 1);
        let inside = (offset - piece as f64).min(1.0);
        let (from, to) = (self.after[piece], self.after[piece + 1]);
        self.new_start + (from + (to - from) * inside) as u64
    }
}

/// Another text of the same shape: digits stay digits, hex stays hex, the rest stays.
fn respell(text: &str, rng: &mut StdRng) -> String {
    let (prefix, unique) = text.rsplit_once('_').map_or(("", text), |(prefix, unique)| (prefix, unique));
    let is_decimal = unique.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let mut fresh = String::from(prefix);
    if !prefix.is_empty() {
        fresh.push('_');
    }
    for character in unique.chars() {
        let base = if is_decimal { 10 } else { 16 };
        match character.to_digit(base) {
            Some(_) => fresh.extend(char::from_digit(rng.random_range(0..base), base)),
            None => fresh.push(character),
        }
    }
    fresh
}

/// Gives orders, messages and jobs their new names, and broker offsets new numbers.
fn rename(attributes: &mut [KeyValue], texts: &[(&str, String)], offset_step: i64) {
    for attribute in attributes {
        match &mut attribute.value {
            Some(AnyValue { value: Some(Value::StringValue(value)) }) => {
                for (recorded, fresh) in texts {
                    if value.contains(recorded) {
                        *value = value.replace(recorded, fresh);
                    }
                }
            }
            Some(AnyValue { value: Some(Value::IntValue(value)) })
                if semconv::find(&attribute.key).is_some_and(|known| known.key == key::MESSAGING_OFFSET) =>
            {
                *value += offset_step;
            }
            _ => {}
        }
    }
}
