//! SQL functions of our own, and what is rewritten before a plan is made.
//!
//! | file              | knows                                                              |
//! |-------------------|--------------------------------------------------------------------|
//! | `attr.rs`         | `attr('key')`, `attr_number('key')`, `resource_attr('key')`: rewritten to columns and lists |
//! | `allowed.rs`      | functions of DataFusion that may be called                          |
//! | `listed.rs`       | look-up in a typed attribute list                                  |
//! | `json.rs`         | `event_attr(text, 'key')`: look-up in OTLP/JSON text               |
//! | `holds.rs`        | conditions on attribute lists, tried while a segment is decoded     |
//! | `nested.rs`       | whether an event or link of a span passes a test                    |
//! | `none_of.rs`      | whether a row belongs to none of some traces                        |
//! | `hex.rs`          | `hex(binary)`                                                      |
//! | `hex_literal.rs`  | `trace_id = '4bf9...'`: hex text compared with binary              |
//! | `json_path.rs`    | `json_text(json, path)`, `json_number(json, path)`                  |
//! | `bucket.rs`       | `time_bucket('5m', time)`, `duration_bucket(nanos)`                 |
//! | `counter.rs`      | `increase(value, time)`, `rate(value, time)`: counters with resets  |
//! | `quantile.rs`     | quantiles of histograms                                             |
//! | `duration.rs`     | `duration_ms(nanos)`, `format_duration(nanos)`                     |
//! | `words.rs`        | `span_kind(kind)`, `status(code)`                                  |
//! | `unary.rs`        | the shape shared by functions of one argument                      |

pub(crate) mod allowed;
mod attr;
mod bucket;
mod counter;
mod duration;
mod hex;
mod hex_literal;
mod holds;
mod json;
mod json_path;
mod listed;
pub(crate) mod nested;
mod none_of;
mod quantile;
mod unary;
mod words;

use std::sync::Arc;

use api::FunctionInfo;
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF};

pub(crate) use attr::{
    attribute_column, attribute_is, attribute_number, attribute_text, names_of, resource_number, resource_text,
    scope_number, scope_text,
};
pub(crate) use holds::while_decoding;
pub(crate) use json::{any_may_hold, attributes_of as json_attributes};
pub(crate) use listed::{leaves_shown_as, may_show, shown_text};
pub(crate) use none_of::none_of;

/// Every function of ours, those without a page in the documents included.
pub(crate) fn all() -> Vec<Arc<ScalarUDF>> {
    let mut functions = attr::functions();
    functions.extend([listed::text(), listed::number(), json::text(), json::number(), hex::hex()]);
    functions.extend([duration::duration_ms(), duration::format_duration_function()]);
    functions.extend([words::span_kind(), words::status()]);
    functions.extend([bucket::time_bucket(), bucket::duration_bucket(), json_path::text(), json_path::number()]);
    functions.extend([quantile::histogram_quantile(), quantile::exp_histogram_quantile()]);
    functions
}

/// Every aggregate function of ours.
pub(crate) fn aggregates() -> Vec<Arc<AggregateUDF>> {
    vec![counter::increase(), counter::rate()]
}

/// What is rewritten before a plan is made.
pub(crate) fn rewrites() -> Vec<Arc<dyn FunctionRewrite + Send + Sync>> {
    vec![Arc::new(attr::AttributeRewrite), Arc::new(hex_literal::HexLiteralRewrite)]
}

/// Functions for `/api/tables`; every example runs.
pub(crate) fn describe() -> Vec<FunctionInfo> {
    let info = |name: &str, signature: &str, help: &str, example: &str| FunctionInfo {
        name: name.to_owned(),
        signature: signature.to_owned(),
        help: help.to_owned(),
        example: example.to_owned(),
    };
    vec![
        info(
            "attr",
            "attr(key text) -> text, attr(attributes, key text) -> text",
            "Attribute of the row by its new or an older name, from its column or the list; null when not sent. Name \
             the attributes column when tables are joined.",
            "SELECT name, attr('order.id') FROM spans WHERE attr('http.route') = '/cart' LIMIT 10",
        ),
        info(
            "attr_number",
            "attr_number(key text) -> double, attr_number(attributes, key text) -> double",
            "As attr, for integers and doubles; null when the value is not a number.",
            "SELECT avg(attr_number('cart.items')) FROM spans",
        ),
        info(
            "resource_attr",
            "resource_attr(key text) -> text, resource_attr(resource, key text) -> text",
            "Attribute of the resource that sent the row, by its new or an older name; null when not sent.",
            "SELECT resource_attr('host.name') AS host, count(*) FROM spans GROUP BY 1",
        ),
        info(
            "event_attr",
            "event_attr(attributes text, key text) -> text",
            "Attribute out of an OTLP/JSON list, as events and links carry them; null when not sent.",
            "SELECT event_attr(attributes, 'exception.message') FROM events WHERE name = 'exception'",
        ),
        info(
            "hex",
            "hex(id binary) -> text",
            "Lower-case hex of an id or other bytes.",
            "SELECT hex(trace_id) FROM spans LIMIT 1",
        ),
        info(
            "duration_ms",
            "duration_ms(nanos bigint) -> double",
            "Nanoseconds as milliseconds.",
            "SELECT approx_percentile_cont(duration_ms(duration_nanos), 0.95) FROM spans",
        ),
        info(
            "format_duration",
            "format_duration(nanos bigint) -> text",
            "Nanoseconds for people: 870 ns, 12.3 ms, 1 m 4 s.",
            "SELECT name, format_duration(duration_nanos) FROM spans ORDER BY duration_nanos DESC LIMIT 10",
        ),
        info(
            "span_kind",
            "span_kind(kind int) -> text",
            "internal, server, client, producer, consumer or unspecified.",
            "SELECT span_kind(kind), count(*) FROM spans GROUP BY 1",
        ),
        info(
            "status",
            "status(status_code int) -> text",
            "unset, ok or error.",
            "SELECT status(status_code), count(*) FROM spans GROUP BY 1",
        ),
        info(
            "time_bucket",
            "time_bucket(width text, time timestamp) -> timestamp",
            "The beginning of the bucket a moment lies in; a width such as 30s, 5m, 1h, counted from 1970 in UTC.",
            "SELECT time_bucket('5m', start_time) AS t, count(*) FROM spans GROUP BY 1 ORDER BY 1",
        ),
        info(
            "duration_bucket",
            "duration_bucket(nanos bigint) -> bigint",
            "The lower edge of a duration's bucket on a logarithmic scale, four to a doubling, for histograms.",
            "SELECT duration_bucket(duration_nanos) AS b, count(*) FROM spans GROUP BY 1 ORDER BY 1",
        ),
        info(
            "percentile_cont",
            "percentile_cont(p double) WITHIN GROUP (ORDER BY value) -> double",
            "A percentile, exact: every value is kept in memory.",
            "SELECT percentile_cont(0.95) WITHIN GROUP (ORDER BY duration_nanos) FROM spans",
        ),
        info(
            "approx_percentile_cont",
            "approx_percentile_cont(p double) WITHIN GROUP (ORDER BY value) -> value, approx_percentile_cont(value, p)",
            "A percentile, about 1 % off, in fixed memory.",
            "SELECT service_name, approx_percentile_cont(duration_nanos, 0.99) FROM spans GROUP BY 1",
        ),
        info(
            "increase",
            "increase(value double, time timestamp) -> double",
            "What a cumulative counter grew by, resets included; group by series_id. Delta points are summed with sum(value).",
            "SELECT metric_name, series_id, increase(value, time) FROM metrics WHERE temporality = 2 GROUP BY 1, 2",
        ),
        info(
            "rate",
            "rate(value double, time timestamp) -> double",
            "increase per second between the first and the last point; group by series_id.",
            "SELECT time_bucket('1m', time), series_id, rate(value, time) FROM metrics WHERE is_monotonic GROUP BY 1, 2",
        ),
        info(
            "histogram_quantile",
            "histogram_quantile(q double, bucket_counts bigint[], bounds double[]) -> double",
            "A quantile of a histogram with explicit buckets, interpolated inside the bucket.",
            "SELECT metric_name, time, histogram_quantile(0.95, bucket_counts, bounds) FROM histograms LIMIT 10",
        ),
        info(
            "exp_histogram_quantile",
            "exp_histogram_quantile(q double, scale int, zero_count bigint, positive_offset int, positive_counts bigint[]) -> \
             double",
            "A quantile of the values from zero on of an exponential histogram.",
            "SELECT metric_name, time, exp_histogram_quantile(0.95, scale, zero_count, positive_offset, positive_counts) \
             FROM exp_histogram_points LIMIT 10",
        ),
        info(
            "json_text",
            "json_text(json text, path text) -> text",
            "A value inside of JSON text by a path such as user.id or items[0].name; null when it is not there.",
            "SELECT json_text('{\"user\":{\"id\":\"7\"}}', 'user.id')",
        ),
        info(
            "json_number",
            "json_number(json text, path text) -> double",
            "As json_text, for numbers and numbers written as text.",
            "SELECT json_number(numbers, 'calls') FROM findings LIMIT 10",
        ),
    ]
}
