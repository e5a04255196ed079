//! Where one alert instance stands, and what a sample changes. Pure: time is an argument.
//!
//! ```text
//!              value                    value, `for` is over
//!   inactive ─────────▶ pending ───────────────────────────────▶ firing ◀─╮ value again
//!       ▲                  │ no value                               │     │
//!       ├──────────────────╯                                        ▼     │
//!       ╰───────────────────────── `keep_firing_for` is over ──── kept ───╯
//! ```
//!
//! As Prometheus does it: a value always counts, whatever its size; without `for` an instance fires at once.

use model::UnixNanos;

/// How long a condition must hold, and how long an alert stays when it no longer does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hold {
    /// `for`, in nanoseconds.
    pub(crate) for_nanos: i64,
    /// `keep_firing_for`, in nanoseconds.
    pub(crate) keep_nanos: i64,
}

/// An instance that is not inactive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Standing {
    /// Since when the condition holds.
    pub(crate) active_at: UnixNanos,
    /// Since when it fires; `None` while it is pending.
    pub(crate) fired_at: Option<UnixNanos>,
    /// Since when it fires only because of `keep_firing_for`.
    pub(crate) kept_since: Option<UnixNanos>,
    /// The newest value.
    pub(crate) value: f64,
}

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Move {
    /// The condition began to hold; `for` is not over.
    Pending,
    /// It fires.
    Firing,
    /// It was pending and the condition does not hold any more.
    Dropped,
    /// It was firing and is over.
    Resolved,
}

impl Standing {
    /// True when it fires.
    pub(crate) const fn is_firing(&self) -> bool {
        self.fired_at.is_some()
    }

    /// Moves the moments that waiting is counted from: time that was not lived through (a clock that jumped, a process
    /// that was down) counts neither towards `for` nor towards `keep_firing_for`.
    #[must_use]
    pub(crate) fn shifted(self, nanos: i64) -> Self {
        let active_at = if self.is_firing() { self.active_at } else { self.active_at + nanos };
        Self { active_at, kept_since: self.kept_since.map(|since| since + nanos), ..self }
    }
}

/// Takes the sample of one evaluation: `value` is `None` when the condition gave no row for this instance.
pub(crate) fn step(
    hold: Hold,
    standing: Option<Standing>,
    value: Option<f64>,
    now: UnixNanos,
) -> (Option<Standing>, Option<Move>) {
    match (standing, value) {
        (None, None) => (None, None),
        (None, Some(value)) => {
            let fired_at = (hold.for_nanos <= 0).then_some(now);
            let change = if fired_at.is_some() { Move::Firing } else { Move::Pending };
            (Some(Standing { active_at: now, fired_at, kept_since: None, value }), Some(change))
        }
        (Some(old), Some(value)) => {
            let is_due = !old.is_firing() && now - old.active_at >= hold.for_nanos;
            let fired_at = if is_due { Some(now) } else { old.fired_at };
            (Some(Standing { fired_at, kept_since: None, value, ..old }), is_due.then_some(Move::Firing))
        }
        (Some(old), None) if !old.is_firing() => (None, Some(Move::Dropped)),
        (Some(old), None) => {
            let since = old.kept_since.unwrap_or(now);
            if now - since < hold.keep_nanos {
                (Some(Standing { kept_since: Some(since), ..old }), None)
            } else {
                (None, Some(Move::Resolved))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MINUTE: i64 = 60 * UnixNanos::SECOND;

    /// One character is a minute: `x` the condition holds, `.` it does not. Below: `-` inactive, `p` pending, `F` firing,
    /// `k` firing because it is kept.
    #[track_caller]
    fn check(for_minutes: i64, keep_minutes: i64, samples: &str, expected: &str) {
        let hold = Hold { for_nanos: for_minutes * MINUTE, keep_nanos: keep_minutes * MINUTE };
        let (mut standing, mut drawn) = (None, String::new());
        for (minute, sample) in samples.chars().enumerate() {
            let value = (sample == 'x').then_some(1.0);
            (standing, _) = step(hold, standing, value, UnixNanos(minute as i64 * MINUTE));
            drawn.push(match standing {
                None => '-',
                Some(now) if !now.is_firing() => 'p',
                Some(now) if now.kept_since.is_some() => 'k',
                Some(_) => 'F',
            });
        }
        assert_eq!(drawn, expected, "for {for_minutes}m keep {keep_minutes}m: {samples}");
    }

    #[test]
    fn states_are_those_of_prometheus() {
        check(0, 0, ".x.xx.", "-F-FF-");
        check(2, 0, "xxxx..xx.xxx", "ppFF--pp-ppF");
        check(0, 2, "x....x.x...", "Fkk--FkFkk-");
        check(1, 2, "xx.x....x", "pFkFkk--p");
    }

    /// A process that was down for an hour does not make a pending alert fire by that.
    #[test]
    fn time_that_was_not_lived_through_does_not_count() {
        let hold = Hold { for_nanos: 5 * MINUTE, keep_nanos: 0 };
        let (pending, _) = step(hold, None, Some(1.0), UnixNanos(0));
        let (pending, _) = step(hold, pending, Some(1.0), UnixNanos(2 * MINUTE));
        let after = pending.map(|pending| pending.shifted(60 * MINUTE));
        let (still, change) = step(hold, after, Some(1.0), UnixNanos(62 * MINUTE));
        assert_eq!((still.map(|still| still.is_firing()), change), (Some(false), None));
        let (_, change) = step(hold, still, Some(1.0), UnixNanos(65 * MINUTE));
        assert_eq!(change, Some(Move::Firing));
    }

    proptest! {
        /// Every change is told once: what began to fire is resolved before it fires again, and nothing else resolves.
        #[test]
        fn moves_alternate(for_minutes in 0_i64..4, keep_minutes in 0_i64..4, samples in proptest::collection::vec(any::<bool>(), 0..60)) {
            let hold = Hold { for_nanos: for_minutes * MINUTE, keep_nanos: keep_minutes * MINUTE };
            let (mut standing, mut is_firing) = (None, false);
            for (minute, holds) in samples.into_iter().enumerate() {
                let (next, change) = step(hold, standing, holds.then_some(1.0), UnixNanos(minute as i64 * MINUTE));
                match change {
                    Some(Move::Firing) => { prop_assert!(!is_firing); is_firing = true; }
                    Some(Move::Resolved) => { prop_assert!(is_firing); is_firing = false; }
                    Some(Move::Pending | Move::Dropped) | None => {}
                }
                prop_assert_eq!(next.is_some_and(|next| next.is_firing()), is_firing);
                standing = next;
            }
        }
    }
}
