//! The rules of the OTLP conformance document, one test per rule id, named by it.
//!
//! Where it makes sense a test runs over all three wires (gRPC, HTTP with protobuf, HTTP with JSON) and
//! against a real storage in a temporary folder.

mod answers;
mod decoding;
mod read;
mod replay;
mod transport;
mod values;
mod world;

pub(crate) use world::World;
