//! Where rules, their alerts, silences and targets meet: shared by the evaluation, the notifications and the API.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use model::{TenantId, UnixNanos};
use storage::{DerivedWriter, Documents, Reader, Shelf};
use tokio::sync::{Notify, Semaphore, mpsc};

use super::condition::Labels;
use super::instances::{Alert, Alerts};
use super::notify::{self, Failure, Guard, Kind as TargetKind, Notice, Target, parse_url};
use super::own::{self, BUILT_IN, Health};
use super::rule::{Group, Kind, Rule, read_file, read_single};
use super::silence::{Kept, Silence};
use super::transition::{Phase, Reason, Restored, RuleKey, Transition};
use super::yaml::Wrong;
use crate::config::Config;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::http::StatusSource;

/// Name of the file that rules kept by the API seem to stand in.
pub(crate) const API: &str = "api";
/// Evaluations whose changes are on their way to the table: others wait when storage is slow.
const TRANSITIONS_MAX: usize = 1_024;
/// Rules in force.
const RULES_MAX: usize = 20_000;
/// How long an Alertmanager hears of what is over.
const RESOLVED_NANOS: i64 = 900 * UnixNanos::SECOND;
/// Alerts that are over and still told.
const RESOLVED_MAX: usize = 10_000;
/// Largest rule file, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

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
    /// The health at the evaluation before, for built-in rules.
    pub(crate) health: Option<Health>,
}

impl Ruled {
    fn new(file: &str, group: &Group, rule: &Rule, alerts: Alerts) -> Self {
        Self {
            key: RuleKey { file: file.to_owned(), group: group.name.clone(), name: rule.name.clone() },
            rule: rule.clone(),
            limit: group.limit,
            is_running: AtomicBool::new(false),
            missed: AtomicU64::new(0),
            seat: Mutex::new(Seat { alerts, ..Seat::default() }),
        }
    }

    pub(crate) fn seat(&self) -> MutexGuard<'_, Seat> {
        self.seat.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Labels of a rule that are no templates tell rules of one name apart.
    fn may_own(&self, alert: &Alert) -> bool {
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
    groups: ArcSwap<Vec<Arc<Loaded>>>,
    broken: ArcSwap<BTreeMap<String, String>>,
    silences: ArcSwap<Vec<Silence>>,
    resolved: Mutex<VecDeque<Notice>>,
    /// Alerts of the process before whose rules have not been seen yet.
    orphans: Mutex<BTreeMap<RuleKey, Vec<Alert>>>,
    /// Texts of the rule files and of the API's rules as they were read last.
    sources: tokio::sync::Mutex<Sources>,
}

#[derive(Debug, Default)]
struct Sources {
    files: BTreeMap<String, String>,
    kept: BTreeMap<String, String>,
    unreadable: BTreeMap<String, String>,
    is_loaded: bool,
    groups_of_file: BTreeMap<String, Vec<Group>>,
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
        let client = reqwest::Client::builder()
            .dns_resolver(Arc::new(settings.guard.clone()))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(Duration::from_secs(5))
            .build()
            .map_err(|error| Error::Internal(format!("cannot make a client for notifications: {error}")))?;
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

    // ---- rules

    /// Takes what the process before left behind.
    pub(crate) async fn adopt(&self, restored: &Restored, downtime_nanos: i64) {
        // After a panic there may be rules already: they begin anew from what is stored.
        *self.sources.lock().await = Sources::default();
        self.groups.store(Arc::default());
        let mut orphans = self.orphans.lock().unwrap_or_else(PoisonError::into_inner);
        orphans.clear();
        for (key, alerts) in &restored.standing {
            let shifted = alerts.iter().map(|alert| {
                let standing = alert.standing.shifted(downtime_nanos);
                Alert { standing, ..alert.clone() }
            });
            orphans.insert(key.clone(), shifted.collect());
        }
    }

    /// Reads files and kept rules again and puts them into force, when something changed. `downtime_nanos` is for how long
    /// nothing was evaluated; rules count it as missed.
    ///
    /// A file that cannot be used keeps the rules that it had; the reason is told.
    ///
    /// # Errors
    /// When kept rules cannot be read; everything stays as it is.
    pub(crate) async fn reload(&self, downtime_nanos: i64) -> Result<bool> {
        let mut sources = self.sources.lock().await;
        let (files, mut broken) = read_files(&self.settings.rule_files);
        let kept = self.documents.list(&self.tenant, Shelf::Rules).await.map_err(kept_wrongly)?;
        let kept: BTreeMap<String, String> =
            kept.into_iter().map(|(name, text)| (name, String::from_utf8_lossy(&text).into_owned())).collect();
        if sources.is_loaded && files == sources.files && kept == sources.kept && broken == sources.unreadable {
            return Ok(false);
        }
        let unreadable = broken.clone();
        let mut loaded = vec![(BUILT_IN.to_owned(), None, own::group())];
        for (name, text) in &files {
            match self.checked(read_file(text)).await {
                Ok(groups) => drop(sources.groups_of_file.insert(name.clone(), groups)),
                Err(wrong) => {
                    tracing::error!(file = name, %wrong, "a rule file cannot be used; its rules before stay in force");
                    broken.insert(name.clone(), wrong.to_string());
                }
            }
        }
        // A file that cannot be read keeps its rules as well; one that is not named or not there any more does not.
        sources.groups_of_file.retain(|name, _| files.contains_key(name) || broken.contains_key(name));
        for (name, groups) in &sources.groups_of_file {
            loaded.extend(groups.iter().map(|group| (name.clone(), None, group.clone())));
        }
        for (name, text) in &kept {
            match read_single(text, name) {
                Ok(group) => loaded.push((API.to_owned(), Some(text.clone()), group)),
                Err(wrong) => drop(broken.insert(format!("{API}/{name}"), wrong.to_string())),
            }
        }
        let n_rules: usize = loaded.iter().map(|(_, _, group)| group.rules.len()).sum();
        if n_rules > RULES_MAX {
            return Err(Error::TooLarge(format!("{n_rules} rules; at most {RULES_MAX} are evaluated")));
        }
        self.put_into_force(loaded, downtime_nanos, broken.is_empty()).await;
        self.broken.store(Arc::new(broken));
        (sources.files, sources.kept, sources.unreadable, sources.is_loaded) = (files, kept, unreadable, true);
        Ok(true)
    }

    /// Groups whose conditions can be planned.
    async fn checked(&self, groups: std::result::Result<Vec<Group>, Wrong>) -> std::result::Result<Vec<Group>, Wrong> {
        let groups = groups?;
        match super::rehearse::check_groups(&self.engine, &self.tenant, &groups).await.into_iter().next() {
            Some(wrong) => Err(wrong),
            None => Ok(groups),
        }
    }

    async fn put_into_force(&self, loaded: Vec<(String, Option<String>, Group)>, downtime_nanos: i64, is_whole: bool) {
        let before = self.groups();
        let mut old: Vec<Arc<Ruled>> = before.iter().flat_map(|group| group.rules.iter().cloned()).collect();
        let mut groups = Vec::with_capacity(loaded.len());
        for (file, text, group) in loaded {
            let interval_nanos = group.interval_nanos.unwrap_or(self.settings.interval_nanos);
            let mut rules = Vec::with_capacity(group.rules.len());
            for rule in &group.rules {
                let is_it = |known: &&Arc<Ruled>| {
                    known.key.file == file
                        && known.key.group == group.name
                        && known.rule == *rule
                        && known.limit == group.limit
                };
                let same = old.iter().find(is_it).cloned();
                let ruled = match same {
                    Some(known) => known,
                    None => {
                        let ruled = Ruled::new(&file, &group, rule, Alerts::new());
                        self.hand_over(&ruled, &old);
                        ruled
                            .missed
                            .store(u64::try_from(downtime_nanos / interval_nanos).unwrap_or(0), Ordering::Relaxed);
                        Arc::new(ruled)
                    }
                };
                old.retain(|known| !Arc::ptr_eq(known, &ruled));
                rules.push(ruled);
            }
            let offset_nanos = group.offset_nanos.unwrap_or(self.settings.offset_nanos);
            groups.push(Arc::new(Loaded { file, text, group, interval_nanos, offset_nanos, rules }));
        }
        self.groups.store(Arc::new(groups));
        // What no rule looks after any more is over.
        let mut gone: Vec<(RuleKey, Alert)> = Vec::new();
        for ruled in old {
            let alerts = std::mem::take(&mut ruled.seat().alerts);
            gone.extend(alerts.into_values().map(|alert| (ruled.key.clone(), alert)));
        }
        if is_whole {
            let orphans = std::mem::take(&mut *self.orphans.lock().unwrap_or_else(PoisonError::into_inner));
            gone.extend(
                orphans.into_iter().flat_map(|(key, alerts)| alerts.into_iter().map(move |alert| (key.clone(), alert))),
            );
        }
        let now = self.now();
        let over = gone.into_iter().map(|(rule, alert)| Transition {
            seq: 0,
            time: now,
            rule,
            before: Phase::of(&alert),
            state: Phase::Inactive,
            reason: Reason::Removed,
            told: alert.is_told && alert.standing.is_firing(),
            alert,
        });
        self.tell(over.collect()).await;
    }

    /// Gives a rule the alerts that a rule of its name had: of this process, or of the one before.
    fn hand_over(&self, ruled: &Ruled, old: &[Arc<Ruled>]) {
        if !matches!(ruled.rule.kind, Kind::Alerting(_)) {
            return;
        }
        let mut taken = Alerts::new();
        let mut take = |alerts: &mut Vec<Alert>| {
            for alert in std::mem::take(alerts) {
                if ruled.may_own(&alert) { drop(taken.insert(alert.labels.clone(), alert)) } else { alerts.push(alert) }
            }
        };
        for known in old.iter().filter(|known| known.key == ruled.key) {
            let mut seat = known.seat();
            let mut alerts: Vec<Alert> = std::mem::take(&mut seat.alerts).into_values().collect();
            take(&mut alerts);
            seat.alerts = alerts.into_iter().map(|alert| (alert.labels.clone(), alert)).collect();
        }
        if let Some(alerts) = self.orphans.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&ruled.key) {
            take(alerts);
        }
        ruled.seat().alerts = taken;
    }

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

/// The texts of all files that the settings name; `*` in the last part of a path stands for any letters.
fn read_files(patterns: &[String]) -> (BTreeMap<String, String>, BTreeMap<String, String>) {
    let (mut files, mut broken) = (BTreeMap::new(), BTreeMap::new());
    for pattern in patterns {
        let names = match pattern.contains('*') {
            true => matching(pattern),
            false => Ok(vec![pattern.clone()]),
        };
        let names = match names {
            Ok(names) => names,
            Err(error) => {
                broken.insert(pattern.clone(), error);
                continue;
            }
        };
        for name in names {
            let size = std::fs::metadata(&name).map(|found| found.len());
            let text = match size {
                Ok(size) if size > FILE_BYTES_MAX => {
                    Err(format!("it has {size} bytes, at most {FILE_BYTES_MAX} are read"))
                }
                Ok(_) => std::fs::read_to_string(&name).map_err(|error| format!("it cannot be read: {error}")),
                Err(error) => Err(format!("it cannot be read: {error}")),
            };
            match text {
                Ok(text) => drop(files.insert(name, text)),
                Err(error) => drop(broken.insert(name, error)),
            }
        }
    }
    (files, broken)
}

/// Files whose names fit a pattern.
fn matching(pattern: &str) -> std::result::Result<Vec<String>, String> {
    let path = Path::new(pattern);
    let (folder, last) =
        (path.parent().unwrap_or_else(|| Path::new(".")), path.file_name().and_then(|name| name.to_str()));
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let parts: Vec<&str> = last.unwrap_or_default().split('*').collect();
    let fits = |name: &str| {
        let Some(mut rest) = name.strip_prefix(parts[0]) else { return false };
        let (middle, end) = parts[1..].split_at(parts.len() - 2);
        for part in middle {
            match rest.split_once(part) {
                Some((_, after)) => rest = after,
                None => return false,
            }
        }
        rest.ends_with(end[0])
    };
    let entries = std::fs::read_dir(folder).map_err(|error| format!("{} cannot be read: {error}", folder.display()))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut found: Vec<String> = names
        .filter(|name| !name.starts_with('.') && fits(name))
        .map(|name| folder.join(name).display().to_string())
        .collect();
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_find_files() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["a.yml", "b.yml", "ab.yaml", ".c.yml"] {
            std::fs::write(folder.path().join(name), name).expect("written");
        }
        let pattern = |last: &str| folder.path().join(last).display().to_string();
        let found = |last: &str| read_files(&[pattern(last)]).0.into_values().collect::<Vec<_>>();
        assert_eq!(found("*.yml"), ["a.yml", "b.yml"]);
        assert_eq!(found("a*.y*l"), ["a.yml", "ab.yaml"]);
        assert_eq!(found("a.yml"), ["a.yml"]);
        let (files, broken) = read_files(&[pattern("absent.yml"), pattern("absent/*.yml")]);
        assert_eq!((files.len(), broken.len()), (0, 2));
    }
}
