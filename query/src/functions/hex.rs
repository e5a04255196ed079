//! `hex(binary)`: lower-case hex.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringBuilder};
use arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::ScalarUDF;

use super::unary::unary;

/// `hex(binary) -> text`.
pub(super) fn hex() -> Arc<ScalarUDF> {
    unary("hex", DataType::Binary, DataType::Utf8, run)
}

fn run(array: &ArrayRef) -> Result<ArrayRef> {
    let bytes = array.as_binary::<i32>();
    let mut texts = StringBuilder::with_capacity(bytes.len(), bytes.value_data().len() * 2);
    for value in bytes {
        match value {
            Some(value) => {
                for byte in value {
                    let _ = write!(texts, "{byte:02x}");
                }
                texts.append_value("");
            }
            None => texts.append_null(),
        }
    }
    Ok(Arc::new(texts.finish()))
}
