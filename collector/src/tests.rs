//! The rules of the OTLP conformance document, one test per rule id, named by it.
//!
//! Where it makes sense a test runs over all three wires (gRPC, HTTP with protobuf, HTTP with JSON) and
//! against a real storage in a temporary folder.

#![expect(clippy::needless_pass_by_value, reason = "a json!() written in place reads better without &")]

mod answers;
mod any;
mod decoding;
mod generate;
mod large;
mod read;
mod redaction;
mod replay;
mod transport;
mod values;
mod wire;
mod world;

pub(crate) use world::World;
