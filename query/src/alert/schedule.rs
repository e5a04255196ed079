//! When which group is due. Pure: the time of the world and the steady clock are arguments.
//!
//! A group's moments are multiples of its interval plus a part that its name decides: the same after every restart, and groups are
//! spread out. When the two clocks disagree the world's clock has jumped: nothing that was skipped is made up for, and nothing waits
//! until the clock is back where it was.

use std::sync::Arc;
use std::time::{Duration, Instant};

use model::UnixNanos;

use super::desk::Loaded;
use super::transition::hash;

/// A clock that differs so much from the steady one has jumped.
const JUMP_NANOS: i64 = 5 * UnixNanos::SECOND;

/// The newest moment of a group up to `now`.
fn slot(now: UnixNanos, interval_nanos: i64, phase_nanos: i64) -> UnixNanos {
    let since = now.0.saturating_sub(phase_nanos);
    UnixNanos(since.div_euclid(interval_nanos).saturating_mul(interval_nanos).saturating_add(phase_nanos))
}

fn phase(loaded: &Loaded) -> i64 {
    let name = format!("{};{}", loaded.file, loaded.group.name);
    i64::try_from(hash(&name) % loaded.interval_nanos.unsigned_abs().max(1)).unwrap_or(0)
}

/// The first moment of a group after `now`.
fn after(now: UnixNanos, loaded: &Loaded) -> UnixNanos {
    UnixNanos(slot(now, loaded.interval_nanos, phase(loaded)).0.saturating_add(loaded.interval_nanos))
}

/// A group whose moment has come.
#[derive(Debug)]
pub(crate) struct Due {
    pub(crate) loaded: Arc<Loaded>,
    pub(crate) at: UnixNanos,
    /// Moments before this one that nobody looked at.
    pub(crate) n_missed: u64,
}

/// What a look at the clocks says.
#[derive(Debug, Default)]
pub(crate) struct Look {
    /// How far the clock jumped; `None` when it did not.
    pub(crate) jump_nanos: Option<i64>,
    pub(crate) due: Vec<Due>,
}

/// When which group is due next.
#[derive(Debug)]
pub(crate) struct Schedule {
    /// The groups in force that `groups` was made from.
    of: Arc<Vec<Arc<Loaded>>>,
    groups: Vec<(Arc<Loaded>, UnixNanos)>,
    last: (UnixNanos, Instant),
}

impl Schedule {
    pub(crate) fn new(of: Arc<Vec<Arc<Loaded>>>, now: UnixNanos, steady: Instant) -> Self {
        let mut schedule = Self { of: Arc::default(), groups: Vec::new(), last: (now, steady) };
        schedule.take_over(of, now);
        schedule
    }

    /// Groups in force now; those that were there keep their next moment.
    fn take_over(&mut self, of: Arc<Vec<Arc<Loaded>>>, now: UnixNanos) {
        let next = |loaded: &Arc<Loaded>| {
            let is_same = |(known, _): &&(Arc<Loaded>, UnixNanos)| {
                (&known.file, &known.group.name, known.interval_nanos)
                    == (&loaded.file, &loaded.group.name, loaded.interval_nanos)
            };
            let known = self.groups.iter().find(is_same).map(|(_, next)| *next);
            known.unwrap_or_else(|| after(now, loaded))
        };
        self.groups = of.iter().map(|loaded| (Arc::clone(loaded), next(loaded))).collect();
        self.of = of;
    }

    /// How long nothing is due, at most `most`.
    pub(crate) fn pause(&self, now: UnixNanos, most: Duration) -> Duration {
        let next = self.groups.iter().map(|(_, next)| next.0).min().unwrap_or(i64::MAX);
        let nanos = u64::try_from(next.saturating_sub(now.0)).unwrap_or(0);
        Duration::from_nanos(nanos).min(most)
    }

    /// What is due. `in_force` are the groups as they are now, `steady` a clock that never jumps.
    pub(crate) fn look(&mut self, in_force: Arc<Vec<Arc<Loaded>>>, now: UnixNanos, steady: Instant) -> Look {
        let passed = i64::try_from((steady - self.last.1).as_nanos()).unwrap_or(i64::MAX);
        let jump = now.0.saturating_sub(self.last.0.0).saturating_sub(passed);
        self.last = (now, steady);
        if !Arc::ptr_eq(&self.of, &in_force) {
            self.take_over(in_force, now);
        }
        if jump.unsigned_abs() > JUMP_NANOS.unsigned_abs() {
            self.groups.iter_mut().for_each(|(loaded, next)| *next = after(now, loaded));
            return Look { jump_nanos: Some(jump), due: Vec::new() };
        }
        let mut due = Vec::new();
        for (loaded, next) in &mut self.groups {
            if now >= *next {
                let at = slot(now, loaded.interval_nanos, phase(loaded));
                let n_missed = u64::try_from((at - *next) / loaded.interval_nanos).unwrap_or(0);
                *next = UnixNanos(at.0.saturating_add(loaded.interval_nanos));
                due.push(Due { loaded: Arc::clone(loaded), at, n_missed });
            }
        }
        Look { jump_nanos: None, due }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::rule::Group;

    const SECOND: i64 = UnixNanos::SECOND;
    const START: UnixNanos = UnixNanos(1_768_471_200 * SECOND);

    /// A group of no rules that is due every `seconds`.
    fn group(name: &str, seconds: i64) -> Arc<Loaded> {
        let group =
            Group { name: name.to_owned(), interval_nanos: None, offset_nanos: None, limit: 1, rules: Vec::new() };
        let interval_nanos = seconds * SECOND;
        Arc::new(Loaded { file: "f".to_owned(), text: None, group, interval_nanos, offset_nanos: 0, rules: Vec::new() })
    }

    /// Two clocks that a test sets.
    struct World {
        schedule: Schedule,
        groups: Arc<Vec<Arc<Loaded>>>,
        now: UnixNanos,
        steady: Instant,
    }

    impl World {
        fn new(seconds: i64) -> Self {
            let (groups, steady) = (Arc::new(vec![group("a", seconds)]), Instant::now());
            Self { schedule: Schedule::new(Arc::clone(&groups), START, steady), groups, now: START, steady }
        }

        /// Lets `lived` seconds pass, in which the clock jumps by `jump` seconds; looks then.
        fn pass(&mut self, lived: u64, jump: i64) -> Look {
            self.steady += Duration::from_secs(lived);
            self.now = UnixNanos(self.now.0.saturating_add((lived as i64 + jump).saturating_mul(SECOND)));
            self.schedule.look(Arc::clone(&self.groups), self.now, self.steady)
        }

        /// How many evaluations begin and are missed while so many seconds pass one by one.
        fn run(&mut self, seconds: u64) -> (usize, u64) {
            let looks: Vec<Look> = (0..seconds).map(|_| self.pass(1, 0)).collect();
            assert!(looks.iter().all(|look| look.jump_nanos.is_none()));
            let due = looks.iter().flat_map(|look| &look.due);
            (due.clone().count(), due.map(|due| due.n_missed).sum())
        }
    }

    /// The same moments after every restart.
    #[test]
    fn slots_are_multiples() {
        for (now, at) in [(100, 95), (109, 95), (110, 110), (111, 110)] {
            assert_eq!(slot(UnixNanos(now * SECOND), 15 * SECOND, 5 * SECOND), UnixNanos(at * SECOND), "{now}");
        }
    }

    #[test]
    fn groups_are_due_once_per_interval() {
        let mut world = World::new(15);
        assert_eq!(world.run(150), (10, 0));
        let late = world.pass(4, 0);
        assert!(late.due.len() <= 1);
        assert_eq!(world.run(146), (10 - late.due.len(), 0));
    }

    /// Looks that come late leave moments out, and say how many.
    #[test]
    fn missed_moments_are_counted() {
        let mut world = World::new(1);
        world.run(3);
        let late = world.pass(4, 0);
        assert_eq!((late.jump_nanos, late.due.len(), late.due[0].n_missed), (None, 1, 3));
    }

    /// An hour or ten years ahead: what was skipped is neither made up for nor counted as missed.
    #[test]
    fn jumps_forward_skip() {
        for jump in [3_600, 10 * 365 * 86_400] {
            let mut world = World::new(15);
            world.run(30);
            let look = world.pass(1, jump);
            assert_eq!((look.jump_nanos, look.due.len()), (Some(jump * SECOND), 0), "{jump}");
            assert_eq!(world.run(150), (10, 0), "{jump}");
        }
    }

    /// An hour or back to 1970: evaluations go on within an interval, they do not wait until the clock is back.
    #[test]
    fn jumps_backward_do_not_stop_anything() {
        for jump in [-3_600, -START.0 / SECOND] {
            let mut world = World::new(15);
            world.run(30);
            let look = world.pass(1, jump);
            assert_eq!((look.jump_nanos, look.due.len()), (Some(jump * SECOND), 0), "{jump}");
            assert_eq!(world.run(150), (10, 0), "{jump}");
        }
    }

    /// A clock at either end of what can be said overflows nothing.
    #[test]
    fn no_moment_is_too_odd() {
        let mut world = World::new(15);
        for now in [i64::MAX, i64::MIN, 0, i64::MAX] {
            world.steady += Duration::from_secs(1);
            let look = world.schedule.look(Arc::clone(&world.groups), UnixNanos(now), world.steady);
            assert!(look.jump_nanos.is_some(), "{now}");
            assert!(world.schedule.pause(UnixNanos(now), Duration::from_secs(1)) <= Duration::from_secs(1));
        }
    }

    /// A small correction, as time servers make it, is no jump.
    #[test]
    fn small_corrections_are_no_jumps() {
        let mut world = World::new(15);
        assert_eq!(world.pass(1, 2).jump_nanos, None);
        assert_eq!(world.pass(1, -2).jump_nanos, None);
    }

    #[test]
    fn groups_that_stay_keep_their_next_moment() {
        let mut world = World::new(60);
        world.run(7);
        let before = world.schedule.groups[0].1;
        world.groups = Arc::new(vec![group("a", 60), group("b", 5)]);
        world.pass(1, 0);
        assert_eq!(world.schedule.groups[0].1, before);
        assert_eq!(world.schedule.groups.len(), 2);
    }
}
