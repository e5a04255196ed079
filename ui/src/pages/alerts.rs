//! Alerts: every rule with its state, value and last day; beside it the selected rule, the editor, silences or the past.
//!
//! URL: `/alerts/:rule` selects one; `state` (`firing` ...), `q` (words), `show` (`new`, `edit`, `silences`, `history`),
//! `sql` (a statement that becomes a new rule), `match` (matchers of a new silence).
//! Keys: `J K` rule, `Enter` opens its newest journey, `M` mute, `E` edit, `N` new, `Esc` closes what stands beside.
//!
//! | file          | draws                                                             |
//! |---------------|-------------------------------------------------------------------|
//! | `list.rs`     | the table of rules                                                |
//! | `drawer.rs`   | the selected rule: alerts, condition, what differs, history       |
//! | `editor.rs`   | a rule as text with what it would have done; proposals            |
//! | `silences.rs` | silences: make, list, end                                         |
//! | `history.rs`  | past transitions, and who is told                                 |

mod drawer;
mod editor;
mod history;
mod list;
mod silences;

use std::time::Duration;

use api::{AlertHistoryAnswer, AlertRulesAnswer, AlertsAnswer, Problem};
use leptos::prelude::*;
use leptos::task::spawn_local;
use leptos_router::NavigateOptions;
use leptos_router::hooks::{use_location, use_navigate};

use self::drawer::Drawer;
use self::editor::Editor;
use self::history::History;
use self::list::List;
use self::silences::Silences;
use crate::app::{cross, now_nanos, shared, there};
use crate::asking::{ask_newest, by_the_clock};
use crate::client;
use crate::components::icon::{Icon, icon};
use crate::components::keys::{is_control, on_key};
use crate::components::states::{EmptyState, ErrorBox, LoadingBar, Skeleton};
use crate::view::alerts::day::{Day, known_from};
use crate::view::alerts::matchers::{matchers_of, matchers_text};
use crate::view::alerts::{Row, State, examples, firing, rows};
use crate::view::{clock, format, url};

/// How often states are asked again.
const EVERY: Duration = Duration::from_secs(5);
/// The past is asked again after so many rounds.
const HISTORY_ROUNDS: u32 = 6;
/// The cells of a rule show so much.
const DAY_NANOS: i64 = 86_400_000_000_000;

/// What stands beside the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beside {
    /// The selected rule.
    Rule,
    /// The editor with a new rule.
    New,
    /// The editor with the selected rule.
    Edit,
    Silences,
    History,
}

impl Beside {
    fn named(name: &str) -> Self {
        match name {
            "new" => Self::New,
            "edit" => Self::Edit,
            "silences" => Self::Silences,
            "history" => Self::History,
            _ => Self::Rule,
        }
    }
}

/// What the server knows of rules and alerts.
#[derive(Clone, Debug, PartialEq)]
struct Known {
    rules: AlertRulesAnswer,
    alerts: AlertsAnswer,
}

/// A rule to go to, and parameters to set or (with `None`) to remove.
type Step = (Option<String>, Vec<(&'static str, Option<String>)>);

/// What the parts of the page share. Copied freely.
#[derive(Clone, Copy)]
struct Desk {
    known: RwSignal<Option<Result<Known, Problem>>>,
    /// Transitions of the last day, of all rules; `None` until they are answered first.
    past: RwSignal<Option<Result<AlertHistoryAnswer, Problem>>>,
    rows: Memo<Vec<Row>>,
    /// Asks again at once.
    reload: RwSignal<u32>,
    /// Goes to a rule (`None` stays) with these parameters changed.
    go: Callback<Step>,
}

impl Desk {
    /// Opens a part beside the list.
    fn show(self, part: &'static str) {
        self.go.run((None, vec![("show", Some(part.to_owned())), ("sql", None), ("match", None)]));
    }

    /// The selected rule again, or nothing.
    fn close(self) {
        self.go.run((None, vec![("show", None), ("sql", None), ("match", None)]));
    }

    /// Opens the silences with these matchers filled in.
    fn silence(self, matchers: String) {
        self.go.run((None, vec![("show", Some("silences".to_owned())), ("match", Some(matchers)), ("sql", None)]));
    }

    /// The last day of a rule.
    fn day(self, row: &Row) -> Day {
        let now = now_nanos();
        self.past.with(|past| Day::new(row, past.as_ref().and_then(|past| past.as_ref().ok()), now - DAY_NANOS, now))
    }
}

/// The name behind `/alerts/` in a path.
fn rule_in(path: &str) -> String {
    path.strip_prefix("/alerts/").map(|name| url::decode(&name.replace('+', "%2B"))).unwrap_or_default()
}

/// Rules at the left, one thing about them at the right.
#[component]
pub(crate) fn AlertsPage() -> impl IntoView {
    let shared = shared();
    let location = use_location();
    let (path, search) = (location.pathname, location.search);
    let navigate = use_navigate();
    let parameter = move |name: &'static str| {
        Memo::new(move |_| url::pairs(&search.get()).into_iter().find(|(key, _)| key == name).map(|(_, value)| value))
    };
    let (state, words, show) = (parameter("state"), parameter("q"), parameter("show"));
    let selected = Memo::new(move |_| rule_in(&path.get()));
    let beside = Memo::new(move |_| Beside::named(show.get().as_deref().unwrap_or_default()));

    let known = RwSignal::new(None::<Result<Known, Problem>>);
    let past = RwSignal::new(None::<Result<AlertHistoryAnswer, Problem>>);
    let reload = RwSignal::new(0u32);
    let asking = ask_newest(
        move || Some(reload.get()),
        |round| async move {
            let rules = client::alert_rules().await;
            let alerts = match &rules {
                Ok(_) => client::alerts().await,
                Err(problem) => Err(problem.clone()),
            };
            (round, rules.and_then(|rules| alerts.map(|alerts| Known { rules, alerts })))
        },
        move |(round, found)| {
            let has_alerts = found.is_ok();
            if let Ok(found) = &found {
                shared.see_firing(firing(&found.alerts));
            }
            known.set(Some(found));
            // What failed is asked again at once, not only when its turn comes.
            let is_unknown = past.with_untracked(|past| !matches!(past, Some(Ok(_))));
            if has_alerts && (is_unknown || round.is_multiple_of(HISTORY_ROUNDS)) {
                spawn_local(async move {
                    past.try_set(Some(client::alert_history("now-24h", "now+1m", None).await));
                });
            }
        },
    );
    // Looking again by the clock shows no bar.
    let loading = Signal::derive(move || asking.loading.get() && known.with(Option::is_none));
    by_the_clock(EVERY, move || reload.update(|round| *round = round.wrapping_add(1)));
    let all = Memo::new(move |_| {
        known.with(|known| match known {
            Some(Ok(known)) => rows(&known.rules.rules, &known.alerts.alerts),
            _ => Vec::new(),
        })
    });
    let shown = Memo::new(move |_| {
        let (state, words) = (state.get(), words.get().unwrap_or_default());
        all.with(|all| {
            let is_wanted =
                |row: &&Row| state.as_deref().is_none_or(|state| state == row.state.name()) && row.has(&words);
            all.iter().filter(is_wanted).cloned().collect::<Vec<_>>()
        })
    });
    // Without a choice the first rule stands beside the list.
    let row = Memo::new(move |_| {
        let wanted = selected.get();
        all.with(|all| all.iter().find(|row| row.key == wanted).cloned())
            .or_else(|| shown.with(|shown| shown.first().cloned()).filter(|_| wanted.is_empty()))
    });
    let row_key = Memo::new(move |_| row.with(|row| row.as_ref().map(|row| row.key.clone())));
    let go = Callback::new(move |(rule, changes): Step| {
        let path = rule.map_or_else(|| path.get_untracked(), |rule| rule_link(&rule));
        let changes: Vec<(&str, Option<&str>)> = changes.iter().map(|(key, value)| (*key, value.as_deref())).collect();
        let link = format!("{path}{}", url::with_parameters(&search.get_untracked(), &changes));
        navigate(&link, NavigateOptions { scroll: false, ..NavigateOptions::default() });
    });
    let desk = Desk { known, past, rows: all, reload, go };

    let step = move |by: isize| {
        let now = row.with_untracked(|row| row.as_ref().map(|row| row.key.clone()));
        let next = shown.with_untracked(|shown| {
            let at = shown.iter().position(|row| Some(&row.key) == now.as_ref());
            let at = at.map_or(0, |at| at.saturating_add_signed(by));
            shown.get(at.min(shown.len().saturating_sub(1))).map(|row| row.key.clone())
        });
        if let Some(next) = next {
            go.run((Some(next), vec![("show", None), ("sql", None), ("match", None)]));
        }
    };
    on_key(move |event, key| {
        match key {
            "j" => step(1),
            "k" => step(-1),
            "n" => desk.show("new"),
            "e" if row.with_untracked(|row| row.as_ref().is_some_and(|row| row.rule.text.is_some())) => {
                desk.show("edit")
            }
            "m" => match row.get_untracked() {
                Some(row) => desk.silence(matchers_text(&matchers_of(&row))),
                None => return false,
            },
            "r" => reload.update(|round| *round = round.wrapping_add(1)),
            "Escape" if beside.get_untracked() != Beside::Rule && !shared.keys_open.get_untracked() => desk.close(),
            "Enter" if !is_control(event) => {
                let journey = row.with_untracked(|row| {
                    let alerts = row.iter().flat_map(|row| &row.alerts);
                    alerts.flat_map(|alert| examples(&alert.annotations)).next()
                });
                match journey {
                    Some(journey) => {
                        cross(&format!("/j/{journey}{}", url::shared(&search.get_untracked())));
                    }
                    None => return false,
                }
            }
            _ => return false,
        }
        true
    });

    let tab = move |wanted: Option<State>| {
        let name = wanted.map_or("", State::name);
        let is_here = move || state.get().unwrap_or_default() == name;
        let count =
            move || all.with(|all| all.iter().filter(|row| wanted.is_none_or(|state| state == row.state)).count());
        let link = move || {
            format!(
                "/alerts{}",
                url::with_parameters(&search.get(), &[("state", Some(name).filter(|name| !name.is_empty()))])
            )
        };
        let is_there = move || wanted.is_none() || is_here() || count() > 0;
        view! {
            <Show when=is_there>
                <a href=link aria-current=move || is_here().then_some("true")>
                    {wanted.map(|state| view! { <i class=format!("st {}", state.name())></i> })}
                    <b class=wanted.map_or("", State::tone)>{move || count().to_string()}</b>
                    {wanted.map_or("All", State::word)}
                </a>
            </Show>
        }
    };
    let toggle = move |name: &'static str, part: Beside, title: &'static str| {
        view! {
            <button class="btn" class:on=move || beside.get() == part aria-pressed=move || (beside.get() == part).to_string()
                on:click=move |_| if beside.get_untracked() == part { desk.close() } else { desk.show(name) }>{title}</button>
        }
    };
    let search_words = move |event: web_sys::Event| {
        let text = event_target_value(&event);
        go.run((None, vec![("q", Some(text).filter(|text| !text.is_empty()))]));
    };
    let notices = move || {
        known.with(|known| {
            let Some(Ok(known)) = known else { return None };
            let mut notes: Vec<String> = known
                .rules
                .broken_files
                .iter()
                .map(|(file, why)| format!("{file} cannot be used, its earlier rules stay in force: {why}"))
                .collect();
            notes.extend(known.alerts.targets.iter().filter_map(|target| {
                let why = target.last_error.as_ref()?;
                Some(format!("{} does not hear of alerts ({} waiting): {why}", target.url, target.waiting))
            }));
            if known.alerts.unsaved > 0 {
                notes.push(format!(
                    "{} wait to be stored: storage refuses them",
                    format::counted(known.alerts.unsaved, "transition")
                ));
            }
            past.with(|past| match past {
                Some(Err(problem)) => {
                    notes.push(format!("What became of alerts in the last day is unknown: {}", problem.detail))
                }
                Some(Ok(past)) => notes.extend(known_from(past).map(|at| {
                    format!(
                        "The last day is drawn from the newest {}: before {} it is unknown",
                        format::counted(past.transitions.len() as u64, "transition"),
                        clock::day_and_time(at),
                    )
                })),
                None => {}
            });
            Some(notes.into_iter().map(|note| view! { <p class="notice bad">{note}</p> }).collect_view())
        })
    };
    let body = move || {
        let failed = known.with(|known| match known {
            None => Some(None),
            Some(Err(problem)) => Some(Some(problem.clone())),
            Some(Ok(_)) => None,
        });
        match failed {
            Some(None) => view! { <Skeleton rows=12/> }.into_any(),
            Some(Some(problem)) => {
                let retry = Callback::new(move |()| reload.update(|round| *round = round.wrapping_add(1)));
                view! { <ErrorBox problem retry/> }.into_any()
            }
            None if all.with(Vec::is_empty) => view! {
                <EmptyState title="No rule watches anything yet">
                    <span class="dim">"Begin with a rule proposed from the data of the last day, or write your own."</span>
                    <button class="btn s primary" on:click=move |_| desk.show("new")>"See proposed rules"</button>
                </EmptyState>
            }
            .into_any(),
            None if shown.with(Vec::is_empty) => view! {
                <EmptyState title="No rule is like this">
                    <span class="dim">{move || format!("{} without these conditions.", format::counted(all.with(Vec::len) as u64, "rule"))}</span>
                    <a class="btn s" href=there("/alerts")>"Show all"</a>
                </EmptyState>
            }
            .into_any(),
            None => view! { <List desk shown row/> }.into_any(),
        }
    };
    let part = move || match beside.get() {
        Beside::Rule => view! { <Drawer desk row/> }.into_any(),
        Beside::New => view! { <Editor desk rule=None/> }.into_any(),
        // The text in the editor must stay when states are asked again: only another rule replaces it.
        Beside::Edit => match row_key.get() {
            None => view! { <aside class="insp" aria-label="Rule editor"><Skeleton rows=8/></aside> }.into_any(),
            Some(_) => match row.with_untracked(|row| row.as_ref().map(|row| row.rule.clone())) {
                Some(rule) if rule.text.is_some() => view! { <Editor desk rule=Some(rule)/> }.into_any(),
                // The collector's own rules cannot be written.
                _ => view! { <Drawer desk row/> }.into_any(),
            },
        },
        Beside::Silences => view! { <Silences desk/> }.into_any(),
        Beside::History => view! { <History desk/> }.into_any(),
    };
    let foot = move || {
        all.with(|all| {
            let newest =
                all.iter().filter_map(|row| row.rule.last_evaluation_unix_nano.as_ref()?.parse::<i64>().ok()).max()?;
            let took: f64 = all.iter().map(|row| row.rule.evaluation_seconds).sum();
            let missed = known.with(|known| {
                known.as_ref().and_then(|known| known.as_ref().ok()).map_or(0, |known| known.alerts.missed)
            });
            let missed =
                if missed > 0 { format!(", {} missed", format::counted(missed, "evaluation")) } else { String::new() };
            Some(format!(
                "Evaluated {}, took {} for {}{missed}",
                clock::time_of_day(newest).get(..8)?,
                format::duration((took * 1e9) as u64),
                format::counted(all.len() as u64, "rule")
            ))
        })
    };
    view! {
        <div class="al-head">
            <nav class="sum" aria-label="States">
                {tab(None)}
                {State::ALL.map(|(state, ..)| tab(Some(state))).into_iter().collect_view()}
            </nav>
            <span class="grow"></span>
            <label class="find">{icon(Icon::Search, true)}<input id="filter" aria-label="Filter rules" placeholder="Filter rules" type="text" prop:value=move || words.get().unwrap_or_default() on:change=search_words/></label>
            {toggle("history", Beside::History, "History")}
            {toggle("silences", Beside::Silences, "Silences")}
            <button class="btn primary" aria-pressed=move || (beside.get() == Beside::New).to_string() on:click=move |_| desk.show("new")>{icon(Icon::Plus, true)}"New rule"</button>
        </div>
        {notices}
        <div class="split al-split" class:wider=move || matches!(beside.get(), Beside::New | Beside::Edit | Beside::History)>
            <div class="col">
                <div class="lst" tabindex="0" role="region" aria-label="Rules">
                    <LoadingBar active=loading/>
                    {body}
                </div>
                <div class="status">
                    <span><kbd>"J"</kbd><kbd>"K"</kbd> "rule"</span>
                    <span><kbd>"Enter"</kbd> "journey"</span>
                    <span><kbd>"M"</kbd> "mute"</span>
                    <span><kbd>"E"</kbd> "edit"</span>
                    <span><kbd>"N"</kbd> "new"</span>
                    <span class="grow"></span>
                    <span>{foot}</span>
                </div>
            </div>
            {part}
        </div>
    }
}

/// Path of a rule.
fn rule_link(key: &str) -> String {
    format!("/alerts/{}", url::encode(key).replace('+', "%20"))
}
