//! `json_text(json, path)` and `json_number(json, path)`: a value inside of JSON text.
//!
//! A path is names and places: `user.id`, `items[0].name`, `["odd.name"]`; empty for the whole. Text that is no JSON,
//! and paths that lead nowhere, give null.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, StringArray};
use arrow::compute::{cast, take};
use arrow::datatypes::DataType;
use datafusion::common::{exec_err, internal_err};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use serde_json::Value as Json;

/// `json_text(json text, path text) -> text`.
pub(super) fn text() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(JsonPath::new("json_text", DataType::Utf8)))
}

/// `json_number(json text, path text) -> double`.
pub(super) fn number() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(JsonPath::new("json_number", DataType::Float64)))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct JsonPath {
    name: &'static str,
    gives: DataType,
    signature: Signature,
}

/// A step into JSON.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Name(String),
    Place(usize),
}

/// The steps of a path; `None` when it is not one.
fn steps(path: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix("[\"") {
            let (name, after) = inner.split_once("\"]")?;
            steps.push(Step::Name(name.to_owned()));
            rest = after;
        } else if let Some(inner) = rest.strip_prefix('[') {
            let (place, after) = inner.split_once(']')?;
            steps.push(Step::Place(place.parse().ok()?));
            rest = after;
        } else {
            let rest_of_name = rest.strip_prefix('.').unwrap_or(rest);
            if steps.is_empty() == rest.starts_with('.') {
                return None;
            }
            let len = rest_of_name.find(['.', '[']).unwrap_or(rest_of_name.len());
            if len == 0 {
                return None;
            }
            steps.push(Step::Name(rest_of_name[..len].to_owned()));
            rest = &rest_of_name[len..];
        }
    }
    Some(steps)
}

fn look_up(text: &str, steps: &[Step]) -> Option<Json> {
    let mut value: Json = serde_json::from_str(text).ok()?;
    for step in steps {
        value = match (step, value) {
            (Step::Name(name), Json::Object(mut members)) => members.remove(name)?,
            (Step::Place(place), Json::Array(mut items)) if *place < items.len() => items.swap_remove(*place),
            _ => return None,
        };
    }
    (!value.is_null()).then_some(value)
}

impl JsonPath {
    fn new(name: &'static str, gives: DataType) -> Self {
        Self { name, gives, signature: Signature::new(TypeSignature::Any(2), Volatility::Immutable) }
    }

    fn evaluate(&self, texts: &ArrayRef, steps: &[Step]) -> Result<ArrayRef> {
        if let Some(dictionary) = texts.as_any_dictionary_opt() {
            let values = self.evaluate(dictionary.values(), steps)?;
            return Ok(take(&values, dictionary.keys(), None)?);
        }
        let texts = cast(texts, &DataType::Utf8)?;
        let Some(texts) = texts.as_string_opt::<i32>() else { return internal_err!("{} takes text", self.name) };
        let found = texts.iter().map(|text| look_up(text?, steps));
        Ok(if self.gives == DataType::Utf8 {
            let shown = |value: Json| if let Json::String(text) = value { text } else { value.to_string() };
            Arc::new(found.map(|value| value.map(shown)).collect::<StringArray>())
        } else {
            let number = |value: Json| match value {
                Json::Number(number) => number.as_f64(),
                // OTLP/JSON writes 64-bit integers as text.
                Json::String(text) => text.parse().ok(),
                _ => None,
            };
            Arc::new(found.map(|value| value.and_then(number)).collect::<Float64Array>())
        })
    }
}

impl ScalarUDFImpl for JsonPath {
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
        let path = match &args.args[1] {
            ColumnarValue::Scalar(value) => value.try_as_str().flatten().and_then(steps),
            ColumnarValue::Array(_) => None,
        };
        let Some(path) = path else {
            return exec_err!("the path of {} is a constant such as 'user.id' or 'items[0].name'", self.name);
        };
        let texts = args.args[0].to_array(args.number_rows)?;
        Ok(ColumnarValue::Array(self.evaluate(&texts, &path)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_values() {
        let text = r#"{"user":{"id":"7","odd.name":[1,{"x":true}]},"n":null}"#;
        let found = |path: &str| look_up(text, &steps(path)?).map(|value| value.to_string());
        assert_eq!(found("user.id").as_deref(), Some("\"7\""));
        assert_eq!(found("user[\"odd.name\"][1].x").as_deref(), Some("true"));
        assert_eq!(found("user[\"odd.name\"][0]").as_deref(), Some("1"));
        for nowhere in ["user.x", "n", "user[0]", "user[\"odd.name\"][2]", "user.id.x"] {
            assert_eq!(found(nowhere), None, "{nowhere}");
        }
        for wrong in [".a", "a.", "a..b", "a[", "a[x]", "[\"a"] {
            assert_eq!(steps(wrong), None, "{wrong}");
        }
        assert_eq!(steps(""), Some(Vec::new()));
    }
}
