//! Whether a row belongs to none of some traces. Made by our own questions only: SQL has `NOT IN`, of which every rule of the
//! optimizer looks at every id.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array as _, AsArray, BooleanArray};
use arrow::datatypes::DataType;
use datafusion::common::internal_err;
use datafusion::error::Result;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use hashbrown::HashSet;
use model::TraceId;

/// True where a column of trace ids holds none of these; also where it is null.
pub(crate) fn none_of(ids: Expr, traces: Arc<HashSet<TraceId>>) -> Expr {
    let signature = Signature::any(1, Volatility::Immutable);
    let function = ScalarUDF::new_from_impl(NoneOf { traces, signature });
    Expr::ScalarFunction(ScalarFunction::new_udf(function.into(), vec![ids]))
}

#[derive(Debug)]
struct NoneOf {
    traces: Arc<HashSet<TraceId>>,
    signature: Signature,
}

/// The same set, not one with the same traces: nobody makes two of them.
impl PartialEq for NoneOf {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.traces, &other.traces)
    }
}

impl Eq for NoneOf {}

impl Hash for NoneOf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.traces).hash(state);
    }
}

impl ScalarUDFImpl for NoneOf {
    fn name(&self) -> &str {
        "none_of"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let ids = args.args[0].to_array(args.number_rows)?;
        let Some(ids) = ids.as_binary_opt::<i32>() else { return internal_err!("none_of takes trace ids") };
        let is_other = |row: usize| {
            ids.is_null(row) || TraceId::from_bytes(ids.value(row)).is_none_or(|id| !self.traces.contains(&id))
        };
        let others: BooleanArray = (0..ids.len()).map(|row| Some(is_other(row))).collect();
        Ok(ColumnarValue::Array(Arc::new(others)))
    }
}
