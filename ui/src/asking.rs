//! Questions to the server of which only the newest counts: an answer to an older one is thrown away, whenever it comes.
//!
//! ```text
//!   range, id, filter change     |ask 1 ------------> answer 1 is thrown away
//!                                     |ask 2 ---> answer 2 is taken; loading ends
//! ```
//!
//! [`ask_newest`] asks by itself whenever what it reads changes; [`Turns`] is the same for questions that are asked by hand. A page
//! that was left in the meantime takes nothing. [`by_the_clock`] asks again and again.

use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use leptos::prelude::*;
use leptos::task::spawn_local;

use crate::client::session;

/// Numbers of questions: tells the newest from all before it.
#[derive(Clone, Copy)]
pub(crate) struct Turns(StoredValue<u32>);

/// One question's number.
#[derive(Clone, Copy)]
pub(crate) struct Turn {
    turns: StoredValue<u32>,
    number: u32,
}

impl Turns {
    /// Nothing was asked yet.
    pub(crate) fn new() -> Self {
        Self(StoredValue::new(0))
    }

    /// Begins a question; those before it are old from now on.
    pub(crate) fn next(self) -> Turn {
        let number = self.0.get_value().wrapping_add(1);
        self.0.set_value(number);
        Turn { turns: self.0, number }
    }

    /// Makes all questions before it old, because what they ask for is known. False when the page was left.
    pub(crate) fn overtake(self) -> bool {
        self.0.try_update_value(|number| *number = number.wrapping_add(1)).is_some()
    }
}

impl Turn {
    /// True while nothing newer was asked and the page is still there.
    pub(crate) fn is_newest(self) -> bool {
        self.turns.try_get_value() == Some(self.number)
    }
}

/// A question that asks itself.
#[derive(Clone, Copy)]
pub(crate) struct Asking {
    /// The newest question has no answer yet.
    pub(crate) loading: RwSignal<bool>,
    rounds: RwSignal<u32>,
}

impl Asking {
    /// Asks the same again.
    pub(crate) fn again(self) {
        self.rounds.update(|round| *round = round.wrapping_add(1));
    }

    /// [`Self::again`] for a button.
    pub(crate) fn retry(self) -> Callback<()> {
        Callback::new(move |()| self.again())
    }
}

/// Asks whenever what `question` reads changes, and hands the newest answer to `take`. `None` asks nothing, and makes what is on
/// its way old.
pub(crate) fn ask_newest<Q, T, F>(
    question: impl Fn() -> Option<Q> + 'static,
    ask: impl Fn(Q) -> F + 'static,
    take: impl Fn(T) + 'static,
) -> Asking
where
    Q: 'static,
    T: 'static,
    F: Future<Output = T> + 'static,
{
    ask_newest_after(0, question, ask, take)
}

/// [`ask_newest`] once a question has stood for so many milliseconds: what follows a key that is held asks at rest only.
pub(crate) fn ask_newest_after<Q, T, F>(
    pause_ms: u32,
    question: impl Fn() -> Option<Q> + 'static,
    ask: impl Fn(Q) -> F + 'static,
    take: impl Fn(T) + 'static,
) -> Asking
where
    Q: 'static,
    T: 'static,
    F: Future<Output = T> + 'static,
{
    let asking = Asking { loading: RwSignal::new(true), rounds: RwSignal::new(0) };
    let turns = Turns::new();
    let parts = Rc::new((ask, take));
    Effect::new(move |_| {
        asking.rounds.track();
        let question = question();
        let turn = turns.next();
        asking.loading.set(question.is_some());
        let Some(question) = question else { return };
        let parts = Rc::clone(&parts);
        spawn_local(async move {
            if pause_ms > 0 {
                gloo_timers::future::TimeoutFuture::new(pause_ms).await;
                if !turn.is_newest() {
                    return;
                }
            }
            let answer = (parts.0)(question).await;
            if turn.is_newest() {
                asking.loading.set(false);
                (parts.1)(answer);
            }
        });
    });
    asking
}

/// Does something again and again while the page is there. Not while the server waits for a key: what is asked then waits too, and
/// each turn of the clock would add a question to it.
pub(crate) fn by_the_clock(period: Duration, turn: impl Fn() + 'static) {
    let needed = session::is_needed();
    let tick = move || {
        if !needed.get_untracked() {
            turn();
        }
    };
    if let Ok(timer) = set_interval_with_handle(tick, period) {
        on_cleanup(move || timer.clear());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was kept on the server is known: an older answer does not take it back, and a page that was left takes nothing.
    #[test]
    fn what_is_known_overtakes_questions() {
        let owner = Owner::new();
        owner.set();
        let turns = Turns::new();
        let asked = turns.next();
        assert!(turns.overtake() && !asked.is_newest());
        owner.cleanup();
        assert!(!turns.overtake(), "the page was left");
    }

    #[test]
    fn only_the_newest_question_counts() {
        let owner = Owner::new();
        owner.set();
        let turns = Turns::new();
        let first = turns.next();
        assert!(first.is_newest());
        let second = turns.next();
        assert!(!first.is_newest() && second.is_newest());
        owner.cleanup();
        assert!(!second.is_newest(), "the page was left");
    }
}
