//! Ways in for the fuzz targets (`tests/fuzz/`) to what a stranger's head and a signer's file say. No other use.

use axum::extract::Request;

use crate::config::Listener;
use crate::hosts::Hosts;
use crate::identity;
use crate::tokens::Tokens;

/// Reads a JWK Set and judges a token by it as of `now_unix_s`; true when somebody is recognized.
///
/// # Errors
/// Why the set cannot be used.
pub fn token(jwk_set: &[u8], token: &str, now_unix_s: u64) -> Result<bool, String> {
    let tokens = Tokens::of(jwk_set, "https://issuer.example", "hodoscope", "tenant")?;
    Ok(tokens.verified(token, now_unix_s).is_some())
}

/// What a request's head says: the key in it, and whether its host is one of this machine.
pub fn head(request: &Request) -> (Option<String>, bool) {
    (
        identity::key_of(request.headers()),
        Hosts::new(Listener::OtlpHttp, vec!["traces.example".to_owned()]).take(request),
    )
}
