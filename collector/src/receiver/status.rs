//! `google.rpc.Status` in protobuf and JSON, and the hint when to come back (A11-A13).

use prost::Message as _;
use rand::Rng as _;
use serde_json::json;

use crate::error::Error;
use crate::ingest::Encoding;

/// Longest message; gRPC peers limit headers, and details travel there twice.
const MESSAGE_BYTES_MAX: usize = 1 << 10;
/// Seconds a sender is asked to wait. Some SDKs drop the batch when the hint is longer than what is left of
/// their export timeout, and some take 0 as "at once".
const RETRY_SECONDS_MAX: i64 = 5;

const RETRY_INFO_TYPE: &str = "type.googleapis.com/google.rpc.RetryInfo";

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Status {
    #[prost(int32, tag = "1")]
    pub(crate) code: i32,
    #[prost(string, tag = "2")]
    pub(crate) message: String,
    #[prost(message, repeated, tag = "3")]
    pub(crate) details: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Any {
    #[prost(string, tag = "1")]
    pub(crate) type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) value: Vec<u8>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    pub(crate) retry_delay: Option<Delay>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Delay {
    #[prost(int64, tag = "1")]
    pub(crate) seconds: i64,
    #[prost(int32, tag = "2")]
    pub(crate) nanos: i32,
}

/// A refusal, ready to be written.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) code: tonic::Code,
    pub(super) message: String,
    /// When to come back; `None` when the same request will never be taken.
    pub(super) retry_seconds: Option<i64>,
}

impl Refusal {
    pub(super) fn of(error: &Error) -> Self {
        let retry_seconds = error
            .kind()
            .is_retryable()
            .then(|| rand::rng().random_range(error.retry_seconds_min()..=RETRY_SECONDS_MAX));
        Self { code: error.grpc_code(), message: cut(error.to_string()), retry_seconds }
    }

    /// The bare hint.
    pub(super) fn retry_info(&self) -> Option<Vec<u8>> {
        let delay = Delay { seconds: self.retry_seconds?, nanos: 0 };
        Some(RetryInfo { retry_delay: Some(delay) }.encode_to_vec())
    }

    /// The whole status.
    pub(super) fn body(&self, encoding: Encoding) -> Vec<u8> {
        let code = self.code as i32;
        match encoding {
            Encoding::Protobuf => {
                let detail = |value| Any { type_url: RETRY_INFO_TYPE.to_owned(), value };
                let details = self.retry_info().map(detail).into_iter().collect();
                Status { code, message: self.message.clone(), details }.encode_to_vec()
            }
            Encoding::Json => {
                let mut status = json!({ "code": code, "message": self.message });
                if let Some(seconds) = self.retry_seconds {
                    status["details"] = json!([{ "@type": RETRY_INFO_TYPE, "retryDelay": format!("{seconds}s") }]);
                }
                status.to_string().into_bytes()
            }
        }
    }
}

/// Cuts a message on a character boundary (T13).
pub(super) fn cut(mut message: String) -> String {
    if message.len() > MESSAGE_BYTES_MAX {
        message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX - 3));
        message.push_str("...");
    }
    message
}
