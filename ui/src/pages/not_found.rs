//! An address without a page.

use leptos::prelude::*;

use crate::app::there;
use crate::components::states::EmptyState;

/// Says so and offers Explore.
#[component]
pub(crate) fn NotFoundPage() -> impl IntoView {
    view! {
        <EmptyState title="There is no page at this address">
            <span class="dim">"The link may be cut off or come from another version."</span>
            <a class="btn s primary" href=there("/explore")>"Go to Explore"</a>
        </EmptyState>
    }
}
