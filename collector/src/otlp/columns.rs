//! Column builders: what arrow's own builders do not have, or not as fast as one row per microsecond needs.
//!
//! | builder       | for                                                                          |
//! |---------------|------------------------------------------------------------------------------|
//! | [`Labels`]    | text that repeats: a dictionary with a shortcut for "same as before"          |
//! | [`Promoted`]  | columns most rows leave empty: nulls are only written when a value comes      |
//! | [`Entries`]   | the typed attribute list                                                     |
//! | [`Structs`]   | offsets and closing of lists of structs                                      |

use std::hash::BuildHasher as _;
use std::sync::Arc;

use arrow::array::builder::{
    BinaryBuilder, BooleanBuilder, Float64Builder, Int64Builder, NullBufferBuilder, StringBuilder,
};
use arrow::array::{ArrayRef, DictionaryArray, Int32Array, ListArray, StructArray};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, Fields, Int32Type};
use hashbrown::{DefaultHashBuilder, HashTable};
use model::semconv::{self, On, ValueKind};
use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use storage::Batch;
use storage::table::{Table, attributes_fields};

use super::text;

/// A named array, as `Batch::from_columns` takes them.
pub(crate) type Named = (&'static str, ArrayRef);

/// A batch of these columns, without the room that builders keep for more rows: a request of ten spans would
/// hold 300 KiB of it in the write buffer.
///
/// # Errors
/// A column is missing, given twice or of another type: a bug here.
pub(crate) fn batch(table: &'static Table, n_rows: usize, mut columns: Vec<Named>) -> storage::Result<Batch> {
    for (_, column) in &mut columns {
        if let Some(column) = Arc::get_mut(column) {
            column.shrink_to_fit();
        }
    }
    Batch::from_columns(table, n_rows, columns)
}

/// Text that repeats: each distinct text once, rows hold codes.
#[derive(Debug)]
pub(crate) struct Labels {
    codes: Vec<i32>,
    nulls: NullBufferBuilder,
    texts: StringBuilder,
    by_text: HashTable<i32>,
    hasher: DefaultHashBuilder,
    last: i32,
}

/// Code that no text has.
const NONE: i32 = -1;

impl Default for Labels {
    fn default() -> Self {
        Self {
            codes: Vec::new(),
            nulls: NullBufferBuilder::new(0),
            texts: StringBuilder::new(),
            by_text: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            last: NONE,
        }
    }
}

impl Labels {
    /// Rows so far.
    pub(crate) fn len(&self) -> usize {
        self.codes.len()
    }

    /// The next row holds `text`.
    pub(crate) fn push(&mut self, text: &str) {
        let code = self.intern(text);
        self.codes.push(code);
        self.nulls.append_non_null();
    }

    /// The next row holds `text`, or nothing when it is empty.
    pub(crate) fn push_non_empty(&mut self, text: &str) {
        self.push_option((!text.is_empty()).then_some(text));
    }

    /// The next row holds `text` or nothing.
    pub(crate) fn push_option(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.push(text),
            None => self.fill_null(self.len() + 1),
        }
    }

    /// Rows up to `n_rows` hold `text` or nothing.
    pub(crate) fn fill_option(&mut self, text: Option<&str>, n_rows: usize) {
        match text {
            Some(text) => self.fill(text, n_rows),
            None => self.fill_null(n_rows),
        }
    }

    /// Rows up to `n_rows` hold `text`.
    pub(crate) fn fill(&mut self, text: &str, n_rows: usize) {
        let n_new = n_rows.saturating_sub(self.len());
        if n_new > 0 {
            let code = self.intern(text);
            self.codes.resize(n_rows, code);
            self.nulls.append_n_non_nulls(n_new);
        }
    }

    /// Rows up to `n_rows` hold nothing.
    pub(crate) fn fill_null(&mut self, n_rows: usize) {
        let n_new = n_rows.saturating_sub(self.len());
        if n_new > 0 {
            self.codes.resize(n_rows, 0);
            self.nulls.append_n_nulls(n_new);
        }
    }

    fn intern(&mut self, text: &str) -> i32 {
        let Self { texts, by_text, hasher, last, .. } = self;
        if *last != NONE && text_at(texts, *last) == text.as_bytes() {
            return *last;
        }
        let hash = hasher.hash_one(text.as_bytes());
        let found = by_text.find(hash, |code| text_at(texts, *code) == text.as_bytes()).copied();
        *last = found.unwrap_or_else(|| {
            let code = by_text.len() as i32;
            texts.append_value(text);
            by_text.insert_unique(hash, code, |code| hasher.hash_one(text_at(texts, *code)));
            code
        });
        *last
    }

    /// The column.
    pub(crate) fn finish(mut self) -> ArrayRef {
        if self.by_text.is_empty() {
            self.texts.append_value("");
        }
        let codes = Int32Array::new(ScalarBuffer::from(self.codes), self.nulls.finish());
        Arc::new(DictionaryArray::<Int32Type>::new(codes, Arc::new(self.texts.finish())))
    }
}

fn text_at(texts: &StringBuilder, code: i32) -> &[u8] {
    let (code, ends) = (code as usize, texts.offsets_slice());
    &texts.values_slice()[ends[code] as usize..ends[code + 1] as usize]
}

/// Where a promoted attribute goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    /// Which of the promoted columns.
    pub index: usize,
    /// Type of its values.
    pub value: ValueKind,
}

/// One promoted column.
#[derive(Debug)]
enum PromotedColumn {
    Label(Labels),
    Text(StringBuilder),
    Int(Int64Builder),
}

/// The promoted columns of one side, in the order of the table of conventions. Columns without any value
/// are not built at all.
#[derive(Debug)]
pub(crate) struct Promoted {
    on: On,
    columns: Vec<Option<PromotedColumn>>,
}

impl Promoted {
    pub(crate) fn new(on: On) -> Self {
        Self { on, columns: semconv::promoted(on).map(|_| None).collect() }
    }

    /// Puts a value into row `row`, which no earlier call may have passed. False when the value is not of
    /// the column's type: it belongs into the list.
    pub(crate) fn put(&mut self, slot: Slot, row: usize, value: &Value) -> bool {
        let column = &mut self.columns[slot.index];
        match (slot.value, value) {
            (ValueKind::Label, Value::StringValue(text)) => {
                if let PromotedColumn::Label(labels) =
                    column.get_or_insert_with(|| PromotedColumn::Label(Labels::default()))
                {
                    labels.fill_null(row);
                    labels.push(text);
                }
                true
            }
            (ValueKind::Text, Value::StringValue(text)) => {
                if let PromotedColumn::Text(texts) =
                    column.get_or_insert_with(|| PromotedColumn::Text(StringBuilder::new()))
                {
                    texts.append_nulls(row + 1 - texts.offsets_slice().len());
                    texts.append_value(text);
                }
                true
            }
            (ValueKind::Int, Value::IntValue(number)) => {
                if let PromotedColumn::Int(numbers) =
                    column.get_or_insert_with(|| PromotedColumn::Int(Int64Builder::new()))
                {
                    numbers.append_nulls(row - numbers.values_slice().len());
                    numbers.append_value(*number);
                }
                true
            }
            _ => false,
        }
    }

    /// Rows from `from_row` up to `n_rows` hold `value`.
    pub(crate) fn fill(&mut self, slot: Slot, from_row: usize, n_rows: usize, value: &Value) {
        if !self.put(slot, from_row, value) {
            return;
        }
        match (&mut self.columns[slot.index], value) {
            (Some(PromotedColumn::Label(labels)), Value::StringValue(text)) => labels.fill(text, n_rows),
            _ => {
                for row in from_row + 1..n_rows {
                    self.put(slot, row, value);
                }
            }
        }
    }

    /// The columns that hold anything, each with `n_rows` rows.
    pub(crate) fn finish(self, n_rows: usize) -> impl Iterator<Item = Named> {
        semconv::promoted(self.on).zip(self.columns).filter_map(move |(convention, column)| {
            let array: ArrayRef = match column? {
                PromotedColumn::Label(mut labels) => {
                    labels.fill_null(n_rows);
                    labels.finish()
                }
                PromotedColumn::Text(mut texts) => {
                    texts.append_nulls(n_rows + 1 - texts.offsets_slice().len());
                    Arc::new(texts.finish())
                }
                PromotedColumn::Int(mut numbers) => {
                    numbers.append_nulls(n_rows - numbers.values_slice().len());
                    Arc::new(numbers.finish())
                }
            };
            Some((convention.column?, array))
        })
    }
}

/// Offsets of a list column, closed row by row.
#[derive(Debug)]
pub(crate) struct Structs {
    ends: Vec<i32>,
}

impl Default for Structs {
    fn default() -> Self {
        Self { ends: vec![0] }
    }
}

impl Structs {
    /// Ends a row: its items are those pushed since the last row.
    pub(crate) fn end_row(&mut self, n_items: usize) {
        self.ends.push(n_items as i32);
    }

    /// A list of structs with these fields.
    pub(crate) fn finish(self, fields: Fields, columns: Vec<ArrayRef>) -> ArrayRef {
        let items = StructArray::new(fields.clone(), columns, None);
        self.finish_list(DataType::Struct(fields), Arc::new(items))
    }

    /// A list of `items`.
    pub(crate) fn finish_list(self, item: DataType, items: ArrayRef) -> ArrayRef {
        let offsets = OffsetBuffer::new(ScalarBuffer::from(self.ends));
        Arc::new(ListArray::new(Arc::new(Field::new("element", item, false)), offsets, items, None))
    }
}

/// The typed attribute list: one entry per attribute without a column.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    rows: Structs,
    n_entries: usize,
    keys: StringBuilder,
    texts: StringBuilder,
    ints: Int64Builder,
    doubles: Float64Builder,
    bools: BooleanBuilder,
    bytes: BinaryBuilder,
    json: StringBuilder,
    scratch: String,
}

impl Entries {
    /// Adds an entry to the current row.
    pub(crate) fn push(&mut self, key: &str, value: Option<&AnyValue>) {
        self.n_entries += 1;
        self.keys.append_value(key);
        let value = value.and_then(|value| value.value.as_ref());
        let (mut text, mut int, mut double, mut bool, mut bytes, mut json) = (None, None, None, None, None, None);
        match value {
            Some(Value::StringValue(value)) => text = Some(value.as_str()),
            Some(Value::IntValue(value)) => int = Some(*value),
            Some(Value::DoubleValue(value)) => double = Some(*value),
            Some(Value::BoolValue(value)) => bool = Some(*value),
            Some(Value::BytesValue(value)) => bytes = Some(value.as_slice()),
            Some(value @ (Value::ArrayValue(_) | Value::KvlistValue(_))) => {
                self.scratch.clear();
                text::write_value(&mut self.scratch, Some(value));
                json = Some(self.scratch.as_str());
            }
            Some(Value::StringValueStrindex(_)) | None => {}
        }
        self.texts.append_option(text);
        self.ints.append_option(int);
        self.doubles.append_option(double);
        self.bools.append_option(bool);
        self.bytes.append_option(bytes);
        self.json.append_option(json);
    }

    /// Ends the row.
    pub(crate) fn end_row(&mut self) {
        self.rows.end_row(self.n_entries);
    }

    /// The column.
    pub(crate) fn finish(mut self) -> ArrayRef {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.keys.finish()),
            Arc::new(self.texts.finish()),
            Arc::new(self.ints.finish()),
            Arc::new(self.doubles.finish()),
            Arc::new(self.bools.finish()),
            Arc::new(self.bytes.finish()),
            Arc::new(self.json.finish()),
        ];
        self.rows.finish(attributes_fields(), columns)
    }
}

/// Numbers of a fixed value over many rows.
pub(crate) fn fill_ints(column: &mut Int64Builder, value: i64, n_rows: usize) {
    let n_new = n_rows.saturating_sub(column.values_slice().len());
    column.append_value_n(value, n_new);
}
