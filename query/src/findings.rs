//! `GET /api/findings?from=&to=&env=`: what only many journeys together show.
//!
//! | finding             | computed from                                                                   |
//! |---------------------|---------------------------------------------------------------------------------|
//! | `contract_drift`    | the newest spans of the range, as many as one answer may look at                |
//! | `cyclic_dependency` | the same                                                                        |
//! | `cache_ineffective` | the same                                                                        |
//! | `traffic_spike`     | the sums per minute of the newest three hours of the range, and 12 minutes more |
//!
//! An answer over less than the range says so.

use std::collections::BTreeMap;
use std::time::Instant;

use api::{FindingsAnswer, JourneyFinding};
use model::{TenantId, TimeRange, UnixNanos};

use crate::analysis::findings::{Finding, MinuteOfEdge, traffic_spikes, window_findings};
use crate::analysis::{Analysis, analyze};
use crate::compare::newest::newest_spans;
use crate::digest::rollup::{MINUTE, SumKey, Sums};
use crate::engine::Engine;
use crate::engine::session::{Session, incomplete};
use crate::error::Result;
use crate::journey::finding_answer;
use crate::map::environment::Environment;

/// Spans of the evidence of one finding in an answer; drift over shapes rests on every call of a version.
const EVIDENCE_MAX: usize = 100;
/// Findings in an answer, worst first.
const FINDINGS_MAX: usize = 500;
/// Spikes are looked for so far back from the end of the range.
const SPIKES_NANOS: i64 = 3 * 60 * MINUTE;

impl Engine {
    /// Findings over the journeys of a range in an environment.
    ///
    /// # Errors
    /// The limits of the configuration.
    pub async fn findings(
        &self,
        tenant: &TenantId,
        range: TimeRange,
        environment: Environment,
    ) -> Result<FindingsAnswer> {
        let started = Instant::now();
        let work = move |session| async move { findings(&session, range, &environment).await };
        let answer = self.run(tenant, work).await?;
        Ok(FindingsAnswer { elapsed_ms: started.elapsed().as_secs_f64() * 1e3, ..answer })
    }
}

async fn findings(session: &Session, range: TimeRange, environment: &Environment) -> Result<FindingsAnswer> {
    let newest = newest_spans(session, range, environment).await?;
    let mut reasons: Vec<String> = newest.reason.into_iter().collect();
    let n_spans = newest.spans.len();
    let thresholds = &session.config.findings;
    let analysis = analyze(newest.spans, &session.config.options());
    let mut found = window_findings(&analysis, thresholds);
    let look_back = i64::try_from(thresholds.spike_minutes).unwrap_or(i64::MAX).saturating_mul(MINUTE);
    let from = range.start.0.max(range.end.0.saturating_sub(SPIKES_NANOS));
    if from > range.start.0 {
        reasons.push("spikes were looked for in the last three hours of the range".to_owned());
    }
    let minutes = TimeRange::new(UnixNanos(from.saturating_sub(look_back)), range.end);
    let spikes = traffic_spikes(&minutes_of_edges(session, minutes, environment).await?, thresholds);
    let is_inside =
        |spike: &Finding| spike.numbers.get("minute_unix_nano").is_some_and(|at| at.to_json().as_i64() >= Some(from));
    found.extend(spikes.into_iter().filter(is_inside));
    reasons.extend(session.derived.reason());
    if found.len() > FINDINGS_MAX {
        reasons.push(format!("only the {FINDINGS_MAX} worst of {} findings are shown", found.len()));
    }
    found.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    found.truncate(FINDINGS_MAX);
    let (incomplete, incomplete_reason) =
        incomplete(&session.snapshot, (!reasons.is_empty()).then(|| reasons.join("; ")));
    Ok(FindingsAnswer {
        from_unix_nano: newest.looked_at.start.0.to_string(),
        to_unix_nano: newest.looked_at.end.0.to_string(),
        spans: n_spans as u64,
        findings: found.iter().map(|finding| shortened(&analysis, finding)).collect(),
        incomplete,
        incomplete_reason,
        elapsed_ms: 0.0,
    })
}

/// Sums of edges by minute, all operations together.
async fn minutes_of_edges(session: &Session, range: TimeRange, environment: &Environment) -> Result<Vec<MinuteOfEdge>> {
    let parts = session.derived.parts(range).await?;
    let mut edges: BTreeMap<(i64, &str, &str), Sums> = BTreeMap::new();
    let is_wanted =
        |key: &SumKey| environment.takes(key) && range.contains(UnixNanos(key.minute.saturating_mul(MINUTE)));
    for (key, sums) in parts.0.iter().filter(|(key, _)| is_wanted(key)) {
        edges.entry((key.minute, &key.src, &key.dst)).or_default().add(sums);
    }
    let minute = |((minute, src, dst), sums): ((i64, &str, &str), Sums)| {
        let lags = sums.lags.sketch();
        MinuteOfEdge {
            minute,
            edge: format!("{src} -> {dst}"),
            calls: u64::try_from(sums.count).unwrap_or_default(),
            p95: sums.durations.sketch().percentile(0.95),
            lag_p95: (lags.count() > 0).then(|| lags.percentile(0.95)),
        }
    };
    Ok(edges.into_iter().filter(|(_, sums)| sums.count > 0).map(minute).collect())
}

/// A finding with the first spans of its evidence, and how many there are.
fn shortened(analysis: &Analysis, finding: &Finding) -> JourneyFinding {
    let mut answer = finding_answer(analysis, finding);
    answer.numbers.insert("evidence".to_owned(), answer.evidence.len().into());
    answer.evidence.truncate(EVIDENCE_MAX);
    answer.spans.truncate(EVIDENCE_MAX);
    answer
}
