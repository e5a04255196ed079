//! Routes, and what all pages share.

use std::collections::HashSet;
use std::time::Duration;

use leptos::prelude::*;
use leptos_router::components::{FlatRoutes, Route, Router};
use leptos_router::hooks::use_location;
use leptos_router::path;

use crate::client::Fires;
use crate::components::frame::Frame;
use crate::pages::alerts::AlertsPage;
use crate::pages::compare::ComparePage;
use crate::pages::explore::ExplorePage;
use crate::pages::home::HomePage;
use crate::pages::journey::JourneyPage;
use crate::pages::map::MapPage;
use crate::pages::metrics::MetricsPage;
use crate::pages::not_found::NotFoundPage;
use crate::pages::service::ServicePage;
use crate::pages::services::ServicesPage;
use crate::pages::short::ShortPage;
use crate::pages::sql::SqlPage;
use crate::pages::system::SystemPage;
use crate::pages::trace::TracePage;
use crate::view::color::ServiceColors;
use crate::view::url;

const THEME_KEY: &str = "hodoscope.theme";
const SERVICES_KEY: &str = "hodoscope.services";

/// What all pages share. Copied freely: it holds handles.
#[derive(Clone, Copy)]
pub(crate) struct Shared {
    /// `dark` or `light`.
    pub(crate) theme: RwSignal<&'static str>,
    /// Which colour a service has.
    colors: StoredValue<ServiceColors>,
    /// Grows when colours change: what was drawn is drawn again.
    palette: RwSignal<u32>,
    /// Services seen by this page that the server is not known to know.
    untold: StoredValue<Vec<String>>,
    /// Services that the server knows.
    told: StoredValue<HashSet<String>>,
    /// A short message at the foot of the page, for two seconds.
    pub(crate) message: RwSignal<Option<String>>,
    /// The sheet of keys is open.
    pub(crate) keys_open: RwSignal<bool>,
    /// Alerts that fire and are not silenced, as the server last told any part of the page.
    pub(crate) firing: RwSignal<Vec<Fires>>,
}

impl Shared {
    fn new() -> Self {
        let root = document().document_element();
        let is_light = root.as_ref().and_then(|root| root.get_attribute("data-theme")).as_deref() == Some("light");
        Self {
            theme: RwSignal::new(if is_light { "light" } else { "dark" }),
            colors: StoredValue::new(ServiceColors::from_text(&remembered(SERVICES_KEY).unwrap_or_default())),
            palette: RwSignal::new(0),
            untold: StoredValue::new(Vec::new()),
            told: StoredValue::new(HashSet::new()),
            message: RwSignal::new(None),
            keys_open: RwSignal::new(false),
            firing: RwSignal::new(Vec::new()),
        }
    }

    /// Gives each new service its colour, in this order; the server keeps it and may know a better one.
    pub(crate) fn see_services<'a>(self, services: impl IntoIterator<Item = &'a str>) {
        let mut is_first = false;
        for service in services {
            self.colors.update_value(|colors| {
                colors.see(service);
            });
            let is_new = !service.is_empty()
                && !self.told.with_value(|told| told.contains(service))
                && !self.untold.with_value(|untold| untold.iter().any(|known| known == service));
            if is_new {
                self.untold.update_value(|untold| {
                    is_first |= untold.is_empty();
                    untold.push(service.to_owned());
                });
            }
        }
        // Pages see services in several steps: one question for all of them.
        if is_first {
            set_timeout(move || self.tell_services(), Duration::from_millis(100));
        }
    }

    /// Tells the server of new services and takes what it answers; with none it only asks.
    fn tell_services(self) {
        let Some(services) = self.untold.try_update_value(std::mem::take) else { return };
        leptos::task::spawn_local(async move {
            let request = api::ColorsRequest { services, ..api::ColorsRequest::default() };
            let Ok(answer) = crate::client::see_colors(&request).await else { return };
            // What it did not take (it knows enough) is not told again.
            self.told.try_update_value(|told| told.extend(answer.services.iter().cloned().chain(request.services)));
            let changed = self.colors.try_update_value(|colors| {
                let next = ServiceColors::from_answer(&answer, colors);
                let changed = next.differs(colors);
                *colors = next;
                changed
            });
            self.colors.try_with_value(|colors| remember(SERVICES_KEY, &colors.to_text()));
            if changed == Some(true) {
                self.palette.try_update(|version| *version = version.wrapping_add(1));
            }
        });
    }

    /// Class names of a service's colour.
    pub(crate) fn color_class(self, service: &str) -> String {
        self.palette.track();
        self.colors.with_value(|colors| colors.class(service))
    }

    /// Colour slot of a service, 1 to 8; 0 for none.
    pub(crate) fn color_slot(self, service: &str) -> u8 {
        self.palette.track();
        self.colors.with_value(|colors| colors.slot(service))
    }

    /// Keeps what fires and is told: the rail counts it, Home lists it.
    pub(crate) fn see_firing(self, firing: Vec<Fires>) {
        // Most of the time there is none, and nothing to draw again.
        if !firing.is_empty() || self.firing.with_untracked(|known| !known.is_empty()) {
            self.firing.set(firing);
        }
    }

    /// Switches the theme and remembers the choice.
    pub(crate) fn switch_theme(self) {
        let theme = if self.theme.get_untracked() == "dark" { "light" } else { "dark" };
        remember(THEME_KEY, theme);
        self.theme.set(theme);
    }

    /// Shows a message for two seconds.
    pub(crate) fn say(self, text: impl Into<String>) {
        let text = text.into();
        self.message.set(Some(text.clone()));
        set_timeout(
            move || {
                if self.message.get_untracked().as_ref() == Some(&text) {
                    self.message.set(None);
                }
            },
            Duration::from_secs(2),
        );
    }

    /// Copies a text and says so.
    pub(crate) fn copy(self, text: String, what: &'static str) {
        leptos::task::spawn_local(async move {
            let promise = window().navigator().clipboard().write_text(&text);
            match wasm_bindgen_futures::JsFuture::from(promise).await {
                Ok(_) => self.say(format!("{what} copied")),
                Err(_) => self.say("The browser did not allow copying"),
            }
        });
    }
}

/// What all pages share, from anywhere below [`App`].
pub(crate) fn shared() -> Shared {
    expect_context::<Shared>()
}

fn storage() -> Option<web_sys::Storage> {
    window().local_storage().ok().flatten()
}

/// What this browser keeps under a key.
pub(crate) fn remembered(key: &str) -> Option<String> {
    storage()?.get_item(key).ok().flatten()
}

/// Keeps a text in this browser. Storage may be full or forbidden: then nothing is remembered, and that is all.
pub(crate) fn remember(key: &str, value: &str) {
    if let Some(storage) = storage() {
        let _ = storage.set_item(key, value);
    }
}

/// A link to another page that keeps the reader's range of time, whichever that is by then.
pub(crate) fn there(link: impl Into<String>) -> impl Fn() -> String + Clone + Send + 'static {
    let (search, link) = (use_location().search, link.into());
    move || url::carry(&link, &search.get())
}

/// Nanoseconds since 1970 by this browser's clock.
pub(crate) fn now_nanos() -> i64 {
    (js_sys::Date::now() * 1e6) as i64
}

/// Mounts the page in place of the shell of index.html.
pub(crate) fn start(routes: fn() -> AnyView) {
    console_error_panic_hook::set_once();
    if let Some(shell) = document().get_element_by_id("shell") {
        shell.remove();
    }
    mount_to_body(move || view! { <App routes/> });
}

/// Pages of one request, but for comparing it: no program may be much larger than the others.
pub(crate) fn trail_routes() -> AnyView {
    view! {
        <FlatRoutes fallback=elsewhere>
            <Route path=path!("/j/:journey") view=JourneyPage/>
            <Route path=path!("/t/:trace/:span?") view=TracePage/>
        </FlatRoutes>
    }
    .into_any()
}

/// Pages that list and add up.
pub(crate) fn desk_routes() -> AnyView {
    view! {
        <FlatRoutes fallback=elsewhere>
            <Route path=path!("/") view=HomePage/>
            <Route path=path!("/explore") view=ExplorePage/>
            <Route path=path!("/map") view=MapPage/>
        </FlatRoutes>
    }
    .into_any()
}

/// Pages that watch and ask freely.
pub(crate) fn watch_routes() -> AnyView {
    view! {
        <FlatRoutes fallback=elsewhere>
            <Route path=path!("/services") view=ServicesPage/>
            <Route path=path!("/services/:name") view=ServicePage/>
            <Route path=path!("/metrics") view=MetricsPage/>
            <Route path=path!("/sql/:saved?") view=SqlPage/>
            <Route path=path!("/alerts/:rule?") view=AlertsPage/>
            <Route path=path!("/system") view=SystemPage/>
            <Route path=path!("/compare") view=ComparePage/>
            <Route path=path!("/v/:short") view=ShortPage/>
        </FlatRoutes>
    }
    .into_any()
}

/// Another program shows this path.
fn is_elsewhere(path: &str) -> bool {
    let running = document().document_element().and_then(|root| root.get_attribute("data-program"));
    running.is_some_and(|running| running != url::program(path))
}

/// Loads a link when another program shows it. False when it is the router's.
pub(crate) fn cross(link: &str) -> bool {
    let path = link.split(['?', '#']).next().unwrap_or_default();
    is_elsewhere(path) && window().location().assign(link).is_ok()
}

/// A page of another program is loaded by its address; anything else does not exist. Links do not come here
/// (`boot.js`), nor does what calls [`cross`]; steps through the history do.
fn elsewhere() -> AnyView {
    // The router writes the address of the browser only after it has chosen what to show.
    let path = use_location().pathname.get_untracked();
    if is_elsewhere(&path) {
        let load = move || {
            let location = window().location();
            let is_there = location.pathname().is_ok_and(|shown| shown == path);
            let _ = if is_there { location.reload() } else { location.assign(&path) };
        };
        set_timeout(load, Duration::from_millis(30));
        return ().into_any();
    }
    view! { <NotFoundPage/> }.into_any()
}

/// The whole page.
#[component]
fn App(routes: fn() -> AnyView) -> impl IntoView {
    let shared = Shared::new();
    provide_context(shared);
    shared.tell_services();
    Effect::new(move || {
        let theme = shared.theme.get();
        if let Some(root) = document().document_element() {
            let _ = root.set_attribute("data-theme", theme);
        }
        // A theme in the URL would win over the choice at the next load.
        let location = window().location();
        let (path, search) = (location.pathname().unwrap_or_default(), location.search().unwrap_or_default());
        let asked = url::pairs(&search).into_iter().find(|(key, _)| key == "theme");
        if asked.is_some_and(|(_, asked)| asked != theme)
            && let Ok(history) = window().history()
        {
            let link = format!("{path}{}", url::with_parameters(&search, &[("theme", Some(theme))]));
            let state = history.state().unwrap_or_default();
            let _ = history.replace_state_with_url(&state, "", Some(&link));
        }
    });
    view! {
        <Router>
            <Frame>{routes()}</Frame>
        </Router>
    }
}
