//! Where rules, their alerts, silences and targets meet: shared by the evaluation, the notifications and the API.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use model::{TenantId, UnixNanos};
use storage::{DerivedWriter, Documents, Reader, Shelf};
use tokio::sync::{Notify, Semaphore, mpsc};

use super::condition::{KeptPlan, Labels};
use super::instances::{Alert, Alerts};
use super::notify::{self, Failure, Guard, Kind as TargetKind, Notice, Target, parse_url};
use super::own::Health;
use super::rule::{Group, Rule};
use super::silence::{Kept, Silence};
use super::transition::{RuleKey, Transition};
use crate::config::Config;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::http::StatusSource;

/// Name of the file that rules kept by the API seem to stand in.
pub(crate) const API: &str = "api";
/// Evaluations whose changes are on their way to the table: others wait when storage is slow.
const TRANSITIONS_MAX: usize = 1_024;
/// How long an Alertmanager hears of what is over.
const RESOLVED_NANOS: i64 = 900 * UnixNanos::SECOND;
/// Alerts that are over and still told.
const RESOLVED_MAX: usize = 10_000;

/// The settings in their types.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) rule_files: Vec<String>,
    pub(crate) external_url: String,
    pub(crate) interval_nanos: i64,
    pub(crate) offset_nanos: i64,
    pub(crate) resend: Duration,
    pub(crate) repeat: Duration,
    guard: Guard,
}

/// Reads targets and what guards them.
///
/// # Errors
/// Names the setting that cannot work.
pub(crate) fn settings(config: &Config) -> std::result::Result<(Settings, Vec<Target>), String> {
    let target = |name: &'static str, kind: TargetKind| {
        move |text: &String| {
            parse_url(text).map(|url| Target::new(kind, url)).map_err(|error| format!("query.{name}: {error}"))
        }
    };
    let managers = config.alert_managers.iter().map(target("alert_managers", TargetKind::Alertmanager));
    let webhooks = config.alert_webhooks.iter().map(target("alert_webhooks", TargetKind::Webhook));
    let targets = managers.chain(webhooks).collect::<std::result::Result<Vec<_>, _>>()?;
    parse_url(&config.alert_external_url).map_err(|error| format!("query.alert_external_url: {error}"))?;
    let guard = Guard::new(&config.alert_private_targets);
    let nanos = |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(UnixNanos::SECOND);
    let settings = Settings {
        rule_files: config.alert_rule_files.clone(),
        external_url: config.alert_external_url.trim_end_matches('/').to_owned(),
        interval_nanos: nanos(config.alert_interval_seconds),
        offset_nanos: nanos(config.alert_offset_seconds),
        resend: Duration::from_secs(config.alert_resend_seconds),
        repeat: Duration::from_secs(config.alert_repeat_seconds),
        guard: guard.map_err(|error| format!("query.alert_private_targets: {error}"))?,
    };
    Ok((settings, targets))
}

/// A group in force.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// The file, `api`, or `built-in`.
    pub(crate) file: String,
    /// As it was written, for rules of the API.
    pub(crate) text: Option<String>,
    pub(crate) group: Group,
    pub(crate) interval_nanos: i64,
    pub(crate) offset_nanos: i64,
    pub(crate) rules: Vec<Arc<Ruled>>,
}

/// A rule in force and how it fares.
#[derive(Debug)]
pub(crate) struct Ruled {
    pub(crate) key: RuleKey,
    pub(crate) rule: Rule,
    pub(crate) limit: usize,
    pub(crate) kept: KeptPlan,
    /// An evaluation is under way; there is one at a time.
    pub(crate) is_running: AtomicBool,
    pub(crate) missed: AtomicU64,
    seat: Mutex<Seat>,
}

/// What changes with every evaluation.
#[derive(Debug, Default)]
pub(crate) struct Seat {
    pub(crate) alerts: Alerts,
    pub(crate) last_error: Option<String>,
    pub(crate) last_evaluation: Option<UnixNanos>,
    pub(crate) seconds: f64,
    /// Its newest answer did not come in time.
    pub(crate) ran_out: bool,
    /// The health at the evaluation before, for built-in rules.
    pub(crate) health: Option<Health>,
}

impl Ruled {
    pub(super) fn new(file: &str, group: &Group, rule: &Rule, alerts: Alerts) -> Self {
        Self {
            key: RuleKey { file: file.to_owned(), group: group.name.clone(), name: rule.name.clone() },
            rule: rule.clone(),
            limit: group.limit,
            kept: KeptPlan::default(),
            is_running: AtomicBool::new(false),
            missed: AtomicU64::new(0),
            seat: Mutex::new(Seat { alerts, ..Seat::default() }),
        }
    }

    pub(crate) fn seat(&self) -> MutexGuard<'_, Seat> {
        self.seat.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Labels of a rule that are no templates tell rules of one name apart.
    pub(super) fn may_own(&self, alert: &Alert) -> bool {
        let plain = self.rule.labels.iter().filter(|(_, text)| !text.raw.is_empty() && !text.raw.contains("{{"));
        plain.into_iter().all(|(name, text)| alert.labels.get(name) == Some(&text.raw))
    }
}

/// Figures since the start.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) missed: AtomicU64,
    pub(crate) clock_jumps: AtomicU64,
    pub(crate) unsaved: AtomicU64,
    pub(crate) evaluations: AtomicU64,
    pub(crate) failures: AtomicU64,
}

/// Everything about alerts of the tenant.
pub(crate) struct Desk {
    pub(crate) engine: Engine,
    pub(crate) reader: Reader,
    pub(crate) writer: DerivedWriter,
    pub(crate) documents: Documents,
    pub(crate) settings: Settings,
    pub(crate) tenant: TenantId,
    pub(crate) targets: Vec<Arc<Target>>,
    pub(crate) figures: Figures,
    /// Rules that end within a second, and those that do not.
    pub(crate) quick: Semaphore,
    pub(crate) slow: Semaphore,
    /// Transitions on their way to the table and the targets.
    pub(crate) transitions: mpsc::Sender<Vec<Transition>>,
    /// Where they arrive; held by the recorder.
    pub(crate) queue: tokio::sync::Mutex<mpsc::Receiver<Vec<Transition>>>,
    /// Tells the task that rules may have changed.
    pub(crate) changed: Notify,
    status: StatusSource,
    client: reqwest::Client,
    pub(super) groups: ArcSwap<Vec<Arc<Loaded>>>,
    pub(super) broken: ArcSwap<BTreeMap<String, String>>,
    silences: ArcSwap<Vec<Silence>>,
    resolved: Mutex<VecDeque<Notice>>,
    /// Alerts of the process before whose rules have not been seen yet.
    pub(super) orphans: Mutex<BTreeMap<RuleKey, Vec<Alert>>>,
    /// Texts of the rule files and of the API's rules as they were read last.
    pub(super) sources: tokio::sync::Mutex<Sources>,
}

/// What rules were made from, by file or name.
#[derive(Debug, Default)]
pub(super) struct Sources {
    pub(super) files: BTreeMap<String, String>,
    pub(super) kept: BTreeMap<String, String>,
    pub(super) unreadable: BTreeMap<String, String>,
    pub(super) is_loaded: bool,
    pub(super) groups_of_file: BTreeMap<String, Vec<Group>>,
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// What a desk is made of.
pub(crate) struct Parts {
    pub(crate) engine: Engine,
    pub(crate) reader: Reader,
    pub(crate) writer: DerivedWriter,
    pub(crate) documents: Documents,
    pub(crate) status: StatusSource,
}

impl Desk {
    /// # Errors
    /// Settings that cannot work; no client for notifications.
    pub(crate) fn new(parts: Parts) -> Result<Self> {
        let Parts { engine, reader, writer, documents, status } = parts;
        let (transitions, queue) = mpsc::channel(TRANSITIONS_MAX);
        let (settings, targets) = settings(engine.config()).map_err(Error::invalid)?;
        let client = settings.guard.client();
        let client =
            client.map_err(|error| Error::Internal(format!("cannot make a client for notifications: {error}")))?;
        let places = engine.config().alert_concurrent_max;
        Ok(Self {
            quick: Semaphore::new(places),
            slow: Semaphore::new(places.div_ceil(2)),
            engine,
            reader,
            writer,
            documents,
            settings,
            tenant: TenantId::default_tenant(),
            targets: targets.into_iter().map(Arc::new).collect(),
            figures: Figures::default(),
            transitions,
            queue: tokio::sync::Mutex::new(queue),
            changed: Notify::new(),
            status,
            client,
            groups: ArcSwap::default(),
            broken: ArcSwap::default(),
            silences: ArcSwap::default(),
            resolved: Mutex::default(),
            orphans: Mutex::default(),
            sources: tokio::sync::Mutex::default(),
        })
    }

    pub(crate) fn now(&self) -> UnixNanos {
        self.engine.now()
    }

    /// Groups in force.
    pub(crate) fn groups(&self) -> Arc<Vec<Arc<Loaded>>> {
        self.groups.load_full()
    }

    /// Files that cannot be used, with the reason.
    pub(crate) fn broken_files(&self) -> BTreeMap<String, String> {
        self.broken.load().as_ref().clone()
    }

    /// What built-in rules look at.
    pub(crate) fn health(&self) -> Health {
        let undelivered = self.targets.iter().map(|target| (target.shown(), target.waiting_seconds()));
        Health {
            status: (self.status)(),
            missed: self.figures.missed.load(Ordering::Relaxed),
            broken_files: self.broken_files(),
            undelivered: undelivered.collect(),
        }
    }

    // ---- silences

    /// Reads the silences that are kept; old ones go.
    pub(crate) async fn load_silences(&self) -> Result<()> {
        let mut found = Vec::new();
        for (name, text) in self.documents.list(&self.tenant, Shelf::Silences).await.map_err(kept_wrongly)? {
            let silence = serde_json::from_slice::<Kept>(&text).map_err(|error| Error::invalid(error.to_string()));
            match silence.and_then(Silence::new) {
                Ok(silence) if silence.kept.ends_at + super::silence::KEPT_NANOS < self.now().0 => {
                    self.documents.delete(&self.tenant, Shelf::Silences, &name).await.map_err(kept_wrongly)?;
                }
                Ok(silence) => found.push(silence),
                Err(error) => tracing::error!(name, %error, "a silence cannot be read and does not count"),
            }
        }
        self.silences.store(Arc::new(found));
        Ok(())
    }

    pub(crate) fn silences(&self) -> Arc<Vec<Silence>> {
        self.silences.load_full()
    }

    /// True when a silence holds back an alert with these labels.
    pub(crate) fn is_silenced(&self, labels: &Labels, now: UnixNanos) -> bool {
        self.silences.load().iter().any(|silence| silence.is_active(now) && silence.matches(labels))
    }

    /// Keeps a silence.
    ///
    /// # Errors
    /// What storage said; the silence does not count then.
    pub(crate) async fn keep_silence(&self, silence: Silence) -> Result<()> {
        let text = serde_json::to_vec_pretty(&silence.kept).map_err(|error| Error::Internal(error.to_string()))?;
        self.documents.put(&self.tenant, Shelf::Silences, &silence.kept.id, text).await.map_err(kept_wrongly)?;
        self.silences.rcu(|known| {
            let mut all: Vec<Silence> =
                known.iter().filter(|other| other.kept.id != silence.kept.id).cloned().collect();
            all.push(silence.clone());
            all
        });
        Ok(())
    }

    // ---- transitions

    /// Hands transitions to the recorder, which tells the targets.
    pub(crate) async fn tell(&self, transitions: Vec<Transition>) {
        if !transitions.is_empty() {
            // It closes when the process stops: what is not written is found again by the next one.
            let _ = self.transitions.send(transitions).await;
        }
    }

    // ---- notifications

    /// Lets targets know; called once per transition, after it was written.
    pub(crate) fn notify(&self, transitions: &[Transition]) {
        let told: Vec<Notice> = transitions.iter().filter(|one| one.told).map(Notice::of).collect();
        if told.is_empty() {
            return;
        }
        let mut resolved = self.resolved.lock().unwrap_or_else(PoisonError::into_inner);
        resolved.extend(told.iter().filter(|notice| notice.ends_at.is_some()).cloned());
        while resolved.len() > RESOLVED_MAX {
            resolved.pop_front();
        }
        drop(resolved);
        for target in &self.targets {
            target.push(told.iter().cloned());
        }
    }

    /// What is told once more: what fires, and what was over lately.
    pub(crate) fn repeated(&self, with_resolved: bool) -> Vec<Notice> {
        let mut notices = Vec::new();
        for ruled in self.groups().iter().flat_map(|group| &group.rules) {
            let seat = ruled.seat();
            let firing =
                seat.alerts.values().filter(|alert| alert.standing.is_firing() && alert.is_told && !alert.is_silenced);
            notices.extend(firing.map(|alert| Notice {
                ticket: 0,
                seq: 0,
                labels: alert.labels.clone(),
                annotations: alert.annotations.clone(),
                starts_at: alert.standing.fired_at.unwrap_or(alert.standing.active_at),
                ends_at: None,
            }));
        }
        let since = self.now() - RESOLVED_NANOS;
        let mut resolved = self.resolved.lock().unwrap_or_else(PoisonError::into_inner);
        resolved.retain(|notice| notice.ends_at.is_some_and(|at| at >= since));
        if with_resolved {
            let firing: std::collections::BTreeSet<Labels> =
                notices.iter().map(|notice| notice.labels.clone()).collect();
            notices.extend(resolved.iter().filter(|notice| !firing.contains(&notice.labels)).cloned());
        }
        notices
    }

    pub(super) async fn send(&self, target: &Target, batch: &[Notice]) -> std::result::Result<(), Failure> {
        let longest = self.groups().iter().map(|group| group.interval_nanos).max().unwrap_or(0);
        let longest = Duration::from_nanos(u64::try_from(longest).unwrap_or(0));
        let valid_until = notify::valid_until(self.now(), longest, self.settings.resend);
        target.send(&self.client, &self.settings.guard, batch, valid_until, &self.settings.external_url).await
    }

    /// Remembers how far a target is. When that fails it is told some things again after a restart.
    pub(super) async fn save_cursor(&self, target: &Target) {
        let Some(cursor) = target.cursor() else { return };
        if let Err(error) = self.keep_cursor(target, cursor).await {
            tracing::warn!(%error, "how far notifications are could not be kept; they may be repeated");
        }
    }

    /// Writes down that a target has taken everything up to a number.
    ///
    /// # Errors
    /// What storage said.
    pub(crate) async fn keep_cursor(&self, target: &Target, seq: i64) -> Result<()> {
        let text = serde_json::json!({"url": target.shown(), "seq": seq}).to_string().into_bytes();
        self.documents.put(&self.tenant, Shelf::Deliveries, &target.id(), text).await.map_err(kept_wrongly)
    }

    /// How far each target is, by its id.
    pub(crate) async fn cursors(&self) -> Result<BTreeMap<String, i64>> {
        let found = self.documents.list(&self.tenant, Shelf::Deliveries).await.map_err(kept_wrongly)?;
        let seq = |text: &[u8]| serde_json::from_slice::<serde_json::Value>(text).ok()?.get("seq")?.as_i64();
        Ok(found.into_iter().filter_map(|(name, text)| Some((name, seq(&text)?))).collect())
    }

    /// Between 0 and 1, without a source of randomness: another one at each moment.
    pub(super) fn jitter(&self) -> Duration {
        let mixed = (self.now().0 as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        Duration::from_secs_f64(mixed as f64 / f64::from(1 << 24))
    }
}

/// Documents that could not be read or written.
#[expect(clippy::needless_pass_by_value, reason = "it is handed to map_err")]
pub(crate) fn kept_wrongly(error: storage::Error) -> Error {
    Error::Unavailable(format!("storage does not answer: {error}"))
}
