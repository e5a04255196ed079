//! The task: every rule at its moments.
//!
//! ```text
//!   replay ends ──▶ states as the process before left them ──▶ tick ──▶ slot of a group ──▶ its rules, side by side
//! ```
//!
//! A group's moments are multiples of its interval plus a part that its name decides: the same after every restart, and groups
//! are spread out. Rules of a group see the same moment, less the offset for rows that come late, and do not wait for each other:
//! one that takes longer than a second gives its place to others, and one that had no answer in time before is ended then when too many
//! slow ones run. A rule whose evaluation has not ended at its next moment misses
//! that one, counted. When the clock jumps, waiting alerts neither fire by that nor start anew: what was waited is kept.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use model::UnixNanos;
use serde_json::json;
use storage::Shelf;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::condition::{self, Sample};
use super::desk::{Desk, Ruled, kept_wrongly};
use super::instances::{Alert, evaluate, labels_of};
use super::points::Point;
use super::record;
use super::rule::{Condition, Kind};
use super::schedule::{Due, Look, Schedule};
use super::state::Move;
use super::transition::{Phase, Reason, Restored, Transition, restore};
use super::{instances, notify};
use crate::engine::View;
use crate::error::{Error, Result};

/// Longest pause between two looks at the clock.
const TICK: Duration = Duration::from_millis(250);
/// Pause after storage could not be read.
const FAILURE_PAUSE: Duration = Duration::from_secs(1);
/// How often files and kept rules are looked at.
const RELOAD: Duration = Duration::from_secs(3);
/// How often it is written down that rules are evaluated.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// A rule that takes longer makes room for others.
const QUICK: Duration = Duration::from_secs(1);
/// Said of a rule that is not given another 30 seconds while other slow ones run.
const SLOW_AGAIN: &str = "the rule takes longer than a second while other slow rules run, and had no answer in time before; \
                          narrow its range or its groups";
/// An alert that goes on is written again so often, so that retention does not take its row.
const AGAIN_NANOS: i64 = UnixNanos::DAY;
/// Transitions told to targets after a restart.
const TOLD_MAX: usize = 10_000;
/// Looks at whether everything is written before the process ends.
const WRITE_LOOKS: usize = 8;
/// Document that says when rules were last evaluated.
const HEARTBEAT_NAME: &str = "last";

/// Evaluates until told to stop.
pub(crate) async fn run(desk: Arc<Desk>, stop: CancellationToken) {
    let Some((restored, downtime)) = begin(&desk, &stop).await else { return };
    let mut tasks = JoinSet::new();
    tasks.spawn(record::run(Arc::clone(&desk), restored.last_seq));
    for target in &desk.targets {
        tasks.spawn(notify::run(Arc::clone(&desk), Arc::clone(target), stop.clone()));
    }
    drop(restored);
    while let Err(error) = desk.reload(downtime).await {
        tracing::error!(%error, "alert rules cannot be read; they are tried again");
        if pause(&stop, FAILURE_PAUSE).await {
            return;
        }
    }
    let mut schedule = Schedule::new(desk.groups(), desk.now(), Instant::now());
    let mut evaluations: JoinSet<()> = JoinSet::new();
    let (mut reloaded, mut beaten): (Option<Instant>, Option<Instant>) = (Some(Instant::now()), None);
    loop {
        let look = schedule.look(desk.groups(), desk.now(), Instant::now());
        begin_due(&desk, look, &mut evaluations);
        while evaluations.try_join_next().is_some() {}
        if tasks.try_join_next().is_some() {
            // A bug in a notification or in the recorder: the log says which.
            return;
        }
        if reloaded.is_none_or(|at| at.elapsed() >= RELOAD) {
            reloaded = Some(Instant::now());
            if let Err(error) = desk.reload(0).await {
                tracing::warn!(%error, "alert rules could not be read again; those in force stay");
            }
        }
        if beaten.is_none_or(|at| at.elapsed() >= HEARTBEAT) {
            beaten = Some(Instant::now());
            beat(&desk).await;
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            () = desk.changed.notified() => reloaded = None,
            () = tokio::time::sleep(schedule.pause(desk.now(), TICK)) => {}
        }
    }
    evaluations.shutdown().await;
    // What was decided is written, if storage takes it soon.
    for _ in 0..WRITE_LOOKS {
        if desk.transitions.capacity() == desk.transitions.max_capacity() {
            break;
        }
        tokio::time::sleep(TICK).await;
    }
    beat(&desk).await;
    // Queues are on disk: whatever was not taken is told by the next process.
    tasks.shutdown().await;
}

/// Waits for the old rows and reads what they say about alerts; gives for how long nothing was evaluated. `None` when told to stop.
async fn begin(desk: &Desk, stop: &CancellationToken) -> Option<(Restored, i64)> {
    while desk.reader.is_replaying() {
        if pause(stop, TICK).await {
            return None;
        }
    }
    loop {
        match recall(desk).await {
            Ok(recalled) => return Some(recalled),
            Err(error) => tracing::error!(%error, "the state of alerts cannot be read; it is tried again"),
        }
        if pause(stop, FAILURE_PAUSE).await {
            return None;
        }
    }
}

async fn recall(desk: &Desk) -> Result<(Restored, i64)> {
    let cursors = desk.cursors().await?;
    let after = desk.targets.iter().filter_map(|target| cursors.get(&target.id()).copied()).min().unwrap_or(i64::MAX);
    let session = desk.engine.session(desk.reader.snapshot(&desk.tenant))?;
    let restored = restore(&session, after, TOLD_MAX).await?;
    desk.load_silences().await?;
    let last = last_beat(desk).await?.max(restored.last_time);
    let downtime = last.map_or(0, |last| (desk.now() - last).max(0));
    desk.adopt(&restored, downtime).await;
    for target in &desk.targets {
        match cursors.get(&target.id()) {
            Some(cursor) => {
                target.begins_after(*cursor);
                let missed = restored.told.iter().filter(|transition| transition.seq > *cursor);
                target.push(missed.map(notify::Notice::of));
            }
            None => {
                // A new target hears of what fires now, and of nothing before. It is known from here on.
                target.begins_after(restored.last_seq);
                desk.keep_cursor(target, restored.last_seq).await?;
                let alerts =
                    restored.standing.values().flatten().filter(|alert| alert.standing.is_firing() && alert.is_told);
                target.push(alerts.map(|alert| notify::Notice {
                    ticket: 0,
                    seq: restored.last_seq,
                    labels: alert.labels.clone(),
                    annotations: alert.annotations.clone(),
                    starts_at: alert.standing.fired_at.unwrap_or(alert.standing.active_at),
                    ends_at: None,
                }));
            }
        }
    }
    Ok((restored, downtime))
}

async fn last_beat(desk: &Desk) -> Result<Option<UnixNanos>> {
    let found = desk.documents.list(&desk.tenant, Shelf::Evaluations).await.map_err(kept_wrongly)?;
    let beat = found.iter().find(|(name, _)| name == HEARTBEAT_NAME);
    let at = |text: &[u8]| serde_json::from_slice::<serde_json::Value>(text).ok()?.get("at")?.as_i64();
    Ok(beat.and_then(|(_, text)| at(text)).map(UnixNanos))
}

async fn beat(desk: &Desk) {
    let text = json!({"at": desk.now().0}).to_string().into_bytes();
    if let Err(error) = desk.documents.put(&desk.tenant, Shelf::Evaluations, HEARTBEAT_NAME, text).await {
        tracing::debug!(%error, "that rules are evaluated could not be written down");
    }
}

/// True when told to stop.
async fn pause(stop: &CancellationToken, pause: Duration) -> bool {
    tokio::select! {
        biased;
        () = stop.cancelled() => true,
        () = tokio::time::sleep(pause) => false,
    }
}

/// Begins the evaluations that are due.
fn begin_due(desk: &Arc<Desk>, look: Look, evaluations: &mut JoinSet<()>) {
    if let Some(jump_nanos) = look.jump_nanos {
        jumped(desk, jump_nanos);
    }
    for Due { loaded, at, n_missed } in look.due {
        // Rules of a group see the same, and what is not at rest yet is analysed once for all of them.
        let view = View::of_small_questions();
        for ruled in &loaded.rules {
            let was_running = ruled.is_running.swap(true, Ordering::AcqRel);
            let n_missed = n_missed + u64::from(was_running);
            if n_missed > 0 {
                ruled.missed.fetch_add(n_missed, Ordering::Relaxed);
                desk.figures.missed.fetch_add(n_missed, Ordering::Relaxed);
            }
            if !was_running {
                let (desk, ruled, offset, view) =
                    (Arc::clone(desk), Arc::clone(ruled), loaded.offset_nanos, view.clone());
                evaluations.spawn(async move {
                    let running = Running(&ruled);
                    one(&desk, &ruled, at, offset, view).await;
                    drop(running);
                });
            }
        }
    }
}

/// Nobody has lived through the time that was skipped, or repeated: alerts wait as long as they would have.
fn jumped(desk: &Desk, jump_nanos: i64) {
    tracing::warn!(jump_s = jump_nanos / UnixNanos::SECOND, "the clock jumped: alerts wait as long as they would have");
    desk.figures.clock_jumps.fetch_add(1, Ordering::Relaxed);
    for ruled in desk.groups().iter().flat_map(|group| &group.rules) {
        for alert in ruled.seat().alerts.values_mut() {
            alert.standing = alert.standing.shifted(jump_nanos);
            alert.written_at = alert.written_at + jump_nanos;
        }
    }
}

/// Says that an evaluation has ended, however it does.
struct Running<'a>(&'a Ruled);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.is_running.store(false, Ordering::Release);
    }
}

/// One evaluation of one rule.
async fn one(desk: &Arc<Desk>, ruled: &Arc<Ruled>, at: UnixNanos, offset_nanos: i64, view: View) {
    let begun = Instant::now();
    let samples = match &ruled.rule.condition {
        Condition::Own(own) => {
            let health = desk.health();
            let before = ruled.seat().health.replace(health.clone());
            let samples = own.ask(&health, before.as_ref());
            if let Some(series) = own.series() {
                let point = |sample: &Sample| Point {
                    name: series.to_owned(),
                    at,
                    labels: sample.labels.clone(),
                    value: Some(sample.value),
                };
                let points: Vec<Point> = samples.iter().map(point).collect();
                if let Err(error) = record::samples(desk, &points).await {
                    tracing::warn!(%error, series, "what was counted could not be stored as a metric");
                }
            }
            Ok(samples)
        }
        _ => ask(desk, ruled, at - offset_nanos, view).await,
    };
    let result = match samples {
        Err(error) => Err(error.to_string()),
        Ok(samples) => match ruled.rule.kind {
            Kind::Recording => keep(desk, ruled, at - offset_nanos, &samples).await.map_err(|error| error.to_string()),
            Kind::Alerting(_) => {
                let taken = take(desk, ruled, at, &samples);
                match taken {
                    Err(error) => Err(error),
                    Ok((transitions, complaint)) => {
                        desk.tell(transitions).await;
                        complaint.map_or(Ok(()), Err)
                    }
                }
            }
        },
    };
    desk.figures.evaluations.fetch_add(1, Ordering::Relaxed);
    let mut seat = ruled.seat();
    if let Err(error) = &result {
        desk.figures.failures.fetch_add(1, Ordering::Relaxed);
        if seat.last_error.as_ref() != Some(error) {
            tracing::warn!(rule = ruled.key.name, group = ruled.key.group, error, "a rule cannot be evaluated");
        }
    }
    seat.last_error = result.err();
    seat.last_evaluation = Some(at);
    seat.seconds = begun.elapsed().as_secs_f64();
}

/// Asks the condition, in a place for quick rules as long as it is one.
async fn ask(desk: &Desk, ruled: &Ruled, at: UnixNanos, view: View) -> Result<Vec<Sample>> {
    let closed = |_| Error::Internal("the rules have stopped".to_owned());
    let quick = desk.quick.acquire().await.map_err(closed)?;
    let (condition, kept, limit) = (ruled.rule.condition.clone(), ruled.kept.clone(), ruled.limit);
    let work = move |session| async move { condition::ask(&session, &condition, &kept, at, limit).await };
    let mut asked = std::pin::pin!(desk.engine.run_together(&desk.tenant, view, work));
    let answer = match tokio::time::timeout(QUICK, &mut asked).await {
        Ok(answer) => answer,
        Err(_) => match desk.slow.try_acquire() {
            Ok(_slow) => {
                drop(quick);
                asked.await
            }
            // One that had no answer in time before is not worth a place that others wait for. One that is merely slow today,
            // because the machine is busy, goes on.
            Err(_) if ruled.seat().ran_out => return Err(Error::TooLarge(SLOW_AGAIN.to_owned())),
            Err(_) => asked.await,
        },
    };
    ruled.seat().ran_out = matches!(answer, Err(Error::Timeout { .. }));
    answer
}

async fn keep(desk: &Desk, ruled: &Ruled, at: UnixNanos, samples: &[Sample]) -> Result<()> {
    let mut recorded = Vec::with_capacity(samples.len());
    for sample in samples {
        let (labels, complaint) = labels_of(&ruled.rule, sample, &desk.settings.external_url);
        if let Some(complaint) = complaint {
            return Err(Error::invalid(complaint));
        }
        recorded.push(Point { name: ruled.rule.name.clone(), at, labels, value: Some(sample.value) });
    }
    record::samples(desk, &recorded).await
}

/// Takes samples: alerts change at once, transitions are given back to be written and told.
fn take(
    desk: &Desk,
    ruled: &Ruled,
    at: UnixNanos,
    samples: &[Sample],
) -> std::result::Result<(Vec<Transition>, Option<String>), String> {
    let mut seat = ruled.seat();
    let instances::Outcome { mut alerts, changes, complaint } =
        evaluate(&ruled.rule, &seat.alerts, samples, at, &desk.settings.external_url)?;
    let mut transitions = Vec::new();
    let mut add = |alert: &Alert, before, state, reason, told| {
        let alert = alert.clone();
        transitions.push(Transition { seq: 0, time: at, rule: ruled.key.clone(), before, state, reason, alert, told });
    };
    for change in &changes {
        // The alert as it is from now on; those that are over are in the change only.
        let silenced = desk.is_silenced(&change.alert.labels, at);
        match change.change {
            Move::Resolved => {
                let alert = Alert { is_silenced: silenced, ..change.alert.clone() };
                add(&alert, Phase::Firing, Phase::Inactive, Reason::Condition, alert.is_told);
            }
            Move::Dropped => add(&change.alert, Phase::Pending, Phase::Inactive, Reason::Condition, false),
            Move::Pending | Move::Firing => {
                let Some(alert) = alerts.get_mut(&change.alert.labels) else { continue };
                let is_firing = change.change == Move::Firing;
                (alert.is_silenced, alert.is_told, alert.written_at) = (silenced, is_firing && !silenced, at);
                let was_pending = seat.alerts.contains_key(&change.alert.labels);
                let before = if was_pending { Phase::Pending } else { Phase::Inactive };
                let state = if is_firing { Phase::Firing } else { Phase::Pending };
                add(alert, before, state, Reason::Condition, alert.is_told);
            }
        }
    }
    for alert in alerts.values_mut() {
        let phase = Phase::of(alert);
        let silenced = desk.is_silenced(&alert.labels, at);
        let is_unsilenced = phase == Phase::Firing && !silenced && !alert.is_told;
        alert.is_silenced = silenced;
        if is_unsilenced {
            (alert.is_told, alert.written_at) = (true, at);
            add(alert, phase, phase, Reason::Unsilenced, true);
        } else if at - alert.written_at >= AGAIN_NANOS {
            alert.written_at = at;
            add(alert, phase, phase, Reason::Again, false);
        }
    }
    seat.alerts = alerts;
    Ok((transitions, complaint))
}
