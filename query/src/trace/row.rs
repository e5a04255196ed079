//! The few columns of a span that a list or waterfall needs.

use arrow::array::RecordBatch;
use datafusion::logical_expr::Expr;
use datafusion::prelude::ident;
use model::semconv::key;
use model::{Repairs, SpanId, SpanKind, StatusCode, TraceId};
use storage::table::SPANS;

use super::badge::{self, Facts};
use crate::analysis::errors::failed;
use crate::analysis::systems;
use crate::rows::{Bytes, Ints, Texts, column_of};

/// A span in a list or waterfall.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SpanRow {
    pub(crate) trace_id: TraceId,
    pub(crate) span_id: SpanId,
    pub(crate) parent: Option<SpanId>,
    pub(crate) service: String,
    pub(crate) name: String,
    pub(crate) badge: String,
    pub(crate) detail: String,
    /// HTTP status, error type or RPC status, for the Result column.
    pub(crate) result: String,
    pub(crate) kind: i32,
    pub(crate) status: i32,
    /// It failed: [`crate::analysis::errors`].
    pub(crate) is_error: bool,
    /// Nanoseconds since 1970.
    pub(crate) start: i64,
    /// Never negative.
    pub(crate) duration: i64,
    pub(crate) events: i64,
    pub(crate) links: i64,
    pub(crate) repairs: Repairs,
}

impl SpanRow {
    /// End, saturating.
    pub(crate) const fn end(&self) -> i64 {
        self.start.saturating_add(self.duration)
    }
}

/// Own columns that [`read`] looks at.
const OWN: &[&str] = &[
    "trace_id",
    "span_id",
    "parent_span_id",
    "service_name",
    "name",
    "kind",
    "status_code",
    "start_time",
    "duration_nanos",
    "event_count",
    "link_count",
    "repairs",
    "exception_type",
];

/// Promoted attributes that [`read`] looks at.
const PROMOTED: &[&str] = &[
    key::HTTP_METHOD,
    key::HTTP_ROUTE,
    key::HTTP_STATUS,
    key::URL_PATH,
    key::SERVER_ADDRESS,
    key::PEER_SERVICE,
    key::RPC_SYSTEM,
    key::RPC_METHOD,
    key::RPC_STATUS,
    key::GRPC_STATUS,
    key::DB_SYSTEM,
    key::DB_NAMESPACE,
    key::DB_OPERATION,
    key::DB_COLLECTION,
    key::MESSAGING_SYSTEM,
    key::MESSAGING_DESTINATION,
    key::MESSAGING_PARTITION,
    key::ERROR_TYPE,
    key::GRAPHQL_OPERATION,
    key::GEN_AI_SYSTEM,
];

/// The columns to select for [`read`].
pub(crate) fn columns() -> Vec<Expr> {
    column_names().map(ident).collect()
}

/// Their names.
pub(crate) fn column_names() -> impl Iterator<Item = &'static str> {
    let promoted = PROMOTED.iter().map(|key| column_of(key)).filter(|column| SPANS.column(column).is_some());
    OWN.iter().copied().chain(promoted)
}

/// Rows of a batch that has [`columns`]. A row without valid ids is passed over: storage never holds one.
pub(crate) fn read(batch: &RecordBatch) -> Vec<SpanRow> {
    let bytes = |name| Bytes::of(batch, name);
    let texts = |name| Texts::of(batch, name);
    let ints = |name| Ints::of(batch, name);
    let promoted_text = |key| Texts::of(batch, column_of(key));
    let promoted_int = |key| Ints::of(batch, column_of(key));

    let (trace_id, span_id, parent) = (bytes("trace_id"), bytes("span_id"), bytes("parent_span_id"));
    let (service, name) = (texts("service_name"), texts("name"));
    let (kind, status) = (ints("kind"), ints("status_code"));
    let (start, duration) = (ints("start_time"), ints("duration_nanos"));
    let (events, links, repairs) = (ints("event_count"), ints("link_count"), ints("repairs"));
    let exception_type = texts("exception_type");
    let (http_method, http_route) = (promoted_text(key::HTTP_METHOD), promoted_text(key::HTTP_ROUTE));
    let (http_status, url_path) = (promoted_int(key::HTTP_STATUS), promoted_text(key::URL_PATH));
    let (server, peer) = (promoted_text(key::SERVER_ADDRESS), promoted_text(key::PEER_SERVICE));
    let (rpc_system, rpc_method) = (promoted_text(key::RPC_SYSTEM), promoted_text(key::RPC_METHOD));
    let (rpc_status, grpc_status) = (promoted_text(key::RPC_STATUS), promoted_int(key::GRPC_STATUS));
    let (db_system, db_namespace) = (promoted_text(key::DB_SYSTEM), promoted_text(key::DB_NAMESPACE));
    let (db_operation, db_collection) = (promoted_text(key::DB_OPERATION), promoted_text(key::DB_COLLECTION));
    let (messaging_system, destination) =
        (promoted_text(key::MESSAGING_SYSTEM), promoted_text(key::MESSAGING_DESTINATION));
    let partition = promoted_text(key::MESSAGING_PARTITION);
    let (error_type, graphql, gen_ai) =
        (promoted_text(key::ERROR_TYPE), promoted_text(key::GRAPHQL_OPERATION), promoted_text(key::GEN_AI_SYSTEM));

    let row = |row: usize| {
        let rpc_name = rpc_status.get(row).map(systems::grpc_status);
        let rpc_name = rpc_name.or_else(|| Some(systems::grpc_status(&grpc_status.get(row)?.to_string())));
        let is_error = failed(
            StatusCode::from_code(status.int32(row)).unwrap_or(StatusCode::Unset),
            SpanKind::from_code(kind.int32(row)).unwrap_or(SpanKind::Unspecified),
            error_type.get(row).is_some(),
            rpc_name.as_deref(),
            http_status.get(row),
        );
        let facts = Facts {
            kind: kind.int32(row),
            is_error,
            http_method: http_method.text(row),
            http_route: http_route.text(row),
            http_status: http_status.get(row),
            url_path: url_path.text(row),
            server_address: server.text(row),
            peer_service: peer.text(row),
            rpc_system: rpc_system.text(row),
            rpc_method: rpc_method.text(row),
            rpc_status: rpc_status.text(row),
            grpc_status: grpc_status.get(row),
            db_system: db_system.text(row),
            db_namespace: db_namespace.text(row),
            db_operation: db_operation.text(row),
            db_collection: db_collection.text(row),
            messaging_system: messaging_system.text(row),
            messaging_destination: destination.text(row),
            messaging_partition: partition.text(row),
            error_type: error_type.get(row).or_else(|| exception_type.get(row)).unwrap_or_default(),
            graphql_operation: graphql.text(row),
            gen_ai_provider: gen_ai.text(row),
        };
        Some(SpanRow {
            trace_id: TraceId::from_bytes(trace_id.get(row)?)?,
            span_id: SpanId::from_bytes(span_id.get(row)?)?,
            parent: parent.get(row).and_then(SpanId::from_bytes),
            service: service.text(row).to_owned(),
            name: name.text(row).to_owned(),
            badge: badge::badge(&facts),
            detail: badge::detail(&facts, name.text(row)),
            result: badge::result(&facts),
            kind: facts.kind,
            status: status.int32(row),
            is_error,
            start: start.int(row),
            duration: duration.int(row).max(0),
            events: events.int(row),
            links: links.int(row),
            repairs: Repairs::from_bits(repairs.int32(row)),
        })
    };
    (0..batch.num_rows()).filter_map(row).collect()
}
