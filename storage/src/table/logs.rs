//! What a log record is at rest.

use model::semconv::On;

use super::Table;
use super::column::{Column, Kind};

/// One row per log record.
pub static LOGS: Table = Table::new(
    "logs",
    "one row per log record",
    "time",
    &["service_name", "time"],
    &[
        Column::always("time", Kind::UnixNanos, "when it happened; when observed or taken, if the sender did not say"),
        Column::optional("sent_time", Kind::UnixNanos, "when it happened as sent, if time differs from it"),
        Column::always(
            "observed_time",
            Kind::UnixNanos,
            "when it was first seen by telemetry, as sent; 0 when not said",
        ),
        Column::always("arrival_time", Kind::UnixNanos, "when the collector took it, by the collector's clock"),
        Column::always("service_name", Kind::Label, "service that sent it; unknown_service when not said"),
        Column::always(
            "severity_number",
            Kind::Int32,
            "1-4 trace, 5-8 debug, 9-12 info, 13-16 warn, 17-20 error, 21-24 fatal; 0 not said",
        ),
        Column::optional("severity_text", Kind::Label, "severity in the sender's words"),
        Column::optional("body", Kind::Text, "the message, when it is text"),
        Column::optional("body_json", Kind::JsonText, "the message as OTLP/JSON value, when it is not text"),
        Column::optional("event_name", Kind::Label, "name of the event, for event records"),
        Column::optional("trace_id", Kind::Id16, "trace it belongs to"),
        Column::optional("span_id", Kind::Id8, "span it belongs to"),
        Column::always("flags", Kind::Int64, "W3C trace flags"),
        Column::always("dropped_attributes_count", Kind::Int64, "attributes left out by the sender or a limit"),
        Column::always(
            "attributes",
            Kind::Attributes,
            "attributes without a column of their own; read them with attr('key')",
        ),
        Column::optional(
            "attribute_order",
            Kind::Label,
            "how columns and attributes interleave as sent; see docs/formats/attributes.md",
        ),
        Column::always("resource", Kind::Json, "the whole resource as OTLP/JSON"),
        Column::optional("resource_schema_url", Kind::Label, "schema of the resource, as sent"),
        Column::always("scope_name", Kind::Label, "instrumentation library or logger; empty when not said"),
        Column::always("scope", Kind::Json, "the whole instrumentation scope as OTLP/JSON"),
        Column::optional("scope_schema_url", Kind::Label, "schema of the scope's data, as sent"),
        Column::always("repairs", Kind::Flags, "what was mended on entry, one bit per repair"),
    ],
    &[On::Resource],
);
