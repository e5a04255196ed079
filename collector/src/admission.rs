//! What a tenant may send: bytes and items per second with a burst, and series that are active at once (S17, F17, A7).
//!
//! Before a byte of a body is read a tenant that has used up its bytes or items is asked to come back. What a request really was is
//! known afterwards and then taken from the tenant's allowance, which may go below nothing: one request is never cut in two, the
//! next one waits longer. So a tenant is over its rate by at most what it had under way at once, which `in_flight_bytes_max` bounds.
//! What we could not keep for reasons of ours (busy, slow, broken) is given back: the tenant will send it again, and pays once.
//!
//! A series is active when a point of it came within the last hour, give or take half of one. Their numbers are kept in two sets that take
//! turns; a request that would bring a tenant over its series is refused whole, and nothing of it is remembered.
//!
//! Memory: two sets of at most `tenant_series_max` numbers a tenant, nine to eighteen bytes each: 36 MB for a million. Tenants come from
//! credentials, never from a request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arrow::array::AsArray as _;
use arrow::datatypes::Int64Type;
use hashbrown::HashSet;
use model::TenantId;
use storage::Batch;
use tokio::time::Instant;

use crate::config::Config;
use crate::error::{Error, Result};

/// The column that numbers series, in every table of data points.
const SERIES: &str = "series_id";
/// How long a set of series is filled before the other one is emptied and takes its turn.
const TURN: Duration = Duration::from_secs(30 * 60);
/// The longest hint when to come back, in seconds (A12).
const RETRY_SECONDS_MAX: i64 = 5;

/// The allowances of all tenants.
#[derive(Debug)]
pub(crate) struct Admission {
    limits: Limits,
    tenants: Mutex<HashMap<TenantId, Arc<Tenant>>>,
}

/// What each tenant may send; 0 for any amount.
#[derive(Clone, Copy, Debug)]
struct Limits {
    bytes_per_s: u64,
    items_per_s: u64,
    burst_s: u64,
    series_max: u64,
}

/// One tenant's allowances.
#[derive(Debug)]
struct Tenant {
    rates: Mutex<[Allowance; 2]>,
    series: Mutex<Series>,
}

/// Which of a tenant's rates.
#[derive(Clone, Copy, Debug)]
enum Rate {
    Bytes,
    Items,
}

impl Admission {
    pub(crate) fn new(config: &Config) -> Self {
        let limits = Limits {
            bytes_per_s: config.tenant_bytes_per_s,
            items_per_s: config.tenant_items_per_s,
            burst_s: config.tenant_burst_s,
            series_max: config.tenant_series_max,
        };
        Self { limits, tenants: Mutex::default() }
    }

    /// Asked before a byte of a body is read.
    ///
    /// # Errors
    /// [`Error::OverRate`] while the tenant has used up its bytes or items.
    pub(crate) fn admit(&self, tenant: &TenantId, now: Instant) -> Result<()> {
        if !self.has_rates() {
            return Ok(());
        }
        let tenant = self.tenant(tenant, now);
        let mut rates = locked(&tenant.rates);
        for (rate, allowance) in [Rate::Bytes, Rate::Items].into_iter().zip(rates.iter_mut()) {
            let per_s = self.limits.per_s(rate);
            if per_s > 0 {
                allowance.refill(per_s, self.limits.burst_s, now);
                if allowance.left < 1.0 {
                    let wait_s = ((1.0 - allowance.left) / per_s as f64).ceil() as i64;
                    let retry_seconds = wait_s.clamp(1, RETRY_SECONDS_MAX);
                    return Err(Error::OverRate { what: rate.as_str(), per_s, retry_seconds });
                }
            }
        }
        Ok(())
    }

    /// A body of a tenant was not kept, and not because of the tenant.
    pub(crate) fn give_back_bytes(&self, tenant: &TenantId, n_bytes: u64, now: Instant) {
        self.change(tenant, Rate::Bytes, n_bytes as f64, now);
    }

    /// A body of a tenant has come.
    pub(crate) fn count_bytes(&self, tenant: &TenantId, n_bytes: u64, now: Instant) {
        self.change(tenant, Rate::Bytes, -(n_bytes as f64), now);
    }

    /// Items of a tenant have been kept, or refused for what they are.
    pub(crate) fn count_items(&self, tenant: &TenantId, n_items: u64, now: Instant) {
        self.change(tenant, Rate::Items, -(n_items as f64), now);
    }

    fn change(&self, tenant: &TenantId, rate: Rate, n: f64, now: Instant) {
        let per_s = self.limits.per_s(rate);
        if per_s > 0 {
            let tenant = self.tenant(tenant, now);
            let allowance = &mut locked(&tenant.rates)[rate as usize];
            allowance.refill(per_s, self.limits.burst_s, now);
            // Refilling is what keeps it at the burst; nobody is given more back than was taken.
            allowance.left = (allowance.left + n).min((per_s * self.limits.burst_s) as f64);
        }
    }

    /// Counts the series of batches as active.
    ///
    /// # Errors
    /// [`Error::OverSeries`] when they would be too many; then none of them is counted.
    pub(crate) fn count_series(&self, tenant: &TenantId, batches: &[Batch], now: Instant) -> Result<()> {
        let limit = self.limits.series_max;
        let columns = batches.iter().filter_map(|batch| batch.records().column_by_name(SERIES));
        let mut numbers = columns.flat_map(|column| column.as_primitive::<Int64Type>().values()).copied().peekable();
        if limit == 0 || numbers.peek().is_none() {
            return Ok(());
        }
        let tenant = self.tenant(tenant, now);
        let mut series = locked(&tenant.series);
        series.take_turns(now);
        if series.add(numbers, limit) { Ok(()) } else { Err(Error::OverSeries { limit }) }
    }

    /// Series that are active, of all tenants. Those of tenants that went quiet go away by this, too.
    pub(crate) fn active_series(&self, now: Instant) -> u64 {
        let tenants: Vec<_> = locked(&self.tenants).values().cloned().collect();
        let active = |tenant: &Arc<Tenant>| {
            let mut series = locked(&tenant.series);
            series.take_turns(now);
            series.len()
        };
        tenants.iter().map(active).sum()
    }

    const fn has_rates(&self) -> bool {
        self.limits.bytes_per_s > 0 || self.limits.items_per_s > 0
    }

    fn tenant(&self, id: &TenantId, now: Instant) -> Arc<Tenant> {
        let mut tenants = locked(&self.tenants);
        if let Some(tenant) = tenants.get(id) {
            return Arc::clone(tenant);
        }
        let full = |rate| Allowance { left: (self.limits.per_s(rate) * self.limits.burst_s) as f64, looked: now };
        let rates = Mutex::new([full(Rate::Bytes), full(Rate::Items)]);
        let series = Mutex::new(Series { now: Numbers::default(), before: Numbers::default(), turned: now });
        let tenant = Arc::new(Tenant { rates, series });
        tenants.insert(id.clone(), Arc::clone(&tenant));
        tenant
    }
}

impl Limits {
    const fn per_s(&self, rate: Rate) -> u64 {
        match rate {
            Rate::Bytes => self.bytes_per_s,
            Rate::Items => self.items_per_s,
        }
    }
}

impl Rate {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Items => "items",
        }
    }
}

/// What may still be sent; below nothing when more was sent than there was.
#[derive(Debug)]
struct Allowance {
    left: f64,
    looked: Instant,
}

impl Allowance {
    fn refill(&mut self, per_s: u64, burst_s: u64, now: Instant) {
        let more = per_s as f64 * now.saturating_duration_since(self.looked).as_secs_f64();
        self.left = (self.left + more).min((per_s * burst_s) as f64);
        self.looked = now;
    }
}

type Numbers = HashSet<i64>;

/// Active series.
#[derive(Debug)]
struct Series {
    now: Numbers,
    /// Those of the turn before that have not come in this one.
    before: Numbers,
    turned: Instant,
}

impl Series {
    fn len(&self) -> u64 {
        (self.now.len() + self.before.len()) as u64
    }

    fn take_turns(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.turned);
        if passed >= TURN {
            self.before = std::mem::take(&mut self.now);
            if passed >= TURN * 2 {
                self.before = Numbers::default();
            }
            self.turned = now;
        }
    }

    /// False when they would be more than `limit`; then everything is as before.
    fn add(&mut self, numbers: impl Iterator<Item = i64>, limit: u64) -> bool {
        let mut added = Vec::new();
        for number in numbers {
            if self.now.contains(&number) {
                continue;
            }
            let is_known = self.before.remove(&number);
            self.now.insert(number);
            if !is_known {
                added.push(number);
                if self.len() > limit {
                    for number in &added {
                        self.now.remove(number);
                    }
                    return false;
                }
            }
        }
        true
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(edit: impl FnOnce(&mut Config)) -> Admission {
        let mut config = Config::default();
        edit(&mut config);
        Admission::new(&config)
    }

    fn tenant(name: &str) -> TenantId {
        TenantId::new(name).expect("a name")
    }

    fn retry(result: Result<()>) -> Option<i64> {
        match result {
            Ok(()) => None,
            Err(Error::OverRate { retry_seconds, .. }) => Some(retry_seconds),
            Err(other) => panic!("{other}"),
        }
    }

    /// S17: a burst is taken at once; what is over is waited for, by this tenant only.
    #[test]
    fn s17_rates_have_bursts_and_debts() {
        let admission = admission(|config| (config.tenant_bytes_per_s, config.tenant_burst_s) = (100, 10));
        let (red, blue, now) = (tenant("red"), tenant("blue"), Instant::now());
        let after = |seconds| now + Duration::from_secs(seconds);
        assert_eq!(retry(admission.admit(&red, now)), None);
        admission.count_bytes(&red, 999, now);
        assert_eq!(retry(admission.admit(&red, now)), None, "one byte is left");
        admission.count_bytes(&red, 301, now);
        assert_eq!(retry(admission.admit(&red, now)), Some(4), "300 bytes of debt");
        assert_eq!(retry(admission.admit(&blue, now)), None, "another tenant");
        assert_eq!(retry(admission.admit(&red, after(2))), Some(2));
        assert_eq!(retry(admission.admit(&red, after(4))), None);
        admission.count_bytes(&red, 1_000_000, after(4));
        assert_eq!(retry(admission.admit(&red, after(4))), Some(5), "longer hints lose data (A12)");
    }

    /// Items have a rate of their own; without settings nothing is counted.
    #[test]
    fn s17_items_have_a_rate() {
        let (red, now) = (tenant("red"), Instant::now());
        let limited = admission(|config| config.tenant_items_per_s = 10);
        limited.count_items(&red, 1_000, now);
        let error = limited.admit(&red, now).expect_err("over").to_string();
        assert!(error.contains("10 items"), "{error}");
        let free = admission(|_| ());
        free.count_items(&red, u64::MAX, now);
        free.count_bytes(&red, u64::MAX, now);
        assert!(free.admit(&red, now).is_ok());
    }

    /// What was not kept because of us is not paid for; nobody gets more back than a burst.
    #[test]
    fn s17_what_was_not_kept_is_given_back() {
        let admission = admission(|config| (config.tenant_bytes_per_s, config.tenant_burst_s) = (100, 10));
        let (red, now) = (tenant("red"), Instant::now());
        admission.count_bytes(&red, 5_000, now);
        assert_eq!(retry(admission.admit(&red, now)), Some(5));
        admission.give_back_bytes(&red, 5_000, now);
        assert_eq!(retry(admission.admit(&red, now)), None);
        admission.give_back_bytes(&red, 1_000_000, now);
        admission.count_bytes(&red, 1_000, now);
        assert_eq!(retry(admission.admit(&red, now)), Some(1), "a burst and no more");
    }

    /// F17: a tenant that sends nothing any more has no active series, also when nobody asks for new ones.
    #[test]
    fn f17_series_of_quiet_tenants_go_away() {
        let (admission, now) = (admission(|_| ()), Instant::now());
        let red = admission.tenant(&tenant("red"), now);
        assert!(locked(&red.series).add(0..8, 10));
        assert_eq!(admission.active_series(now + TURN), 8);
        assert_eq!(admission.active_series(now + TURN * 2), 0);
    }

    /// F17: known series are always taken; a request with too many new ones adds none; series that stay away make room.
    #[test]
    fn f17_series_are_bounded() {
        let now = Instant::now();
        let mut series = Series { now: Numbers::default(), before: Numbers::default(), turned: now };
        assert!(series.add(0..8, 10));
        assert!(!series.add(6..20, 10));
        assert_eq!(series.len(), 8, "nothing of a refused request is kept");
        assert!(series.add(0..10, 10) && series.add(0..10, 10));
        series.take_turns(now + TURN);
        assert!(series.add(5..10, 10), "known from the turn before");
        assert!(!series.add(10..11, 10));
        series.take_turns(now + TURN * 2);
        assert_eq!(series.len(), 5, "0 to 4 stayed away for a turn");
        assert!(series.add(10..15, 10));
        series.take_turns(now + TURN * 9);
        assert_eq!(series.len(), 0);
    }
}
