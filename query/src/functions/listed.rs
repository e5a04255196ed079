//! Look-up in a typed attribute list: `attr_listed(attributes, 'key', ...)` and its number form.
//!
//! People write `attr('key')`; these are what it becomes. The first entry whose key is one of the given
//! wins. Cost: one comparison of bytes per entry and key.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Builder, ListArray, StringArray, StringBuilder, StructArray};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use datafusion::common::internal_err;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use super::json;

/// `attr_listed(attributes, key, ...) -> text`.
pub(super) fn text() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(Listed::new("attr_listed", DataType::Utf8)))
}

/// `attr_number_listed(attributes, key, ...) -> double`.
pub(super) fn number() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(Listed::new("attr_number_listed", DataType::Float64)))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Listed {
    name: &'static str,
    gives: DataType,
    signature: Signature,
}

impl Listed {
    fn new(name: &'static str, gives: DataType) -> Self {
        Self { name, gives, signature: Signature::variadic_any(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Listed {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.gives.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let keys = json::keys(&args.args)?;
        let lists = args.args[0].to_array(args.number_rows)?;
        let Some(entries) = Entries::new(&lists) else {
            return internal_err!("{} takes an attribute list", self.name);
        };
        let found = (0..lists.len()).map(|row| entries.find(row, &keys));
        let array: ArrayRef = if self.gives == DataType::Utf8 {
            let mut texts = StringBuilder::new();
            found.for_each(|entry| texts.append_option(entry.and_then(|entry| entries.text(entry))));
            Arc::new(texts.finish())
        } else {
            let mut numbers = Float64Builder::new();
            found.for_each(|entry| numbers.append_option(entry.and_then(|entry| entries.number(entry))));
            Arc::new(numbers.finish())
        };
        Ok(ColumnarValue::Array(array))
    }
}

/// A list of attributes taken apart, so that a look-up is array access.
struct Entries<'a> {
    lists: &'a ListArray,
    keys: &'a StringArray,
    values: &'a StructArray,
}

impl<'a> Entries<'a> {
    fn new(lists: &'a ArrayRef) -> Option<Self> {
        let lists = lists.as_list_opt::<i32>()?;
        let values = lists.values().as_struct_opt()?;
        let keys = values.column_by_name("key")?.as_string_opt::<i32>()?;
        Some(Self { lists, keys, values })
    }

    fn find(&self, row: usize, keys: &[String]) -> Option<usize> {
        if self.lists.is_null(row) {
            return None;
        }
        let offsets = self.lists.value_offsets();
        let (start, end) = (offsets[row] as usize, offsets[row + 1] as usize);
        (start..end).find(|entry| keys.iter().any(|key| key == self.keys.value(*entry)))
    }

    fn member(&self, name: &str, entry: usize) -> Option<&'a ArrayRef> {
        self.values.column_by_name(name).filter(|column| column.is_valid(entry))
    }

    fn text(&self, entry: usize) -> Option<String> {
        if let Some(column) = self.member("str", entry) {
            return column.as_string_opt::<i32>().map(|column| column.value(entry).to_owned());
        }
        if let Some(column) = self.member("int", entry) {
            return column.as_primitive_opt::<Int64Type>().map(|column| column.value(entry).to_string());
        }
        if let Some(column) = self.member("double", entry) {
            return column
                .as_primitive_opt::<Float64Type>()
                .map(|column| model::AttributeValue::Double(column.value(entry)).to_display());
        }
        if let Some(column) = self.member("bool", entry) {
            return column.as_boolean_opt().map(|column| column.value(entry).to_string());
        }
        if let Some(column) = self.member("bytes", entry) {
            return column.as_binary_opt::<i32>().map(|column| BASE64.encode(column.value(entry)));
        }
        let column = self.member("json", entry)?.as_string_opt::<i32>()?;
        let value = serde_json::from_str(column.value(entry)).ok()?;
        Some(model::value_from_json(&value).to_display())
    }

    fn number(&self, entry: usize) -> Option<f64> {
        if let Some(column) = self.member("int", entry) {
            return column.as_primitive_opt::<Int64Type>().map(|column| column.value(entry) as f64);
        }
        self.member("double", entry)?.as_primitive_opt::<Float64Type>().map(|column| column.value(entry))
    }
}
