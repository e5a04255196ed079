//! Why a door could not be opened, and what to do.

use std::net::SocketAddr;

use model::ErrorKind;

/// Result of the door.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a door could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another process listens there.
    #[error(
        "cannot listen on {address}: the port is in use. Stop the other process, or choose another address with {flag} (setting door.{setting}); port 0 takes a free one"
    )]
    InUse {
        /// The address that was asked for.
        address: SocketAddr,
        /// The setting that holds it.
        setting: &'static str,
        /// The flag that sets it.
        flag: &'static str,
    },
    /// Everybody could read and write, and nobody said that this is meant.
    #[error(
        "refusing to listen on {address} (setting door.{setting}): it is not a loopback address and nobody has to sign in. Name a file of keys (door.keys_file, --keys-file), or set door.allow_insecure (--allow-insecure) if something else guards it"
    )]
    Insecure {
        /// The address that was asked for.
        address: SocketAddr,
        /// The setting that holds it.
        setting: &'static str,
    },
    /// The keys cannot be used.
    #[error("{0}")]
    Keys(String),
    /// The certificates cannot be used.
    #[error("{0} (settings door.tls_cert, door.tls_key, door.tls_client_ca)")]
    Tls(String),
    /// The system refused.
    #[error("cannot listen on {address} ({flag}, setting door.{setting}): {source}")]
    Bind {
        /// The address that was asked for.
        address: SocketAddr,
        /// The setting that holds it.
        setting: &'static str,
        /// The flag that sets it.
        flag: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Error {
    /// What the caller can do.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::InUse { .. } | Self::Insecure { .. } | Self::Keys(_) | Self::Tls(_) | Self::Bind { .. } => {
                ErrorKind::Invalid
            }
        }
    }
}
