//! New hits as they come in: a stream of the server, kept back while the list is in use.

use api::{LiveFigures, LiveItems, SearchItem};
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::Closure;

use crate::view::url::{self, ExploreState};

/// Hits kept back at most; beyond, the list is asked for again.
const KEPT_MAX: usize = 200;

/// What the stream told and the list does not show yet.
#[derive(Clone, Default)]
pub(super) struct News {
    /// Newest first.
    pub(super) items: Vec<SearchItem>,
    /// Hits, those that are not among `items` too.
    pub(super) count: u64,
    /// Not all of them are among `items`.
    pub(super) is_cut: bool,
    /// The last figures of the stream.
    pub(super) figures: Option<LiveFigures>,
    /// The stream broke; the browser opens it again by itself.
    pub(super) is_broken: bool,
}

/// Listens while the view is live; a new question opens a new stream.
pub(super) fn listen(state: Memo<ExploreState>, news: RwSignal<News>) {
    let asked = Memo::new(move |_| {
        let state = state.get();
        state.live.then_some((state.unit, state.filter))
    });
    Effect::new(move |_| {
        news.set(News::default());
        let Some((unit, filter)) = asked.get() else { return };
        let mut question = vec![("unit", unit.name())];
        if !filter.is_empty() {
            question.push(("q", filter.as_str()));
        }
        let Ok(source) = web_sys::EventSource::new(&format!("/api/live{}", url::query_string(question))) else {
            return;
        };
        let items = Closure::<dyn FnMut(web_sys::MessageEvent)>::new(move |event: web_sys::MessageEvent| {
            let Some(told) = read::<LiveItems>(&event) else { return };
            news.try_update(|news| {
                news.is_broken = false;
                news.count += told.items.len() as u64 + told.left_out;
                news.is_cut |= told.left_out > 0 || told.gap || told.skipped > 0;
                let mut items = told.items;
                items.append(&mut news.items);
                news.is_cut |= items.len() > KEPT_MAX;
                items.truncate(KEPT_MAX);
                news.items = items;
            });
        });
        let figures = Closure::<dyn FnMut(web_sys::MessageEvent)>::new(move |event: web_sys::MessageEvent| {
            if let Some(told) = read::<LiveFigures>(&event) {
                news.try_update(|news| (news.figures, news.is_broken) = (Some(told), false));
            }
        });
        let broken = Closure::<dyn FnMut()>::new(move || {
            news.try_update(|news| news.is_broken = true);
        });
        let _ = source.add_event_listener_with_callback("items", items.as_ref().unchecked_ref());
        let _ = source.add_event_listener_with_callback("figures", figures.as_ref().unchecked_ref());
        source.set_onerror(Some(broken.as_ref().unchecked_ref()));
        // The closures live as long as the stream.
        let keep = StoredValue::new_local(Some((source, items, figures, broken)));
        on_cleanup(move || {
            keep.update_value(|kept| {
                if let Some((source, ..)) = kept.take() {
                    source.close();
                }
            });
        });
    });
}

fn read<T: serde::de::DeserializeOwned>(event: &web_sys::MessageEvent) -> Option<T> {
    serde_json::from_str(&event.data().as_string()?).ok()
}
