//! What the later steps need to know of a span beyond its class, read once.

use model::semconv::{key, vendor};
use model::{Attribute, SpanKind, StatusCode};

use super::classify::{Class, Operation, Protocol, host, path, scheme};
use super::read::{Attributes, slot};
use super::span::Span;
use super::systems;

/// Details of one span. Absent and unreadable are the same.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// HTTP verb.
    pub method: Option<String>,
    /// HTTP status.
    pub http_status: Option<i64>,
    /// Path of the request, without query, not templated.
    pub path: Option<String>,
    /// Scheme, lower case.
    pub scheme: Option<String>,
    /// Name or address of the server without port.
    pub host: Option<String>,
    /// Service at the other end as the sender calls it.
    pub peer: Option<String>,
    /// Database inside the server; bucket of an object store; function being called.
    pub namespace: Option<String>,
    /// RPC status as its upper-case name.
    pub rpc_status: Option<String>,
    /// How often this request was sent before.
    pub resend_count: i64,
    /// `error.type`, `error=true`.
    pub has_error_mark: bool,
    /// `error.type`, else the type of the last exception event.
    pub error_type: Option<String>,
    /// What a proxy says about the end: `UO`, `UT,URX`; never `-`.
    pub proxy_flags: Option<String>,
    /// The breaker refused the call.
    pub is_circuit_open: bool,
    /// `tls.*` is present.
    pub has_tls: bool,
    /// Path of a 202's status address.
    pub location: Option<String>,
    /// Seconds the caller was asked to wait.
    pub retry_after_seconds: Option<i64>,
    /// Header that makes repeats harmless.
    pub idempotency_key: Option<String>,
    /// Id that proxies give a request.
    pub request_id: Option<String>,
    /// Bytes of the request.
    pub request_bytes: Option<i64>,
    /// Bytes of the answer.
    pub response_bytes: Option<i64>,
    /// Format of the body.
    pub content_type: Option<String>,
    /// The span broke the agreed format: a contract failure.
    pub is_contract_failure: bool,
    /// The span ended because time ran out.
    pub is_timeout: bool,
    /// Message details, for messaging spans.
    pub message: Option<Box<Message>>,
}

/// Details of the message a span sends or handles.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Message {
    /// Message id.
    pub id: Option<String>,
    /// Conversation or correlation id.
    pub conversation: Option<String>,
    /// Consumer group or subscription.
    pub group: Option<String>,
    /// Partition.
    pub partition: Option<String>,
    /// Offset inside the partition.
    pub offset: Option<i64>,
    /// Messages handled by this span; `None` when not said.
    pub batch_count: Option<i64>,
    /// Size of the body in bytes.
    pub body_bytes: Option<i64>,
    /// Wait in the broker by its own clock, milliseconds.
    pub broker_wait_ms: Option<i64>,
    /// How often the broker has delivered it.
    pub delivery_count: Option<i64>,
}

const BREAKER_ERRORS: &[&str] =
    &["CallNotPermitted", "BrokenCircuit", "CircuitBreakerOpen", "CircuitOpen", "ErrOpenState"];

const CONTRACT_HTTP: &[i64] = &[400, 404, 405, 406, 409, 415, 422, 426];
const CONTRACT_RPC: &[&str] = &["INVALID_ARGUMENT", "UNIMPLEMENTED", "NOT_FOUND", "FAILED_PRECONDITION"];

/// Lower-case parts of exception types that mean "I cannot read what you sent".
const CONTRACT_ERRORS: &[&str] = &[
    "serializ",
    "serialis",
    "decod",
    "unmarshal",
    "jsonparse",
    "jsonmapping",
    "jsonprocessing",
    "malformed",
    "schemaregistry",
    "invalidprotocolbuffer",
    "avroruntime",
    "avrotype",
    "graphqlvalidation",
    "graphql_validation",
    "graphql.validation",
    "validationerror: graphql",
];

impl Facts {
    /// Reads what `class` left.
    pub(crate) fn read(span: &Span, attributes: &Attributes<'_>, class: &Class) -> Self {
        let error_attribute = attributes.string(slot!(key::ERROR_TYPE));
        let has_error_mark = error_attribute.is_some() || attributes.is_true(slot!(vendor::ERROR_FLAG));
        let mut facts = Self { has_error_mark, has_tls: attributes.families.tls, ..Self::default() };
        let is_internal = class.protocol == Protocol::Internal;
        if !is_internal {
            facts.read_request(span, attributes, class);
        }
        facts.error_type = error_attribute.or_else(|| exception_type(span));
        let error = facts.error_type.as_deref().unwrap_or_default();
        let has_flag = |flag: &str| {
            facts.proxy_flags.as_deref().is_some_and(|flags| flags.split(',').any(|one| one.trim() == flag))
        };
        facts.is_circuit_open = has_flag("UO")
            || attributes.is_true(slot!(vendor::HYSTRIX_CIRCUIT_OPEN))
            || BREAKER_ERRORS.iter().any(|name| error.contains(name))
            || exception_types(span).any(|name| BREAKER_ERRORS.iter().any(|known| name.contains(known)));
        let lower = error.to_ascii_lowercase();
        facts.is_timeout = has_flag("UT")
            || facts.http_status == Some(504)
            || matches!(facts.rpc_status.as_deref(), Some("DEADLINE_EXCEEDED" | "CANCELLED"))
            || lower.contains("timeout")
            || lower.contains("deadline");
        facts.is_contract_failure = facts.http_status.is_some_and(|status| CONTRACT_HTTP.contains(&status))
            || facts.rpc_status.as_deref().is_some_and(|status| CONTRACT_RPC.contains(&status))
            || (span.status != StatusCode::Ok && CONTRACT_ERRORS.iter().any(|part| lower.contains(part)));
        facts
    }

    fn read_request(&mut self, span: &Span, attributes: &Attributes<'_>, class: &Class) {
        self.method = attributes.string(slot!(key::HTTP_METHOD));
        self.http_status = attributes.int(slot!(key::HTTP_STATUS));
        self.path = path(attributes);
        self.scheme = scheme(attributes);
        self.host = host(attributes, span.kind);
        self.peer = attributes.string(slot!(key::PEER_SERVICE));
        self.namespace = match class.protocol {
            Protocol::Db | Protocol::Cache => attributes.string(slot!(key::DB_NAMESPACE)),
            Protocol::Objectstore => attributes.string(slot!(key::AWS_S3_BUCKET)),
            Protocol::Faas => attributes.string(slot!(key::FAAS_INVOKED_NAME)),
            Protocol::Cloudapi => attributes.string(slot!(key::RPC_SERVICE)),
            _ => None,
        };
        self.rpc_status = attributes
            .text(slot!(key::RPC_STATUS))
            .or_else(|| attributes.text(slot!(key::GRPC_STATUS)))
            .map(|status| systems::grpc_status(&status));
        self.resend_count = attributes.int(slot!(key::HTTP_RESEND_COUNT)).unwrap_or(0).max(0);
        self.proxy_flags = attributes.string(slot!(vendor::ENVOY_RESPONSE_FLAGS)).filter(|flags| flags != "-");
        self.location =
            attributes.text(slot!(key::HTTP_LOCATION)).map(|location| super::read::url_path(&location).to_owned());
        self.retry_after_seconds = attributes.int(slot!(key::HTTP_RETRY_AFTER));
        self.idempotency_key = attributes.string(slot!(key::HTTP_IDEMPOTENCY_KEY));
        self.request_id = attributes.string(slot!(key::HTTP_REQUEST_ID));
        self.request_bytes = attributes.int(slot!(key::HTTP_REQUEST_SIZE));
        self.response_bytes = attributes.int(slot!(key::HTTP_RESPONSE_SIZE));
        self.content_type = attributes.string(slot!(key::HTTP_CONTENT_TYPE));
        if class.messaging.is_some_and(|operation| operation != Operation::Other) {
            self.message = Some(Box::new(Message::read(attributes)));
        }
    }

    /// The proxy says so: `UO`, `URX`, ...
    pub fn has_proxy_flag(&self, flag: &str) -> bool {
        self.proxy_flags.as_deref().is_some_and(|flags| flags.split(',').any(|one| one.trim() == flag))
    }

    /// RPC status for RPC, else HTTP status, else nothing.
    pub fn status_text(&self) -> Option<String> {
        self.rpc_status.clone().or_else(|| self.http_status.map(|status| status.to_string()))
    }
}

impl Message {
    fn read(attributes: &Attributes<'_>) -> Self {
        Self {
            id: attributes.string(slot!(key::MESSAGING_MESSAGE_ID)),
            conversation: attributes.string(slot!(key::MESSAGING_CONVERSATION_ID)),
            group: attributes.string(slot!(key::MESSAGING_GROUP)),
            partition: attributes.string(slot!(key::MESSAGING_PARTITION)),
            offset: attributes.int(slot!(key::MESSAGING_OFFSET)),
            batch_count: attributes.int(slot!(key::MESSAGING_BATCH_COUNT)),
            body_bytes: attributes.int(slot!(key::MESSAGING_BODY_SIZE)),
            broker_wait_ms: attributes.int(slot!(vendor::RECORD_QUEUE_TIME)),
            delivery_count: attributes.int(slot!(key::MESSAGING_DELIVERY_COUNT)),
        }
    }
}

/// Types of the exception events, in sent order.
fn exception_types(span: &Span) -> impl Iterator<Item = &str> {
    let type_of = |attributes: &'_ [Attribute]| -> Option<usize> {
        attributes.iter().position(|attribute| attribute.key == key::EXCEPTION_TYPE)
    };
    span.events.iter().filter_map(move |event| event.attributes[type_of(&event.attributes)?].value.as_str())
}

fn exception_type(span: &Span) -> Option<String> {
    exception_types(span).last().map(str::to_owned)
}

/// A client span whose caller waits for an answer.
pub(crate) fn is_waiting_client(kind: SpanKind, class: &Class) -> bool {
    kind == SpanKind::Client
        && (class.style == super::classify::Style::Sync || class.protocol == Protocol::Websocket)
        && class.messaging.is_none_or(|operation| operation == Operation::Settle || operation == Operation::Other)
}
