//! Makes transitions and samples durable, then lets the targets know.
//!
//! Transitions of all rules that wait are written as one record, with what they mean for the series `ALERTS`: one sync for all.
//! When storage refuses them (a full disk is what people must hear of), targets are told all the same, and the rows are written
//! as soon as storage takes them again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::desk::Desk;
use super::points::{self, Point};
use super::transition::{Transition, batch};
use crate::error::{Error, Result};

/// Transitions that wait for storage to take them again; beyond, the oldest are not written.
const UNSAVED_MAX: usize = 10_000;
/// Transitions of one record.
const RECORD_MAX: usize = 2_000;
/// Pause after storage refused.
const PAUSE: Duration = Duration::from_secs(2);
/// How often the series of alerts that stand get a point. Prometheus' readers look back five minutes.
const SERIES: Duration = Duration::from_secs(60);
/// Alerts whose series get points besides those of their transitions.
const SERIES_MAX: usize = 10_000;

/// Writes what comes.
pub(crate) async fn run(desk: Arc<Desk>, mut last_seq: i64) {
    let mut queue = desk.queue.lock().await;
    let mut unsaved: VecDeque<Transition> = VecDeque::new();
    let mut series = tokio::time::interval_at(tokio::time::Instant::now() + SERIES, SERIES);
    series.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let mut waiting = tokio::select! {
            got = queue.recv() => match got {
                Some(transitions) => transitions,
                None => return,
            },
            () = tokio::time::sleep(PAUSE), if !unsaved.is_empty() => Vec::new(),
            _ = series.tick() => {
                go_on(&desk).await;
                Vec::new()
            }
        };
        while waiting.len() < RECORD_MAX
            && let Ok(more) = queue.try_recv()
        {
            waiting.extend(more);
        }
        for transition in &mut waiting {
            last_seq += 1;
            transition.seq = last_seq;
        }
        unsaved.extend(waiting.iter().cloned());
        while unsaved.len() > UNSAVED_MAX {
            unsaved.pop_front();
        }
        let written = write(&desk, &mut unsaved).await;
        desk.figures.unsaved.store(unsaved.len() as u64, Ordering::Relaxed);
        if let Err(error) = written {
            tracing::error!(%error, transitions = unsaved.len(), "transitions of alerts could not be stored; they are tried again");
        }
        desk.notify(&waiting);
    }
}

async fn write(desk: &Desk, unsaved: &mut VecDeque<Transition>) -> Result<()> {
    while !unsaved.is_empty() {
        let rows: Vec<Transition> = unsaved.iter().take(RECORD_MAX).cloned().collect();
        let mut batches = vec![batch(&rows)?];
        batches.extend(points::rows(desk.now(), &points::of_transitions(&rows))?);
        let written = desk.writer.append(&desk.tenant, batches).await;
        written.map_err(|error| Error::Unavailable(error.to_string()))?;
        unsaved.drain(..rows.len());
    }
    Ok(())
}

/// Points of the series of alerts that stand. Where they cannot be written the series have a gap, and the log says so.
async fn go_on(desk: &Desk) {
    let now = desk.now();
    let mut standing = Vec::new();
    for ruled in desk.groups().iter().flat_map(|group| &group.rules) {
        let seat = ruled.seat();
        let left = SERIES_MAX.saturating_sub(standing.len() / 2);
        standing.extend(seat.alerts.values().take(left).flat_map(|alert| points::of_alert(alert, now)));
    }
    if let Err(error) = samples(desk, &standing).await {
        tracing::warn!(%error, "the series ALERTS have a gap of a minute");
    }
}

/// Writes samples, of recording rules for instance: metrics like any other.
///
/// # Errors
/// When storage does not take them.
pub(crate) async fn samples(desk: &Desk, samples: &[Point]) -> Result<()> {
    let Some(rows) = points::rows(desk.now(), samples)? else { return Ok(()) };
    let written = desk.writer.append(&desk.tenant, vec![rows]).await;
    written.map_err(|error| Error::Unavailable(error.to_string()))
}
