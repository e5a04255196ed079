//! Single-letter keys: ignored while typing and with Ctrl, Alt or Meta held. The reader may switch them off: who speaks to the computer,
//! or types by accident, needs that (WCAG 2.1.4). Arrows, Enter and Escape stay.

use std::cell::Cell;

use leptos::prelude::*;
use wasm_bindgen::JsCast;

use crate::app::{remember, remembered};

const LETTERS_KEY: &str = "hodoscope.letters";

thread_local! {
    /// Single letters do something; `None` until this browser was asked what it remembers.
    static LETTERS: Cell<Option<bool>> = const { Cell::new(None) };
}

/// True when single letters do something.
pub(crate) fn has_letters() -> bool {
    LETTERS.get().unwrap_or_else(|| {
        let on = remembered(LETTERS_KEY).as_deref() != Some("off");
        LETTERS.set(Some(on));
        on
    })
}

/// Switches single letters on or off, in this browser.
pub(crate) fn set_letters(on: bool) {
    LETTERS.set(Some(on));
    remember(LETTERS_KEY, if on { "on" } else { "off" });
}

/// Calls `handler` with each plain key pressed outside inputs; true means it was taken. Ends with the component.
pub(crate) fn on_key(handler: impl Fn(&web_sys::KeyboardEvent, &str) -> bool + 'static) {
    let handle = window_event_listener(leptos::ev::keydown, move |event| {
        if event.ctrl_key() || event.alt_key() || event.meta_key() || event.default_prevented() || is_typing(&event) {
            return;
        }
        let key = event.key();
        if key.chars().count() == 1 && key != " " && !has_letters() {
            return;
        }
        if handler(&event, &key) {
            event.prevent_default();
        }
    });
    on_cleanup(move || handle.remove());
}

/// True when the key goes into a field.
pub(crate) fn is_typing(event: &web_sys::KeyboardEvent) -> bool {
    let target = event.target().and_then(|target| target.dyn_into::<web_sys::Element>().ok());
    target.is_some_and(|target| matches!(target.tag_name().as_str(), "INPUT" | "TEXTAREA" | "SELECT"))
}

/// True when Enter belongs to a button or link that has the focus.
pub(crate) fn is_control(event: &web_sys::KeyboardEvent) -> bool {
    let target = event.target().and_then(|target| target.dyn_into::<web_sys::Element>().ok());
    target.is_some_and(|target| matches!(target.tag_name().as_str(), "BUTTON" | "A" | "SUMMARY"))
}

/// Moves the focus to an element that can take it.
pub(crate) fn focus_element(id: &str) {
    let element = document().get_element_by_id(id).and_then(|element| element.dyn_into::<web_sys::HtmlElement>().ok());
    if let Some(element) = element {
        let _ = element.focus();
    }
}

/// Puts the cursor into a field and selects its text.
pub(crate) fn focus_field(id: &str) {
    if let Some(field) =
        document().get_element_by_id(id).and_then(|field| field.dyn_into::<web_sys::HtmlInputElement>().ok())
    {
        let _ = field.focus();
        field.select();
    }
}
