//! The tabs of a journey, the same on the page of one trace.

use leptos::prelude::*;
use leptos_router::hooks::use_location;
use model::TraceId;

use crate::view::format;
use crate::view::url;

/// The tabs: name in the URL, title. The waterfall has a page of its own, `/t/:trace`.
const TABS: [(&str, &str); 5] = [
    ("journey", "Journey"),
    ("waterfall", "Waterfall"),
    ("flame", "Flame"),
    ("table", "Table"),
    ("logs", "Logs & events"),
];

/// The tab a name means; the first for an unknown one.
pub(crate) fn known(name: &str) -> &'static str {
    TABS.iter().map(|(known, _)| *known).find(|known| *known == name && name != "waterfall").unwrap_or("journey")
}

/// Links to the tabs; `spans` stands beside those that list them.
pub(crate) fn tabs(
    current: impl Fn() -> &'static str + Copy + Send + Sync + 'static,
    journey: TraceId,
    trace: impl Fn() -> TraceId + Copy + Send + Sync + 'static,
    spans: u64,
) -> impl IntoView {
    let search = use_location().search;
    TABS.map(|(name, title)| {
        let link = move || match name {
            "waterfall" => format!("/t/{}{}", trace(), url::shared(&search.get())),
            _ => {
                let search = search.get();
                let cut = url::pairs(&search).into_iter().find(|(key, _)| key == "cut").map(|(_, cut)| cut);
                let changes = [("tab", Some(name).filter(|name| *name != "journey")), ("cut", cut.as_deref())];
                format!("/j/{journey}{}", url::with_parameters(&url::shared(&search), &changes))
            }
        };
        let count =
            matches!(name, "waterfall" | "table").then(|| view! { " " <span class="n">{format::count(spans)}</span> });
        view! { <a class="tab" href=link aria-current=move || (current() == name).then_some("page")>{title}{count}</a> }
    })
}
