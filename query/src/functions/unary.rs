//! The shape shared by functions of one argument: a type they take, a type they give, a kernel.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

/// A pure function of one column. The name is its identity.
#[derive(Debug)]
pub(super) struct Unary {
    name: &'static str,
    signature: Signature,
    gives: DataType,
    kernel: fn(&ArrayRef) -> Result<ArrayRef>,
}

/// A function that casts its argument to `takes` and gives `gives`.
pub(super) fn unary(
    name: &'static str,
    takes: DataType,
    gives: DataType,
    kernel: fn(&ArrayRef) -> Result<ArrayRef>,
) -> Arc<ScalarUDF> {
    let signature = Signature::exact(vec![takes], Volatility::Immutable);
    Arc::new(ScalarUDF::new_from_impl(Unary { name, signature, gives, kernel }))
}

impl PartialEq for Unary {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Unary {}

impl Hash for Unary {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Unary {
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
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let Some(array) = arrays.first() else {
            return datafusion::common::internal_err!("{} takes one argument", self.name);
        };
        Ok(ColumnarValue::Array((self.kernel)(array)?))
    }
}
