//! What the API asks: rules and alerts as they stand, changes to rules and silences, previews, proposals, the past.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use api::{
    AlertAnswer, AlertHistoryAnswer, AlertRuleAnswer, AlertRuleKept, AlertRulesAnswer, AlertTransition, AlertsAnswer,
    PreviewAlert, PreviewAnswer, PreviewRequest, ProposedRulesAnswer, SilenceAnswer, SilenceRequest, SilencesAnswer,
};
use datafusion::prelude::{col, ident};
use model::{TenantId, TimeRange, UnixNanos};
use storage::{Documents, Shelf};

use super::desk::{API, Desk, Loaded, Ruled, kept_wrongly};
use super::instances::{Alerts, evaluate};
use super::rule::{Group, Kind, Text, read_single};
use super::silence::Silence;
use super::state::Move;
use super::transition::{Phase, fingerprint, read};
use super::written::written;
use super::{condition, proposed};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::times::{parse_moment, parse_range};

/// Rules that the API keeps.
const KEPT_MAX: usize = 2_000;
/// Silences that are kept.
const SILENCES_MAX: usize = 1_000;
/// Evaluations of a preview.
const PREVIEW_MAX: i64 = 500;
/// Alerts of a preview, transitions of an answer.
const LISTED_MAX: usize = 1_000;

/// The API's side of alerts. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Alerting(pub(super) Arc<Desk>);

impl Alerting {
    /// Groups in force.
    pub(crate) fn groups(&self) -> Arc<Vec<Arc<Loaded>>> {
        self.0.groups()
    }

    /// Rules belong to the tenant of everybody; others have none.
    ///
    /// # Errors
    /// For other tenants.
    pub(crate) fn of(&self, tenant: &TenantId) -> Result<&Self> {
        if *tenant == self.0.tenant {
            return Ok(self);
        }
        Err(Error::NotFound(format!("alert rules belong to the tenant {} only", self.0.tenant)))
    }

    pub(crate) fn rules(&self) -> AlertRulesAnswer {
        let groups = self.groups();
        let rules = groups.iter().flat_map(|loaded| loaded.rules.iter().map(|ruled| rule(loaded, ruled)));
        AlertRulesAnswer { rules: rules.collect(), broken_files: self.0.broken_files() }
    }

    /// # Errors
    /// When there is no such rule.
    pub(crate) fn rule(&self, id: &str) -> Result<AlertRuleAnswer> {
        let found = self.rules().rules.into_iter().find(|rule| rule.id.as_deref() == Some(id));
        found.ok_or_else(|| Error::NotFound(format!("no rule is kept under {id:?}; GET /api/alert-rules lists them")))
    }

    /// Checks a rule and keeps it under a name, instead of the one that is there.
    ///
    /// # Errors
    /// What is wrong with it; what storage said. Nothing changes then.
    pub(crate) async fn keep_rule(&self, id: &str, text: String) -> Result<AlertRuleKept> {
        if !Documents::is_name(id) {
            return Err(Error::invalid("a rule's id has 1 to 128 of A-Z a-z 0-9 _ . -, a letter or digit first"));
        }
        self.checked(id, &text).await?;
        let kept = self.groups().iter().filter(|loaded| loaded.file == API).count();
        if kept >= KEPT_MAX && self.rule(id).is_err() {
            return Err(Error::TooLarge(format!("{kept} rules are kept; delete some, or write them into files")));
        }
        self.0
            .documents
            .put(&self.0.tenant, Shelf::Rules, id, text.clone().into_bytes())
            .await
            .map_err(kept_wrongly)?;
        self.0.reload(0).await?;
        self.0.changed.notify_one();
        Ok(AlertRuleKept { id: id.to_owned(), text })
    }

    /// # Errors
    /// When there is no such rule, or storage does not answer.
    pub(crate) async fn delete_rule(&self, id: &str) -> Result<()> {
        if !Documents::is_name(id)
            || !self.0.documents.delete(&self.0.tenant, Shelf::Rules, id).await.map_err(kept_wrongly)?
        {
            return Err(Error::NotFound(format!("no rule is kept under {id:?}")));
        }
        self.0.reload(0).await?;
        self.0.changed.notify_one();
        Ok(())
    }

    async fn checked(&self, id: &str, text: &str) -> Result<Group> {
        let group = read_single(text, id)?;
        let wrong = super::rehearse::check_groups(&self.0.engine, &self.0.tenant, std::slice::from_ref(&group)).await;
        match wrong.into_iter().next() {
            Some(wrong) => Err(wrong.into()),
            None => Ok(group),
        }
    }

    /// What a rule would have done.
    ///
    /// # Errors
    /// What is wrong with the rule or the range; what its condition answers.
    pub(crate) async fn preview(&self, request: PreviewRequest) -> Result<PreviewAnswer> {
        let now = self.0.now();
        let range = match (&request.from, &request.to) {
            (from, None) => parse_range(from.as_deref(), Some("now"), now)?,
            (from, to) => parse_range(from.as_deref(), to.as_deref(), now)?,
        };
        let group = self.checked("preview", &request.rule).await?;
        let interval = group.interval_nanos.unwrap_or(self.0.settings.interval_nanos);
        let url = self.0.settings.external_url.clone();
        preview(&self.0.engine, &self.0.tenant, group, range, interval, url).await
    }

    /// # Errors
    /// When what was seen cannot be read.
    pub(crate) async fn proposed(&self) -> Result<ProposedRulesAnswer> {
        let kept: Vec<String> = self.rules().rules.into_iter().filter_map(|rule| rule.id).collect();
        let mut answer = proposed::propose(&self.0.engine, &self.0.tenant).await?;
        answer.rules.retain(|rule| !kept.contains(&rule.id));
        Ok(answer)
    }

    /// Keeps a rule that is proposed now, under its own id.
    ///
    /// # Errors
    /// When it is not proposed, or cannot be kept.
    pub(crate) async fn accept(&self, id: &str) -> Result<AlertRuleKept> {
        let proposed = self.proposed().await?.rules.into_iter().find(|rule| rule.id == id);
        let proposed = proposed.ok_or_else(|| {
            Error::NotFound(format!("no rule {id:?} is proposed; GET /api/alert-rules/proposed lists them"))
        })?;
        self.keep_rule(id, proposed.rule).await
    }

    pub(crate) fn alerts(&self) -> AlertsAnswer {
        let mut alerts = Vec::new();
        for loaded in self.groups().iter() {
            for ruled in &loaded.rules {
                let seat = ruled.seat();
                alerts.extend(seat.alerts.values().map(|alert| AlertAnswer {
                    labels: alert.labels.clone(),
                    annotations: alert.annotations.clone(),
                    state: Phase::of(alert).as_str().to_owned(),
                    value: alert.standing.value,
                    active_unix_nano: alert.standing.active_at.0.to_string(),
                    fired_unix_nano: alert.standing.fired_at.map(|at| at.0.to_string()),
                    silenced: self.0.is_silenced(&alert.labels, self.0.now()),
                    group: loaded.group.name.clone(),
                    file: loaded.file.clone(),
                    fingerprint: fingerprint(&alert.labels),
                }));
            }
        }
        alerts.sort_by(|a, b| (&a.state, &a.labels).cmp(&(&b.state, &b.labels)));
        let figures = &self.0.figures;
        AlertsAnswer {
            alerts,
            targets: self.0.targets.iter().map(|target| target.answer()).collect(),
            unsaved: figures.unsaved.load(Ordering::Relaxed),
            missed: figures.missed.load(Ordering::Relaxed),
            clock_jumps: figures.clock_jumps.load(Ordering::Relaxed),
        }
    }

    /// Past transitions of a range, newest first.
    ///
    /// # Errors
    /// When they cannot be read, or a moment makes no sense.
    pub(crate) async fn history(&self, given: &BTreeMap<String, String>) -> Result<AlertHistoryAnswer> {
        let text = |name: &str| given.get(name).map(String::as_str).filter(|text| !text.is_empty());
        let now = self.0.now();
        let end = text("to").map(|text| parse_moment(text, now)).transpose()?.unwrap_or(now + UnixNanos::SECOND);
        let start = text("from").map(|text| parse_moment(text, now)).transpose()?.unwrap_or(end - UnixNanos::DAY);
        let name = text("name").map(str::to_owned);
        let transitions = self.0.engine.run(&self.0.tenant, move |session| {
            let name = name.clone();
            async move {
                let moment = |at: UnixNanos| crate::digest::stored::moment(at.0);
                let mut frame = session.table(&storage::table::ALERTS)?;
                frame = frame.filter(ident("time").gt_eq(moment(start)).and(ident("time").lt(moment(end))))?;
                if let Some(name) = name {
                    frame = frame.filter(col("alertname").eq(datafusion::prelude::lit(name)))?;
                }
                frame = frame.sort(vec![ident("seq").sort(false, false)])?.limit(0, Some(LISTED_MAX + 1))?;
                let collected = session.collect(frame, u64::MAX).await?;
                Ok(collected.batches.iter().flat_map(read).collect::<Vec<_>>())
            }
        });
        let mut transitions = transitions.await?;
        let incomplete = transitions.len() > LISTED_MAX;
        transitions.truncate(LISTED_MAX);
        let one = |row: super::transition::Transition| AlertTransition {
            time_unix_nano: row.time.0.to_string(),
            before: row.before.as_str().to_owned(),
            state: row.state.as_str().to_owned(),
            reason: row.reason.as_str().to_owned(),
            value: row.alert.standing.value,
            silenced: row.alert.is_silenced,
            group: row.rule.group,
            file: row.rule.file,
            labels: row.alert.labels,
            annotations: row.alert.annotations,
        };
        Ok(AlertHistoryAnswer { transitions: transitions.into_iter().map(one).collect(), incomplete })
    }

    pub(crate) fn silences(&self) -> SilencesAnswer {
        let now = self.0.now();
        let mut silences: Vec<SilenceAnswer> = self.0.silences().iter().map(|silence| silence.answer(now)).collect();
        silences.sort_by(|a, b| (&b.ends_at, &a.id).cmp(&(&a.ends_at, &b.id)));
        SilencesAnswer { silences }
    }

    /// # Errors
    /// What is wrong with it; what storage said.
    pub(crate) async fn silence(&self, request: &SilenceRequest) -> Result<SilenceAnswer> {
        let now = self.0.now();
        let known = self.0.silences().len();
        if known >= SILENCES_MAX {
            return Err(Error::TooLarge(format!(
                "{known} silences are kept; end some and wait until they are forgotten"
            )));
        }
        let id = format!("{:016x}", super::transition::hash(&format!("{}{known}{:?}", now.0, request.matchers)));
        let silence = Silence::asked(id, request, now)?;
        let answer = silence.answer(now);
        self.0.keep_silence(silence).await?;
        Ok(answer)
    }

    /// Ends a silence now.
    ///
    /// # Errors
    /// When there is none that has not ended; what storage said.
    pub(crate) async fn end_silence(&self, id: &str) -> Result<SilenceAnswer> {
        let now = self.0.now();
        let known = self.0.silences();
        let found = known.iter().find(|silence| silence.kept.id == id && silence.kept.ends_at > now.0);
        let found = found.ok_or_else(|| Error::NotFound(format!("no silence {id:?} is pending or active")))?;
        let mut kept = found.kept.clone();
        (kept.starts_at, kept.ends_at) = (kept.starts_at.min(now.0 - 1), now.0);
        let silence = Silence::new(kept)?;
        let answer = silence.answer(now);
        self.0.keep_silence(silence).await?;
        Ok(answer)
    }
}

fn rule(loaded: &Loaded, ruled: &Ruled) -> AlertRuleAnswer {
    let seat = ruled.seat();
    let raw =
        |texts: &BTreeMap<String, Text>| texts.iter().map(|(name, text)| (name.clone(), text.raw.clone())).collect();
    let (wait, keep) = match ruled.rule.kind {
        Kind::Alerting(hold) => (hold.for_nanos, hold.keep_nanos),
        Kind::Recording => (0, 0),
    };
    AlertRuleAnswer {
        id: (loaded.file == API).then(|| loaded.group.name.clone()),
        name: ruled.rule.name.clone(),
        file: loaded.file.clone(),
        group: loaded.group.name.clone(),
        kind: if ruled.rule.kind == Kind::Recording { "recording" } else { "alerting" }.to_owned(),
        query: ruled.rule.condition.query(),
        text: loaded.text.clone().or_else(|| written(&ruled.rule, &loaded.group, loaded.interval_nanos)),
        state: worst(&seat.alerts).as_str().to_owned(),
        health: health(seat.last_error.as_deref(), seat.last_evaluation).to_owned(),
        last_error: seat.last_error.clone(),
        interval_seconds: loaded.interval_nanos as f64 / 1e9,
        for_seconds: wait as f64 / 1e9,
        keep_firing_seconds: keep as f64 / 1e9,
        labels: raw(&ruled.rule.labels),
        annotations: raw(&ruled.rule.annotations),
        last_evaluation_unix_nano: seat.last_evaluation.map(|at| at.0.to_string()),
        evaluation_seconds: seat.seconds,
        missed: ruled.missed.load(Ordering::Relaxed),
        alerts: seat.alerts.len() as u64,
    }
}

/// The worst state of some alerts.
pub(crate) fn worst(alerts: &Alerts) -> Phase {
    match alerts.values().any(|alert| alert.standing.is_firing()) {
        true => Phase::Firing,
        false if alerts.is_empty() => Phase::Inactive,
        false => Phase::Pending,
    }
}

/// Prometheus' word for how a rule fares.
pub(crate) const fn health(last_error: Option<&str>, last_evaluation: Option<UnixNanos>) -> &'static str {
    match (last_error, last_evaluation) {
        (Some(_), _) => "err",
        (None, Some(_)) => "ok",
        (None, None) => "unknown",
    }
}

async fn preview(
    engine: &Engine,
    tenant: &TenantId,
    group: Group,
    range: TimeRange,
    interval: i64,
    external_url: String,
) -> Result<PreviewAnswer> {
    let n_wanted = (range.end - range.start) / interval.max(1);
    let step = if n_wanted > PREVIEW_MAX { (range.end - range.start) / PREVIEW_MAX } else { interval };
    let seconds_max = engine.config().seconds_max;
    let run = move |session: crate::engine::session::Session| {
        let (group, external_url) = (group.clone(), external_url.clone());
        async move {
            let Some(rule) = group.rules.first() else { return Ok(PreviewAnswer::default()) };
            let mut answer = PreviewAnswer { step_seconds: step as f64 / 1e9, ..PreviewAnswer::default() };
            if step > interval {
                answer.incomplete_reason =
                    Some(format!("the range is wide: evaluated every {} s only", step / UnixNanos::SECOND));
            }
            let begun = std::time::Instant::now();
            let kept = condition::KeptPlan::default();
            let (mut alerts, mut at) = (Alerts::new(), range.start + step);
            while at <= range.end {
                if begun.elapsed().as_secs() + 2 >= seconds_max {
                    answer.incomplete_reason =
                        Some("the preview took too long and ends early; choose a shorter range".to_owned());
                    break;
                }
                let samples = condition::ask(&session, &rule.condition, &kept, at, group.limit).await?;
                let outcome = evaluate(rule, &alerts, &samples, at, &external_url).map_err(Error::invalid)?;
                answer.evaluations += 1;
                for change in outcome.changes {
                    note(&mut answer, change, at);
                }
                alerts = outcome.alerts;
                at = at + step;
            }
            Ok(answer)
        }
    };
    engine.run(tenant, run).await
}

fn note(answer: &mut PreviewAnswer, change: super::instances::Change, at: UnixNanos) {
    match change.change {
        Move::Firing => {
            answer.fired += 1;
            if answer.alerts.len() < LISTED_MAX {
                answer.alerts.push(PreviewAlert {
                    labels: change.alert.labels,
                    annotations: change.alert.annotations,
                    value: change.alert.standing.value,
                    fired_unix_nano: at.0.to_string(),
                    resolved_unix_nano: None,
                });
            }
        }
        Move::Resolved => {
            let is_it =
                |alert: &&mut PreviewAlert| alert.labels == change.alert.labels && alert.resolved_unix_nano.is_none();
            if let Some(alert) = answer.alerts.iter_mut().find(is_it) {
                alert.resolved_unix_nano = Some(at.0.to_string());
            }
        }
        Move::Pending | Move::Dropped => {}
    }
}
