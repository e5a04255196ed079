//! Erasure: rows of a trace, or with an attribute, that must go for good.
//!
//! ```text
//!   asked    a durable mark; from here on no snapshot shows the rows
//!   waiting  rows that were accepted before are still in the write buffer
//!   rewritten by compaction: each segment that holds such rows is replaced by one without them
//!   done     no segment holds any: the mark goes, the old files go with the next vacuum
//! ```
//!
//! Every snapshot carries the marks of its tenant as [`Erasures`]; whoever reads rows asks it which are visible.
//! The work is done by `maintenance.rs`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type};
use futures::TryStreamExt;
use model::{TenantId, TraceId, UnixNanos, semconv};
use object_store::{ObjectStore, ObjectStoreExt, PutMode};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::Result;
use crate::paths;
use crate::table::{Kind, Table};

/// What is to be erased.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Erase {
    /// Every row of a trace, in every table.
    Trace(String),
    /// Every row with this attribute and value: on itself, its resource, scope, events or links. Values of other types
    /// than text are compared as text. Older names of a convention count as the convention.
    Attribute {
        /// Key of the attribute.
        key: String,
        /// Its value.
        value: String,
    },
}

/// A mark: what is hidden until it is rewritten.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erasure {
    /// Its name.
    pub id: String,
    /// When it was asked for, in nanoseconds since 1970.
    pub asked_unix_nano: i64,
    /// What is erased.
    pub erase: Erase,
}

/// The marks of one tenant. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Erasures(Arc<[Arc<Mark>]>);

/// A mark in the form in which rows are compared.
#[derive(Debug)]
pub(crate) struct Mark {
    pub erasure: Erasure,
    test: Test,
}

#[derive(Debug)]
enum Test {
    Trace(TraceId),
    Attribute { names: Vec<String>, column: Option<&'static str>, value: String },
}

/// Columns that hold a trace id, in whatever table.
const TRACE_COLUMNS: &[&str] = &["trace_id", "trace", "journey", "send_trace"];
/// Columns of derived tables whose text may name traces, as hexadecimal digits: the members of a journey, and the
/// message of a hop.
const MENTION_COLUMNS: &[&str] = &["members", "message"];

impl Erase {
    /// Rows of a trace.
    pub fn trace(id: TraceId) -> Self {
        Self::Trace(id.to_hex())
    }

    /// Says what is wrong with it, for the person who asked.
    ///
    /// # Errors
    /// One sentence.
    pub fn validate(&self) -> Result<(), String> {
        self.test().map(|_| ())
    }

    fn test(&self) -> Result<Test, String> {
        match self {
            Self::Trace(hex) => TraceId::from_hex(hex)
                .map(Test::Trace)
                .ok_or_else(|| format!("{hex:?} is no trace id: 32 hexadecimal digits, not all zero")),
            Self::Attribute { key, .. } if key.is_empty() => Err("the attribute's key is empty".to_owned()),
            Self::Attribute { key, value } => {
                let convention = semconv::find(key);
                let names = match convention {
                    Some(convention) => {
                        let old = convention.replaces.iter().map(|name| (*name).to_owned());
                        std::iter::once(convention.key.to_owned()).chain(old).collect()
                    }
                    None => vec![key.clone()],
                };
                let column = if key == semconv::key::SERVICE_NAME {
                    Some("service_name")
                } else {
                    convention.and_then(|convention| convention.column)
                };
                Ok(Test::Attribute { names, column, value: value.clone() })
            }
        }
    }
}

impl Erasures {
    /// Marks that can be compared; one that cannot is told and left out (it was checked when it was asked for).
    pub(crate) fn new(erasures: impl IntoIterator<Item = Erasure>) -> Self {
        let marks = erasures.into_iter().filter_map(|erasure| match erasure.erase.test() {
            Ok(test) => Some(Arc::new(Mark { erasure, test })),
            Err(error) => {
                tracing::error!(id = erasure.id, error, "an erasure cannot be understood; its rows are not hidden");
                None
            }
        });
        Self(marks.collect())
    }

    /// True when nothing is hidden.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The marks.
    pub fn list(&self) -> impl Iterator<Item = &Erasure> {
        self.0.iter().map(|mark| &mark.erasure)
    }

    /// Traces that are erased whole.
    pub(crate) fn traces(&self) -> Option<Vec<TraceId>> {
        let trace = |mark: &Arc<Mark>| match mark.test {
            Test::Trace(id) => Some(id),
            Test::Attribute { .. } => None,
        };
        self.0.iter().map(trace).collect()
    }

    /// Columns of a table, by position, without which [`Self::visible`] cannot tell.
    pub fn columns(&self, table: &'static Table) -> Vec<usize> {
        let columns = table.columns().iter().enumerate();
        let is_needed = |name: &str, kind: Kind| {
            self.0.iter().any(|mark| match &mark.test {
                Test::Trace(_) => TRACE_COLUMNS.contains(&name) || mentions_traces(table, name, kind),
                Test::Attribute { column, .. } => *column == Some(name) || may_hold_attributes(kind),
            })
        };
        columns.filter(|(_, column)| is_needed(column.name, column.kind)).map(|(index, _)| index).collect()
    }

    /// Which rows may be shown; `None` when all may. Columns are found by name; those of [`Self::columns`] must be
    /// among them, others do not matter.
    ///
    /// Cost: a comparison per row for traces; for attributes the text of every attribute is looked at.
    pub fn visible(&self, rows: &RecordBatch) -> Option<BooleanArray> {
        if self.is_empty() {
            return None;
        }
        let mut hidden = vec![false; rows.num_rows()];
        for (field, column) in rows.schema().fields().iter().zip(rows.columns()) {
            for mark in self.0.iter() {
                mark.test.hide(field.name(), column, &mut hidden);
            }
        }
        hidden.contains(&true).then(|| hidden.into_iter().map(|is_hidden| Some(!is_hidden)).collect())
    }

    /// The visible rows; `None` when they cannot be taken out.
    pub(crate) fn keep(&self, rows: RecordBatch) -> Option<RecordBatch> {
        match self.visible(&rows) {
            None => Some(rows),
            Some(visible) => filter_record_batch(&rows, &visible).ok(),
        }
    }
}

/// Columns in whose text traces may be named.
fn mentions_traces(table: &Table, name: &str, kind: Kind) -> bool {
    table.is_derived && MENTION_COLUMNS.contains(&name) && matches!(kind, Kind::Text | Kind::JsonText)
}

/// Kinds of columns in which any attribute may stand.
const fn may_hold_attributes(kind: Kind) -> bool {
    matches!(kind, Kind::Attributes | Kind::Events | Kind::Links | Kind::Json | Kind::JsonText)
}

impl Test {
    fn hide(&self, name: &str, column: &ArrayRef, hidden: &mut [bool]) {
        match self {
            Self::Trace(id) => {
                if let Some(ids) = column.as_binary_opt::<i32>().filter(|_| TRACE_COLUMNS.contains(&name)) {
                    mark(ids.iter().map(|other| other == Some(id.as_bytes())), hidden);
                }
                // No other table has columns of these names that are text.
                if let Some(texts) = column.as_string_opt::<i32>().filter(|_| MENTION_COLUMNS.contains(&name)) {
                    let hex = id.to_hex();
                    mark(texts.iter().map(|text| text.is_some_and(|text| text.contains(&hex))), hidden);
                }
            }
            Self::Attribute { names, column: own, value } => {
                if *own == Some(name) {
                    hide_equal(column, value, hidden);
                } else {
                    hide_attributes(column, names, value, hidden);
                }
            }
        }
    }
}

fn mark(found: impl Iterator<Item = bool>, hidden: &mut [bool]) {
    hidden.iter_mut().zip(found).for_each(|(hidden, found)| *hidden |= found);
}

/// Rows whose value, as text, is this one.
fn hide_equal(column: &ArrayRef, value: &str, hidden: &mut [bool]) {
    match column.data_type() {
        DataType::Utf8 => mark(column.as_string::<i32>().iter().map(|text| text == Some(value)), hidden),
        DataType::Int64 => {
            if let Ok(number) = value.parse::<i64>() {
                mark(column.as_primitive::<Int64Type>().iter().map(|other| other == Some(number)), hidden);
            }
        }
        DataType::Dictionary(..) => {
            let labels = column.as_dictionary::<Int32Type>();
            let is_equal: Vec<bool> =
                labels.values().as_string::<i32>().iter().map(|text| text == Some(value)).collect();
            mark(labels.keys().iter().map(|code| code.is_some_and(|code| is_equal[code as usize])), hidden);
        }
        _ => {}
    }
}

/// Rows with an attribute, wherever the column keeps attributes: typed, or as OTLP/JSON.
fn hide_attributes(column: &ArrayRef, names: &[String], value: &str, hidden: &mut [bool]) {
    match column.data_type() {
        DataType::Dictionary(..) => {
            let labels = column.as_dictionary::<Int32Type>();
            let holds: Vec<bool> =
                labels.values().as_string::<i32>().iter().map(|text| holds(text, names, value)).collect();
            mark(labels.keys().iter().map(|code| code.is_some_and(|code| holds[code as usize])), hidden);
        }
        DataType::Utf8 => mark(column.as_string::<i32>().iter().map(|text| holds(text, names, value)), hidden),
        DataType::List(_) => {
            let list = column.as_list::<i32>();
            let Some(items) = list.values().as_struct_opt() else { return };
            let keys = items.column_by_name("key").and_then(|keys| keys.as_string_opt::<i32>().cloned());
            let nested = items.column_by_name("attributes").and_then(|texts| texts.as_string_opt::<i32>().cloned());
            let is_found = |item: usize| {
                let is_key = |keys: &arrow::array::StringArray| names.iter().any(|name| name == keys.value(item));
                (keys.as_ref().is_some_and(is_key) && is_value(items, item, value))
                    || nested
                        .as_ref()
                        .is_some_and(|texts| texts.is_valid(item) && holds(Some(texts.value(item)), names, value))
            };
            let rows = list.value_offsets().windows(2);
            mark(rows.map(|ends| (ends[0] as usize..ends[1] as usize).any(is_found)), hidden);
        }
        _ => {}
    }
}

/// Whether a typed attribute has this value, as text.
fn is_value(items: &arrow::array::StructArray, item: usize, value: &str) -> bool {
    let column = |name: &str| items.column_by_name(name).filter(|column| column.is_valid(item));
    let text = |name: &str| column(name)?.as_string_opt::<i32>().map(|texts| texts.value(item));
    if let Some(text) = text("str") {
        return text == value;
    }
    if let Some(number) = column("int").and_then(|column| column.as_primitive_opt::<Int64Type>()) {
        return number.value(item).to_string() == value;
    }
    if let Some(number) = column("double").and_then(|column| column.as_primitive_opt::<Float64Type>()) {
        return value.parse() == Ok(number.value(item));
    }
    if let Some(truth) = column("bool").and_then(|column| column.as_boolean_opt()) {
        return value.parse() == Ok(truth.value(item));
    }
    // A list holds the value when one of its items is it.
    text("json").is_some_and(|json| serde_json::from_str(json).is_ok_and(|json| is_any(&json, value)))
}

/// Whether OTLP/JSON holds the attribute, at whatever depth.
fn holds(text: Option<&str>, names: &[String], value: &str) -> bool {
    // Most texts do not even have the key.
    let Some(text) = text.filter(|text| names.iter().any(|name| text.contains(name.as_str()))) else { return false };
    serde_json::from_str(text).is_ok_and(|json| holds_json(&json, names, value))
}

fn holds_json(json: &Value, names: &[String], value: &str) -> bool {
    match json {
        Value::Array(items) => items.iter().any(|item| holds_json(item, names, value)),
        Value::Object(fields) => {
            let is_named =
                fields.get("key").and_then(Value::as_str).is_some_and(|key| names.iter().any(|name| name == key));
            (is_named && fields.get("value").is_some_and(|found| is_any(found, value)))
                || fields.values().any(|field| holds_json(field, names, value))
        }
        _ => false,
    }
}

/// Whether an `AnyValue` is the value, or a list with it.
fn is_any(json: &Value, value: &str) -> bool {
    match json {
        Value::String(text) => text == value,
        Value::Number(number) => number.to_string() == value || number.as_f64().map(Ok) == Some(value.parse()),
        Value::Bool(truth) => value.parse() == Ok(*truth),
        Value::Array(items) => items.iter().any(|item| is_any(item, value)),
        Value::Object(fields) => fields.values().any(|field| is_any(field, value)),
        Value::Null => false,
    }
}

/// Makes a mark durable.
///
/// # Errors
/// What the store said.
pub(crate) async fn save(store: &dyn ObjectStore, tenant: &TenantId, erase: Erase, now: UnixNanos) -> Result<Erasure> {
    let erasure = Erasure { id: uuid::Uuid::now_v7().to_string(), asked_unix_nano: now.0, erase };
    let bytes = serde_json::to_vec_pretty(&erasure)
        .map_err(|error| object_store::Error::Generic { store: "erasure", source: Box::new(error) })?;
    store.put_opts(&paths::erasure(tenant, &erasure.id), bytes.into(), PutMode::Create.into()).await?;
    Ok(erasure)
}

/// The marks of a tenant.
///
/// # Errors
/// What the store said, or that a mark cannot be read: its rows must not be shown, so nothing is.
pub(crate) async fn load(store: &dyn ObjectStore, tenant: &TenantId) -> Result<Vec<Erasure>> {
    let found: Vec<_> = store.list(Some(&paths::erasures(tenant))).try_collect().await?;
    let mut erasures = Vec::with_capacity(found.len());
    for object in found {
        let bytes = store.get(&object.location).await?.bytes().await?;
        let erasure = serde_json::from_slice(&bytes).map_err(|error| crate::Error::Damaged {
            path: object.location.as_ref().into(),
            detail: format!("{error}; restore it, or remove it to show the rows again"),
        })?;
        erasures.push(erasure);
    }
    Ok(erasures)
}

/// Takes a mark away.
///
/// # Errors
/// What the store said.
pub(crate) async fn remove(store: &dyn ObjectStore, tenant: &TenantId, id: &str) -> Result<()> {
    match store.delete(&paths::erasure(tenant, id)).await {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::SPANS;
    use crate::tests::rows::{batch, span_ids, spans, trace_id};
    use arrow::array::{DictionaryArray, StringArray};

    fn erasures(erase: Erase) -> Erasures {
        Erasures::new([Erasure { id: "x".to_owned(), asked_unix_nano: 0, erase }])
    }

    fn attribute(key: &str, value: &str) -> Erase {
        Erase::Attribute { key: key.to_owned(), value: value.to_owned() }
    }

    #[test]
    fn rows_of_a_trace_are_hidden() {
        let id = TraceId::from_bytes(&trace_id(1)).expect("not zero");
        let erasures = erasures(Erase::trace(id));
        let kept = erasures.keep(spans(0..30).records().clone()).expect("they can be taken out");
        assert_eq!(span_ids(&kept), (0..10).chain(20..30).collect::<Vec<_>>());
        assert!(erasures.visible(spans(40..50).records()).is_none());
        assert_eq!(erasures.columns(&SPANS), [SPANS.column("trace_id").expect("spans have one").0]);
    }

    /// On the row by its column, by an older name, on the resource, and in events.
    #[test]
    fn rows_with_an_attribute_are_hidden() {
        let rows = batch(&SPANS, 4, |column| match column.name {
            "span_id" => Some(Arc::new(arrow::array::BinaryArray::from_iter_values((0u64..4).map(u64::to_be_bytes)))),
            "http_request_method" => {
                let values = [Some("GET"), None, Some("PUT"), None];
                Some(Arc::new(values.into_iter().collect::<DictionaryArray<Int32Type>>()))
            }
            "url_path" => Some(Arc::new(StringArray::from(vec![Some("/a"), Some("/b"), None, None]))),
            "resource" => {
                let resource = r#"{"attributes":[{"key":"tenant.id","value":{"intValue":"7"}}]}"#;
                let values = ["{}", "{}", "{}", resource];
                Some(Arc::new(values.into_iter().collect::<DictionaryArray<Int32Type>>()))
            }
            _ => None,
        });
        for (erase, hidden) in [
            (attribute("http.request.method", "PUT"), vec![2]),
            (attribute("http.method", "GET"), vec![0]),
            (attribute("url.path", "/b"), vec![1]),
            (attribute("tenant.id", "7"), vec![3]),
            (attribute("tenant.id", "8"), vec![]),
            (attribute("service.name", "{}"), vec![0, 1, 2, 3]),
        ] {
            let kept = erasures(erase.clone()).keep(rows.records().clone()).expect("they can be taken out");
            let expected: Vec<u64> = (0..4).filter(|row| !hidden.contains(row)).collect();
            assert_eq!(span_ids(&kept), expected, "{erase:?}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(Erase::Trace("00".repeat(16)).validate().is_err());
        assert!(attribute("", "x").validate().is_err());
    }
}
