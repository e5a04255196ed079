//! Who is asking: decided before a byte of the body is read, put into each request's extensions.
//!
//! Without credentials there is one tenant, and whoever reaches the door is it.

use axum::{Extension, Router};
use model::{Identity, TenantId};

/// Lets every request carry the identity of its peer.
pub(crate) fn identified(routes: Router) -> Router {
    routes.layer(Extension(Identity { tenant: TenantId::default_tenant() }))
}
