//! `span_kind(kind)` and `status(code)`: numbers as words.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, StringArray};
use arrow::datatypes::{DataType, Int32Type};
use datafusion::logical_expr::ScalarUDF;
use model::{SpanKind, StatusCode};

use super::unary::unary;

/// `span_kind(int) -> text`.
pub(super) fn span_kind() -> Arc<ScalarUDF> {
    unary("span_kind", DataType::Int32, DataType::Utf8, |array| Ok(words(array, SpanKind::word)))
}

/// `status(int) -> text`.
pub(super) fn status() -> Arc<ScalarUDF> {
    unary("status", DataType::Int32, DataType::Utf8, |array| Ok(words(array, StatusCode::word)))
}

fn words(array: &ArrayRef, word: fn(i32) -> &'static str) -> ArrayRef {
    Arc::new(array.as_primitive::<Int32Type>().iter().map(|code| code.map(word)).collect::<StringArray>())
}
