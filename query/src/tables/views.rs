//! Relations that are written in SQL over the tables: said once, run and shown to people from here.

use crate::analysis::errors::failed_sql;

/// A relation made from others.
#[derive(Debug)]
pub(crate) struct View {
    /// Name in SQL.
    pub(crate) name: &'static str,
    /// One line for people.
    pub(crate) help: &'static str,
    /// What it is, over the tables of the schema `raw`.
    pub(crate) sql: &'static str,
    /// Columns that no table declares, with a line for people each.
    pub(crate) columns: &'static [(&'static str, &'static str)],
    /// Shown as a table, because it only adds columns to the table of the same name.
    pub(crate) is_table: bool,
    /// Grouped by trace: a filter on its start narrows what is read.
    pub(crate) is_pruned: bool,
}

/// Every view, in the order in which they are listed for people.
pub(crate) const VIEWS: &[View] = &[
    View {
        name: "spans",
        help: "one row per span; events and links nested, common attributes as columns",
        sql: concat!(
            "SELECT *, arrow_cast(arrow_cast(start_time, 'Int64') + duration_nanos, 'Timestamp(ns, \"UTC\")') AS end_time, ",
            failed_sql!(),
            " AS error FROM raw.spans"
        ),
        columns: &[
            ("end_time", "start_time plus duration_nanos"),
            (
                "error",
                "true when it failed: by its status, else error.type, else its RPC status, else HTTP from 400 (client) or 500 (server)",
            ),
        ],
        is_table: true,
        is_pruned: false,
    },
    View {
        name: "events",
        help: "one row per event of a span",
        sql: "SELECT trace_id, span_id, service_name, span_name, \
                     arrow_cast(get_field(event, 'time'), 'Timestamp(ns, \"UTC\")') AS time, \
                     get_field(event, 'name') AS name, get_field(event, 'attributes') AS attributes, \
                     get_field(event, 'dropped_attributes_count') AS dropped_attributes_count, start_time AS span_start_time \
              FROM (SELECT trace_id, span_id, service_name, name AS span_name, start_time, unnest(events) AS event \
                    FROM raw.spans WHERE event_count > 0)",
        columns: &[
            ("span_name", "name of the span"),
            ("time", "moment of the event"),
            ("name", "name of the event"),
            ("attributes", "attributes as OTLP/JSON list; read them with event_attr(attributes, 'key')"),
            ("dropped_attributes_count", "attributes left out by the sender or a limit"),
            ("span_start_time", "start of the span; filter by it to read fewer segments"),
        ],
        is_table: false,
        is_pruned: false,
    },
    View {
        name: "links",
        help: "one row per link from a span to another span",
        sql: "SELECT trace_id, span_id, service_name, span_name, \
                     get_field(link, 'trace_id') AS linked_trace_id, get_field(link, 'span_id') AS linked_span_id, \
                     get_field(link, 'trace_state') AS trace_state, get_field(link, 'attributes') AS attributes, \
                     get_field(link, 'dropped_attributes_count') AS dropped_attributes_count, \
                     get_field(link, 'flags') AS flags, start_time AS span_start_time \
              FROM (SELECT trace_id, span_id, service_name, name AS span_name, start_time, unnest(links) AS link \
                    FROM raw.spans WHERE link_count > 0)",
        columns: &[
            ("span_name", "name of the span"),
            ("linked_trace_id", "trace of the span it points to"),
            ("linked_span_id", "span it points to"),
            ("attributes", "attributes as OTLP/JSON list; read them with event_attr(attributes, 'key')"),
            ("dropped_attributes_count", "attributes left out by the sender or a limit"),
            ("flags", "W3C trace flags and OTLP's remote-parent bits of the link"),
            ("span_start_time", "start of the span; filter by it to read fewer segments"),
        ],
        is_table: false,
        is_pruned: false,
    },
    View {
        name: "metrics",
        help: "number points with one value column, whatever type was sent",
        sql: "SELECT *, coalesce(value_double, arrow_cast(value_int, 'Float64')) AS value FROM raw.number_points",
        columns: &[("value", "the value as a double; exact for integers up to 2^53")],
        is_table: false,
        is_pruned: false,
    },
    View {
        name: "metric_points",
        help: "data points of every kind of metric with what they have in common; the tables of each kind hold the rest",
        sql: "SELECT time, start_time, arrival_time, metric_name, metric_unit, metric_description, \
                     CASE metric_kind WHEN 1 THEN 'gauge' ELSE 'sum' END AS kind, \
                     CASE temporality WHEN 1 THEN 'delta' WHEN 2 THEN 'cumulative' ELSE '' END AS temporality, \
                     is_monotonic, service_name, series_id, \
                     coalesce(value_double, arrow_cast(value_int, 'Float64')) AS value, \
                     arrow_cast(NULL, 'Int64') AS count, arrow_cast(NULL, 'Float64') AS sum, \
                     (flags & 1) = 1 AS is_stale, attributes, resource FROM raw.number_points \
              UNION ALL \
              SELECT time, start_time, arrival_time, metric_name, metric_unit, metric_description, 'histogram', \
                     CASE temporality WHEN 1 THEN 'delta' WHEN 2 THEN 'cumulative' ELSE '' END, false, service_name, series_id, \
                     arrow_cast(NULL, 'Float64'), count, sum, (flags & 1) = 1, attributes, resource FROM raw.histogram_points \
              UNION ALL \
              SELECT time, start_time, arrival_time, metric_name, metric_unit, metric_description, 'exponential_histogram', \
                     CASE temporality WHEN 1 THEN 'delta' WHEN 2 THEN 'cumulative' ELSE '' END, false, service_name, series_id, \
                     arrow_cast(NULL, 'Float64'), count, sum, (flags & 1) = 1, attributes, resource FROM raw.exp_histogram_points \
              UNION ALL \
              SELECT time, start_time, arrival_time, metric_name, metric_unit, metric_description, 'summary', \
                     '', false, service_name, series_id, \
                     arrow_cast(NULL, 'Float64'), count, sum, (flags & 1) = 1, attributes, resource FROM raw.summary_points",
        columns: &[
            ("kind", "gauge, sum, histogram, exponential_histogram or summary"),
            ("temporality", "delta, cumulative, or empty for gauges and summaries"),
            ("value", "value of a gauge or sum as a double; null for others and for staleness marks"),
            ("count", "measurements in the interval; null for gauges and sums"),
            ("sum", "sum of the measurements; null when not said"),
            ("is_stale", "the series says that it has no value at this moment"),
        ],
        is_table: false,
        is_pruned: false,
    },
    View {
        name: "histograms",
        help: "another name for histogram_points",
        sql: "SELECT * FROM raw.histogram_points",
        columns: &[],
        is_table: false,
        is_pruned: false,
    },
    View {
        name: "traces",
        help: "one row per trace, computed from its spans; filter by start_time to read fewer segments: then spans more than \
               an hour outside the range are not counted",
        sql: concat!(
            "SELECT trace_id, \
                     first_value(service_name ORDER BY parent_span_id IS NOT NULL, start_time, span_id) AS service_name, \
                     first_value(name ORDER BY parent_span_id IS NOT NULL, start_time, span_id) AS name, \
                     bool_or(parent_span_id IS NULL) AS has_root, \
                     min(start_time) AS start_time, \
                     max(arrow_cast(start_time, 'Int64') + duration_nanos) - arrow_cast(min(start_time), 'Int64') AS duration_nanos, \
                     count(*) AS spans, \
                     sum(CASE WHEN ",
            failed_sql!(),
            " THEN 1 ELSE 0 END) AS errors, count(DISTINCT service_name) AS services FROM raw.spans GROUP BY trace_id"
        ),
        columns: &[
            ("service_name", "service of the root span, or of the earliest span when no root is stored"),
            ("name", "name of that span"),
            ("has_root", "a span without parent is stored"),
            ("start_time", "earliest start"),
            ("duration_nanos", "from the earliest start to the latest end"),
            ("spans", "spans stored"),
            ("errors", "spans that failed, as the column error of spans says"),
            ("services", "distinct services"),
        ],
        is_table: false,
        is_pruned: true,
    },
    View {
        name: "services",
        help: "one row per service that sent spans",
        sql: concat!(
            "SELECT service_name, count(*) AS spans, sum(CASE WHEN kind IN (2, 5) THEN 1 ELSE 0 END) AS requests, \
                    sum(CASE WHEN kind IN (2, 5) AND ",
            failed_sql!(),
            " THEN 1 ELSE 0 END) AS errors, min(start_time) AS first_time, max(start_time) AS last_time \
             FROM raw.spans GROUP BY service_name"
        ),
        columns: &[
            ("spans", "spans stored"),
            ("requests", "server and consumer spans"),
            ("errors", "requests that failed, as the column error of spans says"),
            ("first_time", "start of its earliest span"),
            ("last_time", "start of its latest span"),
        ],
        is_table: false,
        is_pruned: false,
    },
];

/// The view with this name.
pub(crate) fn by_name(name: &str) -> Option<&'static View> {
    VIEWS.iter().find(|view| view.name == name)
}
