//! `GET`, `POST` and `DELETE /api/session`: whom a browser speaks for.

use std::fmt;

use serde::{Deserialize, Serialize};

/// `POST /api/session`: a key, shown once; a cookie stands for it from then on.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionRequest {
    /// An API key, or a token (JWT).
    pub key: String,
}

impl fmt::Debug for SessionRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionRequest").finish_non_exhaustive()
    }
}

/// `GET /api/session`: always answered, also to who has shown nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionAnswer {
    /// True when what is asked now is answered: somebody has signed in, or nobody has to.
    pub signed_in: bool,
    /// False when nobody has to sign in, because there are no keys.
    pub needs_key: bool,
    /// `read` or `admin`; `ingest` for a key that can only send.
    #[serde(default)]
    pub scope: Option<String>,
    /// Whose data is seen.
    #[serde(default)]
    pub tenant: Option<String>,
}
