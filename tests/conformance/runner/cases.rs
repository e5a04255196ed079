//! Every case, by the section of the specification it comes from.
//!
//! | file           | rules                                             |
//! |----------------|---------------------------------------------------|
//! | `transport.rs` | T2 to T13, T19: media types, codings, framing     |
//! | `answers.rs`   | A1 to A5                                          |
//! | `decoding.rs`  | J1 to J14: forms of protobuf and JSON             |
//! | `values.rs`    | V1 to V23: odd values                             |

mod answers;
mod decoding;
mod transport;
mod values;

use super::case::Case;

/// All cases, each with ids and times of its own.
pub fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    transport::add(&mut cases);
    answers::add(&mut cases);
    decoding::add(&mut cases);
    values::add(&mut cases);
    cases
}
