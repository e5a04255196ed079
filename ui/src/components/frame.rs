//! The frame around every page: rail, top bar, key sheet, messages.

use leptos::prelude::*;
use leptos_router::NavigateOptions;
use leptos_router::hooks::{use_location, use_navigate};

use super::command_box::CommandBox;
use super::icon::{Icon, icon};
use super::keys::{focus_field, has_letters, is_typing, on_key, set_letters};
use super::sign_in::{SignIn, SignOut};
use super::time_range::TimeRangeButton;
use crate::app::cross;
use crate::app::{now_nanos, shared};
use crate::asking::by_the_clock;
use crate::client;
use crate::view::url::{self, RangeText};
use crate::view::{clock, environment, saved_view};

/// Pages of the rail: path, name, icon, the key after `G`.
const PAGES: [(&str, &str, Icon, &str); 7] = [
    ("/", "Home", Icon::Home, "h"),
    ("/explore", "Explore", Icon::Search, "e"),
    ("/map", "Map", Icon::Map, "m"),
    ("/services", "Services", Icon::Services, "s"),
    ("/metrics", "Metrics", Icon::Metrics, "x"),
    ("/sql", "SQL", Icon::Sql, "q"),
    ("/alerts", "Alerts", Icon::Bell, "a"),
];

/// Keys that work everywhere or on one page, for the sheet: keys, what they do.
const KEYS: [(&str, &str, &str); 61] = [
    ("Everywhere", "Ctrl K", "go to a page, service, queue, metric, query, trace"),
    ("Everywhere", "/", "filter or find on this page"),
    ("Everywhere", "G then H, E, M, S", "Home, Explore, Map, Services"),
    ("Everywhere", "G then X, Q, A, I", "Metrics, SQL, Alerts, System"),
    ("Everywhere", "?", "this sheet"),
    ("Everywhere", "Esc", "close what is on top"),
    ("Home", "1 – 9", "open a card"),
    ("Home", "R", "look again"),
    ("Explore", "J K", "next, previous row"),
    ("Explore", "Enter", "open the row"),
    ("Explore", "X, then C", "mark two rows, compare them"),
    ("Explore", "B, arrows", "select in the picture, move it"),
    ("Explore", "Shift + arrows", "move the corner of the selection"),
    ("Explore", "D", "what differs"),
    ("Explore", "L", "live on or off"),
    ("Explore", "R", "look again"),
    ("Journey", "J K", "next, previous hop"),
    ("Journey", "[ ]", "follow the message back, on"),
    ("Journey", "Enter", "open the hop in the waterfall"),
    ("Journey", "T", "the hop table"),
    ("Journey", "C", "critical path on or off"),
    ("Journey", "F", "fold waits or not"),
    ("Journey", "W S A D", "zoom in, out, move left, right"),
    ("Journey", "Z, O", "zoom to the hop, zoom out"),
    ("Journey", "Y", "copy a link to this view"),
    ("Journey", ".", "inspector on or off"),
    ("Flame", "arrows", "walk"),
    ("Flame", "Enter", "open the slowest span"),
    ("Flame", "Shift Enter, Esc", "make it the root, whole journey"),
    ("Table, Logs", "J K", "next, previous row"),
    ("Table, Logs", "Enter", "open the span in the waterfall"),
    ("Waterfall", "↑ ↓", "row"),
    ("Waterfall", "← →", "shut, open, go to parent"),
    ("Waterfall", "Enter", "details"),
    ("Waterfall", "N P", "next, previous match"),
    ("Waterfall", "E", "next error"),
    ("Waterfall", "1 – 9, 0", "open to a level, open all"),
    ("Waterfall", "W S A D", "zoom in, out, move left, right"),
    ("Waterfall", "Z, O", "zoom to the span, zoom out"),
    ("Waterfall", "R", "the subtree alone, and back"),
    ("Waterfall", "C", "critical path on or off"),
    ("Waterfall", "F", "fold waits or not"),
    ("Waterfall", "Y", "copy a link to the span"),
    ("Waterfall", ".", "inspector on or off"),
    ("Map", "Tab, Enter", "next node, select it"),
    ("Map", "F", "only its neighbours"),
    ("Map", "T", "the table"),
    ("Metrics", "J K", "next, previous metric"),
    ("Metrics", "/", "find a metric"),
    ("Metrics", "T", "the table"),
    ("Metrics", "R", "look again"),
    ("SQL", "Ctrl Enter", "run"),
    ("SQL", "Ctrl Space", "complete"),
    ("SQL", "Ctrl S", "save on the server"),
    ("SQL", "Alt ↑", "earlier run"),
    ("Alerts", "J K", "next, previous rule"),
    ("Alerts", "Enter", "open the newest journey of the rule"),
    ("Alerts", "M", "silence the rule"),
    ("Alerts", "E, N", "edit the rule, new rule"),
    ("Alerts", "Esc", "close what stands beside"),
    ("Alerts", "R", "look again"),
];

/// Rail and top bar around a page.
#[component]
pub(crate) fn Frame(children: Children) -> impl IntoView {
    let shared = shared();
    let location = use_location();
    let search = location.search;
    let navigate = use_navigate();

    // G, then a letter: the letter must follow within 1.5 s.
    let went = StoredValue::new(0.0);
    let go = navigate.clone();
    on_key(move |_, key| {
        let now = js_sys::Date::now();
        if now - went.get_value() < 1_500.0 {
            went.set_value(0.0);
            let path = PAGES.iter().find(|(.., letter)| *letter == key).map(|(path, ..)| *path);
            if let Some(path) = path.or((key == "i").then_some("/system")) {
                let link = format!("{path}{}", url::shared(&search.get_untracked()));
                if !cross(&link) {
                    go(&link, NavigateOptions::default());
                }
                return true;
            }
        }
        match key {
            "g" => went.set_value(now),
            "?" => shared.keys_open.update(|open| *open = !*open),
            "Escape" if shared.keys_open.get_untracked() => shared.keys_open.set(false),
            _ => return false,
        }
        true
    });
    let handle = window_event_listener(leptos::ev::keydown, move |event| {
        if (event.ctrl_key() || event.meta_key()) && event.key() == "k" {
            event.prevent_default();
            focus_field("search");
        } else if event.key() == "Escape" && is_typing(&event) {
            let field = document()
                .active_element()
                .and_then(|field| wasm_bindgen::JsCast::dyn_into::<web_sys::HtmlElement>(field).ok());
            if let Some(field) = field {
                let _ = field.blur();
            }
        }
    });
    on_cleanup(move || handle.remove());

    let signed_in = RwSignal::new(None);
    leptos::task::spawn_local(async move {
        signed_in.try_set(client::session::session().await.ok());
    });
    let needed = client::session::is_needed();
    let is_hidden = needed.clone();
    let is_asked = move || needed.get();

    view! {
        <div class="app">
            <Rail/>
            <header class="topbar">
                <Crumb/>
                <span class="grow"></span>
                <CommandBox share/>
                <Environment/>
                <TimeRangeButton/>
                <button class="btn" title="Copy a link to this view with absolute times" on:click=move |_| share(shared)>
                    {icon(Icon::Share, false)} "Share view"
                </button>
                <SignOut known=signed_in/>
            </header>
            <main hidden=move || is_hidden.get()>{children()}</main>
            <Show when=is_asked><main><SignIn known=signed_in/></main></Show>
            <Show when=move || shared.keys_open.get()><KeySheet/></Show>
            <div class="message" role="status" aria-live="polite" class:shown=move || shared.message.get().is_some()>
                {move || shared.message.get()}
            </div>
        </div>
    }
}

#[component]
fn Rail() -> impl IntoView {
    let shared = shared();
    let location = use_location();
    let (path, search) = (location.pathname, location.search);
    let is_here = move |page: &str| {
        let path = path.get();
        if page == "/" {
            return path == "/";
        }
        path.starts_with(page)
            || (page == "/explore" && (path.starts_with("/t/") || path.starts_with("/j/") || path == "/compare"))
    };
    let entry = move |page: &'static str, name: &'static str, image: Icon| {
        view! {
            <a href=move || format!("{page}{}", url::shared(&search.get())) aria-current=move || is_here(page).then_some("page")>
                {icon(image, false)} <span>{name}</span>
                {(page == "/alerts").then(|| view! { <Firing/> })}
            </a>
        }
    };
    view! {
        <nav class="rail" aria-label="Main">
            <a class="logo" href=move || format!("/{}", url::shared(&search.get())) aria-label="hodoscope home">
                <svg width="28" height="28" viewBox="0 0 28 28" aria-hidden="true">
                    <g stroke="currentColor" stroke-width="1.6" stroke-linecap="round" opacity=".5"><path d="M6 4.5v19M14 4.5v19M22 4.5v19"/></g>
                    <g class="track">
                        <path d="M2.5 21.5C8 20 10 13 14 11.6S21 9.8 25.5 6"/>
                        <circle cx="6" cy="19.4" r="1.9"/><circle cx="14" cy="11.6" r="1.9"/><circle cx="22" cy="8.6" r="1.9"/>
                    </g>
                </svg>
            </a>
            {PAGES.into_iter().map(|(page, name, image, _)| entry(page, name, image)).collect_view()}
            <span class="sp"></span>
            {entry("/system", "System", Icon::System)}
            <button
                aria-label=move || if shared.theme.get() == "dark" { "Switch to the light theme" } else { "Switch to the dark theme" }
                title="Switch theme"
                on:click=move |_| shared.switch_theme()
            >
                {icon(Icon::Theme, false)}
            </button>
        </nav>
    }
}

/// How many alerts fire, at the rail. Asked twice a minute; never again when the server has no alerts.
#[component]
fn Firing() -> impl IntoView {
    let shared = shared();
    let is_off = StoredValue::new(false);
    let ask = move || {
        if is_off.get_value() {
            return;
        }
        leptos::task::spawn_local(async move {
            match client::firing().await {
                Ok(firing) => shared.see_firing(firing),
                Err(problem) if problem.status == 404 => is_off.set_value(true),
                Err(_) => {}
            }
        });
    };
    ask();
    by_the_clock(std::time::Duration::from_secs(30), ask);
    move || match shared.firing.with(Vec::len) {
        0 => None,
        firing => Some(
            view! { <b class="dot"><span aria-hidden="true">{firing.min(99)}</span><span class="sr">{format!("{firing} firing")}</span></b> },
        ),
    }
}

/// The environment that the reader looks at, where it is chosen; some pages show all of them, and it says so there.
#[component]
fn Environment() -> impl IntoView {
    let location = use_location();
    let (path, search) = (location.pathname, location.search);
    let navigate = use_navigate();
    let env = Memo::new(move |_| environment::of(&search.get()));
    move || {
        let env = env.get()?;
        let navigate = navigate.clone();
        let is_of_all = move || {
            let first = path.get().split('/').nth(1).unwrap_or_default().to_owned();
            matches!(first.as_str(), "alerts" | "system" | "compare")
        };
        let leave = move |_| {
            let link =
                format!("{}{}", path.get_untracked(), url::with_parameters(&search.get_untracked(), &[("env", None)]));
            navigate(&link, NavigateOptions { scroll: false, ..NavigateOptions::default() });
        };
        let title = move || match path.get().as_str() {
            _ if is_of_all() => "This page is of all environments",
            path if path == "/sql" || path.starts_with("/sql/") => "Statements ask for it as $env",
            _ => "Only this environment",
        };
        Some(view! {
            <span class="chip env" class:hot=is_of_all title=title>
                <span class="ell">{env.clone()}</span>
                {move || is_of_all().then_some(" (all here)")}
                <button aria-label=format!("Leave the environment {env}") on:click=leave>{icon(Icon::Close, true)}</button>
            </span>
        })
    }
}

/// Where the reader is.
#[component]
fn Crumb() -> impl IntoView {
    let location = use_location();
    let (path, search) = (location.pathname, location.search);
    view! {
        <div class="crumb">
            {move || {
                let path = path.get();
                let here = match path.as_str() {
                    "/" => "Home",
                    "/explore" => "Explore",
                    "/map" => "Service map",
                    "/services" => "Services",
                    "/metrics" => "Metrics",
                    path if path == "/sql" || path.starts_with("/sql/") => "SQL",
                    "/system" => "System",
                    path if path == "/alerts" || path.starts_with("/alerts/") => "Alerts",
                    path if path.starts_with("/services/") => {
                        let link = format!("/services{}", url::shared(&search.get()));
                        let name = url::decode(path.trim_start_matches("/services/"));
                        return view! { <a href=link>"Services"</a> <span>"/"</span> <b class="ell">{name}</b> }.into_any();
                    }
                    path if path.starts_with("/t/") || path.starts_with("/j/") || path == "/compare" => {
                        let link = format!("/explore{}", url::shared(&search.get()));
                        let here = match path.as_bytes()[1] {
                            b't' => "Waterfall",
                            b'j' => "Journey",
                            _ => "Compare",
                        };
                        return view! { <a href=link>"Explore"</a> <span>"/"</span> <b>{here}</b> }.into_any();
                    }
                    _ => "Not found",
                };
                view! { <b>{here}</b> }.into_any()
            }}
        </div>
    }
}

/// Copies this view's URL with absolute times, so that it shows the same tomorrow.
fn share(shared: crate::app::Shared) {
    let location = window().location();
    let (origin, path) = (location.origin().unwrap_or_default(), location.pathname().unwrap_or_default());
    let search = location.search().unwrap_or_default();
    let range = RangeText::read(&search);
    let now = now_nanos();
    let absolute = |text: &str| clock::parse(text, now).map(clock::rfc3339);
    let (from, to) = (absolute(&range.from), absolute(&range.to));
    // A trace is where it is; its time needs no range.
    let changes: &[_] = if path.starts_with("/t/") || path.starts_with("/j/") {
        &[("from", None), ("to", None), ("theme", None)]
    } else {
        &[("from", from.as_deref()), ("to", to.as_deref()), ("theme", None)]
    };
    let link = format!("{path}{}", url::with_parameters(&search, changes));
    if link.len() <= saved_view::LINK_MAX {
        return shared.copy(format!("{origin}{link}"), "Link to this view");
    }
    leptos::task::spawn_local(async move {
        let (sql, name) = saved_view::long(&link);
        match client::keep_link(&name, &sql).await {
            Ok(()) => shared.copy(format!("{origin}/v/{name}"), "Short link to this view"),
            Err(_) => shared.copy(format!("{origin}{link}"), "Long link to this view"),
        }
    });
}

/// All keys that exist.
#[component]
fn KeySheet() -> impl IntoView {
    let shared = shared();
    let section = |title: &'static str| {
        view! {
            <section>
                <h3>{title}</h3>
                <dl>
                    {KEYS
                        .into_iter()
                        .filter(|(place, ..)| *place == title)
                        .map(|(_, keys, what)| view! { <dt><kbd>{keys}</kbd></dt> <dd>{what}</dd> })
                        .collect_view()}
                </dl>
            </section>
        }
    };
    view! {
        <div class="sheet-ground" on:click=move |_| shared.keys_open.set(false)>
            <div class="sheet" role="dialog" aria-modal="true" aria-label="Keys" on:click=|event| event.stop_propagation() on:keydown=move |event| {
                if event.key() == "Escape" {
                    shared.keys_open.set(false);
                }
            }>
                <div class="row">
                    <b class="grow">"Keys"</b>
                    <label class="row faint"><input type="checkbox" prop:checked=has_letters() on:change=move |event| set_letters(event_target_checked(&event))/>"Single letters do something"</label>
                    <button class="btn s quiet" aria-label="Close" autofocus=true on:click=move |_| shared.keys_open.set(false)>
                        {icon(Icon::Close, false)}
                    </button>
                </div>
                {["Everywhere", "Home", "Explore", "Journey", "Flame", "Table, Logs", "Waterfall", "Map", "Metrics", "SQL", "Alerts"].map(section)}
            </div>
        </div>
    }
}
