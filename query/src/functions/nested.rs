//! Whether one of the events or links of a span passes a test. Made by the filter language only; SQL has the
//! relations `events` and `links`.

use std::hash::{Hash, Hasher};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, StructArray};
use arrow::datatypes::DataType;
use datafusion::common::internal_err;
use datafusion::error::Result;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use model::AttributeValue;
use regex::Regex;

use super::json;

/// What of an event or link is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Nested {
    EventName,
    /// An attribute, by any of its names.
    EventAttribute(Vec<String>),
    LinkTrace,
    LinkSpan,
    LinkAttribute(Vec<String>),
}

/// What it must be.
#[derive(Clone, Debug)]
pub(crate) enum Test {
    /// There is a value.
    Present,
    Equals(String),
    /// In lower case.
    Contains(String),
    Matches(Regex),
    Order(Operator, f64),
}

impl Test {
    /// Contains the text, in any case.
    pub(crate) fn contains(text: &str) -> Self {
        Self::Contains(text.to_lowercase())
    }

    fn holds_text(&self, text: &str) -> bool {
        match self {
            Self::Present => true,
            Self::Equals(wanted) => text == wanted,
            Self::Contains(wanted) => text.to_lowercase().contains(wanted),
            Self::Matches(regex) => regex.is_match(text),
            Self::Order(..) => false,
        }
    }

    fn holds(&self, value: &AttributeValue) -> bool {
        let Self::Order(op, wanted) = self else { return self.holds_text(&value.to_display()) };
        let number = match value {
            AttributeValue::Int(value) => *value as f64,
            AttributeValue::Double(value) => *value,
            _ => return false,
        };
        match op {
            Operator::Gt => number > *wanted,
            Operator::GtEq => number >= *wanted,
            Operator::Lt => number < *wanted,
            Operator::LtEq => number <= *wanted,
            _ => false,
        }
    }
}

/// True where an entry of the list passes.
pub(crate) fn any_nested(list: Expr, member: Nested, test: Test) -> Expr {
    let identity = format!("{member:?} {test:?}");
    let signature = Signature::any(1, Volatility::Immutable);
    let function = ScalarUDF::new_from_impl(AnyNested { identity, member, test, signature });
    Expr::ScalarFunction(ScalarFunction::new_udf(function.into(), vec![list]))
}

#[derive(Debug)]
struct AnyNested {
    /// Member and test as text.
    identity: String,
    member: Nested,
    test: Test,
    signature: Signature,
}

impl PartialEq for AnyNested {
    fn eq(&self, other: &Self) -> bool {
        self.identity == other.identity
    }
}

impl Eq for AnyNested {}

impl Hash for AnyNested {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity.hash(state);
    }
}

impl AnyNested {
    /// Which entries pass; `None` when they have no such member.
    fn passing(&self, entries: &StructArray) -> Option<Vec<bool>> {
        let texts = |name: &str| entries.column_by_name(name)?.as_string_opt::<i32>();
        let ids = |name: &str| {
            let column = entries.column_by_name(name)?.as_binary_opt::<i32>()?;
            let hex = |id: &[u8]| id.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            // Hex is compared in any case, as ids are everywhere.
            let test = match &self.test {
                Test::Equals(wanted) => Test::Equals(wanted.to_ascii_lowercase()),
                other => other.clone(),
            };
            Some((0..column.len()).map(|row| test.holds_text(&hex(column.value(row)))).collect())
        };
        match &self.member {
            Nested::EventName => {
                let names = texts("name")?;
                Some((0..names.len()).map(|row| self.test.holds_text(names.value(row))).collect())
            }
            Nested::LinkTrace => ids("trace_id"),
            Nested::LinkSpan => ids("span_id"),
            Nested::EventAttribute(keys) | Nested::LinkAttribute(keys) => {
                let lists = texts("attributes")?;
                let passes =
                    |row: usize| json::find(lists.value(row), keys).is_some_and(|value| self.test.holds(&value));
                Some((0..lists.len()).map(passes).collect())
            }
        }
    }
}

impl ScalarUDFImpl for AnyNested {
    fn name(&self) -> &str {
        "any_nested"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let lists: ArrayRef = args.args[0].to_array(args.number_rows)?;
        let Some(lists) = lists.as_list_opt::<i32>() else { return internal_err!("any_nested takes a list") };
        let passing = lists.values().as_struct_opt().and_then(|entries| self.passing(entries));
        let Some(passing) = passing else { return internal_err!("any_nested takes events or links") };
        let offsets = lists.value_offsets();
        let row = |row: usize| {
            lists.is_valid(row) && passing[offsets[row] as usize..offsets[row + 1] as usize].contains(&true)
        };
        let found: BooleanArray = (0..lists.len()).map(|index| Some(row(index))).collect();
        Ok(ColumnarValue::Array(std::sync::Arc::new(found)))
    }
}
