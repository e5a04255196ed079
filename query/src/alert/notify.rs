//! Telling the world: Alertmanagers and webhooks.
//!
//! | file        | knows                                                                    |
//! |-------------|--------------------------------------------------------------------------|
//! | `guard.rs`  | which addresses may be dialled                                           |
//! | `body.rs`   | the two forms of a notification: pure                                    |
//! | `target.rs` | one target: its queue, and what it has taken                             |
//!
//! Every target has a queue of its own and a task that empties it, oldest first, 256 at a time; a dead target holds up no other.
//! The queue on disk is the table `alerts` itself: a document per target keeps the number of the newest transition it has taken,
//! so that a process that starts goes on from there. A transition may be told twice, never not at all.
//!
//! Alertmanagers are told every minute what fires, because they forget what they do not hear of, and for a quarter of an hour what
//! is over; webhooks are told again every four hours.

mod body;
mod guard;
mod target;

pub(crate) use guard::Guard;
pub(crate) use target::{Failure, Kind, Notice, Target, parse_url};

use std::sync::Arc;
use std::time::Duration;

use model::UnixNanos;
use tokio_util::sync::CancellationToken;

use super::desk::Desk;

/// Notifications of one request.
pub(crate) const BATCH_MAX: usize = 256;
/// How long notifications of one evaluation are waited for, so that they travel together.
const GATHER: Duration = Duration::from_millis(200);
/// First pause after a failure; doubles up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_secs(1);
/// Longest pause after failures.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Empties the queue of one target until told to stop.
pub(crate) async fn run(desk: Arc<Desk>, target: Arc<Target>, stop: CancellationToken) {
    let (mut pause, mut is_single) = (PAUSE, false);
    let every = match target.kind {
        Kind::Alertmanager => desk.settings.resend,
        Kind::Webhook => desk.settings.repeat,
    };
    let mut repeat = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
    repeat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        if target.is_idle() {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = target.woken() => tokio::time::sleep(GATHER).await,
                _ = repeat.tick() => repeat_all(&desk, &target).await,
            }
            continue;
        }
        let batch = target.batch(if is_single { 1 } else { BATCH_MAX });
        let sent = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            sent = desk.send(&target, &batch) => sent,
        };
        match sent {
            Ok(()) => {
                target.took(&batch);
                (pause, is_single) = (PAUSE, false);
                desk.save_cursor(&target).await;
            }
            Err(Failure::Refused(error)) if batch.len() > 1 => {
                // One of them is refused for good; the others must not go with it.
                tracing::warn!(
                    target = target.shown(),
                    error,
                    "a batch of alerts was refused; they are sent one by one"
                );
                target.failed(error);
                is_single = true;
            }
            Err(Failure::Refused(error)) => {
                tracing::error!(target = target.shown(), error, "an alert was refused for good and is not sent again");
                target.gave_up(&batch, error);
                desk.save_cursor(&target).await;
            }
            Err(Failure::Later(error)) => {
                tracing::warn!(
                    target = target.shown(),
                    error,
                    ?pause,
                    "alerts could not be delivered; they are sent again"
                );
                target.failed(error);
                // Not all at the same moment: up to a quarter earlier.
                let jitter = desk.jitter().mul_f64(pause.as_secs_f64() / 4.0);
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(pause.saturating_sub(jitter)) => {}
                }
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }
}

/// Tells what fires once more, and Alertmanagers what was over lately.
async fn repeat_all(desk: &Desk, target: &Target) {
    let notices = desk.repeated(target.kind == Kind::Alertmanager);
    for batch in notices.chunks(BATCH_MAX) {
        let groups = target::by_request(target.kind, batch);
        for group in groups {
            match desk.send(target, &group).await {
                Ok(()) => target.counted(group.len()),
                Err(Failure::Later(error) | Failure::Refused(error)) => return target.failed(error),
            }
        }
    }
}

/// Until when an Alertmanager believes that an alert fires: four times the longer of interval and repetition, as Prometheus says.
pub(crate) fn valid_until(now: UnixNanos, longest_interval: Duration, resend: Duration) -> UnixNanos {
    let longest = longest_interval.max(resend);
    now + i64::try_from(longest.as_nanos().saturating_mul(4)).unwrap_or(i64::MAX)
}
