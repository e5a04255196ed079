//! Rows as JSON, CSV, newline-delimited JSON and Arrow IPC.
//!
//! In text forms: 64-bit integers are decimal text, binary is lower-case hex, moments are RFC 3339 with
//! nanoseconds, NaN and infinities are text, lists are arrays and structs are objects.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, SchemaRef, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use arrow::ipc::writer::StreamWriter;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use model::AttributeValue;
use serde_json::{Map, Value as Json, json};

use crate::error::{Error, Result};
use crate::tables::type_name;
use crate::times::format_moment;

/// In which form an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One document: columns, rows, then what they cost.
    Json,
    /// One object per line. Columns of the same name: the last one wins.
    Ndjson,
    /// A header line, then one line per row (RFC 4180); null is empty.
    Csv,
    /// An Arrow IPC stream; types as they are.
    Arrow,
}

/// What a finished answer says about itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tail {
    pub(crate) elapsed_ms: f64,
    pub(crate) rows_read: u64,
    pub(crate) bytes_read: u64,
    pub(crate) incomplete_reason: Option<String>,
}

/// Writes an answer piece by piece.
pub(crate) struct Encoder {
    schema: SchemaRef,
    form: Form,
}

enum Form {
    Json { is_first_row: bool },
    Ndjson,
    Csv,
    Arrow(Box<StreamWriter<Vec<u8>>>),
}

fn internal(error: impl std::fmt::Display) -> Error {
    Error::Internal(error.to_string())
}

impl Encoder {
    /// An encoder, and the first bytes of the answer.
    ///
    /// # Errors
    /// When the schema cannot be encoded: a bug.
    pub(crate) fn begin(format: Format, schema: SchemaRef) -> Result<(Self, Vec<u8>)> {
        let (form, bytes) = match format {
            Format::Json => {
                let column = |field: &arrow::datatypes::FieldRef| api::SqlColumn {
                    name: field.name().clone(),
                    data_type: type_name(field.data_type()),
                };
                let columns: Vec<_> = schema.fields().iter().map(column).collect();
                let columns = serde_json::to_string(&columns).map_err(internal)?;
                (Form::Json { is_first_row: true }, format!("{{\"columns\":{columns},\"rows\":[").into_bytes())
            }
            Format::Ndjson => (Form::Ndjson, Vec::new()),
            Format::Csv => {
                let names: Vec<String> = schema.fields().iter().map(|field| csv_field(field.name())).collect();
                (Form::Csv, format!("{}\r\n", names.join(",")).into_bytes())
            }
            Format::Arrow => {
                let mut writer = StreamWriter::try_new(Vec::new(), &schema).map_err(internal)?;
                let bytes = std::mem::take(writer.get_mut());
                (Form::Arrow(Box::new(writer)), bytes)
            }
        };
        Ok((Self { schema, form }, bytes))
    }

    /// The bytes of some rows.
    ///
    /// # Errors
    /// When a value cannot be shown: a bug.
    pub(crate) fn rows(&mut self, batch: &RecordBatch) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let columns = || unpacked(batch);
        match &mut self.form {
            Form::Json { is_first_row } => {
                let columns = columns()?;
                for row in 0..batch.num_rows() {
                    if !std::mem::take(is_first_row) {
                        bytes.push(b',');
                    }
                    let values = columns.iter().map(|column| to_json(column, row)).collect::<Result<Vec<_>>>()?;
                    serde_json::to_writer(&mut bytes, &values).map_err(internal)?;
                }
            }
            Form::Ndjson => {
                let columns = columns()?;
                for row in 0..batch.num_rows() {
                    let mut object = Map::new();
                    for (field, column) in self.schema.fields().iter().zip(&columns) {
                        object.insert(field.name().clone(), to_json(column, row)?);
                    }
                    serde_json::to_writer(&mut bytes, &object).map_err(internal)?;
                    bytes.push(b'\n');
                }
            }
            Form::Csv => {
                let columns = columns()?;
                let mut text = String::new();
                for row in 0..batch.num_rows() {
                    for (index, column) in columns.iter().enumerate() {
                        if index > 0 {
                            text.push(',');
                        }
                        match to_json(column, row)? {
                            Json::Null => {}
                            Json::String(value) => text.push_str(&csv_field(&value)),
                            other => text.push_str(&csv_field(&other.to_string())),
                        }
                    }
                    text.push_str("\r\n");
                }
                bytes = text.into_bytes();
            }
            Form::Arrow(writer) => {
                writer.write(batch).map_err(internal)?;
                bytes = std::mem::take(writer.get_mut());
            }
        }
        Ok(bytes)
    }

    /// The last bytes.
    ///
    /// # Errors
    /// When the end cannot be encoded: a bug.
    pub(crate) fn end(self, tail: &Tail) -> Result<Vec<u8>> {
        match self.form {
            Form::Json { .. } => {
                let mut rest = json!({
                    "elapsed_ms": tail.elapsed_ms,
                    "rows_read": tail.rows_read,
                    "bytes_read": tail.bytes_read,
                    "incomplete": tail.incomplete_reason.is_some(),
                });
                if let (Some(reason), Some(members)) = (&tail.incomplete_reason, rest.as_object_mut()) {
                    members.insert("incomplete_reason".to_owned(), json!(reason));
                }
                let rest = rest.to_string();
                Ok(format!("],{}", &rest[1..]).into_bytes())
            }
            Form::Ndjson | Form::Csv => Ok(Vec::new()),
            Form::Arrow(writer) => writer.into_inner().map_err(internal),
        }
    }
}

/// The columns of a batch, dictionaries unpacked.
fn unpacked(batch: &RecordBatch) -> Result<Vec<ArrayRef>> {
    let unpack = |column: &ArrayRef| match column.data_type() {
        DataType::Dictionary(_, value) => cast(column, value).map_err(internal),
        _ => Ok(ArrayRef::clone(column)),
    };
    batch.columns().iter().map(unpack).collect()
}

fn csv_field(value: &str) -> String {
    if value.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", value.replace('"', "\"\""))
    } else {
        value.to_owned()
    }
}

/// One value as a parameter of a statement: as JSON, integers as numbers.
///
/// # Errors
/// When a value cannot be shown: a bug.
pub(crate) fn parameter(array: &ArrayRef, row: usize) -> Result<Json> {
    let value = to_json(array, row)?;
    Ok(match (array.data_type(), &value) {
        (DataType::Int64 | DataType::UInt64, Json::String(text)) => {
            text.parse::<i64>().map_or(value, |number| json!(number))
        }
        _ => value,
    })
}

/// One value as JSON.
fn to_json(array: &ArrayRef, row: usize) -> Result<Json> {
    if array.is_null(row) {
        return Ok(Json::Null);
    }
    let moment = |nanos: Option<i64>, raw: i64| Json::String(nanos.map_or_else(|| raw.to_string(), format_moment));
    Ok(match array.data_type() {
        DataType::Null => Json::Null,
        DataType::Boolean => Json::Bool(array.as_boolean().value(row)),
        DataType::Int8 => json!(array.as_primitive::<Int8Type>().value(row)),
        DataType::Int16 => json!(array.as_primitive::<Int16Type>().value(row)),
        DataType::Int32 => json!(array.as_primitive::<Int32Type>().value(row)),
        DataType::Int64 => Json::String(array.as_primitive::<Int64Type>().value(row).to_string()),
        DataType::UInt8 => json!(array.as_primitive::<UInt8Type>().value(row)),
        DataType::UInt16 => json!(array.as_primitive::<UInt16Type>().value(row)),
        DataType::UInt32 => json!(array.as_primitive::<UInt32Type>().value(row)),
        DataType::UInt64 => Json::String(array.as_primitive::<UInt64Type>().value(row).to_string()),
        DataType::Float32 => double(f64::from(array.as_primitive::<Float32Type>().value(row))),
        DataType::Float64 => double(array.as_primitive::<Float64Type>().value(row)),
        DataType::Utf8 => Json::String(array.as_string::<i32>().value(row).to_owned()),
        DataType::LargeUtf8 => Json::String(array.as_string::<i64>().value(row).to_owned()),
        DataType::Utf8View => Json::String(array.as_string_view().value(row).to_owned()),
        DataType::Binary => hex(array.as_binary::<i32>().value(row)),
        DataType::LargeBinary => hex(array.as_binary::<i64>().value(row)),
        DataType::BinaryView => hex(array.as_binary_view().value(row)),
        DataType::FixedSizeBinary(_) => hex(array.as_fixed_size_binary().value(row)),
        DataType::Timestamp(unit, _) => {
            let (raw, unit) = match unit {
                TimeUnit::Second => (array.as_primitive::<TimestampSecondType>().value(row), 1_000_000_000),
                TimeUnit::Millisecond => (array.as_primitive::<TimestampMillisecondType>().value(row), 1_000_000),
                TimeUnit::Microsecond => (array.as_primitive::<TimestampMicrosecondType>().value(row), 1_000),
                TimeUnit::Nanosecond => (array.as_primitive::<TimestampNanosecondType>().value(row), 1),
            };
            moment(raw.checked_mul(unit), raw)
        }
        DataType::Dictionary(_, value) => {
            // Columns were unpacked before; this is one value inside a list or struct.
            let one = cast(&array.slice(row, 1), value).map_err(|error| Error::Internal(error.to_string()))?;
            to_json(&one, 0)?
        }
        DataType::List(_) => list(&array.as_list::<i32>().value(row))?,
        DataType::LargeList(_) => list(&array.as_list::<i64>().value(row))?,
        DataType::FixedSizeList(..) => list(&array.as_fixed_size_list().value(row))?,
        DataType::Struct(fields) => {
            let columns = array.as_struct();
            let mut object = Map::new();
            for (field, column) in fields.iter().zip(columns.columns()) {
                object.insert(field.name().clone(), to_json(column, row)?);
            }
            Json::Object(object)
        }
        _ => shown(array, row)?,
    })
}

fn list(items: &ArrayRef) -> Result<Json> {
    (0..items.len()).map(|row| to_json(items, row)).collect::<Result<Vec<_>>>().map(Json::Array)
}

fn double(value: f64) -> Json {
    AttributeValue::Double(value).to_plain_json()
}

fn hex(bytes: &[u8]) -> Json {
    Json::String(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Dates, decimals, intervals: as Arrow writes them.
fn shown(array: &ArrayRef, row: usize) -> Result<Json> {
    let options = FormatOptions::default();
    let formatter =
        ArrayFormatter::try_new(array.as_ref(), &options).map_err(|error| Error::Internal(error.to_string()))?;
    Ok(Json::String(formatter.value(row).to_string()))
}
