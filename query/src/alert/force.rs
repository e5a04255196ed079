//! Rules come into force: files and kept rules are read again, rules that stay keep their alerts, and those of rules that went are over.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use storage::Shelf;

use super::desk::{API, Desk, Loaded, Ruled, Sources, kept_wrongly};
use super::files::read_files;
use super::instances::{Alert, Alerts};
use super::own::{self, BUILT_IN};
use super::rule::{Group, Kind, read_file, read_single};
use super::transition::{Phase, Reason, Restored, RuleKey, Transition};
use super::yaml::Wrong;
use crate::error::{Error, Result};

/// Rules in force.
const RULES_MAX: usize = 20_000;

impl Desk {
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
}
