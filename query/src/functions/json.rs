//! `event_attr(text, 'key', ...)`: look-up in OTLP/JSON text, a list of `KeyValue` or an object that holds one.
//!
//! Resources, scopes and series repeat from row to row and are dictionary-coded: each distinct text is
//! parsed once per batch.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, StringArray};
use arrow::compute::{cast, take};
use arrow::datatypes::DataType;
use datafusion::common::{exec_err, internal_err};
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use model::{Attribute, AttributeValue};

/// `event_attr(text, key, ...) -> text`.
pub(super) fn text() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(JsonAttr::new("event_attr", DataType::Utf8)))
}

/// `event_attr_number(text, key, ...) -> double`.
pub(super) fn number() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(JsonAttr::new("event_attr_number", DataType::Float64)))
}

/// The keys of a call: every argument but the first, constant text.
pub(super) fn keys(args: &[ColumnarValue]) -> Result<Vec<String>> {
    let key = |arg: &ColumnarValue| match arg {
        ColumnarValue::Scalar(value) => value.try_as_str().flatten().map(str::to_owned),
        ColumnarValue::Array(_) => None,
    };
    match args.get(1..).unwrap_or_default().iter().map(key).collect::<Option<Vec<_>>>() {
        Some(keys) if !keys.is_empty() => Ok(keys),
        _ => exec_err!("an attribute key must be a text constant, as in attr('order.id')"),
    }
}

/// The attributes in an OTLP/JSON list, or in the member `attributes` of an object.
pub(crate) fn attributes_of(text: &str) -> Vec<Attribute> {
    if text.starts_with('[') {
        return model::attributes_from_json(text);
    }
    let list = serde_json::from_str::<serde_json::Value>(text).ok();
    let list = list.as_ref().and_then(|object| object.get("attributes"));
    list.map(|list| model::attributes_from_json(&list.to_string())).unwrap_or_default()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct JsonAttr {
    name: &'static str,
    gives: DataType,
    signature: Signature,
}

impl JsonAttr {
    fn new(name: &'static str, gives: DataType) -> Self {
        Self { name, gives, signature: Signature::variadic_any(Volatility::Immutable) }
    }

    fn evaluate(&self, texts: &ArrayRef, keys: &[String]) -> Result<ArrayRef> {
        if let Some(dictionary) = texts.as_any_dictionary_opt() {
            let values = self.evaluate(dictionary.values(), keys)?;
            return Ok(take(&values, dictionary.keys(), None)?);
        }
        let texts = cast(texts, &DataType::Utf8)?;
        let Some(texts) = texts.as_string_opt::<i32>() else {
            return internal_err!("{} takes OTLP/JSON text", self.name);
        };
        let found = texts.iter().map(|text| find(text?, keys));
        Ok(if self.gives == DataType::Utf8 {
            Arc::new(found.map(|value| value.map(|value| value.to_display())).collect::<StringArray>())
        } else {
            let number = |value| match value {
                AttributeValue::Int(value) => Some(value as f64),
                AttributeValue::Double(value) => Some(value),
                _ => None,
            };
            Arc::new(found.map(|value| value.and_then(number)).collect::<Float64Array>())
        })
    }
}

/// False when certainly no entry of the text has one of the keys.
fn may_hold(text: &str, keys: &[String]) -> bool {
    keys.iter().any(|key| is_written_in_ways(key) || text.contains(key.as_str()))
}

/// JSON has more than one way to write this key.
fn is_written_in_ways(key: &str) -> bool {
    key.contains(['"', '\\']) || !key.is_ascii()
}

/// False when certainly no entry has one of the keys in what these bytes hold of texts, each of them OTLP/JSON.
pub(crate) fn any_may_hold(bytes: &[u8], keys: &[String]) -> bool {
    keys.iter().any(|key| is_written_in_ways(key) || memchr::memmem::find(bytes, key.as_bytes()).is_some())
}

/// The value of the first entry with one of the keys.
pub(super) fn find(text: &str, keys: &[String]) -> Option<AttributeValue> {
    if !may_hold(text, keys) {
        return None; // looking for the bytes is cheaper than parsing
    }
    attributes_of(text).into_iter().find(|entry| keys.contains(&entry.key)).map(|entry| entry.value)
}

impl ScalarUDFImpl for JsonAttr {
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
        let keys = keys(&args.args)?;
        let texts = args.args[0].to_array(args.number_rows)?;
        Ok(ColumnarValue::Array(self.evaluate(&texts, &keys)?))
    }
}
