//! Rows as JSON, CSV, newline-delimited JSON and Arrow IPC.
//!
//! In text forms: 64-bit integers are decimal text, binary is lower-case hex, moments are RFC 3339 with
//! nanoseconds, NaN and infinities are text, lists are arrays and structs are objects.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use arrow::ipc::writer::StreamWriter;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use model::AttributeValue;
use serde_json::{Map, Value as Json, json};

use super::SqlRows;
use crate::error::{Error, Result};
use crate::tables::type_name;
use crate::times::format_moment;

impl SqlRows {
    /// The answer as the API's JSON document.
    ///
    /// # Errors
    /// When a value cannot be shown: a bug.
    pub fn to_answer(&self) -> Result<api::SqlAnswer> {
        let column = |field: &arrow::datatypes::FieldRef| api::SqlColumn {
            name: field.name().clone(),
            data_type: type_name(field.data_type()),
        };
        let mut rows = Vec::with_capacity(self.batches.iter().map(RecordBatch::num_rows).sum());
        for columns in self.unpacked() {
            let columns = columns?;
            for row in 0..columns.first().map_or(0, |column| column.len()) {
                rows.push(columns.iter().map(|column| to_json(column, row)).collect::<Result<Vec<_>>>()?);
            }
        }
        Ok(api::SqlAnswer {
            columns: self.schema.fields().iter().map(column).collect(),
            rows,
            elapsed_ms: self.elapsed_ms,
            rows_read: self.cost.rows_read,
            bytes_read: self.cost.bytes_read,
            incomplete: self.incomplete.0,
            incomplete_reason: self.incomplete.1.clone(),
        })
    }

    /// One JSON object per line. Columns of the same name: the last one wins.
    ///
    /// # Errors
    /// When a value cannot be shown: a bug.
    pub fn to_ndjson(&self) -> Result<Vec<u8>> {
        let mut text = Vec::new();
        for columns in self.unpacked() {
            let columns = columns?;
            for row in 0..columns.first().map_or(0, |column| column.len()) {
                let mut object = Map::new();
                for (field, column) in self.schema.fields().iter().zip(&columns) {
                    object.insert(field.name().clone(), to_json(column, row)?);
                }
                serde_json::to_writer(&mut text, &object).map_err(|error| Error::Internal(error.to_string()))?;
                text.push(b'\n');
            }
        }
        Ok(text)
    }

    /// A header line, then one line per row (RFC 4180); null is empty.
    ///
    /// # Errors
    /// When a value cannot be shown: a bug.
    pub fn to_csv(&self) -> Result<Vec<u8>> {
        let mut text = String::new();
        let names: Vec<String> = self.schema.fields().iter().map(|field| csv_field(field.name())).collect();
        text.push_str(&names.join(","));
        text.push_str("\r\n");
        for columns in self.unpacked() {
            let columns = columns?;
            for row in 0..columns.first().map_or(0, |column| column.len()) {
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
        }
        Ok(text.into_bytes())
    }

    /// An Arrow IPC stream; types as they are.
    ///
    /// # Errors
    /// When a batch cannot be encoded: a bug.
    pub fn to_arrow(&self) -> Result<Vec<u8>> {
        let internal = |error: arrow::error::ArrowError| Error::Internal(error.to_string());
        let mut writer = StreamWriter::try_new(Vec::new(), &self.schema).map_err(internal)?;
        for batch in &self.batches {
            writer.write(batch).map_err(internal)?;
        }
        writer.into_inner().map_err(internal)
    }

    /// Columns batch by batch, dictionaries unpacked.
    fn unpacked(&self) -> impl Iterator<Item = Result<Vec<ArrayRef>>> {
        let unpack = |column: &ArrayRef| match column.data_type() {
            DataType::Dictionary(_, value) => cast(column, value).map_err(|error| Error::Internal(error.to_string())),
            _ => Ok(ArrayRef::clone(column)),
        };
        self.batches.iter().map(move |batch| batch.columns().iter().map(unpack).collect())
    }

    /// Why rows are missing; `None` when all are there.
    pub fn incomplete_reason(&self) -> Option<&str> {
        self.incomplete.1.as_deref()
    }
}

fn csv_field(value: &str) -> String {
    if value.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", value.replace('"', "\"\""))
    } else {
        value.to_owned()
    }
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
