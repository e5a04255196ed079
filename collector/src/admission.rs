//! What a tenant may send: bytes and items per second with a burst, and series that are active at once (S17, F17, A7).
//!
//! Before a byte of a body is read a tenant that has used up its bytes or items is asked to come back. What a request really was is
//! known afterwards and then taken from the tenant's allowance, which may go below nothing: one request is never cut in two, the
//! next one waits longer. So a tenant is over its rate by at most what it had under way at once, which `in_flight_bytes_max` bounds.
//! What we could not keep for reasons of ours (busy, slow, broken) is given back: the tenant will send it again, and pays once. What was
//! given to storage and not answered for in time is most likely kept, and paid for; so is what nobody waits for any more.
//!
//! A series is active when a point of it came within the last hour, give or take half of one. Their numbers are kept in two sets that take
//! turns; a request that would bring a tenant over its series is refused whole, and nothing of it is remembered. Near the limit it is refused
//! while it is decoded, before rows are made of it: who goes on sending what is refused should not keep a processor busy. As items it then pays
//! for the points that were looked at.
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
/// A tenant is near its number of series when less than one in so many is left.
const NEAR: u64 = 10;
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
    pub(crate) fn give_back(&self, tenant: &TenantId, n_bytes: u64, n_items: u64, now: Instant) {
        self.change(tenant, Rate::Bytes, n_bytes as f64, now);
        self.change(tenant, Rate::Items, n_items as f64, now);
    }

    /// A body of a tenant has come.
    pub(crate) fn count_bytes(&self, tenant: &TenantId, n_bytes: u64, now: Instant) {
        self.change(tenant, Rate::Bytes, -(n_bytes as f64), now);
    }

    /// Items of a tenant have been decoded.
    pub(crate) fn count_items(&self, tenant: &TenantId, n_items: u64, now: Instant) {
        self.change(tenant, Rate::Items, -(n_items as f64), now);
    }

    fn change(&self, tenant: &TenantId, rate: Rate, n: f64, now: Instant) {
        if self.limits.per_s(rate) > 0 {
            self.tenant(tenant, now).change(&self.limits, rate, n, now);
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

    /// For a request of a tenant that is near its number of series: looks at them while they are decoded. `None` for all others, which pay
    /// nothing for it.
    pub(crate) fn series_gate(&self, tenant: &TenantId, now: Instant) -> Option<SeriesGate> {
        let limit = self.limits.series_max;
        if limit == 0 {
            return None;
        }
        let tenant = self.tenant(tenant, now);
        let mut series = locked(&tenant.series);
        series.take_turns(now);
        let n_active = series.len();
        drop(series);
        let is_near = n_active >= limit - limit / NEAR;
        is_near.then(|| SeriesGate {
            tenant,
            limits: self.limits,
            room: limit.saturating_sub(n_active),
            new: Numbers::default(),
            n_looked_at: 0,
            is_shut: false,
        })
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

impl Tenant {
    /// Adds to what a tenant may still send, or takes from it.
    fn change(&self, limits: &Limits, rate: Rate, n: f64, now: Instant) {
        let per_s = limits.per_s(rate);
        if per_s > 0 {
            let allowance = &mut locked(&self.rates)[rate as usize];
            allowance.refill(per_s, limits.burst_s, now);
            // Refilling is what keeps it at the burst; nobody is given more back than was taken.
            allowance.left = (allowance.left + n).min((per_s * limits.burst_s) as f64);
        }
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

    fn has(&self, number: i64) -> bool {
        self.now.contains(&number) || self.before.contains(&number)
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

/// Ends a request early that has more new series than its tenant may still have: at the first one when there is no room at all. What it lets
/// pass is not counted yet: [`Admission::count_series`] decides.
#[derive(Debug)]
pub(crate) struct SeriesGate {
    tenant: Arc<Tenant>,
    limits: Limits,
    /// New series that there was room for.
    room: u64,
    /// New series of this request, `room` and one at most.
    new: Numbers,
    /// Points, up to the one that shut it.
    n_looked_at: u64,
    is_shut: bool,
}

impl SeriesGate {
    /// True for a series that the tenant has, or may still have. False from the first one on that it may not.
    pub(crate) fn passes(&mut self, number: i64) -> bool {
        self.n_looked_at += u64::from(!self.is_shut);
        if !self.is_shut && !self.new.contains(&number) && !locked(&self.tenant.series).has(number) {
            self.new.insert(number);
            self.is_shut = self.new.len() as u64 > self.room;
        }
        !self.is_shut
    }

    /// True when nothing of the request will be kept.
    pub(crate) const fn is_shut(&self) -> bool {
        self.is_shut
    }

    /// Why the request is refused, if it is. Then the tenant pays for the points that were looked at: nobody else knows how many.
    pub(crate) fn refusal(self, now: Instant) -> Option<Error> {
        if self.is_shut {
            self.tenant.change(&self.limits, Rate::Items, -(self.n_looked_at as f64), now);
        }
        self.is_shut.then_some(Error::OverSeries { limit: self.limits.series_max })
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
        admission.give_back(&red, 5_000, 0, now);
        assert_eq!(retry(admission.admit(&red, now)), None);
        admission.give_back(&red, 1_000_000, 0, now);
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

    /// F17: a tenant without room is refused at the first new series of a request, one with some room when that is used up; known series
    /// pass; tenants far from the limit are not looked at.
    #[test]
    fn f17_refusals_come_early() {
        let (admission, now) = (admission(|config| config.tenant_series_max = 100), Instant::now());
        let (red, blue) = (tenant("red"), tenant("blue"));
        let fill = |numbers: std::ops::Range<i64>| {
            assert!(locked(&admission.tenant(&red, now).series).add(numbers, 100));
        };
        fill(0..89);
        assert!(admission.series_gate(&red, now).is_none(), "there is room enough");
        fill(0..98);
        assert!(admission.series_gate(&blue, now).is_none(), "another tenant");
        let mut gate = admission.series_gate(&red, now).expect("near");
        assert!((0..98).chain(0..98).all(|known| gate.passes(known)));
        assert!(gate.passes(98) && gate.passes(99) && gate.passes(98), "room for two");
        assert!(!gate.is_shut());
        assert!(!gate.passes(100) && !gate.passes(0), "shut from here on");
        assert!(matches!(gate.refusal(now), Some(Error::OverSeries { limit: 100 })));
        fill(98..100);
        assert!(!admission.series_gate(&red, now).expect("full").passes(100));
        assert!(admission.series_gate(&red, now + TURN * 2).is_none(), "all have gone away");
    }

    /// F17, S17: what is refused early is paid for as far as it was looked at; what passes is paid for by whoever counts it.
    #[test]
    fn s17_early_refusals_are_paid_for() {
        let limited = admission(|config| {
            (config.tenant_series_max, config.tenant_items_per_s, config.tenant_burst_s) = (10, 10, 10);
        });
        let (red, now) = (tenant("red"), Instant::now());
        assert!(locked(&limited.tenant(&red, now).series).add(0..10, 10));
        let send = |points: std::ops::Range<i64>| {
            let mut gate = limited.series_gate(&red, now).expect("full");
            points.for_each(|point| _ = gate.passes(point % 11));
            gate.refusal(now).is_some()
        };
        assert!(!send(0..10), "known ones");
        for _ in 0..9 {
            assert!(send(0..500), "ten points are known, the eleventh shuts it");
        }
        assert_eq!(retry(limited.admit(&red, now)), None, "99 items of 100");
        assert!(send(10..500));
        assert_eq!(retry(limited.admit(&red, now)), Some(1));
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
