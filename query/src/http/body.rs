//! Bodies of requests: JSON objects.

use serde::de::{DeserializeOwned, Error as _};

/// Reads an object with named members. serde would take a list of their values, too, which no document tells of.
///
/// # Errors
/// What is wrong with it.
pub(super) fn object<T: DeserializeOwned>(body: &[u8]) -> serde_json::Result<T> {
    match body.trim_ascii_start().first() {
        Some(b'[') => Err(serde_json::Error::custom("expected an object, not a list")),
        _ => serde_json::from_slice(body),
    }
}
