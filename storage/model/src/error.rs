//! What a caller can do about a failure; each protocol turns a kind into its own status.

/// The few kinds of failure that matter outside a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Fix the request.
    Invalid,
    /// Look elsewhere.
    NotFound,
    /// Present credentials.
    Unauthenticated,
    /// Present other credentials.
    Forbidden,
    /// Send or ask for less; do not retry.
    TooLarge,
    /// Slow down, then retry.
    OverBudget,
    /// Retry after a pause.
    Overloaded,
    /// Retry or narrow the question.
    Timeout,
    /// Restore; other data is still served.
    Damaged,
    /// Report it.
    Internal,
}

impl ErrorKind {
    /// HTTP status code for this kind.
    pub const fn http_status(self) -> u16 {
        match self {
            Self::Invalid => 400,
            Self::Unauthenticated => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::TooLarge => 413,
            Self::OverBudget => 429,
            Self::Damaged | Self::Internal => 500,
            Self::Overloaded => 503,
            Self::Timeout => 504,
        }
    }

    /// True when the same request may succeed later.
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::OverBudget | Self::Overloaded | Self::Timeout)
    }
}
