//! Rows of a test file as rows of tables. What a row does not name is empty, 0 or false; moments are the row's own.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Float64Array, Int32Array, Int64Array, StringArray, new_empty_array,
};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use storage::Batch;
use storage::table::{Column, Kind, Need, Table};

use crate::alert::duration;
use crate::alert::yaml::{Node, Wrong};

/// Rows of one table that a test file may make.
const ROWS_MAX: usize = 100_000;

/// Reads one entry of `input`: a table, its rows, and when each of them comes.
///
/// ```yaml
/// - table: spans
///   from: 0s
///   to: 10m
///   every: 10s
///   rows:
///   - {service_name: shop, name: GET /, status_code: 2, duration_nanos: 5000000}
/// ```
pub(super) fn read(node: &Node) -> Result<Option<Batch>, Wrong> {
    node.only(&["table", "from", "to", "every", "rows"], "an input")?;
    let name = node.get("table").ok_or_else(|| Wrong::at(node.line, "an input needs a table such as spans"))?;
    let table = Table::by_name(name.text()?).ok_or_else(|| {
        let names: Vec<&str> = storage::TABLES.iter().map(|table| table.name).collect();
        Wrong::at(
            name.line,
            format!("there is no table {:?}; tables are: {}", name.text().unwrap_or_default(), names.join(", ")),
        )
    })?;
    let moment = |name: &str| {
        let read = |node: &Node| duration::parse(node.text()?).map_err(|detail| Wrong::at(node.line, detail));
        node.get(name).map(read).transpose()
    };
    let from = moment("from")?.unwrap_or(0);
    let to = moment("to")?.unwrap_or(from);
    let every = moment("every")?.unwrap_or(60_000_000_000).max(1_000_000);
    let rows = node.get("rows").ok_or_else(|| Wrong::at(node.line, "an input needs rows"))?.list()?;
    for row in rows {
        let known: Vec<&str> = table.columns().iter().map(|column| column.name).collect();
        row.only(&known, &format!("a row of {}", table.name))?;
    }
    let moments: Vec<i64> =
        (0..).map(|n: i64| from + n * every).take_while(|at| *at <= to).take(ROWS_MAX + 1).collect();
    if moments.len().saturating_mul(rows.len()) > ROWS_MAX {
        return Err(Wrong::at(node.line, format!("an input makes at most {ROWS_MAX} rows")));
    }
    let all: Vec<(i64, &Node)> = moments.iter().flat_map(|at| rows.iter().map(move |row| (*at, row))).collect();
    if all.is_empty() {
        return Ok(None);
    }
    let mut columns = Vec::new();
    for column in table.columns() {
        let is_named = rows.iter().any(|row| row.get(column.name).is_some());
        if is_named || column.need == Need::Always {
            columns.push((column.name, array(table, column, &all)?));
        }
    }
    let made = Batch::from_columns(table, all.len(), columns);
    made.map(Some).map_err(|error| Wrong::at(node.line, error.to_string()))
}

/// One column of all rows.
fn array(table: &'static Table, column: &Column, rows: &[(i64, &Node)]) -> Result<ArrayRef, Wrong> {
    let given = |row: &Node| -> Result<Option<(usize, String)>, Wrong> {
        match row.get(column.name) {
            None => Ok(None),
            Some(value) => Ok(Some((value.line, value.text()?.to_owned()))),
        }
    };
    let is_optional = column.need == Need::Optional;
    let mut texts: Vec<Option<(usize, String)>> = Vec::with_capacity(rows.len());
    for (_, row) in rows {
        texts.push(given(row)?);
    }
    let parse = |what: &str| {
        let what = what.to_owned();
        move |line: usize, text: &str| Wrong::at(line, format!("{}: {text:?} is not {what}", column.name))
    };
    macro_rules! numbers {
        ($array:ty, $number:ty, $what:literal) => {{
            let wrong = parse($what);
            let mut values: Vec<Option<$number>> = Vec::with_capacity(texts.len());
            for text in &texts {
                values.push(match text {
                    Some((line, text)) => Some(text.trim().parse().map_err(|_| wrong(*line, text))?),
                    None if is_optional => None,
                    None => Some(<$number>::default()),
                });
            }
            Arc::new(<$array>::from(values)) as ArrayRef
        }};
    }
    Ok(match column.kind {
        Kind::UnixNanos => {
            let mut values = Vec::with_capacity(rows.len());
            for ((at, _), text) in rows.iter().zip(&texts) {
                values.push(match text {
                    // Of the moments of a row the one of its table goes with the row, others as told.
                    Some((line, text)) => Some(duration::parse(text).map_err(|detail| Wrong::at(*line, detail))?),
                    None if column.name == table.time || !is_optional => Some(*at),
                    None => None,
                });
            }
            Arc::new(Int64Array::from(values))
        }
        Kind::Int64 => numbers!(Int64Array, i64, "a whole number"),
        Kind::Int32 | Kind::Flags => numbers!(Int32Array, i32, "a whole number"),
        Kind::Float64 => numbers!(Float64Array, f64, "a number"),
        Kind::Bool => numbers!(BooleanArray, bool, "true or false"),
        Kind::Id16 => ids::<16>(column, &texts, is_optional)?,
        Kind::Id8 => ids::<8>(column, &texts, is_optional)?,
        Kind::Label | Kind::Text | Kind::Json | Kind::JsonText => {
            let is_json = matches!(column.kind, Kind::Json | Kind::JsonText);
            let otherwise = (!is_optional).then_some(if is_json { "{}" } else { "" });
            let texts = texts.iter().map(|text| text.as_ref().map(|(_, text)| text.as_str()).or(otherwise));
            let texts: ArrayRef = Arc::new(texts.collect::<StringArray>());
            cast(&texts, &column.kind.arrow()).map_err(|error| Wrong::at(1, error.to_string()))?
        }
        Kind::Attributes | Kind::Events | Kind::Links | Kind::Ints | Kind::Floats => {
            if let Some((line, _)) = texts.iter().flatten().next() {
                return Err(Wrong::at(
                    *line,
                    format!("{} cannot be given in a test; promoted columns can", column.name),
                ));
            }
            empty_lists(&column.kind.arrow(), rows.len())
        }
    })
}

/// Ids as hex; those that are not given are numbers that differ from row to row.
fn ids<const N: usize>(
    column: &Column,
    texts: &[Option<(usize, String)>],
    is_optional: bool,
) -> Result<ArrayRef, Wrong> {
    let mut values: Vec<Option<Vec<u8>>> = Vec::with_capacity(texts.len());
    for (row, text) in texts.iter().enumerate() {
        values.push(match text {
            Some((line, text)) => {
                let padded = format!("{text:0>width$}", width = 2 * N);
                let bytes =
                    (0..N).map(|at| padded.get(2 * at..2 * at + 2).and_then(|hex| u8::from_str_radix(hex, 16).ok()));
                let bytes = bytes.collect::<Option<Vec<u8>>>().filter(|_| padded.len() == 2 * N);
                let wrong = || Wrong::at(*line, format!("{}: {text:?} is not {} hex digits", column.name, 2 * N));
                Some(bytes.ok_or_else(wrong)?)
            }
            None if is_optional => None,
            None => {
                let mut bytes = vec![0; N - 8];
                bytes.extend((row as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
                Some(bytes)
            }
        });
    }
    Ok(Arc::new(values.iter().map(|value| value.as_deref()).collect::<BinaryArray>()))
}

fn empty_lists(data_type: &DataType, n_rows: usize) -> ArrayRef {
    let DataType::List(item) = data_type else { return new_empty_array(data_type) };
    let offsets = arrow::buffer::OffsetBuffer::from_lengths(std::iter::repeat_n(0, n_rows));
    let values = new_empty_array(item.data_type());
    Arc::new(arrow::array::ListArray::new(Arc::clone(item), offsets, values, None))
}
