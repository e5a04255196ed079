//! What a span is at rest.

use model::semconv::On;

use super::Table;
use super::column::{Column, Kind};

/// One row per span. Events and links stay with their span, so that a span is stored whole or not at all.
pub static SPANS: Table = Table::new(
    "spans",
    "one row per span; events and links nested, common attributes as columns",
    "start_time",
    &["service_name", "name", "start_time"],
    &[
        Column::always("trace_id", Kind::Id16, "W3C trace id, never all zero"),
        Column::always("span_id", Kind::Id8, "unique within its trace"),
        Column::optional("parent_span_id", Kind::Id8, "null when the span is a root"),
        Column::always("name", Kind::Label, "what the span did, low cardinality, as sent"),
        Column::always("service_name", Kind::Label, "service that sent it; unknown_service when not said"),
        Column::always("kind", Kind::Int32, "0 unspecified, 1 internal, 2 server, 3 client, 4 producer, 5 consumer"),
        Column::always("start_time", Kind::UnixNanos, "start by the sender's clock; the other timestamp when it was 0"),
        Column::always("duration_nanos", Kind::Int64, "end minus start; 0 when negative, see repairs"),
        Column::optional("sent_start_time", Kind::UnixNanos, "start as sent, when start_time differs from it"),
        Column::optional("sent_end_time", Kind::UnixNanos, "end as sent, when it is not start plus duration"),
        Column::always("arrival_time", Kind::UnixNanos, "when the collector took it, by the collector's clock"),
        Column::always("status_code", Kind::Int32, "0 unset, 1 ok, 2 error"),
        Column::optional("status_message", Kind::Label, "why it failed, as sent"),
        Column::optional("exception_type", Kind::Label, "class of the first exception event"),
        Column::optional("trace_state", Kind::Label, "W3C trace state, as sent"),
        Column::always("flags", Kind::Int64, "W3C trace flags and OTLP's remote-parent bits"),
        Column::always("dropped_attributes_count", Kind::Int64, "attributes left out by the sender or a limit"),
        Column::always("dropped_events_count", Kind::Int64, "events left out by the sender or a limit"),
        Column::always("dropped_links_count", Kind::Int64, "links left out by the sender or a limit"),
        Column::always("event_count", Kind::Int32, "events kept"),
        Column::always("link_count", Kind::Int32, "links kept"),
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
        Column::always("events", Kind::Events, "moments inside the span; see the relation events"),
        Column::always("links", Kind::Links, "pointers to other spans; see the relation links"),
        Column::always("resource", Kind::Json, "the whole resource as OTLP/JSON"),
        Column::optional("resource_schema_url", Kind::Label, "schema of the resource, as sent"),
        Column::always("scope_name", Kind::Label, "instrumentation library; empty when not said"),
        Column::always("scope", Kind::Json, "the whole instrumentation scope as OTLP/JSON"),
        Column::optional("scope_schema_url", Kind::Label, "schema of the scope's data, as sent"),
        Column::always("repairs", Kind::Flags, "what was mended on entry, one bit per repair"),
    ],
    &[On::Resource, On::Item],
);
