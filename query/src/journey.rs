//! `GET /api/journeys/{trace_id}`: the journey that holds a trace.
//!
//! | file        | knows                                                                        |
//! |-------------|------------------------------------------------------------------------------|
//! | `gather.rs` | which spans it may need, out of a snapshot, within bounds                    |
//! | `answer.rs` | the journey of the analysis as the API writes it: pure                       |
//!
//! What belongs to a journey, what happened in it and what was wrong is decided in `analysis`. Every answer is
//! computed from the spans that are stored at that moment: late spans simply change it.

mod answer;
pub(crate) mod gather;

pub(crate) use answer::finding_answer;

use std::time::Instant;

use api::JourneyAnswer;
use model::{SpanId, TenantId, TimeRange, TraceId, UnixNanos};

use crate::analysis::findings::{Finding, findings};
use crate::analysis::journey::{Cut, Journey, journey};
use crate::analysis::node::Node;
use crate::analysis::thresholds::Bounds;
use crate::analysis::{Analysis, Options, analyze};
use crate::breakers::open_breakers;
use crate::engine::Engine;
use crate::engine::session::{Session, incomplete};
use crate::error::Result;
use crate::trace::not_stored;
use gather::Gathered;

/// A journey with everything it rests on.
#[derive(Debug)]
pub(crate) struct Found {
    /// Every span that was looked at, and the communications between them.
    pub(crate) analysis: Analysis,
    /// The journey.
    pub(crate) journey: Journey,
    /// Its findings, worst first.
    pub(crate) findings: Vec<Finding>,
    /// What was never loaded because of a bound.
    pub(crate) cuts: Vec<Cut>,
    /// Why something may be missing that no bound explains.
    pub(crate) reasons: Vec<String>,
}

/// The journey that holds a stored trace.
///
/// # Errors
/// Not found when no span of the trace is stored.
pub(crate) async fn find(session: &Session, seed: TraceId, span: Option<SpanId>) -> Result<Found> {
    find_without(session, seed, span, &[], Bounds::default()).await
}

/// The journey that holds a stored trace, as if the spans of some traces were not stored: what was joined to it only through
/// them is not there either. The seed itself stays.
///
/// # Errors
/// Not found when no span of the trace is stored.
async fn find_without(
    session: &Session,
    seed: TraceId,
    span: Option<SpanId>,
    cut: &[TraceId],
    bounds: Bounds,
) -> Result<Found> {
    let options = session.config.options();
    let mut gathered = gather::gather(session, seed, span, &bounds, &options).await?;
    gathered.spans.retain(|span| span.trace_id == seed || !cut.contains(&span.trace_id));
    looked_at(session, gathered, seed, span, &bounds, &options).await
}

/// One trace as if nothing else were stored.
///
/// # Errors
/// Not found when no span of the trace is stored.
pub(crate) async fn find_alone(session: &Session, trace: TraceId) -> Result<Found> {
    let (bounds, options) = (Bounds { members_max: 1, ..Bounds::default() }, session.config.options());
    let gathered = gather::alone(session, trace, &bounds, &options).await?;
    looked_at(session, gathered, trace, None, &bounds, &options).await
}

async fn looked_at(
    session: &Session,
    gathered: Gathered,
    seed: TraceId,
    span: Option<SpanId>,
    bounds: &Bounds,
    options: &Options,
) -> Result<Found> {
    let analysis = analyze(gathered.spans, options);
    let Some(journey) = journey(&analysis, seed, span, bounds) else { return Err(not_stored(seed)) };
    let within = |ends: fn(i64, i64) -> i64, of: &[i64]| of.iter().copied().reduce(ends).unwrap_or_default();
    let (start, end) = (within(i64::min, &journey.scene.start), within(i64::max, &journey.scene.end));
    let breakers = open_breakers(&session.derived.stored, TimeRange::new(UnixNanos(start), UnixNanos(end))).await?;
    let findings = findings(&analysis, &journey, &session.config.findings, &breakers);
    Ok(Found { analysis, journey, findings, cuts: gathered.cuts, reasons: gathered.reasons })
}

impl Found {
    /// Start of the main root, clocks corrected.
    pub(crate) fn start(&self) -> i64 {
        let scene = &self.journey.scene;
        scene.start.get(scene.root).copied().unwrap_or_default()
    }

    /// Node of the main root's service.
    pub(crate) fn entry(&self) -> String {
        let scene = &self.journey.scene;
        let root = scene.spans.get(scene.root).map(|root| &self.analysis.graph.spans[*root]);
        root.map(|root| Node::service(&root.service).to_string()).unwrap_or_default()
    }

    /// As the API writes it. `stored` says why storage may not hold everything.
    pub(crate) fn answer(&self, stored: Option<String>, now: UnixNanos) -> JourneyAnswer {
        answer::answer(self, stored, now)
    }
}

impl Engine {
    /// The journey that holds a trace. When the trace has several causes, `span` picks the one to follow. `cut` names traces that
    /// the reader does not take for parts of it; `wider` is by how much more traces and spans are taken than without being asked.
    ///
    /// # Errors
    /// [`crate::Error::NotFound`] when no span of the trace is stored.
    pub async fn journey(
        &self,
        tenant: &TenantId,
        trace: TraceId,
        span: Option<SpanId>,
        cut: &[TraceId],
        wider: usize,
    ) -> Result<JourneyAnswer> {
        let started = Instant::now();
        let cut = cut.to_vec();
        let answer = self.run(tenant, move |session| {
            let cut = cut.clone();
            async move {
                let found = find_without(&session, trace, span, &cut, Bounds::default().wider(wider)).await?;
                let (_, stored) = incomplete(&session.snapshot, None);
                Ok(found.answer(stored, session.now))
            }
        });
        let answer = answer.await?;
        Ok(JourneyAnswer { elapsed_ms: started.elapsed().as_secs_f64() * 1e3, ..answer })
    }
}
