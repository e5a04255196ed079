//! How often an address may knock with a wrong key (S17).
//!
//! Each address has a bucket of attempts that fills again over a minute. Who shows nothing is not counted: behind one address (a company,
//! a proxy) many may not have signed in yet. Holders of a valid key are never counted and never
//! refused for what others behind the same address do: a key has 256 random bits, so nobody finds one by trying. What is limited
//! is the work and the log lines that refusals cost.
//!
//! Memory is bounded: at most [`ADDRESSES_MAX`] buckets. When all are taken and none is full again, further addresses share one.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Addresses that are told apart.
const ADDRESSES_MAX: usize = 4096;
/// How long an empty bucket takes to be full again.
const REFILL: Duration = Duration::from_secs(60);

/// Failed attempts by address.
#[derive(Debug)]
pub(crate) struct Attempts {
    /// Attempts of a full bucket; 0 for no limit.
    max: u32,
    buckets: Mutex<Buckets>,
}

#[derive(Debug, Default)]
struct Buckets {
    by_address: HashMap<Ipv6Addr, Bucket>,
    others: Option<Bucket>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: f64,
    looked: Instant,
}

impl Bucket {
    fn left(&self, max: u32, now: Instant) -> f64 {
        let since = now.saturating_duration_since(self.looked);
        (self.left + f64::from(max) * since.as_secs_f64() / REFILL.as_secs_f64()).min(f64::from(max))
    }

    /// Takes an attempt; false when none is left.
    fn take(&mut self, max: u32, now: Instant) -> bool {
        let left = self.left(max, now);
        let is_left = left >= 1.0;
        *self = Self { left: if is_left { left - 1.0 } else { left }, looked: now };
        is_left
    }
}

impl Attempts {
    pub(crate) fn new(max_per_minute: u32) -> Self {
        Self { max: max_per_minute, buckets: Mutex::default() }
    }

    /// Counts a failed attempt; false when its address has made too many.
    pub(crate) fn count(&self, peer: IpAddr, now: Instant) -> bool {
        if self.max == 0 {
            return true;
        }
        let max = self.max;
        let full = Bucket { left: f64::from(max), looked: now };
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let Buckets { by_address, others } = &mut *buckets;
        let address = network(peer);
        if by_address.len() >= ADDRESSES_MAX && !by_address.contains_key(&address) {
            by_address.retain(|_, bucket| bucket.left(max, now) < f64::from(max));
            if by_address.len() >= ADDRESSES_MAX {
                return others.get_or_insert(full).take(max, now);
            }
        }
        by_address.entry(address).or_insert(full).take(max, now)
    }
}

/// What is counted as one address: an IPv4 address, or an IPv6 network of 64 bits, which is what one customer gets.
fn network(peer: IpAddr) -> Ipv6Addr {
    match peer.to_canonical() {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(n: u32) -> IpAddr {
        IpAddr::V4(n.into())
    }

    /// S17: an address has so many attempts a minute, and others have theirs.
    #[test]
    fn s17_attempts_come_back_over_a_minute() {
        let (attempts, now) = (Attempts::new(6), Instant::now());
        let taken = (0..10).filter(|_| attempts.count(v4(1), now)).count();
        assert_eq!(taken, 6);
        assert!(attempts.count(v4(2), now), "another address");
        let later = now + Duration::from_secs(10);
        assert!(attempts.count(v4(1), later) && !attempts.count(v4(1), later), "one in ten seconds");
        assert!((0..1000).all(|_| Attempts::new(0).count(v4(1), now)), "no limit");
    }

    /// One customer of an IPv6 network is one address, however many of them it makes up.
    #[test]
    fn s17_a_network_is_one_address() {
        let (attempts, now) = (Attempts::new(2), Instant::now());
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        assert!(attempts.count(address("2001:db8::1"), now) && attempts.count(address("2001:db8::2"), now));
        assert!(!attempts.count(address("2001:db8::3"), now));
        assert!(attempts.count(address("2001:db8:0:1::1"), now));
        assert!(attempts.count(address("192.0.2.1"), now) && attempts.count(address("::ffff:192.0.2.1"), now));
        assert!(!attempts.count(address("192.0.2.1"), now), "the same address in two spellings");
    }

    /// Memory is bounded: what does not fit shares one bucket, and full buckets make room.
    #[test]
    fn s17_addresses_are_bounded() {
        let (attempts, now) = (Attempts::new(2), Instant::now());
        let many = ADDRESSES_MAX as u32;
        assert!((0..many).all(|n| attempts.count(v4(n), now)));
        let taken = (many..many + 10).filter(|n| attempts.count(v4(*n), now)).count();
        assert_eq!(taken, 2, "those share one bucket");
        assert_eq!(attempts.buckets.lock().expect("not poisoned").by_address.len(), ADDRESSES_MAX);
        assert!(attempts.count(v4(many), now + REFILL), "the others are full again and make room");
        assert_eq!(attempts.buckets.lock().expect("not poisoned").by_address.len(), 1);
    }
}
