//! Questions that took long, for whoever looks after the collector: the newest ones, each shown to admins of its own tenant.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use api::SlowQuestion;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use model::{Identity, TenantId, UnixNanos};

use super::App;

/// From here on a question is slow.
const SLOW: Duration = Duration::from_secs(1);
/// Questions kept, of all tenants.
const KEPT: usize = 200;
/// Questions shown.
const SHOWN: usize = 20;
/// Letters of a question that are kept.
const LETTERS_MAX: usize = 2_000;

/// The newest slow questions.
#[derive(Debug, Default)]
pub(super) struct Slow(Mutex<VecDeque<(TenantId, SlowQuestion)>>);

/// What was asked, where the address does not say it; a handler puts it into its response.
#[derive(Clone, Debug)]
pub(super) struct Asked(pub(super) String);

impl Slow {
    fn add(&self, tenant: TenantId, question: SlowQuestion) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.truncate(KEPT - 1);
        all.push_front((tenant, question));
    }

    /// Those of a tenant, the newest first.
    pub(super) fn of(&self, tenant: &TenantId) -> Vec<SlowQuestion> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = all.iter().filter(|(of, _)| of == tenant).map(|(_, question)| question.clone());
        own.take(SHOWN).collect()
    }
}

/// Notes a request of the API when its answer begins late. Who gives up before is not noted: the server gave up with them.
pub(super) async fn note(State(app): State<App>, request: Request, next: Next) -> Response {
    if !request.uri().path().starts_with("/api/") {
        return next.run(request).await;
    }
    let tenant = request.extensions().get::<Identity>().map(|identity| identity.tenant.clone());
    let uri = request.uri().clone();
    let (asked, started) = (app.engine.now(), Instant::now());
    let mut response = next.run(request).await;
    let said = response.extensions_mut().remove::<Asked>();
    let elapsed = started.elapsed();
    if elapsed >= SLOW {
        let question = said.map_or_else(|| uri.to_string(), |Asked(statement)| statement);
        app.slow.add(tenant.unwrap_or_else(TenantId::default_tenant), slow(asked, &question, elapsed, &response));
    }
    response
}

fn slow(asked: UnixNanos, question: &str, elapsed: Duration, response: &Response) -> SlowQuestion {
    SlowQuestion {
        asked_unix_nano: asked.0.to_string(),
        question: question.chars().take(LETTERS_MAX).collect(),
        elapsed_ms: elapsed.as_secs_f64() * 1e3,
        status: response.status().as_u16(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The newest stay, and nobody sees another tenant's.
    #[test]
    fn tenants_see_their_own() {
        let all = Slow::default();
        let other = TenantId::new("other").expect("a name");
        for number in 0..KEPT + 5 {
            let tenant = if number % 2 == 0 { TenantId::default_tenant() } else { other.clone() };
            all.add(tenant, SlowQuestion { question: number.to_string(), ..SlowQuestion::default() });
        }
        let own = all.of(&other);
        assert_eq!((own.len(), own[0].question.as_str()), (SHOWN, "203"));
        assert!(own.iter().all(|one| one.question.parse::<usize>().expect("a number") % 2 == 1));
        assert_eq!(all.0.lock().expect("no panic").len(), KEPT);
    }
}
