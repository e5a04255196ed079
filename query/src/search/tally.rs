//! Counts attributes of items, in the brush and outside, in one pass and bounded memory.
//!
//! ```text
//!   label column     codes of a batch are counted first, then their texts once       no text is touched per row
//!   resource (JSON)  counted as a whole, taken apart at the end                       once per distinct resource
//!   attribute list   key by its place in the row before, then value by hash           about 50 ns per entry
//! ```
//!
//! An attribute with more than [`VALUES_MAX`] different values is an id: its values are given up, and the answer says
//! so (`many`). Whether that happens does not depend on the order of the rows, so the same question gives the same
//! answer. Memory is taken from the pool of all queries.

use std::collections::BTreeMap;

use api::AttributePlace as Place;
use arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch, StringArray, StructArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type};
use datafusion::execution::memory_pool::MemoryReservation;
use hashbrown::HashMap;
use model::semconv::{self, Convention, On, key};
use model::{AttributeValue, SpanKind, StatusCode};

use crate::error::Result;
use crate::functions::json_attributes;
use crate::rows::column_of;

/// Different values of an attribute that are told apart.
const VALUES_MAX: usize = 10_000;
/// Bytes of a value; longer text is cut.
const VALUE_BYTES_MAX: usize = 256;
/// Different attributes that are told apart.
const KEYS_MAX: usize = 2_000;
/// Different resources that are told apart.
const RESOURCES_MAX: usize = 100_000;
/// Memory of an entry beside its text, in bytes.
const ENTRY_BYTES: usize = 64;

/// Items in the brush and outside.
pub(super) type Pair = [u64; 2];

/// How a column is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// Text or a number as it is.
    AsIs,
    /// Code of a span kind.
    Kind,
    /// Code of a status.
    Status,
    /// True is "error", false is "ok".
    Failed,
    /// A JSON list of texts: each of them counts.
    JsonList,
}

/// A column that holds an attribute of its own.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) place: Place,
    pub(super) key: String,
    pub(super) column: &'static str,
    pub(super) read: Read,
}

impl Source {
    pub(super) fn field(key: &str, column: &'static str, read: Read) -> Self {
        Self { place: Place::Field, key: key.to_owned(), column, read }
    }

    /// The column of a promoted attribute.
    pub(super) fn promoted(convention: &Convention) -> Option<Self> {
        let place = if convention.on == On::Item { Place::Span } else { Place::Resource };
        Some(Self { place, key: convention.key.to_owned(), column: convention.column?, read: Read::AsIs })
    }
}

/// What is counted.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    /// Columns of their own.
    pub(super) sources: Vec<Source>,
    /// Attributes in the list of a span.
    pub(super) listed: Keys,
    /// Attributes of the resource.
    pub(super) resource: Keys,
}

/// Which keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Keys {
    #[default]
    None,
    These(Vec<String>),
    All,
}

impl Keys {
    fn has(&self, key: &str) -> bool {
        match self {
            Self::None => false,
            Self::These(keys) => keys.iter().any(|wanted| wanted == key),
            Self::All => true,
        }
    }

    pub(super) fn add(&mut self, key: &str) {
        match self {
            Self::None => *self = Self::These(vec![key.to_owned()]),
            Self::These(keys) => keys.push(key.to_owned()),
            Self::All => {}
        }
    }
}

/// Values of one attribute.
#[derive(Clone, Debug, Default)]
pub(super) struct Values {
    /// Items with each value; empty when there are too many.
    pub(super) counts: HashMap<Box<str>, Pair>,
    /// Items that have the attribute.
    pub(super) present: Pair,
    /// More different values than are told apart.
    pub(super) is_many: bool,
}

impl Values {
    /// Counts a value; gives the memory that it took.
    fn add(&mut self, value: &str, n: Pair) -> usize {
        let value = cut(value);
        if let Some(counted) = self.counts.get_mut(value) {
            *counted = [counted[0] + n[0], counted[1] + n[1]];
            return 0;
        }
        if self.is_many {
            return 0;
        }
        if self.counts.len() == VALUES_MAX {
            self.is_many = true;
            self.counts = HashMap::new();
            return 0;
        }
        self.counts.insert(value.into(), n);
        value.len() + ENTRY_BYTES
    }

    fn merge(&mut self, other: Self) {
        self.present = [self.present[0] + other.present[0], self.present[1] + other.present[1]];
        for (value, n) in other.counts {
            self.add(&value, n);
        }
        if other.is_many {
            self.is_many = true;
            self.counts = HashMap::new();
        }
    }

    /// Different values that were told apart.
    pub(super) fn distinct(&self) -> u64 {
        if self.is_many { VALUES_MAX as u64 } else { self.counts.len() as u64 }
    }
}

/// Whether a counted value may be the beginning of a longer one.
pub(super) const fn is_cut(value: &str) -> bool {
    // At most three bytes were left out to end between letters.
    value.len() + 4 > VALUE_BYTES_MAX
}

fn cut(value: &str) -> &str {
    let mut end = value.len().min(VALUE_BYTES_MAX);
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    &value[..end]
}

/// Counts of one part of the items.
#[derive(Debug)]
pub(super) struct Tally {
    wanted: Wanted,
    /// One per source.
    columns: Vec<Values>,
    /// Attributes in lists.
    listed: Vec<(String, Values)>,
    slot_of: HashMap<String, Option<usize>>,
    /// The slot that stood at each place of the row before.
    guess: Vec<(String, Option<usize>)>,
    resources: HashMap<Box<str>, Pair>,
    total: Pair,
    memory: MemoryReservation,
    /// Taken and not yet reserved.
    taken: usize,
    /// Some attributes or resources were not counted.
    is_cut: bool,
}

/// Counts of all items.
#[derive(Debug, Default)]
pub(super) struct Counted {
    pub(super) total: Pair,
    pub(super) attributes: BTreeMap<(Place, String), Values>,
    pub(super) is_cut: bool,
}

impl Tally {
    pub(super) fn new(wanted: Wanted, memory: MemoryReservation) -> Self {
        Self {
            columns: vec![Values::default(); wanted.sources.len()],
            wanted,
            listed: Vec::new(),
            slot_of: HashMap::new(),
            guess: Vec::new(),
            resources: HashMap::new(),
            total: [0; 2],
            memory,
            taken: 0,
            is_cut: false,
        }
    }

    /// Counts the items of a batch; `is_selected` says for each whether it is in the brush.
    ///
    /// # Errors
    /// When the memory of all queries is used up.
    pub(super) fn add(&mut self, batch: &RecordBatch, is_selected: &[bool]) -> Result<()> {
        let side: Vec<u8> = is_selected.iter().map(|selected| u8::from(!*selected)).collect();
        for side in &side {
            self.total[usize::from(*side)] += 1;
        }
        for (index, source) in self.wanted.sources.iter().enumerate() {
            if let Some(column) = batch.column_by_name(source.column) {
                self.taken += add_column(&mut self.columns[index], column, source.read, &side);
            }
        }
        if self.wanted.resource != Keys::None
            && let Some(column) = batch.column_by_name("resource")
        {
            self.add_resources(column, &side);
        }
        if self.wanted.listed != Keys::None
            && let Some(lists) = batch.column_by_name("attributes").and_then(|column| column.as_list_opt::<i32>())
        {
            self.add_lists(lists, &side);
        }
        if self.taken >= 64 << 10 {
            self.memory.try_grow(std::mem::take(&mut self.taken))?;
        }
        Ok(())
    }

    fn add_resources(&mut self, column: &ArrayRef, side: &[u8]) {
        for (text, n) in by_text(column, side) {
            if let Some(counted) = self.resources.get_mut(&*text) {
                *counted = [counted[0] + n[0], counted[1] + n[1]];
            } else if self.resources.len() == RESOURCES_MAX {
                self.is_cut = true;
            } else {
                self.taken += text.len() + ENTRY_BYTES;
                self.resources.insert(text.into(), n);
            }
        }
    }

    fn add_lists(&mut self, lists: &ListArray, side: &[u8]) {
        let Some(entries) = Entries::new(lists) else { return };
        let offsets = lists.value_offsets();
        let mut buffer = String::new();
        for (row, side) in side.iter().enumerate() {
            if lists.is_null(row) {
                continue;
            }
            let n = if *side == 0 { [1, 0] } else { [0, 1] };
            for (place, entry) in (offsets[row] as usize..offsets[row + 1] as usize).enumerate() {
                let Some(slot) = self.slot(place, entries.keys.value(entry)) else { continue };
                let values = &mut self.listed[slot].1;
                values.present = [values.present[0] + n[0], values.present[1] + n[1]];
                if !values.is_many {
                    self.taken += values.add(entries.text(entry, &mut buffer), n);
                }
            }
        }
    }

    /// Where a key is counted; `None` when it is not wanted. Lists of one kind of span look alike: the key that stood
    /// at the same place in the row before is compared first.
    fn slot(&mut self, place: usize, key: &str) -> Option<usize> {
        if let Some((before, slot)) = self.guess.get(place)
            && before == key
        {
            return *slot;
        }
        let slot = match self.slot_of.get(key) {
            Some(slot) => *slot,
            None => self.new_slot(key),
        };
        if place < 64 {
            self.guess.resize(self.guess.len().max(place + 1), (String::new(), None));
            self.guess[place] = (key.to_owned(), slot);
        }
        slot
    }

    fn new_slot(&mut self, key: &str) -> Option<usize> {
        let canonical = canonical(key);
        if self.slot_of.len() == KEYS_MAX {
            self.is_cut |= self.wanted.listed.has(canonical);
            return None;
        }
        let slot = self.wanted.listed.has(canonical).then(|| {
            let known = self.listed.iter().position(|(known, _)| known == canonical);
            known.unwrap_or_else(|| {
                self.listed.push((canonical.to_owned(), Values::default()));
                self.listed.len() - 1
            })
        });
        self.taken += key.len() + ENTRY_BYTES;
        self.slot_of.insert(key.to_owned(), slot);
        slot
    }

    /// The counts of all parts together.
    pub(super) fn merged(parts: Vec<Self>) -> Counted {
        let mut counted = Counted::default();
        let mut resources: HashMap<Box<str>, Pair> = HashMap::new();
        let mut resource_keys = Keys::None;
        for part in parts {
            counted.total = [counted.total[0] + part.total[0], counted.total[1] + part.total[1]];
            counted.is_cut |= part.is_cut;
            resource_keys = part.wanted.resource;
            let columns = part.wanted.sources.into_iter().map(|source| (source.place, source.key)).zip(part.columns);
            let listed = part.listed.into_iter().map(|(key, values)| ((Place::Span, key), values));
            for (attribute, values) in columns.chain(listed) {
                counted.attributes.entry(attribute).or_default().merge(values);
            }
            for (text, n) in part.resources {
                let sum = resources.entry(text).or_default();
                *sum = [sum[0] + n[0], sum[1] + n[1]];
            }
        }
        for (text, n) in resources {
            let mut seen: Vec<&str> = Vec::new();
            let attributes = json_attributes(&text);
            for attribute in &attributes {
                let key = canonical(&attribute.key);
                // The service is a field; of a key that stands twice the first one counts.
                if key == key::SERVICE_NAME || !resource_keys.has(key) || seen.contains(&key) {
                    continue;
                }
                seen.push(key);
                let values = counted.attributes.entry((Place::Resource, key.to_owned())).or_default();
                values.present = [values.present[0] + n[0], values.present[1] + n[1]];
                values.add(&attribute.value.to_display(), n);
            }
        }
        counted.attributes.retain(|_, values| values.present != [0; 2]);
        counted
    }
}

/// Today's name of a key.
pub(super) fn canonical(key: &str) -> &str {
    semconv::find(key).map_or(key, |convention| convention.key)
}

/// Texts of a column with the items that have each; a coded column is counted by its codes.
fn by_text<'a>(column: &'a ArrayRef, side: &[u8]) -> Vec<(std::borrow::Cow<'a, str>, Pair)> {
    if let Some(coded) = column.as_dictionary_opt::<Int32Type>()
        && let Some(texts) = coded.values().as_string_opt::<i32>()
    {
        let mut counts = vec![[0u64; 2]; texts.len()];
        let codes = coded.keys();
        for (row, side) in side.iter().enumerate() {
            if codes.is_valid(row)
                && let Some(count) = counts.get_mut(codes.value(row) as usize)
            {
                count[usize::from(*side)] += 1;
            }
        }
        let counted = counts.into_iter().enumerate().filter(|(code, n)| *n != [0; 2] && texts.is_valid(*code));
        return counted.map(|(code, n)| (texts.value(code).into(), n)).collect();
    }
    let Ok(texts) = cast(column, &DataType::Utf8) else { return Vec::new() };
    let Some(texts) = texts.as_string_opt::<i32>() else { return Vec::new() };
    let mut counts: HashMap<&str, Pair> = HashMap::new();
    for (text, side) in texts.iter().zip(side).filter_map(|(text, side)| Some((text?, side))) {
        counts.entry(text).or_default()[usize::from(*side)] += 1;
    }
    counts.into_iter().map(|(text, n)| (text.to_owned().into(), n)).collect()
}

/// Counts a column; gives the memory that it took.
fn add_column(values: &mut Values, column: &ArrayRef, read: Read, side: &[u8]) -> usize {
    if values.is_many && read == Read::AsIs {
        for (row, side) in side.iter().enumerate() {
            values.present[usize::from(*side)] += u64::from(column.is_valid(row));
        }
        return 0;
    }
    let mut taken = 0;
    for (text, n) in by_text(column, side) {
        values.present = [values.present[0] + n[0], values.present[1] + n[1]];
        taken += match read {
            Read::AsIs => values.add(&text, n),
            Read::Kind => values.add(SpanKind::word(text.parse().unwrap_or_default()), n),
            Read::Status => values.add(StatusCode::word(text.parse().unwrap_or_default()), n),
            Read::Failed => values.add(if text == "true" { "error" } else { "ok" }, n),
            Read::JsonList => {
                let items: Vec<String> = serde_json::from_str(&text).unwrap_or_default();
                items.iter().map(|item| values.add(item, n)).sum()
            }
        };
    }
    taken
}

/// A list of attributes taken apart.
struct Entries<'a> {
    keys: &'a StringArray,
    texts: Option<&'a StringArray>,
    values: &'a StructArray,
}

impl<'a> Entries<'a> {
    fn new(lists: &'a ListArray) -> Option<Self> {
        let values = lists.values().as_struct_opt()?;
        let keys = values.column_by_name("key")?.as_string_opt::<i32>()?;
        let texts = values.column_by_name("str").and_then(|column| column.as_string_opt::<i32>());
        Some(Self { keys, texts, values })
    }

    /// The value as text.
    fn text<'b>(&'b self, entry: usize, buffer: &'b mut String) -> &'b str {
        if let Some(texts) = self.texts.filter(|texts| texts.is_valid(entry)) {
            return texts.value(entry);
        }
        let member = |name: &str| self.values.column_by_name(name).filter(|column| column.is_valid(entry));
        let value = if let Some(column) = member("int") {
            column.as_primitive_opt::<Int64Type>().map(|column| AttributeValue::Int(column.value(entry)))
        } else if let Some(column) = member("double") {
            column.as_primitive_opt::<Float64Type>().map(|column| AttributeValue::Double(column.value(entry)))
        } else if let Some(column) = member("bool") {
            column.as_boolean_opt().map(|column| AttributeValue::Bool(column.value(entry)))
        } else if let Some(column) = member("bytes") {
            column.as_binary_opt::<i32>().map(|column| AttributeValue::Bytes(column.value(entry).to_vec()))
        } else {
            let json = member("json").and_then(|column| column.as_string_opt::<i32>());
            json.and_then(|json| serde_json::from_str(json.value(entry)).ok()).map(|json| model::value_from_json(&json))
        };
        *buffer = value.map(|value| value.to_display()).unwrap_or_default();
        buffer
    }
}

/// Every promoted attribute of a span.
pub(super) fn promoted_on_spans() -> impl Iterator<Item = Source> {
    semconv::promoted(On::Item).filter(|convention| !column_of(convention.key).is_empty()).filter_map(Source::promoted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_over_the_limit_are_given_up() {
        let mut values = Values::default();
        for n in 0..VALUES_MAX {
            values.add(&n.to_string(), [1, 0]);
        }
        values.add("0", [0, 3]);
        assert!(!values.is_many);
        assert_eq!(values.counts["0"], [1, 3]);
        values.add("one more", [1, 0]);
        assert!(values.is_many && values.counts.is_empty());
    }

    #[test]
    fn long_values_are_cut_between_letters() {
        let long = "é".repeat(200);
        let mut values = Values::default();
        values.add(&long, [1, 0]);
        let value = values.counts.keys().next().expect("one value");
        assert_eq!((value.len(), long.starts_with(&**value)), (256, true));
    }
}
