//! Column builders: plain vectors that become Arrow arrays.
//!
//! | builder               | for                                                                           |
//! |-----------------------|-------------------------------------------------------------------------------|
//! | [`Numbers`], [`Bools`]| numbers, with or without nulls                                                |
//! | [`Bytes`]             | texts and bytes that do not repeat                                            |
//! | [`Labels`]            | text that repeats: a dictionary with a shortcut for "same as before"          |
//! | [`Lists`]             | offsets and closing of lists                                                  |
//!
//! A builder is used again for the next batch: `finish` copies what it holds into arrays of exactly that size
//! (a batch may wait long in the write buffer, so it must not hold room for more rows) and keeps its own memory.
//! Nothing here is unchecked: arrays of text check that they are UTF-8, once for the whole column.

use std::hash::BuildHasher as _;
use std::sync::Arc;

use arrow::array::{
    Array as _, ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, DictionaryArray, Int32Array, ListArray,
    NullBufferBuilder, PrimitiveArray, StringArray, StructArray,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, FieldRef, Fields, Float64Type, Int32Type, Int64Type};
use hashbrown::{DefaultHashBuilder, HashTable};

use super::message::Text;
use super::short::is_same;

/// A named array, as `Batch::from_columns` takes them.
pub(crate) type Named = (&'static str, ArrayRef);

/// Where nulls stand; costs nothing until the first one comes.
#[derive(Debug)]
struct Nulls(NullBufferBuilder);

impl Default for Nulls {
    fn default() -> Self {
        Self(NullBufferBuilder::new(0))
    }
}

impl Nulls {
    #[inline]
    fn push(&mut self, is_valid: bool) {
        self.0.append(is_valid);
    }

    /// The nulls; none left here. `NullBufferBuilder` gives its own memory away, so it is copied to size.
    fn finish(&mut self) -> Option<NullBuffer> {
        let nulls = self.0.finish()?;
        let bits = Buffer::from_vec(nulls.buffer().as_slice().to_vec());
        Some(NullBuffer::new(BooleanBuffer::new(bits, nulls.offset(), nulls.len())))
    }
}

/// A copy of exactly this size.
pub(super) fn exact<T: arrow::datatypes::ArrowNativeType>(values: &mut Vec<T>) -> ScalarBuffer<T> {
    let copy = values.as_slice().to_vec();
    values.clear();
    ScalarBuffer::from(copy)
}

/// A column of numbers.
#[derive(Debug)]
pub(crate) struct Numbers<T: ArrowPrimitiveType> {
    values: Vec<T::Native>,
    nulls: Nulls,
    has_nulls: bool,
}

/// 64-bit integers.
pub(crate) type Ints = Numbers<Int64Type>;
/// 32-bit integers.
pub(crate) type ShortInts = Numbers<Int32Type>;
/// Doubles.
pub(crate) type Doubles = Numbers<Float64Type>;

impl<T: ArrowPrimitiveType> Default for Numbers<T> {
    fn default() -> Self {
        Self { values: Vec::new(), nulls: Nulls::default(), has_nulls: false }
    }
}

impl<T: ArrowPrimitiveType> Numbers<T> {
    /// Rows so far.
    pub(crate) const fn len(&self) -> usize {
        self.values.len()
    }

    /// The next row holds `value`.
    #[inline]
    pub(crate) fn push(&mut self, value: T::Native) {
        self.values.push(value);
        if self.has_nulls {
            self.nulls.push(true);
        }
    }

    /// The next row holds `value` or nothing.
    #[inline]
    pub(crate) fn push_option(&mut self, value: Option<T::Native>) {
        match value {
            Some(value) => self.push(value),
            None => self.fill_null(self.len() + 1),
        }
    }

    /// Rows up to `n_rows` hold nothing.
    pub(super) fn fill_null(&mut self, n_rows: usize) {
        let n_new = n_rows.saturating_sub(self.len());
        if n_new > 0 {
            if !std::mem::replace(&mut self.has_nulls, true) {
                self.nulls.0.append_n_non_nulls(self.values.len());
            }
            self.nulls.0.append_n_nulls(n_new);
            self.values.resize(n_rows, T::Native::default());
        }
    }

    /// Rows up to `n_rows` hold `value`.
    pub(crate) fn fill(&mut self, value: T::Native, n_rows: usize) {
        let n_new = n_rows.saturating_sub(self.len());
        if self.has_nulls {
            self.nulls.0.append_n_non_nulls(n_new);
        }
        self.values.resize(n_rows.max(self.len()), value);
    }

    /// The column; the builder begins again.
    pub(crate) fn finish(&mut self) -> ArrayRef {
        let nulls = if std::mem::take(&mut self.has_nulls) { self.nulls.finish() } else { None };
        Arc::new(PrimitiveArray::<T>::new(exact(&mut self.values), nulls))
    }

    /// The column, unless no row holds anything; the builder begins again.
    pub(crate) fn finish_some(&mut self) -> Option<ArrayRef> {
        Some(self.finish()).filter(|column| column.null_count() < column.len())
    }
}

/// A column of booleans without nulls.
#[derive(Debug, Default)]
pub(crate) struct Bools {
    values: Vec<bool>,
}

impl Bools {
    /// The next row holds `value`.
    pub(crate) fn push(&mut self, value: bool) {
        self.values.push(value);
    }

    /// The column; the builder begins again.
    pub(crate) fn finish(&mut self) -> ArrayRef {
        let array = BooleanArray::new(BooleanBuffer::from(self.values.as_slice()), None);
        self.values.clear();
        Arc::new(array)
    }
}

/// A column of texts or bytes.
#[derive(Debug)]
pub(crate) struct Bytes {
    /// Where each value ends; before the first one stands 0.
    ends: Vec<i32>,
    bytes: Vec<u8>,
    nulls: Nulls,
    has_nulls: bool,
}

impl Default for Bytes {
    fn default() -> Self {
        Self { ends: vec![0], bytes: Vec::new(), nulls: Nulls::default(), has_nulls: false }
    }
}

impl Bytes {
    /// Rows so far.
    pub(super) fn len(&self) -> usize {
        self.ends.len() - 1
    }

    /// The next row holds `value`.
    #[inline]
    pub(crate) fn push(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
        self.end_value();
    }

    /// The next row holds a value that nearly always has `N` bytes: an id.
    #[inline]
    pub(crate) fn push_id<const N: usize>(&mut self, id: &[u8]) {
        match <&[u8; N]>::try_from(id) {
            Ok(id) => self.bytes.extend_from_slice(id),
            Err(_) => self.bytes.extend_from_slice(id),
        }
        self.end_value();
    }

    /// The next row holds what `write` appends.
    pub(crate) fn push_written(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        self.end_value();
    }

    #[inline]
    fn end_value(&mut self) {
        self.ends.push(self.bytes.len() as i32);
        if self.has_nulls {
            self.nulls.push(true);
        }
    }

    /// The next row holds `value` or nothing.
    #[inline]
    pub(crate) fn push_option(&mut self, value: Option<&[u8]>) {
        match value {
            Some(value) => self.push(value),
            None => self.fill_null(self.len() + 1),
        }
    }

    /// The next row holds `value`, or nothing when it is empty.
    #[inline]
    pub(crate) fn push_non_empty(&mut self, value: &[u8]) {
        self.push_option((!value.is_empty()).then_some(value));
    }

    /// Rows up to `n_rows` hold nothing.
    pub(super) fn fill_null(&mut self, n_rows: usize) {
        let n_new = n_rows.saturating_sub(self.len());
        if n_new > 0 {
            if !std::mem::replace(&mut self.has_nulls, true) {
                self.nulls.0.append_n_non_nulls(self.len());
            }
            self.nulls.0.append_n_nulls(n_new);
            self.ends.resize(n_rows + 1, self.bytes.len() as i32);
        }
    }

    fn parts(&mut self) -> (OffsetBuffer<i32>, Buffer, Option<NullBuffer>) {
        let nulls = if std::mem::take(&mut self.has_nulls) { self.nulls.finish() } else { None };
        let ends = OffsetBuffer::new(exact(&mut self.ends));
        self.ends.push(0);
        (ends, exact(&mut self.bytes).into_inner(), nulls)
    }

    /// The column as bytes; the builder begins again.
    pub(crate) fn finish_bytes(&mut self) -> ArrayRef {
        let (ends, bytes, nulls) = self.parts();
        Arc::new(BinaryArray::new(ends, bytes, nulls))
    }

    /// The column as bytes, unless no row holds anything; the builder begins again.
    pub(crate) fn finish_some_bytes(&mut self) -> Option<ArrayRef> {
        Some(self.finish_bytes()).filter(|column| column.null_count() < column.len())
    }

    /// The column as text, unless no row holds anything; the builder begins again.
    pub(crate) fn finish_some_texts(&mut self) -> Option<ArrayRef> {
        Some(self.finish_texts()).filter(|column| column.null_count() < column.len())
    }

    /// The column as text; the builder begins again.
    pub(crate) fn finish_texts(&mut self) -> ArrayRef {
        let (ends, bytes, nulls) = self.parts();
        Arc::new(texts(ends, bytes, nulls))
    }
}

/// An array of texts. Decoders only give UTF-8; if one had a bug, odd bytes are mended here.
pub(super) fn texts(ends: OffsetBuffer<i32>, bytes: Buffer, nulls: Option<NullBuffer>) -> StringArray {
    StringArray::try_new(ends.clone(), bytes.clone(), nulls.clone()).unwrap_or_else(|_| {
        let odd = BinaryArray::new(ends, bytes, nulls);
        odd.iter().map(|value| value.map(String::from_utf8_lossy)).collect()
    })
}

/// Text that repeats: each distinct text once, rows hold codes.
#[derive(Debug)]
pub(crate) struct Labels {
    codes: Vec<i32>,
    has_nulls: bool,
    ends: Vec<i32>,
    texts: Vec<u8>,
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
            has_nulls: false,
            ends: vec![0],
            texts: Vec::new(),
            by_text: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            last: NONE,
        }
    }
}

impl Labels {
    /// Rows so far.
    pub(crate) const fn len(&self) -> usize {
        self.codes.len()
    }

    /// The next row holds `text`. Gives its code, for [`Labels::push_code`].
    #[inline]
    pub(crate) fn push(&mut self, text: Text<'_>) -> i32 {
        let code = self.intern(text);
        self.codes.push(code);
        code
    }

    /// The next row holds the text with this code.
    #[inline]
    pub(crate) fn push_code(&mut self, code: i32) {
        self.codes.push(code);
    }

    /// The next row holds `text`, or nothing when it is empty.
    #[inline]
    pub(crate) fn push_non_empty(&mut self, text: Text<'_>) {
        self.push_option((!text.is_empty()).then_some(text));
    }

    /// The next row holds `text` or nothing.
    #[inline]
    pub(crate) fn push_option(&mut self, text: Option<Text<'_>>) {
        match text {
            Some(text) => _ = self.push(text),
            None => self.fill_null(self.len() + 1),
        }
    }

    /// Rows up to `n_rows` hold `text` or nothing.
    pub(crate) fn fill_option(&mut self, text: Option<Text<'_>>, n_rows: usize) {
        match text {
            Some(text) => self.fill(text, n_rows),
            None => self.fill_null(n_rows),
        }
    }

    /// Rows up to `n_rows` hold `text`.
    pub(crate) fn fill(&mut self, text: Text<'_>, n_rows: usize) {
        if n_rows > self.len() {
            let code = self.intern(text);
            self.codes.resize(n_rows, code);
        }
    }

    /// Rows up to `n_rows` hold nothing.
    pub(crate) fn fill_null(&mut self, n_rows: usize) {
        if n_rows > self.len() {
            self.codes.resize(n_rows, NONE);
            self.has_nulls = true;
        }
    }

    #[inline]
    fn intern(&mut self, text: Text<'_>) -> i32 {
        let Self { ends, texts, by_text, hasher, last, .. } = self;
        let is_text = |code: i32| text_at(ends, texts, code).is_some_and(|other| is_same(other, text));
        if *last != NONE && is_text(*last) {
            return *last;
        }
        let hash = hasher.hash_one(text);
        let found = by_text.find(hash, |code| is_text(*code)).copied();
        *last = found.unwrap_or_else(|| {
            let code = by_text.len() as i32;
            texts.extend_from_slice(text);
            ends.push(texts.len() as i32);
            by_text.insert_unique(hash, code, |code| hasher.hash_one(text_at(ends, texts, *code).unwrap_or_default()));
            code
        });
        *last
    }

    /// The column; the builder begins again. `None` when no row holds anything.
    pub(crate) fn finish(&mut self) -> Option<ArrayRef> {
        if self.by_text.is_empty() {
            self.codes.clear();
            self.has_nulls = false;
            return None;
        }
        let nulls = self.has_nulls.then(|| {
            let codes = self.codes.as_slice();
            NullBuffer::new(BooleanBuffer::collect_bool(codes.len(), |row| codes.get(row) != Some(&NONE)))
        });
        if self.has_nulls {
            self.codes.iter_mut().for_each(|code| *code = (*code).max(0));
        }
        let codes = Int32Array::new(exact(&mut self.codes), nulls);
        let texts = texts(OffsetBuffer::new(exact(&mut self.ends)), exact(&mut self.texts).into_inner(), None);
        self.ends.push(0);
        self.by_text.clear();
        self.last = NONE;
        self.has_nulls = false;
        Some(Arc::new(DictionaryArray::<Int32Type>::new(codes, Arc::new(texts))))
    }

    /// The column when every row holds a text.
    pub(crate) fn finish_all(&mut self) -> ArrayRef {
        self.finish().unwrap_or_else(|| {
            let (codes, texts) = (Int32Array::from(Vec::<i32>::new()), StringArray::from(Vec::<&str>::new()));
            Arc::new(DictionaryArray::<Int32Type>::new(codes, Arc::new(texts)))
        })
    }
}

#[inline]
fn text_at<'a>(ends: &[i32], texts: &'a [u8], code: i32) -> Option<&'a [u8]> {
    let code = code as usize;
    let [start, end] = *ends.get(code..code + 2)?.first_chunk()?;
    texts.get(start as usize..end as usize)
}

/// Offsets of a list column, closed row by row.
#[derive(Debug)]
pub(crate) struct Lists {
    ends: Vec<i32>,
}

impl Default for Lists {
    fn default() -> Self {
        Self { ends: vec![0] }
    }
}

impl Lists {
    /// Ends a row: its items are those pushed since the last row.
    #[inline]
    pub(crate) fn end_row(&mut self, n_items: usize) {
        self.ends.push(n_items as i32);
    }

    /// A list of structs; the builder begins again.
    pub(crate) fn finish_structs(&mut self, item: FieldRef, columns: Vec<ArrayRef>) -> ArrayRef {
        let fields = match item.data_type() {
            DataType::Struct(fields) => fields.clone(),
            _ => Fields::empty(),
        };
        let items = StructArray::new(fields, columns, None);
        self.finish(item, Arc::new(items))
    }

    /// A list of `items`; the builder begins again.
    pub(crate) fn finish(&mut self, item: FieldRef, items: ArrayRef) -> ArrayRef {
        let offsets = OffsetBuffer::new(exact(&mut self.ends));
        self.ends.push(0);
        Arc::new(ListArray::new(item, offsets, items, None))
    }
}
