//! Signing in and out: a panel in place of the page while the server asks for a key, and a button while somebody is signed in.

use api::{Problem, SessionAnswer};
use leptos::html;
use leptos::prelude::*;
use leptos::task::spawn_local;

use super::icon::{Icon, icon};
use crate::app::shared;
use crate::client::session::{self, Next};

/// Milliseconds after which the field may take the focus: it must be drawn first.
const FOCUS_MS: u64 = 30;
/// The kind of problem that the server does not see.
const NOT_KEPT: &str = "cookie-not-kept";

/// Asks for a key. The page behind it stays as it is, and what it asked for is asked again.
#[component]
pub(crate) fn SignIn(
    /// Whose data was shown before, when somebody was signed in.
    known: RwSignal<Option<SessionAnswer>>,
) -> impl IntoView {
    let key = RwSignal::new(String::new());
    let problem = RwSignal::new(None::<Problem>);
    let asking = RwSignal::new(false);
    let field = NodeRef::<html::Input>::new();
    set_timeout(
        move || {
            if let Some(field) = field.try_get_untracked().flatten() {
                let _ = field.focus();
            }
        },
        std::time::Duration::from_millis(FOCUS_MS),
    );
    let submit = move |event: web_sys::SubmitEvent| {
        event.prevent_default();
        let typed = key.get_untracked().trim().to_owned();
        if typed.is_empty() || asking.get_untracked() {
            return;
        }
        asking.set(true);
        spawn_local(async move {
            let answer = session::sign_in(&typed).await;
            // The key is not kept, not even in this field.
            key.set(String::new());
            let now = session::session().await.ok();
            asking.set(false);
            match answer {
                // 400: nobody has to sign in here any more.
                Err(found) if found.status != 400 => return problem.set(Some(found)),
                _ => {}
            }
            match known.with_untracked(|before| session::next(before.as_ref(), now.as_ref())) {
                Next::NotKept => {
                    problem.set(Some(Problem { kind: NOT_KEPT.to_owned(), ..Problem::default() }));
                }
                Next::Reload => {
                    let _ = window().location().reload();
                }
                Next::GoOn => {
                    known.set(now);
                    session::resume();
                }
            }
        });
    };
    let said = move || {
        problem.get().map(|problem| {
            let what = match problem.status {
                _ if problem.kind == NOT_KEPT => "The key is right, but the browser did not keep the cookie that stands for it. Allow cookies for this address, and open it by the same scheme as the server believes: a cookie of https is not kept over plain http.".to_owned(),
                401 => "The server does not know this key. Is it complete, and not revoked?".to_owned(),
                403 => "This key may only send telemetry. Reading needs a key with the scope read or admin.".to_owned(),
                429 => "Too many wrong keys came from this address. Wait a minute, then try again.".to_owned(),
                _ => format!("{}. {}", problem.title, problem.detail),
            };
            view! { <p class="bad" id="key-problem" role="alert">{what}</p> }
        })
    };
    view! {
        <form class="sign-in" aria-label="Sign in" on:submit=submit>
            <h1>"Sign in"</h1>
            <p class="dim">"This server answers those who show an API key. The scope " <span class="mono">"read"</span> " opens every page; changing rules, silences and saved queries needs " <span class="mono">"admin"</span> "."</p>
            <label for="api-key">"API key"</label>
            <input node_ref=field id="api-key" class="mono" type="password" autocomplete="current-password" spellcheck="false" placeholder="hod_…"
                aria-invalid=move || problem.with(Option::is_some).to_string()
                aria-describedby=move || problem.with(Option::is_some).then_some("key-problem")
                prop:value=key on:input=move |event| { key.set(event_target_value(&event)); problem.set(None); }/>
            {said}
            <div class="row">
                <button class="btn primary" type="submit" disabled=move || asking.get() || key.with(|key| key.trim().is_empty())>{move || if asking.get() { "Signing in" } else { "Sign in" }}</button>
                <span class="faint n">"A cookie stands for the key from then on; the key itself is not kept."</span>
            </div>
            <p class="faint n">"Without a key: " <span class="mono">"hodoscope keys create --name me --scope read"</span> " on the server makes one."</p>
        </form>
    }
}

/// Signs out; there only while a key was shown.
#[component]
pub(crate) fn SignOut(
    /// Whom the browser speaks for.
    known: RwSignal<Option<SessionAnswer>>,
) -> impl IntoView {
    let shared = shared();
    let leave = move |_| {
        spawn_local(async move {
            match session::sign_out().await {
                // Nothing of what was shown stays.
                Ok(()) => {
                    let _ = window().location().reload();
                }
                Err(problem) => shared.say(problem.detail),
            }
        });
    };
    move || {
        let now = known.get().filter(|now| now.signed_in && now.needs_key)?;
        let title = format!(
            "Signed in to {} with the scope {}; sign out",
            now.tenant.unwrap_or_default(),
            now.scope.unwrap_or_default()
        );
        Some(view! { <button class="btn" title=title on:click=leave>{icon(Icon::SignOut, false)} "Sign out"</button> })
    }
}
