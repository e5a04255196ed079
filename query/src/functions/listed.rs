//! Look-up in a typed attribute list: `attr_listed(attributes, 'key', ...)`, its number form, and comparison with a text.
//!
//! People write `attr('key')`; these are what it becomes. The first entry whose key is one of the given
//! wins. Cost: one comparison of bytes per entry and key.
//!
//! `attr_is(attributes, 'value', 'key', ...)` says where an attribute is shown as this text. It looks for the text in all texts of
//! a batch at once first, and passes over batches in which it stands nowhere and no value of another type may be shown so.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Builder, ListArray, StringArray, StringBuilder, StructArray,
};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use datafusion::common::internal_err;
use datafusion::error::Result;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::json;

/// `attr_is(attributes, value, key, ...) -> boolean`: true, or null for everything else.
pub(super) fn is() -> Arc<ScalarUDF> {
    let signature = Signature::variadic_any(Volatility::Immutable);
    Arc::new(ScalarUDF::new_from_impl(Is { signature }))
}

/// `attr_listed(attributes, key, ...) -> text`.
pub(super) fn text() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(Listed::new("attr_listed", DataType::Utf8)))
}

/// `attr_number_listed(attributes, key, ...) -> double`.
pub(super) fn number() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(Listed::new("attr_number_listed", DataType::Float64)))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Listed {
    name: &'static str,
    gives: DataType,
    signature: Signature,
}

impl Listed {
    fn new(name: &'static str, gives: DataType) -> Self {
        Self { name, gives, signature: Signature::variadic_any(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Listed {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.gives.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let keys = json::keys(&args.args)?;
        let lists = args.args[0].to_array(args.number_rows)?;
        let Some(entries) = Entries::new(&lists) else {
            return internal_err!("{} takes an attribute list", self.name);
        };
        let found = (0..lists.len()).map(|row| entries.find(row, &keys));
        let array: ArrayRef = if self.gives == DataType::Utf8 {
            let mut texts = StringBuilder::new();
            for entry in found {
                match entry.map(|entry| (entry, entries.plain(entry))) {
                    Some((_, Some(text))) => texts.append_value(text),
                    Some((entry, None)) => texts.append_option(entries.text(entry)),
                    None => texts.append_null(),
                }
            }
            Arc::new(texts.finish())
        } else {
            let mut numbers = Float64Builder::new();
            found.for_each(|entry| numbers.append_option(entry.and_then(|entry| entries.number(entry))));
            Arc::new(numbers.finish())
        };
        Ok(ColumnarValue::Array(array))
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Is {
    signature: Signature,
}

impl ScalarUDFImpl for Is {
    fn name(&self) -> &str {
        "attr_is"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let words = json::keys(&args.args)?;
        let lists = args.args[0].to_array(args.number_rows)?;
        let (Some((value, keys)), Some(entries)) = (words.split_first(), Entries::new(&lists)) else {
            return internal_err!("attr_is takes an attribute list, a text and a key");
        };
        let found: BooleanArray = if may_show(&lists, value) {
            let is_shown = |row: usize| entries.find(row, keys).filter(|entry| entries.shows(*entry, value));
            (0..lists.len()).map(|row| is_shown(row).map(|_| true)).collect()
        } else {
            BooleanArray::new_null(lists.len())
        };
        Ok(ColumnarValue::Array(Arc::new(found)))
    }
}

/// Members of entries that may be shown as this text.
pub(crate) fn leaves_shown_as(value: &str) -> Vec<&'static str> {
    let first = value.as_bytes().first();
    let may_be = |name: &&str| match *name {
        "int" => value.parse::<i64>().is_ok(),
        "double" => first.is_none_or(|first| first.is_ascii_digit() || matches!(first, b'-' | b'"')),
        "bool" => matches!(value, "true" | "false"),
        "bytes" => BASE64.decode(value).is_ok(),
        // Lists and maps.
        "json" => first.is_none_or(|first| matches!(first, b'[' | b'{' | b'"')),
        _ => true,
    };
    ["str", "int", "double", "bool", "bytes", "json"].into_iter().filter(may_be).collect()
}

/// False when certainly no entry of these lists is shown as this text. Members that are not there have no values.
pub(crate) fn may_show(lists: &ArrayRef, value: &str) -> bool {
    let Some(values) = lists.as_list_opt::<i32>().and_then(|lists| lists.values().as_struct_opt()) else { return true };
    let may_be = |name: &str| {
        let Some(column) = values.column_by_name(name).filter(|column| column.null_count() < column.len()) else {
            return false;
        };
        let Some(texts) = column.as_string_opt::<i32>().filter(|_| name == "str") else { return true };
        let offsets = texts.value_offsets();
        let within = offsets[0] as usize..offsets[texts.len()] as usize;
        // In an empty text nothing is found, not even the empty one.
        value.is_empty() || memchr::memmem::find(&texts.value_data()[within], value.as_bytes()).is_some()
    };
    leaves_shown_as(value).into_iter().any(may_be)
}

/// Which rows a filter passes only.
#[derive(Debug, PartialEq)]
pub(crate) struct Shown<'a> {
    /// Those with an attribute in this column,
    pub(crate) column: &'a str,
    /// that is shown as this text,
    pub(crate) text: &'a str,
    /// or of which another column, of OTLP/JSON text, has an entry with one of these keys.
    pub(crate) elsewhere: Option<(&'a str, Vec<&'a str>)>,
}

/// What of a filter can be known from texts alone, when it wants an attribute to be shown as one.
pub(crate) fn shown_text<'a>(filter: &'a Expr) -> Option<Shown<'a>> {
    let arguments = |expr: &'a Expr, name: &str| match expr {
        Expr::ScalarFunction(call) if call.func.name() == name => Some(call.args.as_slice()),
        _ => None,
    };
    let literal = |expr: &'a Expr| match expr {
        Expr::Literal(text, _) => text.try_as_str().flatten(),
        _ => None,
    };
    let listed = |expr: &'a Expr| match arguments(expr, "attr_is")? {
        [Expr::Column(column), text, ..] => Some((column.name.as_str(), literal(text)?)),
        _ => None,
    };
    let Expr::IsNotNull(holds) = filter else { return None };
    let condition = arguments(holds, "holds")?.first()?;
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) = condition else {
        let (column, text) = listed(condition)?;
        return Some(Shown { column, text, elsewhere: None });
    };
    let Expr::BinaryExpr(BinaryExpr { left: found, op: Operator::Eq, .. }) = &**right else { return None };
    let ((column, text), [texts, keys @ ..]) = (listed(left)?, arguments(found, "event_attr")?) else { return None };
    let Expr::Column(texts) = texts else { return None };
    let keys = keys.iter().map(literal).collect::<Option<Vec<_>>>()?;
    Some(Shown { column, text, elsewhere: Some((&texts.name, keys)) })
}

/// A list of attributes taken apart, so that a look-up is array access.
struct Entries<'a> {
    lists: &'a ListArray,
    keys: &'a StringArray,
    values: &'a StructArray,
}

impl<'a> Entries<'a> {
    fn new(lists: &'a ArrayRef) -> Option<Self> {
        let lists = lists.as_list_opt::<i32>()?;
        let values = lists.values().as_struct_opt()?;
        let keys = values.column_by_name("key")?.as_string_opt::<i32>()?;
        Some(Self { lists, keys, values })
    }

    fn find(&self, row: usize, keys: &[String]) -> Option<usize> {
        if self.lists.is_null(row) {
            return None;
        }
        let offsets = self.lists.value_offsets();
        let (start, end) = (offsets[row] as usize, offsets[row + 1] as usize);
        (start..end).find(|entry| keys.iter().any(|key| key == self.keys.value(*entry)))
    }

    fn member(&self, name: &str, entry: usize) -> Option<&'a ArrayRef> {
        self.values.column_by_name(name).filter(|column| column.is_valid(entry))
    }

    /// The text of an entry that is text.
    fn plain(&self, entry: usize) -> Option<&'a str> {
        self.member("str", entry)?.as_string_opt::<i32>().map(|column| column.value(entry))
    }

    /// The entry is shown as this text.
    fn shows(&self, entry: usize, value: &str) -> bool {
        match self.plain(entry) {
            Some(text) => text == value,
            None => self.text(entry).is_some_and(|text| text == value),
        }
    }

    fn text(&self, entry: usize) -> Option<String> {
        if let Some(text) = self.plain(entry) {
            return Some(text.to_owned());
        }
        if let Some(column) = self.member("int", entry) {
            return column.as_primitive_opt::<Int64Type>().map(|column| column.value(entry).to_string());
        }
        if let Some(column) = self.member("double", entry) {
            return column
                .as_primitive_opt::<Float64Type>()
                .map(|column| model::AttributeValue::Double(column.value(entry)).to_display());
        }
        if let Some(column) = self.member("bool", entry) {
            return column.as_boolean_opt().map(|column| column.value(entry).to_string());
        }
        if let Some(column) = self.member("bytes", entry) {
            return column.as_binary_opt::<i32>().map(|column| BASE64.encode(column.value(entry)));
        }
        let column = self.member("json", entry)?.as_string_opt::<i32>()?;
        let value = serde_json::from_str(column.value(entry)).ok()?;
        Some(model::value_from_json(&value).to_display())
    }

    fn number(&self, entry: usize) -> Option<f64> {
        if let Some(column) = self.member("int", entry) {
            return column.as_primitive_opt::<Int64Type>().map(|column| column.value(entry) as f64);
        }
        self.member("double", entry)?.as_primitive_opt::<Float64Type>().map(|column| column.value(entry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::functions::attribute_is;
    use crate::testing::attribute_list;
    use arrow::array::RecordBatch;
    use arrow::datatypes::{Field, Schema};
    use datafusion::logical_expr::{col, lit};
    use datafusion::prelude::SessionContext;
    use model::AttributeValue;
    use storage::table::SPANS;

    /// Where the text of an attribute equals another, whatever its type and whatever else the batch holds: the same rows as with
    /// the text made and compared.
    #[tokio::test]
    async fn an_attribute_is_a_text() {
        let text = |text: &str| AttributeValue::String(text.to_owned());
        let values = [
            text("abc"),
            text("ab"),
            text(""),
            text("7"),
            AttributeValue::Int(7),
            AttributeValue::Int(-7),
            AttributeValue::Double(7.5),
            AttributeValue::Double(f64::NAN),
            AttributeValue::Bool(true),
            AttributeValue::Bytes(vec![1, 2, 3]),
            AttributeValue::Array(vec![AttributeValue::Int(1), text("abc")]),
            AttributeValue::Empty,
        ];
        let shown: Vec<String> = values.iter().map(AttributeValue::to_display).collect();
        let other = || vec![("other", text("abcdef true 7 [1]"))];
        let row = |value: &AttributeValue| vec![("other", text("x")), ("key", value.clone()), ("key", text("second"))];
        let rows: Vec<Vec<_>> = values.iter().map(row).chain([other(), Vec::new()]).collect();
        // Each kind of value alone with others, and all of them together.
        let mut lists: Vec<Vec<Vec<_>>> = rows.iter().map(|row| vec![other(), row.clone()]).collect();
        lists.push(rows);
        for rows in lists {
            let list = attribute_list(&rows);
            let schema = Schema::new(vec![Field::new("attributes", list.data_type().clone(), false)]);
            let batch = RecordBatch::try_new(Arc::new(schema), vec![list]).expect("a batch");
            for wanted in
                shown.iter().map(String::as_str).chain(["AQID", "second", "x", "c", "abcdef true 7 [1]", "none"])
            {
                let frame = SessionContext::new().read_batch(batch.clone()).expect("a frame");
                let listed = text_of("key");
                let equal = listed.eq(lit(wanted)).is_true();
                let is = attribute_is("key", wanted, &SPANS).expect("a list").is_true();
                let different = frame.filter(equal.not_eq(is)).expect("a filter").count().await.expect("a count");
                assert_eq!(different, 0, "{wanted} in {rows:?}");
            }
        }
    }

    fn text_of(key: &str) -> Expr {
        let args = vec![col("attributes"), lit(key)];
        Expr::ScalarFunction(datafusion::logical_expr::expr::ScalarFunction::new_udf(text(), args))
    }

    /// A batch in which the text stands nowhere is passed over; one where it stands in another attribute is looked at.
    #[test]
    fn batches_without_the_text_are_passed_over() {
        let text = |text: &str| AttributeValue::String(text.to_owned());
        let list = attribute_list(&[vec![("a", text("one")), ("b", AttributeValue::Int(5))], vec![("a", text("two"))]]);
        for (value, may) in [("one", true), ("wo", true), ("none", false), ("5", true), ("5.0", false), ("true", false)]
        {
            assert_eq!(may_show(&list, value), may, "{value}");
        }
        let sliced = list.slice(1, 1);
        assert!(Entries::new(&sliced).expect("a list").find(0, &["a".to_owned()]).is_some());
    }
}
