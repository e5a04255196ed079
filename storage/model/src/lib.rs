//! The words everybody shares: ids, time, attribute values, semantic conventions.
//!
//! | file           | knows                                                           |
//! |----------------|-----------------------------------------------------------------|
//! | `id.rs`        | trace and span ids, never all zero, hex in and out              |
//! | `time.rs`      | nanoseconds since 1970, half-open ranges                        |
//! | `attribute.rs` | typed attribute values and their OTLP/JSON text                 |
//! | `attribute_order.rs` | how promoted attributes and the list interleave           |
//! | `span.rs`      | names of span kinds and status codes                            |
//! | `metric.rs`    | names of metric kinds and temporalities                         |
//! | `semconv.rs`   | THE table of semantic conventions                               |
//! | `repair.rs`    | what was mended on entry, one bit per repair                    |
//! | `tenant.rs`    | whose data it is, who is asking                                 |
//! | `error.rs`     | what a caller can do about a failure                            |
//!
//! No arrow, no tokio, no IO, no clock, no randomness; compiles to wasm.

mod attribute;
pub mod attribute_order;
mod error;
mod id;
mod metric;
mod repair;
pub mod semconv;
mod span;
mod tenant;
mod time;

pub use attribute::{
    Attribute, AttributeValue, attributes_from_json, attributes_to_json, value_from_json, value_to_json,
};
pub use error::ErrorKind;
pub use id::{SpanId, TraceId};
pub use metric::{MetricKind, Temporality};
pub use repair::Repairs;
pub use span::{SpanKind, StatusCode};
pub use tenant::{Identity, Scope, TenantId};
pub use time::{TimeRange, UnixNanos};
