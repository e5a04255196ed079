//! Why a whole request was refused. Refusals of single items are no errors: see `outcome.rs`.

use model::ErrorKind;

/// Result of the collector.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a whole request was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The body is not what its headers say, or not the message of this path.
    #[error("cannot decode the request: {detail}")]
    Undecodable {
        /// What is wrong, and where.
        detail: String,
    },
    /// A5: no item of the request could be kept.
    #[error("{message}")]
    AllRejected {
        /// The reasons with their counts.
        message: String,
    },
    /// The request is over the size limit.
    #[error("the request is larger than {limit_bytes} bytes {stage}: send smaller batches")]
    TooLarge {
        /// The limit in force.
        limit_bytes: u64,
        /// `as sent`, `when decompressed`, `in one item when decoded` or `as rows`.
        stage: &'static str,
    },
    /// The content type is missing or none of ours.
    #[error("{detail}: send application/x-protobuf or application/json")]
    UnsupportedMedia {
        /// What was found.
        detail: String,
    },
    /// The content is compressed in a way we do not read.
    #[error("content coding {coding:?} is not supported: send gzip, zstd, deflate or none")]
    UnsupportedCoding {
        /// What was found.
        coding: String,
    },
    /// Nothing is there.
    #[error("{detail}")]
    NotFound {
        /// What was looked for and what exists.
        detail: String,
    },
    /// Something else than POST.
    #[error("method {method} is not allowed here: use POST")]
    MethodNotAllowed {
        /// The method.
        method: String,
    },
    /// Too many bytes are in flight; nothing was stored.
    #[error("the collector is busy: {limit_bytes} bytes are being taken; try again")]
    Busy {
        /// The limit in force.
        limit_bytes: u64,
    },
    /// A7: the tenant has sent more than it may; nothing of the request was read.
    #[error(
        "this tenant may send {per_s} {what} per second and has sent more (setting collector.tenant_{what}_per_s); try again in {retry_seconds} s"
    )]
    OverRate {
        /// `bytes` or `items`.
        what: &'static str,
        /// The limit in force.
        per_s: u64,
        /// When to come back, at the earliest.
        retry_seconds: i64,
    },
    /// A7: the tenant would have too many active series; nothing of the request was stored.
    #[error(
        "this tenant may have {limit} active series and the request would make more (setting collector.tenant_series_max): fewer attributes, or attributes with fewer values, make fewer series"
    )]
    OverSeries {
        /// The limit in force.
        limit: u64,
    },
    /// Decoding and disk took too long; nothing was acknowledged.
    #[error("the collector could not store the request in {waited_ms} ms; try again")]
    Slow {
        /// How long was waited.
        waited_ms: u64,
    },
    /// The body stopped coming.
    #[error("the request's body did not arrive: {detail}")]
    Body {
        /// What happened.
        detail: String,
    },
    /// The collector is closing.
    #[error("the collector is shutting down; try again")]
    Closing,
    /// Storage did not take it; nothing was acknowledged.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// A bug of ours.
    #[error("the request hit a bug; please report it with the server's log")]
    Bug,
}

impl Error {
    /// What the sender can do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Undecodable { .. }
            | Self::AllRejected { .. }
            | Self::UnsupportedMedia { .. }
            | Self::UnsupportedCoding { .. }
            | Self::MethodNotAllowed { .. } => ErrorKind::Invalid,
            Self::TooLarge { .. } => ErrorKind::TooLarge,
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::OverRate { .. } | Self::OverSeries { .. } => ErrorKind::OverBudget,
            Self::Busy { .. } | Self::Slow { .. } | Self::Closing | Self::Body { .. } => ErrorKind::Overloaded,
            Self::Storage(error) => error.kind(),
            Self::Bug => ErrorKind::Internal,
        }
    }

    /// True when the same request would have been taken at another moment: nothing is wrong with it or its tenant.
    pub(crate) fn is_ours(&self) -> bool {
        matches!(self.kind(), ErrorKind::Overloaded | ErrorKind::Timeout | ErrorKind::Damaged | ErrorKind::Internal)
    }

    /// HTTP status of the answer.
    pub(crate) fn http_status(&self) -> http::StatusCode {
        match self {
            Self::UnsupportedMedia { .. } | Self::UnsupportedCoding { .. } => http::StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::MethodNotAllowed { .. } => http::StatusCode::METHOD_NOT_ALLOWED,
            _ => {
                http::StatusCode::from_u16(self.kind().http_status()).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR)
            }
        }
    }

    /// gRPC status of the answer, which is also the code inside a `google.rpc.Status`.
    pub(crate) fn grpc_code(&self) -> tonic::Code {
        match self {
            Self::UnsupportedCoding { .. } | Self::NotFound { .. } | Self::MethodNotAllowed { .. } => {
                tonic::Code::Unimplemented
            }
            _ => match self.kind() {
                ErrorKind::Invalid => tonic::Code::InvalidArgument,
                ErrorKind::NotFound => tonic::Code::Unimplemented,
                ErrorKind::Unauthenticated => tonic::Code::Unauthenticated,
                ErrorKind::Forbidden => tonic::Code::PermissionDenied,
                ErrorKind::TooLarge | ErrorKind::OverBudget => tonic::Code::ResourceExhausted,
                ErrorKind::Overloaded | ErrorKind::Timeout => tonic::Code::Unavailable,
                ErrorKind::Damaged => tonic::Code::DataLoss,
                ErrorKind::Internal => tonic::Code::Internal,
            },
        }
    }

    /// The shortest pause that makes sense before another attempt, in whole seconds.
    pub(crate) const fn retry_seconds_min(&self) -> i64 {
        match self {
            Self::OverRate { retry_seconds, .. } => *retry_seconds,
            // Series go away within an hour: the longest hint there is.
            Self::OverSeries { .. } => 5,
            _ => 1,
        }
    }

    pub(crate) fn undecodable(detail: impl std::fmt::Display) -> Self {
        Self::Undecodable { detail: detail.to_string() }
    }
}
