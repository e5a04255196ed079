//! `GET /api/compare?a=&b=`: two journeys, or one against the usual; `GET /api/compare/styles`: ways of communicating.
//!
//! | file        | knows                                                                      |
//! |-------------|----------------------------------------------------------------------------|
//! | `sides.rs`  | two journeys step by step: pure                                            |
//! | `usual.rs`  | what is usual for a journey's steps, from sums and summaries of a day      |
//! | `styles.rs` | REST, gRPC and messaging side by side, from the spans of a range           |
//! | `newest.rs` | the newest spans of a range, as many as one answer may look at             |

pub(crate) mod newest;
mod sides;
mod styles;
mod usual;

use std::time::Instant;

use api::{CompareAnswer, StylesAnswer};
use model::{TenantId, TimeRange, TraceId, UnixNanos};

use crate::engine::Engine;
use crate::engine::session::incomplete;
use crate::error::{Error, Result};
use crate::journey;
use crate::map::environment::Environment;

pub use styles::By;

/// What a journey is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Other {
    /// Another journey.
    Journey(TraceId),
    /// What its steps usually take.
    Usual,
}

/// How long back the usual looks.
const USUAL_NANOS: i64 = UnixNanos::DAY;

impl Engine {
    /// Two journeys side by side, or one against the usual of the day before it.
    ///
    /// # Errors
    /// [`Error::NotFound`] when a trace is not stored.
    pub async fn compare(&self, tenant: &TenantId, a: TraceId, b: Other) -> Result<CompareAnswer> {
        let started = Instant::now();
        let answer = self.run(tenant, move |session| async move {
            let first = journey::find(&session, a, None).await?;
            let mut reasons: Vec<String> = first.answer(None, session.now).incomplete_reason.into_iter().collect();
            let answer = match b {
                Other::Journey(b) => {
                    let second = journey::find(&session, b, None).await?;
                    reasons.extend(second.answer(None, session.now).incomplete_reason);
                    sides::compare(&first, &second)
                }
                Other::Usual => {
                    let end = UnixNanos(first.start());
                    let range = TimeRange::new(UnixNanos(end.0.saturating_sub(USUAL_NANOS)), end);
                    let usual = usual::usual(&session, &first, range).await?;
                    reasons.extend(session.derived.reason());
                    sides::against_usual(&first, &usual)
                }
            };
            let (incomplete, incomplete_reason) =
                incomplete(&session.snapshot, (!reasons.is_empty()).then(|| reasons.join("; ")));
            Ok(CompareAnswer { incomplete, incomplete_reason, ..answer })
        });
        let answer = answer.await?;
        Ok(CompareAnswer { elapsed_ms: started.elapsed().as_secs_f64() * 1e3, ..answer })
    }

    /// Ways of communicating side by side, by family or by edge.
    ///
    /// # Errors
    /// The limits of the configuration.
    pub async fn styles(
        &self,
        tenant: &TenantId,
        range: TimeRange,
        environment: Environment,
        by: By,
    ) -> Result<StylesAnswer> {
        let started = Instant::now();
        let work = move |session| async move { styles::styles(&session, range, &environment, by).await };
        let answer = self.run(tenant, work);
        let answer = answer.await?;
        Ok(StylesAnswer { elapsed_ms: started.elapsed().as_secs_f64() * 1e3, ..answer })
    }
}

/// A parameter that names a journey.
pub(crate) fn missing(name: &str) -> Error {
    Error::invalid(format!("{name} is needed: /api/compare?a=<trace id>&b=<trace id>, or b=usual"))
}
