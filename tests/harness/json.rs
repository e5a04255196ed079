//! OTLP/JSON to messages and back.
//!
//! Written for the tests alone and from the specification, so that a mistake in the collector's own reader
//! or writer cannot hide behind the same mistake here. Reads what fixtures and answers hold; panics on the rest.

mod reader;
mod writer;

pub use reader::{integer, to_request};
pub use writer::{from_request, from_resource, from_scope, from_span};

use super::Request;

/// A message written as JSON reads as the same message, but for defaults that were said needlessly.
#[test]
fn round_trip() {
    for fixture in super::fixtures::requests() {
        let written = from_request(&fixture.request);
        assert_eq!(from_request(&to_request(&written)), written, "{}", fixture.name);
        if let (Request::Traces(sent), Request::Traces(read)) = (&fixture.request, to_request(&written)) {
            super::canonical::assert_same(&fixture.name, sent, &read);
        }
    }
}
