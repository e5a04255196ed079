//! Columns of a batch by name and type, for code that walks rows.
//!
//! A column that is missing or of another type reads as null: older segments lack columns.

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryArray, Float64Array, Int32Array, Int64Array, ListArray,
    RecordBatch, StringArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type};
use model::semconv;

/// The column of a promoted attribute, by its key; empty (and so never found) when it has none.
pub(crate) fn column_of(key: &str) -> &'static str {
    semconv::find(key).and_then(|convention| convention.column).unwrap_or_default()
}

/// A text column, plain or dictionary-coded.
#[derive(Debug)]
pub(crate) enum Texts {
    /// As is.
    Plain(StringArray),
    /// Codes and their texts.
    Coded(Int32Array, StringArray),
    /// No such column.
    Missing,
}

impl Texts {
    /// The column `name` of `batch`.
    pub(crate) fn of(batch: &RecordBatch, name: &str) -> Self {
        batch.column_by_name(name).map_or(Self::Missing, Self::from_array)
    }

    /// Text of any Arrow kind.
    pub(crate) fn from_array(array: &ArrayRef) -> Self {
        if let Some(dictionary) = array.as_dictionary_opt::<Int32Type>()
            && let Some(values) = dictionary.values().as_string_opt::<i32>()
        {
            return Self::Coded(dictionary.keys().clone(), values.clone());
        }
        match cast(array, &DataType::Utf8) {
            Ok(array) => array.as_string_opt::<i32>().map_or(Self::Missing, |texts| Self::Plain(texts.clone())),
            Err(_) => Self::Missing,
        }
    }

    /// The text in a row.
    pub(crate) fn get(&self, row: usize) -> Option<&str> {
        match self {
            Self::Plain(texts) => texts.is_valid(row).then(|| texts.value(row)),
            Self::Coded(codes, texts) => {
                let code = codes.is_valid(row).then(|| codes.value(row) as usize)?;
                texts.is_valid(code).then(|| texts.value(code))
            }
            Self::Missing => None,
        }
    }

    /// The text in a row, empty for null.
    pub(crate) fn text(&self, row: usize) -> &str {
        self.get(row).unwrap_or_default()
    }
}

/// An integer column of 32 or 64 bits, or of moments.
#[derive(Debug)]
pub(crate) enum Ints {
    /// 64 bits.
    Long(Int64Array),
    /// 32 bits.
    Short(Int32Array),
    /// No such column.
    Missing,
}

impl Ints {
    /// The column `name` of `batch`.
    pub(crate) fn of(batch: &RecordBatch, name: &str) -> Self {
        batch.column_by_name(name).map_or(Self::Missing, Self::from_array)
    }

    /// Integers or moments.
    pub(crate) fn from_array(array: &ArrayRef) -> Self {
        match array.data_type() {
            DataType::Int32 => {
                array.as_primitive_opt::<Int32Type>().map_or(Self::Missing, |ints| Self::Short(ints.clone()))
            }
            _ => match cast(array, &DataType::Int64) {
                Ok(array) => {
                    array.as_primitive_opt::<Int64Type>().map_or(Self::Missing, |ints| Self::Long(ints.clone()))
                }
                Err(_) => Self::Missing,
            },
        }
    }

    /// The value in a row.
    pub(crate) fn get(&self, row: usize) -> Option<i64> {
        match self {
            Self::Long(ints) => ints.is_valid(row).then(|| ints.value(row)),
            Self::Short(ints) => ints.is_valid(row).then(|| i64::from(ints.value(row))),
            Self::Missing => None,
        }
    }

    /// The value in a row, 0 for null.
    pub(crate) fn int(&self, row: usize) -> i64 {
        self.get(row).unwrap_or_default()
    }

    /// The value in a row as 32 bits, 0 for null or what does not fit.
    pub(crate) fn int32(&self, row: usize) -> i32 {
        i32::try_from(self.int(row)).unwrap_or_default()
    }
}

/// A column of ids.
#[derive(Debug)]
pub(crate) struct Bytes(Option<BinaryArray>);

impl Bytes {
    /// The column `name` of `batch`.
    pub(crate) fn of(batch: &RecordBatch, name: &str) -> Self {
        batch.column_by_name(name).map_or(Self(None), Self::from_array)
    }

    /// Ids of any Arrow kind.
    pub(crate) fn from_array(array: &ArrayRef) -> Self {
        Self(cast(array, &DataType::Binary).ok().and_then(|column| column.as_binary_opt::<i32>().cloned()))
    }

    /// The bytes in a row.
    pub(crate) fn get(&self, row: usize) -> Option<&[u8]> {
        let column = self.0.as_ref()?;
        column.is_valid(row).then(|| column.value(row))
    }
}

/// A column of doubles.
#[derive(Debug)]
pub(crate) struct Floats(Option<Float64Array>);

impl Floats {
    /// The column `name` of `batch`.
    pub(crate) fn of(batch: &RecordBatch, name: &str) -> Self {
        Self(batch.column_by_name(name).and_then(|column| column.as_primitive_opt::<Float64Type>()).cloned())
    }

    /// The value in a row.
    pub(crate) fn get(&self, row: usize) -> Option<f64> {
        let column = self.0.as_ref()?;
        column.is_valid(row).then(|| column.value(row))
    }
}

/// A column of lists of numbers.
#[derive(Debug)]
pub(crate) struct Lists(Option<ListArray>);

impl Lists {
    /// The column `name` of `batch`.
    pub(crate) fn of(batch: &RecordBatch, name: &str) -> Self {
        Self(batch.column_by_name(name).and_then(|column| column.as_list_opt::<i32>()).cloned())
    }

    /// The numbers in a row; none for null.
    pub(crate) fn get<T: ArrowPrimitiveType>(&self, row: usize) -> Vec<T::Native> {
        let Some(lists) = self.0.as_ref().filter(|lists| lists.is_valid(row)) else { return Vec::new() };
        lists.value(row).as_primitive_opt::<T>().map(|values| values.values().to_vec()).unwrap_or_default()
    }
}
