//! Where telemetry comes from: resource and scope, computed once and filled into all their rows.

use model::Repairs;
use model::semconv::{On, ValueKind, key};

use super::columns::{Labels, Named};
use super::keys::Keys;
use super::message::{Resource, Scope, Text, Value};
use super::promoted::{Promoted, Slot};
use super::text;
use crate::sanitize;

/// The name shown when a resource does not say which service it is.
const UNKNOWN_SERVICE: Text<'static> = b"unknown_service";

/// What the rows of the resource and the scope at hand need of them. The memory is used again.
#[derive(Debug, Default)]
pub(super) struct Origin {
    service_name: Vec<u8>,
    resource: Vec<u8>,
    resource_schema_url: Vec<u8>,
    promoted: Vec<(Slot, PromotedValue)>,
    resource_repairs: Repairs,
    scope_name: Vec<u8>,
    scope: Vec<u8>,
    scope_schema_url: Vec<u8>,
    scope_repairs: Repairs,
}

#[derive(Debug)]
enum PromotedValue {
    Text(Vec<u8>),
    Int(i64),
}

impl Origin {
    /// Goes on to a resource, which is mended; `repairs` is what its decoder mended.
    pub(super) fn set_resource(
        &mut self,
        mut resource: Option<&mut Resource<'_>>,
        schema_url: Text<'_>,
        repairs: Repairs,
        keys: &mut Keys,
    ) {
        let mended = resource.as_deref_mut().map_or(Repairs::NONE, |resource| sanitize::resource(resource, keys));
        self.resource_repairs = repairs | mended;
        self.resource.clear();
        text::write_resource(&mut self.resource, resource.as_deref());
        replace(&mut self.resource_schema_url, schema_url);
        replace(&mut self.service_name, service_name(resource.as_deref()));
        self.promoted.clear();
        let mut filled = 0u64;
        for attribute in resource.iter().flat_map(|resource| &resource.attributes) {
            let Some(promotion) = keys.promotion(On::Resource, attribute.key_id) else { continue };
            let slot = promotion.slot;
            let value = match (slot.value, &attribute.value) {
                (ValueKind::Label | ValueKind::Text, Value::Text(text)) => PromotedValue::Text(text.to_vec()),
                (ValueKind::Int, Value::Int(int)) => PromotedValue::Int(*int),
                _ => continue,
            };
            // The first alias of each.
            if filled & (1 << slot.index) == 0 {
                filled |= 1 << slot.index;
                self.promoted.push((slot, value));
            }
        }
    }

    /// Goes on to the next scope of the resource, which is mended.
    pub(super) fn set_scope(
        &mut self,
        mut scope: Option<&mut Scope<'_>>,
        schema_url: Text<'_>,
        repairs: Repairs,
        keys: &mut Keys,
    ) {
        let mended = scope.as_deref_mut().map_or(Repairs::NONE, |scope| sanitize::scope(scope, keys));
        self.scope_repairs = repairs | mended;
        self.scope.clear();
        text::write_scope(&mut self.scope, scope.as_deref());
        replace(&mut self.scope_name, scope.as_deref().map_or(&[], |scope| scope.name));
        replace(&mut self.scope_schema_url, schema_url);
    }

    /// What was mended on resource and scope: it concerns all their rows.
    pub(super) fn repairs(&self) -> Repairs {
        self.resource_repairs | self.scope_repairs
    }

    /// Name of the service, `unknown_service` when it is not said as text.
    pub(super) fn service_name(&self) -> Text<'_> {
        &self.service_name
    }
}

fn service_name<'a>(resource: Option<&Resource<'a>>) -> Text<'a> {
    let mut attributes = resource.into_iter().flat_map(|resource| &resource.attributes);
    let attribute = attributes.find(|attribute| attribute.key == key::SERVICE_NAME.as_bytes());
    match attribute.map(|attribute| &attribute.value) {
        Some(Value::Text(name)) if !name.is_empty() => name,
        _ => UNKNOWN_SERVICE,
    }
}

fn replace(old: &mut Vec<u8>, new: &[u8]) {
    old.clear();
    old.extend_from_slice(new);
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
        self.resource.fill(&origin.resource, n_rows);
        self.resource_schema_url.fill_option(non_empty(&origin.resource_schema_url), n_rows);
        self.scope_name.fill(&origin.scope_name, n_rows);
        self.scope.fill(&origin.scope, n_rows);
        self.scope_schema_url.fill_option(non_empty(&origin.scope_schema_url), n_rows);
        for (slot, value) in &origin.promoted {
            let value = match value {
                PromotedValue::Text(text) => Value::Text(text),
                PromotedValue::Int(int) => Value::Int(*int),
            };
            self.promoted.fill(*slot, from_row, n_rows, &value);
        }
    }

    /// The columns; the builders begin again.
    pub(super) fn finish(&mut self, n_rows: usize, into: &mut Vec<Named>) {
        into.push(("service_name", self.service_name.finish_all()));
        into.push(("resource", self.resource.finish_all()));
        into.push(("scope_name", self.scope_name.finish_all()));
        into.push(("scope", self.scope.finish_all()));
        into.extend(self.resource_schema_url.finish().map(|column| ("resource_schema_url", column)));
        into.extend(self.scope_schema_url.finish().map(|column| ("scope_schema_url", column)));
        into.extend(self.promoted.finish(n_rows));
    }
}

fn non_empty(text: Text<'_>) -> Option<Text<'_>> {
    (!text.is_empty()).then_some(text)
}
