//! Signing in: what was asked without a key waits until somebody has shown one, then it is asked again.
//!
//! ```text
//!   GET /api/search -> 401   the page asks for a key; the question waits
//!   POST /api/session -> 204   a cookie stands for the key
//!   GET /api/search -> 200     the page is there; nothing that was written on it is lost
//! ```
//!
//! At most [`WAITING_MAX`] questions wait; those beyond hear 401. Nothing asks by the clock meanwhile (`asking.rs`).

use std::cell::{Cell, RefCell};

use api::{Problem, SessionAnswer, SessionRequest};
use gloo_net::http::Request;
use js_sys::{Function, Promise};
use leptos::prelude::*;
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::JsFuture;

use super::{answer, unexpected, unreachable};

/// HTTP status of what needs a key.
pub(super) const UNAUTHORIZED: u16 = 401;
/// Questions that wait at once.
const WAITING_MAX: usize = 64;
const PATH: &str = "/api/session";

/// All who wait hold the same promise; this keeps it.
struct Waiting {
    promise: Promise,
    resolve: Option<Function>,
    count: usize,
}

thread_local! {
    static NEEDED: ArcRwSignal<bool> = ArcRwSignal::new(false);
    static WAITING: RefCell<Option<Waiting>> = const { RefCell::new(None) };
    /// Times that somebody signed in.
    static ROUND: Cell<u32> = const { Cell::new(0) };
}

/// True while questions wait for a key.
pub(crate) fn is_needed() -> ArcRwSignal<bool> {
    NEEDED.with(ArcRwSignal::clone)
}

/// Which round of signing in a question belongs to.
pub(super) fn round() -> u32 {
    ROUND.get()
}

/// Waits until somebody has signed in since `asked`. False: too many wait already.
pub(super) async fn signed_in_since(asked: u32) -> bool {
    if round() != asked {
        return true;
    }
    let promise = WAITING.with_borrow_mut(|waiting| {
        let waiting = waiting.get_or_insert_with(|| {
            let mut kept = None;
            let promise = Promise::new(&mut |resolve, _| kept = Some(resolve));
            Waiting { promise, resolve: kept, count: 0 }
        });
        waiting.count += 1;
        (waiting.count <= WAITING_MAX).then(|| waiting.promise.clone())
    });
    let Some(promise) = promise else { return false };
    is_needed().set(true);
    JsFuture::from(promise).await.is_ok()
}

/// Whom the browser speaks for.
pub(crate) async fn session() -> Result<SessionAnswer, Problem> {
    answer(Request::get(PATH).header("Accept", "application/json").send().await).await
}

/// Exchanges a key for a cookie. What waits goes on once [`resume`] is called.
pub(crate) async fn sign_in(key: &str) -> Result<(), Problem> {
    let request = SessionRequest { key: key.to_owned() };
    let sent = match Request::post(PATH).json(&request) {
        Ok(request) => request.send().await,
        Err(error) => Err(error),
    };
    let response = sent.map_err(unreachable)?;
    let (status, is_ok) = (response.status(), response.ok());
    let body = response.text().await.unwrap_or_default();
    if is_ok { Ok(()) } else { Err(serde_json::from_str(&body).unwrap_or_else(|_| unexpected(status, ""))) }
}

/// What comes after a key was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// What waited is asked again.
    GoOn,
    /// The page is of somebody else: all is loaded again.
    Reload,
    /// The browser did not keep the cookie: asking again would ask for a key again, without end.
    NotKept,
}

/// What comes next, by who it was `before` and who the server says it is `now`; `None` when it could not be asked.
pub(crate) fn next(before: Option<&SessionAnswer>, now: Option<&SessionAnswer>) -> Next {
    let Some(now) = now else { return Next::GoOn };
    let tenant = |answer: &SessionAnswer| answer.tenant.clone().unwrap_or_default();
    match before.filter(|before| before.signed_in).map(tenant) {
        _ if now.needs_key && !now.signed_in => Next::NotKept,
        Some(before) if before != tenant(now) => Next::Reload,
        _ => Next::GoOn,
    }
}

/// Lets go on what waited for a key.
pub(crate) fn resume() {
    ROUND.set(round().wrapping_add(1));
    is_needed().set(false);
    if let Some(resolve) = WAITING.take().and_then(|waiting| waiting.resolve) {
        let _ = resolve.call0(&JsValue::NULL);
    }
}

/// Ends the session.
pub(crate) async fn sign_out() -> Result<(), Problem> {
    let response = Request::delete(PATH).send().await.map_err(unreachable)?;
    if response.ok() { Ok(()) } else { Err(unexpected(response.status(), "")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(signed_in: bool, tenant: &str) -> SessionAnswer {
        let tenant = Some(tenant.to_owned()).filter(|tenant| !tenant.is_empty());
        SessionAnswer { signed_in, needs_key: true, tenant, ..SessionAnswer::default() }
    }

    /// The same tenant goes on; another one must not see what stands on the page.
    #[test]
    fn only_another_tenant_loads_the_page_again() {
        let (shop, bank) = (session(true, "shop"), session(true, "bank"));
        assert_eq!(next(None, Some(&shop)), Next::GoOn);
        assert_eq!(next(Some(&session(false, "")), Some(&shop)), Next::GoOn, "nobody was signed in before");
        assert_eq!(next(Some(&shop), Some(&shop)), Next::GoOn);
        assert_eq!(next(Some(&shop), Some(&bank)), Next::Reload);
        assert_eq!(next(Some(&shop), None), Next::GoOn, "not knowing is no reason to lose what was written");
    }

    /// A key was right and the browser is still unknown: it kept no cookie.
    #[test]
    fn a_cookie_that_is_not_kept_is_said() {
        assert_eq!(next(None, Some(&session(false, ""))), Next::NotKept);
        assert_eq!(next(Some(&session(true, "shop")), Some(&session(false, ""))), Next::NotKept);
        let nobody_has_to = SessionAnswer { needs_key: false, signed_in: true, ..SessionAnswer::default() };
        assert_eq!(next(None, Some(&nobody_has_to)), Next::GoOn);
    }
}
