//! Whose data it is and who is asking. A tenant is a place, not a filter.

use std::fmt;
use std::str::FromStr;

/// Name of a tenant: 1 to 64 of `A-Z a-z 0-9 _ -`, so that it is a safe path segment.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantId(String);

impl TenantId {
    /// The tenant of everybody when nothing else is configured.
    pub fn default_tenant() -> Self {
        Self("default".to_owned())
    }

    /// `None` for an empty or long name or one with other characters.
    pub fn new(name: &str) -> Option<Self> {
        let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        (matches!(name.len(), 1..=64) && name.bytes().all(is_safe)).then(|| Self(name.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for TenantId {
    type Err = &'static str;
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::new(name).ok_or("a tenant name has 1 to 64 characters of A-Z a-z 0-9 _ -")
    }
}

/// What somebody may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// What says nothing about telemetry: anybody who reaches the port.
    Open,
    /// Send telemetry.
    Ingest,
    /// Read the tenant's telemetry.
    Read,
    /// Change what is kept of it: alert rules, silences, erasures.
    Admin,
}

impl Scope {
    /// Its word in keys and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Ingest => "ingest",
            Self::Read => "read",
            Self::Admin => "admin",
        }
    }

    /// `None` for a word that is no scope.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Open, Self::Ingest, Self::Read, Self::Admin].into_iter().find(|scope| scope.as_str() == word)
    }
}

/// Who is asking; decided by the door before a byte of the body is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Whose data this peer writes and reads.
    pub tenant: TenantId,
    /// May see and change what concerns the whole collector: with keys those of the scope `admin`, without keys everybody.
    pub is_admin: bool,
}
