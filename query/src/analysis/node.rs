//! Nodes of the service map: who can stand at an end of an edge.
//!
//! ```text
//! service:order   db:postgresql/orders   cache:redis/redis.shop   queue:kafka/order-created
//! ext:api.bank.example   store:s3/invoices   discovery:eureka   genai:openai   dns   client   unknown
//! ```

use std::fmt;
use std::sync::Arc;

/// One end of an edge, written as in the table above.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Node(Arc<str>);

impl Node {
    /// A service of ours.
    pub fn service(name: &str) -> Self {
        Self(format!("service:{name}").into())
    }

    /// A queue or topic.
    pub fn queue(system: &str, destination: &str) -> Self {
        Self(format!("queue:{system}/{destination}").into())
    }

    /// A host outside.
    pub fn external(host: &str) -> Self {
        Self(format!("ext:{}", short_host(host)).into())
    }

    /// A node of another family, e.g. `db`, `postgresql/orders`.
    pub fn other(family: &str, name: &str) -> Self {
        Self(format!("{family}:{name}").into())
    }

    /// Name look-ups.
    pub fn dns() -> Self {
        Self("dns".into())
    }

    /// Callers outside the traces.
    pub fn client() -> Self {
        Self("client".into())
    }

    /// A caller that existed but was never received.
    pub fn unknown() -> Self {
        Self("unknown".into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands before the colon: `service`, `db`, `queue`, ...
    pub fn family(&self) -> &str {
        self.0.split(':').next().unwrap_or(&self.0)
    }

    /// What stands after the colon; the whole text when there is none.
    pub fn label(&self) -> &str {
        self.0.split_once(':').map_or(&self.0, |(_, label)| label)
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Family and label of a node as text, as [`Node::family`] and [`Node::label`].
pub fn kind_and_label(node: &str) -> (&str, &str) {
    node.split_once(':').unwrap_or((node, node))
}

/// A host without the part every Kubernetes service name ends with.
pub fn short_host(host: &str) -> &str {
    host.strip_suffix(".svc.cluster.local").or_else(|| host.strip_suffix(".svc")).unwrap_or(host)
}
