//! Nothing was ever received: how to send the first span.

use api::StatusAnswer;
use leptos::prelude::*;

use crate::app::{now_nanos, shared};
use crate::components::icon::{Icon, icon};
use crate::view::snippets::snippets;

/// True while the collector holds no span and has taken none.
pub(crate) fn is_without_spans(status: &StatusAnswer) -> bool {
    let received: u64 = status.ingest.accepted.get("traces").copied().unwrap_or(0);
    received == 0 && status.storage.buffer_rows == 0 && status.storage.segment_rows == 0
}

/// How to send, with this server's addresses. Whoever shows it looks for the first span.
#[component]
pub(crate) fn Onboarding(
    /// Where the collector listens.
    status: StatusAnswer,
) -> impl IntoView {
    let shared = shared();
    let random = |bytes: usize| -> String {
        (0..bytes).map(|_| format!("{:02x}", (js_sys::Math::random() * 255.0) as u8 + 1)).collect()
    };
    let all = snippets(&status.otlp_grpc, &status.otlp_http, &random(16), &random(8), now_nanos());
    view! {
        <div class="onboard">
            <svg width="64" height="40" viewBox="0 0 64 40" aria-hidden="true">
                <g class="posts"><path d="M14 4v32M32 4v32M50 4v32"/></g>
                <path class="track" d="M4 33C16 31 20 22 32 20S46 16 60 8"/>
            </svg>
            <b>"Waiting for the first span"</b>
            <p class="dim" role="status"><i class="live"></i>"Listening on " <span class="mono">{status.otlp_grpc.clone()}</span> " (gRPC) and " <span class="mono">{status.otlp_http.clone()}</span> " (HTTP). This page changes by itself as soon as a trace arrives."</p>
            <div class="snippets">
                {all.into_iter()
                    .map(|snippet| {
                        let text = snippet.text.clone();
                        view! {
                            <section class="card">
                                <div class="row">
                                    <span class="h grow">{snippet.title}</span>
                                    <button class="btn s" on:click=move |_| shared.copy(text.clone(), "Snippet")>{icon(Icon::Copy, false)} "Copy"</button>
                                </div>
                                <pre>{snippet.text.clone()}</pre>
                            </section>
                        }
                    })
                    .collect_view()}
            </div>
        </div>
    }
}
