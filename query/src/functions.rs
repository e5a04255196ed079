//! SQL functions of our own, and what is rewritten before a plan is made.
//!
//! | file              | knows                                                              |
//! |-------------------|--------------------------------------------------------------------|
//! | `attr.rs`         | `attr('key')`, `attr_number('key')`, `resource_attr('key')`: rewritten to columns and lists |
//! | `listed.rs`       | look-up in a typed attribute list                                  |
//! | `json.rs`         | `event_attr(text, 'key')`: look-up in OTLP/JSON text               |
//! | `nested.rs`       | whether an event or link of a span passes a test                    |
//! | `hex.rs`          | `hex(binary)`                                                      |
//! | `hex_literal.rs`  | `trace_id = '4bf9...'`: hex text compared with binary              |
//! | `duration.rs`     | `duration_ms(nanos)`, `format_duration(nanos)`                     |
//! | `words.rs`        | `span_kind(kind)`, `status(code)`                                  |
//! | `unary.rs`        | the shape shared by functions of one argument                      |

mod attr;
mod duration;
mod hex;
mod hex_literal;
mod json;
mod listed;
pub(crate) mod nested;
mod unary;
mod words;

use std::sync::Arc;

use api::FunctionInfo;
use datafusion::logical_expr::ScalarUDF;
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;

pub(crate) use attr::{
    attribute_column, attribute_number, attribute_text, names_of, resource_number, resource_text, scope_number,
    scope_text,
};
pub(crate) use json::attributes_of as json_attributes;

/// Every function of ours, those without a page in the documents included.
pub(crate) fn all() -> Vec<Arc<ScalarUDF>> {
    let mut functions = attr::functions();
    functions.extend([listed::text(), listed::number(), json::text(), json::number(), hex::hex()]);
    functions.extend([duration::duration_ms(), duration::format_duration_function()]);
    functions.extend([words::span_kind(), words::status()]);
    functions
}

/// Functions of DataFusion that make text or lists as long as a number in the query says, past the memory
/// limit, before anybody can stop them. Table functions of these names stream and stay.
pub(crate) const REFUSED: &[&str] =
    &["repeat", "lpad", "rpad", "array_repeat", "array_resize", "range", "generate_series"];

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
    ]
}
