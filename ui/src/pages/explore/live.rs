//! New hits as they come in: a stream of the server, kept back while the list is in use.

use api::{LiveFigures, LiveItems, Problem, SearchItem};
use leptos::prelude::*;
use leptos::task::spawn_local;
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::Closure;

use crate::asking::{Turn, Turns};
use crate::client::{self, session};
use crate::view::url::{self, ExploreState, Unit};

/// Hits kept back at most; beyond, the list is asked for again.
const KEPT_MAX: usize = 200;
/// Milliseconds until a stream that was given up is asked for again; twice as long after each time in vain.
const AGAIN_MS: u32 = 5_000;
const AGAIN_MS_MAX: u32 = 300_000;

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
    /// The stream broke; it is opened again by itself.
    pub(super) is_broken: bool,
    /// Why there will be no stream for this question, however often it is asked.
    pub(super) refusal: Option<Problem>,
    /// Times in vain since the stream last told something.
    attempts: u32,
}

/// Listens while the view is live; a new question opens a new stream. While the server waits for a key there is none: the browser
/// gives a stream up that was answered with 401, and asks for it never again.
pub(super) fn listen(state: Memo<ExploreState>, news: RwSignal<News>) {
    let asked = Memo::new(move |_| {
        let state = state.get();
        state.live.then_some((state.unit, state.filter))
    });
    let needed = session::is_needed();
    // Grows when a stream was given up and is opened again.
    let round = RwSignal::new(0u32);
    let turns = Turns::new();
    Effect::new(move |before: Option<Option<(Unit, String)>>| {
        round.track();
        let (question, needed) = (asked.get(), needed.get());
        if before.as_ref() == Some(&question) {
            // What came in between was not heard.
            news.update(|news| {
                news.is_cut |= news.count > 0 || question.is_some();
                news.refusal = None;
            });
        } else {
            news.set(News::default());
        }
        let turn = turns.next();
        if !needed && let Some(path) = question.as_ref().map(path) {
            let asked = path.clone();
            open(&path, news, move || spawn_local(again(asked.clone(), turn, round, news)));
        }
        question
    });
}

/// Where the stream of a question is.
fn path((unit, filter): &(Unit, String)) -> String {
    let question = [("unit", unit.name()), ("q", filter.as_str())];
    format!("/api/live{}", url::query_string(question.into_iter().filter(|(_, value)| !value.is_empty())))
}

/// Opens a stream until the effect around it runs again. `given_up`: the browser will not ask for it again.
fn open(path: &str, news: RwSignal<News>, given_up: impl Fn() + 'static) {
    let Ok(source) = web_sys::EventSource::new(path) else { return };
    let items = Closure::<dyn FnMut(web_sys::MessageEvent)>::new(move |event: web_sys::MessageEvent| {
        let Some(told) = read::<LiveItems>(&event) else { return };
        news.try_update(|news| {
            (news.is_broken, news.attempts) = (false, 0);
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
            news.try_update(|news| (news.figures, news.is_broken, news.attempts) = (Some(told), false, 0));
        }
    });
    let stream = source.clone();
    let broken = Closure::<dyn FnMut()>::new(move || {
        news.try_update(|news| news.is_broken = true);
        if stream.ready_state() == web_sys::EventSource::CLOSED {
            given_up();
        }
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
}

/// Opens a stream again that the browser gave up, after a pause. What is asked first tells why it was: a question that is wrong stays
/// wrong and is not asked again; without a key it waits until somebody has signed in.
async fn again(path: String, turn: Turn, round: RwSignal<u32>, news: RwSignal<News>) {
    let refusal = client::refusal(&path).await;
    if !turn.is_newest() {
        return;
    }
    if let Some(problem) = refusal.filter(|problem| is_final(problem.status)) {
        news.try_update(|news| news.refusal = Some(problem));
        return;
    }
    let attempts = news.try_update(|news| {
        let before = news.attempts;
        news.attempts = before.saturating_add(1);
        before
    });
    gloo_timers::future::TimeoutFuture::new(pause_ms(attempts.unwrap_or_default())).await;
    // Not when it was opened in the meantime, or the page was left.
    if turn.is_newest() {
        round.update(|round| *round = round.wrapping_add(1));
    }
}

/// True when the same question will be refused the next time, too.
fn is_final(status: u16) -> bool {
    (400..500).contains(&status) && ![401, 408, 429].contains(&status)
}

/// Milliseconds until the next attempt, after so many in vain.
fn pause_ms(attempts: u32) -> u32 {
    AGAIN_MS.saturating_mul(2_u32.saturating_pow(attempts)).min(AGAIN_MS_MAX)
}

fn read<T: serde::de::DeserializeOwned>(event: &web_sys::MessageEvent) -> Option<T> {
    serde_json::from_str(&event.data().as_string()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that is away is asked ever less often; a question that is wrong is not asked again.
    #[test]
    fn attempts_become_rare() {
        assert_eq!([0, 1, 2, 6, 99].map(pause_ms), [5_000, 10_000, 20_000, 300_000, 300_000]);
        assert_eq!([400, 403, 404, 401, 429, 503, 0].map(is_final), [true, true, true, false, false, false, false]);
    }

    /// The stream is asked what the list is asked.
    #[test]
    fn a_stream_has_its_question() {
        assert_eq!(path(&(Unit::Spans, "a=b".to_owned())), "/api/live?unit=spans&q=a%3Db");
        assert_eq!(path(&(Unit::Journeys, String::new())), "/api/live?unit=journeys");
    }
}
