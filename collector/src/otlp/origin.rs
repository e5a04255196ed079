//! Where telemetry comes from: resource and scope, computed once and filled into all their rows.

use model::semconv::{On, key};
use model::{Repairs, semconv};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;

use super::attributes::slot;
use super::columns::{Labels, Named, Promoted, Slot};
use super::text;
use crate::sanitize;

/// The name shown when a resource does not say which service it is.
const UNKNOWN_SERVICE: &str = "unknown_service";

/// A sanitized resource with what its rows need of it.
#[derive(Debug)]
pub(super) struct Origin {
    resource: Option<Resource>,
    resource_text: String,
    resource_schema_url: String,
    scope_name: String,
    scope_text: String,
    scope_schema_url: String,
    resource_repairs: Repairs,
    scope_repairs: Repairs,
}

impl Origin {
    /// Takes a resource; its scope is empty until [`Origin::set_scope`].
    pub(super) fn new(mut resource: Option<Resource>, schema_url: String) -> Self {
        let resource_repairs = resource.as_mut().map_or(Repairs::NONE, sanitize::resource);
        let mut resource_text = String::new();
        text::write_resource(&mut resource_text, resource.as_ref());
        Self {
            resource,
            resource_text,
            resource_schema_url: schema_url,
            scope_name: String::new(),
            scope_text: String::new(),
            scope_schema_url: String::new(),
            resource_repairs,
            scope_repairs: Repairs::NONE,
        }
    }

    /// Goes on to the next scope of the resource, and gives it back sanitized.
    pub(super) fn set_scope(
        &mut self,
        mut scope: Option<InstrumentationScope>,
        schema_url: String,
    ) -> Option<InstrumentationScope> {
        self.scope_repairs = scope.as_mut().map_or(Repairs::NONE, sanitize::scope);
        self.scope_text.clear();
        text::write_scope(&mut self.scope_text, scope.as_ref());
        self.scope_name = scope.as_ref().map(|scope| scope.name.clone()).unwrap_or_default();
        self.scope_schema_url = schema_url;
        scope
    }

    /// What was mended on resource and scope: it concerns all their rows.
    pub(super) fn repairs(&self) -> Repairs {
        self.resource_repairs | self.scope_repairs
    }

    /// Attributes of the resource.
    pub(super) fn resource_attributes(&self) -> &[KeyValue] {
        self.resource.as_ref().map_or(&[], |resource| &resource.attributes)
    }

    /// Name of the service, `unknown_service` when it is not said as text.
    pub(super) fn service_name(&self) -> &str {
        let value = self.resource_attributes().iter().find(|attribute| attribute.key == key::SERVICE_NAME);
        match value.and_then(|attribute| attribute.value.as_ref()?.value.as_ref()) {
            Some(Value::StringValue(name)) if !name.is_empty() => name,
            _ => UNKNOWN_SERVICE,
        }
    }

    /// The promoted attributes, the first alias of each.
    fn promoted(&self) -> impl Iterator<Item = (Slot, &Value)> {
        let mut filled = 0u64;
        self.resource_attributes().iter().filter_map(move |attribute| {
            let slot = slot(On::Resource, &attribute.key)?;
            let value = attribute.value.as_ref()?.value.as_ref()?;
            let fits = match slot.value {
                semconv::ValueKind::Label | semconv::ValueKind::Text => matches!(value, Value::StringValue(_)),
                semconv::ValueKind::Int => matches!(value, Value::IntValue(_)),
            };
            let is_first = filled & (1 << slot.index) == 0;
            (fits && is_first).then(|| {
                filled |= 1 << slot.index;
                (slot, value)
            })
        })
    }
}

/// Columns of resource and scope of any table.
#[derive(Debug)]
pub(super) struct OriginColumns {
    service_name: Labels,
    resource: Labels,
    resource_schema_url: Labels,
    scope_name: Labels,
    scope: Labels,
    scope_schema_url: Labels,
    promoted: Promoted,
}

impl Default for OriginColumns {
    fn default() -> Self {
        Self {
            service_name: Labels::default(),
            resource: Labels::default(),
            resource_schema_url: Labels::default(),
            scope_name: Labels::default(),
            scope: Labels::default(),
            scope_schema_url: Labels::default(),
            promoted: Promoted::new(On::Resource),
        }
    }
}

impl OriginColumns {
    /// Rows up to `n_rows` that have no origin yet come from `origin`.
    pub(super) fn fill(&mut self, origin: &Origin, n_rows: usize) {
        let from_row = self.resource.len();
        if from_row == n_rows {
            return;
        }
        self.service_name.fill(origin.service_name(), n_rows);
        self.resource.fill(&origin.resource_text, n_rows);
        self.resource_schema_url.fill_option(non_empty(&origin.resource_schema_url), n_rows);
        self.scope_name.fill(&origin.scope_name, n_rows);
        self.scope.fill(&origin.scope_text, n_rows);
        self.scope_schema_url.fill_option(non_empty(&origin.scope_schema_url), n_rows);
        for (slot, value) in origin.promoted() {
            self.promoted.fill(slot, from_row, n_rows, value);
        }
    }

    /// The columns.
    pub(super) fn finish(self, n_rows: usize) -> Vec<Named> {
        let mut columns = vec![
            ("service_name", self.service_name.finish()),
            ("resource", self.resource.finish()),
            ("resource_schema_url", self.resource_schema_url.finish()),
            ("scope_name", self.scope_name.finish()),
            ("scope", self.scope.finish()),
            ("scope_schema_url", self.scope_schema_url.finish()),
        ];
        columns.extend(self.promoted.finish(n_rows));
        columns
    }
}

fn non_empty(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}
