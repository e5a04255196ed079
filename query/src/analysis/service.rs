//! Which service a span belongs to, and which process of it.
//!
//! Service: resource `service.name` unless missing or `unknown_service*`; then the sidecar's canonical
//! service, the Kubernetes workload, the function, the container, the pod; else `unknown_service`.
//! Process: service and the first of instance id, host id, pod uid, host name.

use std::sync::Arc;

use model::semconv::{key, vendor};

use super::read::{Attributes, Slot, slot};

/// What the resource says about who sent a span; the same for all spans of the resource.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    /// `service.name`, when it is a real one.
    pub named: Option<Arc<str>>,
    /// The first other name that can stand for it.
    pub fallback: Option<Arc<str>>,
    /// Which copy of the service.
    pub instance: String,
    /// `service.version`.
    pub version: Option<Arc<str>>,
    /// `service.namespace`, else the Kubernetes namespace.
    pub namespace: Option<Arc<str>>,
    /// `deployment.environment.name`, or its older spelling.
    pub environment: Option<Arc<str>>,
    /// `faas.*` is present.
    pub is_faas: bool,
}

impl Sender {
    /// Reads a resource.
    pub(crate) fn read(resource: &Attributes<'_>) -> Self {
        const NAME: Slot = slot!(key::SERVICE_NAME);
        const FALLBACKS: [Slot; 6] = [
            slot!(key::K8S_DEPLOYMENT),
            slot!(key::K8S_STATEFULSET),
            slot!(key::K8S_DAEMONSET),
            slot!(key::FAAS_NAME),
            slot!(key::CONTAINER_NAME),
            slot!(key::K8S_POD),
        ];
        const INSTANCES: [Slot; 4] =
            [slot!(key::SERVICE_INSTANCE_ID), slot!(key::HOST_ID), slot!(key::K8S_POD_UID), slot!(key::HOST_NAME)];
        const ISTIO: Slot = slot!(vendor::ISTIO_SERVICE);
        let text = |slot: Slot| resource.text(slot).map(|text| Arc::from(text.as_ref()));
        Self {
            named: text(NAME).filter(|name: &Arc<str>| !name.starts_with("unknown_service")),
            fallback: text(ISTIO).or_else(|| FALLBACKS.into_iter().find_map(text)),
            instance: INSTANCES.into_iter().find_map(|slot| resource.string(slot)).unwrap_or_default(),
            version: text(slot!(key::SERVICE_VERSION)),
            namespace: text(slot!(key::SERVICE_NAMESPACE)).or_else(|| text(slot!(key::K8S_NAMESPACE))),
            environment: text(slot!(key::DEPLOYMENT_ENVIRONMENT)),
            is_faas: resource.families.faas,
        }
    }

    /// The service of a span of this sender.
    pub(crate) fn service(&self, span: &Attributes<'_>) -> Arc<str> {
        if let Some(name) = &self.named {
            return Arc::clone(name);
        }
        match (span.text(slot!(vendor::ISTIO_SERVICE)), &self.fallback) {
            (Some(name), _) => Arc::from(name.as_ref()),
            (None, Some(name)) => Arc::clone(name),
            (None, None) => Arc::from("unknown_service"),
        }
    }

    /// The process: spans with the same text share a clock.
    pub(crate) fn process(&self, service: &str) -> Arc<str> {
        Arc::from(format!("{service}/{}", self.instance))
    }
}
