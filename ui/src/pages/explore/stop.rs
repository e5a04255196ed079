//! Questions that take long: how long already, and a way to give them up. Giving up ends them on the server, too.

use std::time::Duration;

use api::Problem;
use leptos::prelude::*;

use crate::client::Calls;

/// Seconds after which an answer is late.
const LATE_S: u32 = 2;

/// What asks by itself.
#[derive(Clone, Copy)]
pub(super) enum Part {
    List,
    Picture,
    Facets,
}

/// The questions under way, one of each part.
#[derive(Clone, Copy)]
pub(super) struct Running(StoredValue<[Calls; 3], LocalStorage>);

impl Running {
    /// None is.
    pub(super) fn new() -> Self {
        let running = Self(StoredValue::new_local(Default::default()));
        on_cleanup(move || running.give_up());
        running
    }

    /// A part asks anew: what it has asked before is given up.
    pub(super) fn begin(self, part: Part) -> Calls {
        let calls = Calls::new();
        let before = self.0.try_update_value(|all| std::mem::replace(&mut all[part as usize], calls.clone()));
        before.unwrap_or_default().give_up();
        calls
    }

    /// Gives up all.
    pub(super) fn give_up(self) {
        let _ = self.0.try_with_value(|all| all.iter().for_each(Calls::give_up));
    }
}

/// Instead of rows, once they were given up.
pub(super) fn stopped(seconds: u32) -> Problem {
    Problem {
        kind: "stopped".to_owned(),
        title: "Stopped".to_owned(),
        detail: format!("You gave it up after {seconds} s. A shorter range or a narrower filter reads less."),
        ..Problem::default()
    }
}

/// Says that an answer is late, and offers to do without it; `stop` gets the seconds that it took until then.
#[component]
pub(super) fn Slow(
    /// An answer is waited for.
    loading: RwSignal<bool>,
    /// Gives it up.
    stop: Callback<u32>,
) -> impl IntoView {
    let seconds = RwSignal::new(0u32);
    let timer = StoredValue::new(None::<IntervalHandle>);
    let end = move || {
        if let Some(timer) = timer.try_update_value(Option::take).flatten() {
            timer.clear();
        }
    };
    on_cleanup(end);
    Effect::new(move |_| {
        end();
        seconds.set(0);
        if loading.get() {
            let tick = move || {
                let _ = seconds.try_update(|seconds| *seconds += 1);
            };
            timer.set_value(set_interval_with_handle(tick, Duration::from_secs(1)).ok());
        }
    });
    let is_late = Memo::new(move |_| seconds.get() >= LATE_S);
    view! {
        <Show when=move || is_late.get()>
            <div class="late">
                <span role="status">"Still reading"</span>
                <span class="faint n">{move || format!("{} s", seconds.get())}</span>
                <button class="btn s" on:click=move |_| stop.run(seconds.get_untracked())>"Stop"</button>
            </div>
        </Show>
    }
}
