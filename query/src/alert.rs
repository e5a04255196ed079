//! Alerts: rules over spans, journeys and findings, in Prometheus' shape.
//!
//! | file           | knows                                                                        |
//! |----------------|------------------------------------------------------------------------------|
//! | `yaml.rs`      | YAML that knows its lines                                                    |
//! | `duration.rs`  | `1h30m`                                                                      |
//! | `rule.rs`      | rule files: read and checked once                                            |
//! | `template.rs`  | texts of labels and annotations                                              |
//! | `condition.rs` | what a condition answers at a moment                                         |
//! | `state.rs`     | inactive, pending, firing: pure                                              |
//! | `instances.rs` | the alerts of one rule, samples in, changes out: pure                        |
//! | `transition.rs`| what became of alerts, as rows and back                                      |
//! | `silence.rs`   | alerts that nobody is told about for a while                                 |
//! | `own.rs`       | the collector's own health, and built-in rules                               |
//! | `desk.rs`      | rules in force, their alerts, silences, targets: what all others share       |
//! | `files.rs`     | the rule files that the settings name                                        |
//! | `force.rs`     | rules come into force, and keep or lose their alerts                         |
//! | `schedule.rs`  | when which group is due, and what a jump of the clock means: pure            |
//! | `evaluate.rs`  | the task: every rule at its moments                                          |
//! | `points.rs`    | samples that rules make, and the series `ALERTS`: pure                        |
//! | `record.rs`    | transitions and recorded samples made durable                                |
//! | `notify.rs`    | Alertmanagers and webhooks                                                   |
//! | `answer.rs`    | what the API asks                                                            |
//! | `written.rs`   | a rule in force as text again                                                |
//! | `proposed.rs`  | starter rules from data seen                                                 |
//! | `rehearse.rs`  | `hodoscope rules check` and `rules test`                                     |
//!
//! docs/alerts.md is for those who write rules.

mod answer;
mod condition;
mod desk;
pub(crate) mod duration;
mod evaluate;
mod files;
mod force;
mod instances;
mod notify;
mod own;
mod points;
mod proposed;
mod record;
mod rehearse;
mod rule;
mod schedule;
mod silence;
mod state;
mod template;
mod transition;
mod written;
mod yaml;

pub use answer::Alerting;
pub(crate) use desk::kept_wrongly;
pub use rehearse::{Report, check_rules, test_rules};

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use futures::FutureExt as _;
use storage::{DerivedWriter, Documents, Reader};
use tokio_util::sync::CancellationToken;

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::http::StatusSource;
use desk::{Desk, Parts};

/// What the routes of the API need.
pub(crate) mod answers {
    pub(crate) use super::answer::{health, worst};
    pub(crate) use super::condition::Labels;
    pub(crate) use super::desk::{Loaded, Ruled};
    pub(crate) use super::instances::Alert;
    pub(crate) use super::rule::{Kind, Text};
    pub(crate) use super::template::go_scientific;

    /// Names a group in a list that is read piece by piece.
    pub(crate) fn group_token(file: &str, group: &str) -> String {
        format!("{:016x}", super::transition::hash(&format!("{file};{group}")))
    }
}

/// What fuzzing reads.
pub(crate) mod fuzzed {
    pub(crate) use super::rule::read_file;
    pub(crate) use super::template::{Fill, Template};
}

/// Names the first setting of alerts that cannot work.
///
/// # Errors
/// One sentence for the person who wrote the configuration.
pub(crate) fn validate(config: &crate::Config) -> std::result::Result<(), String> {
    desk::settings(config).map(drop)
}

/// The running rules. Dropping them ends them without waiting; nothing is lost by that.
#[derive(Debug)]
pub struct Alerts {
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
    alerting: Option<Alerting>,
}

/// Pause after a panic.
const PANIC_PAUSE: Duration = Duration::from_secs(10);
/// Planning recurses, as on the query threads.
const STACK_BYTES: usize = 16 << 20;

impl Engine {
    /// Starts to evaluate rules, on a thread of its own; when the settings say no, something that does nothing.
    ///
    /// # Errors
    /// Settings that cannot work; when the system gives no thread.
    pub fn start_alerts(
        &self,
        reader: Reader,
        writer: DerivedWriter,
        documents: Documents,
        status: StatusSource,
    ) -> Result<Alerts> {
        let stop = CancellationToken::new();
        if !self.config().alerts {
            return Ok(Alerts { stop, thread: None, alerting: None });
        }
        let parts = Parts { engine: self.clone(), reader, writer, documents, status };
        let desk = Arc::new(Desk::new(parts)?);
        let refuse = |error: std::io::Error| Error::Internal(format!("cannot start the rules: {error}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(refuse)?;
        let builder = std::thread::Builder::new().name("alerts".to_owned()).stack_size(STACK_BYTES);
        let work = keep_running(Arc::clone(&desk), stop.clone());
        let thread = Some(builder.spawn(move || runtime.block_on(work)).map_err(refuse)?);
        Ok(Alerts { stop, thread, alerting: Some(Alerting(desk)) })
    }
}

/// Evaluates until told to stop. A panic is a bug in one evaluation or notification: it is told, and everything begins anew from
/// what is stored.
async fn keep_running(desk: Arc<Desk>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let work = evaluate::run(Arc::clone(&desk), stop.clone());
        let ended = AssertUnwindSafe(work).catch_unwind().await;
        if !stop.is_cancelled() {
            tracing::error!(panicked = ended.is_err(), "the rules ended by a bug; they begin anew in ten seconds");
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(PANIC_PAUSE) => {}
            }
        }
    }
}

impl Alerts {
    /// The API's side; `None` when alerts are off.
    pub fn alerting(&self) -> Option<Alerting> {
        self.alerting.clone()
    }

    /// Ends. What was not delivered is kept and told by the next process.
    pub async fn close(mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            // A panic was logged by the thread itself.
            let _ = tokio::task::spawn_blocking(move || drop(thread.join())).await;
        }
    }
}

impl Drop for Alerts {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
