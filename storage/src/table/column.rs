//! Kinds of columns and what each is in Arrow.

use std::sync::{Arc, OnceLock};

use arrow::datatypes::{DataType, Field, FieldRef, Fields};

/// A column as declared: name, kind, whether every row has it, one line for people.
#[derive(Clone, Debug)]
pub struct Column {
    /// Name in SQL and on disk.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Whether every row has a value.
    pub need: Need,
    /// One line for people, with the unit.
    pub help: &'static str,
}

/// Whether every row has a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Never null.
    Always,
    /// May be null.
    Optional,
}

/// The closed vocabulary of columns.
///
/// Only types that the Delta protocol knows stand on disk: a [`Kind::Label`] is a plain string there,
/// an id is plain binary, moments are 64-bit integers (Delta has no nanosecond timestamp).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 16 bytes of a trace id.
    Id16,
    /// 8 bytes of a span id.
    Id8,
    /// Text that repeats: dictionary-coded in memory and on disk.
    Label,
    /// Text that is often unique.
    Text,
    /// OTLP/JSON text that repeats from row to row (resource, scope, metric attributes): dictionary-coded.
    Json,
    /// OTLP/JSON text that does not repeat.
    JsonText,
    /// Nanoseconds since 1970, UTC.
    UnixNanos,
    /// 64-bit integer. Unsigned fields of the protocol keep their bits.
    Int64,
    /// 32-bit integer.
    Int32,
    /// Double.
    Float64,
    /// Boolean.
    Bool,
    /// A set of bits; see `model::Repairs`.
    Flags,
    /// Typed attributes that have no column of their own, in sent order.
    Attributes,
    /// Events of a span, in sent order.
    Events,
    /// Links of a span, in sent order.
    Links,
    /// List of 64-bit integers.
    Ints,
    /// List of doubles.
    Floats,
}

impl Column {
    pub(super) const fn always(name: &'static str, kind: Kind, help: &'static str) -> Self {
        Self { name, kind, need: Need::Always, help }
    }

    pub(super) const fn optional(name: &'static str, kind: Kind, help: &'static str) -> Self {
        Self { name, kind, need: Need::Optional, help }
    }

    /// The Arrow field of this column.
    pub fn field(&self) -> Field {
        Field::new(self.name, self.kind.arrow(), self.need == Need::Optional)
    }
}

impl Kind {
    /// The Arrow type in memory.
    pub fn arrow(self) -> DataType {
        match self {
            Self::Id16 | Self::Id8 => DataType::Binary,
            Self::Label | Self::Json => DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
            Self::Text | Self::JsonText => DataType::Utf8,
            Self::UnixNanos | Self::Int64 => DataType::Int64,
            Self::Int32 | Self::Flags => DataType::Int32,
            Self::Float64 => DataType::Float64,
            Self::Bool => DataType::Boolean,
            Self::Attributes => DataType::List(attributes_item()),
            Self::Events => DataType::List(events_item()),
            Self::Links => DataType::List(links_item()),
            Self::Ints => DataType::List(ints_item()),
            Self::Floats => DataType::List(floats_item()),
        }
    }
}

/// Declares the fields of the items of lists. Each call gives the same one, so that Arrow, which compares the types of
/// a batch with its schema, only compares pointers.
macro_rules! items {
    ($($(#[$doc:meta])* $name:ident = $item:expr;)*) => {$(
        $(#[$doc])*
        pub fn $name() -> FieldRef {
            static ITEM: OnceLock<FieldRef> = OnceLock::new();
            Arc::clone(ITEM.get_or_init(|| Arc::new(Field::new("element", $item, false))))
        }
    )*};
}

items! {
    /// Field of an entry of [`Kind::Attributes`].
    attributes_item = DataType::Struct(attributes_fields());
    /// Field of an entry of [`Kind::Events`].
    events_item = DataType::Struct(events_fields());
    /// Field of an entry of [`Kind::Links`].
    links_item = DataType::Struct(links_fields());
    /// Field of an entry of [`Kind::Ints`].
    ints_item = DataType::Int64;
    /// Field of an entry of [`Kind::Floats`].
    floats_item = DataType::Float64;
}

/// One attribute without a column: the key and exactly one typed value; all null for an empty value.
/// `json` holds lists and maps as an OTLP/JSON `AnyValue`.
pub fn attributes_fields() -> Fields {
    Fields::from(vec![
        Field::new("key", DataType::Utf8, false),
        Field::new("str", DataType::Utf8, true),
        Field::new("int", DataType::Int64, true),
        Field::new("double", DataType::Float64, true),
        Field::new("bool", DataType::Boolean, true),
        Field::new("bytes", DataType::Binary, true),
        Field::new("json", DataType::Utf8, true),
    ])
}

/// One event of a span; `attributes` is an OTLP/JSON list of `KeyValue`.
pub fn events_fields() -> Fields {
    Fields::from(vec![
        Field::new("time", DataType::Int64, false),
        Field::new("name", DataType::Utf8, false),
        Field::new("attributes", DataType::Utf8, false),
        Field::new("dropped_attributes_count", DataType::Int64, false),
    ])
}

/// One link of a span; `attributes` is an OTLP/JSON list of `KeyValue`.
pub fn links_fields() -> Fields {
    Fields::from(vec![
        Field::new("trace_id", DataType::Binary, false),
        Field::new("span_id", DataType::Binary, false),
        Field::new("trace_state", DataType::Utf8, false),
        Field::new("attributes", DataType::Utf8, false),
        Field::new("dropped_attributes_count", DataType::Int64, false),
        Field::new("flags", DataType::Int64, false),
    ])
}
