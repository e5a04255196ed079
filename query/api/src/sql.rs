//! `POST /api/sql` and `GET /api/tables`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// One read-only SQL statement.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SqlRequest {
    /// The statement.
    pub sql: String,
    /// Values for `$name` in the statement.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, Json>,
    /// Value for `$from`: a time as in API.md section 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Json>,
    /// Value for `$to`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Json>,
    /// Rows wanted at most; never more than the server's limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// Answer as `application/json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SqlAnswer {
    /// Columns in order.
    pub columns: Vec<SqlColumn>,
    /// Rows: one value per column. Integers of 64 bits are text, binary is lower-case hex.
    pub rows: Vec<Vec<Json>>,
    /// Time spent by the server.
    pub elapsed_ms: f64,
    /// Rows read from segments and buffer.
    pub rows_read: u64,
    /// Bytes read from segments.
    pub bytes_read: u64,
    /// The answer does not hold everything.
    pub incomplete: bool,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incomplete_reason: Option<String>,
}

/// A column of an answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SqlColumn {
    /// Name.
    pub name: String,
    /// SQL type in words.
    #[serde(rename = "type")]
    pub data_type: String,
}

/// Everything that can be named in SQL.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TablesAnswer {
    /// Tables and views.
    pub tables: Vec<TableInfo>,
    /// Functions of our own; SQL's usual ones are there too.
    pub functions: Vec<FunctionInfo>,
}

/// A table or view.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TableInfo {
    /// Name.
    pub name: String,
    /// `table` or `view`.
    pub kind: String,
    /// One line.
    pub help: String,
    /// Columns in order.
    pub columns: Vec<ColumnInfo>,
    /// Rows at the moment; `None` for views.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
}

/// A column of a table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ColumnInfo {
    /// Name.
    pub name: String,
    /// SQL type in words.
    #[serde(rename = "type")]
    pub data_type: String,
    /// May be null.
    pub nullable: bool,
    /// One line.
    pub help: String,
}

/// A function of our own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FunctionInfo {
    /// Name.
    pub name: String,
    /// How it is called, with types.
    pub signature: String,
    /// One line.
    pub help: String,
    /// An example that runs.
    pub example: String,
}
