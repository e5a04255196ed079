//! What the command box offers for a text: pages, services, queues, metrics, saved queries, rules, actions, and where the text
//! itself leads.

use super::jump::{Jump, jump};
use super::url::{self, ExploreState, RangeText, Unit};

/// Offers shown at once.
pub(crate) const OFFERS_MAX: usize = 12;

/// What an offer does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Goes to an address of the page.
    Go(String),
    /// The other theme.
    Theme,
    /// Copies a link with absolute times.
    Share,
    /// The sheet of keys.
    Keys,
}

/// One thing that can be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    /// What it is: `page`, `service`, `queue` ...
    pub(crate) kind: &'static str,
    /// What people call it.
    pub(crate) name: String,
    /// What it does.
    pub(crate) act: Act,
}

impl Offer {
    /// An offer that goes somewhere.
    pub(crate) fn go(kind: &'static str, name: impl Into<String>, link: String) -> Self {
        Self { kind, name: name.into(), act: Act::Go(link) }
    }
}

/// Pages and actions, which are always there.
pub(crate) fn fixed() -> Vec<Offer> {
    let with = |path: &str, key: &str, value: &str| format!("{path}{}", url::query_string([(key, value)]));
    let pages = [
        ("Home", "/"),
        ("Explore", "/explore"),
        ("Service map", "/map"),
        ("Services", "/services"),
        ("Metrics", "/metrics"),
        ("SQL", "/sql"),
        ("Alerts", "/alerts"),
        ("System", "/system"),
    ];
    let mut all: Vec<Offer> = pages.iter().map(|(name, path)| Offer::go("page", *name, (*path).to_owned())).collect();
    all.extend([
        Offer::go("page", "Service map as a table", with("/map", "view", "table")),
        Offer::go("page", "Silences", with("/alerts", "show", "silences")),
        Offer::go("page", "History of alerts", with("/alerts", "show", "history")),
        Offer::go("action", "New alert rule", with("/alerts", "show", "new")),
        Offer::go("action", "Slowest journeys", with("/explore", "sort", "slowest")),
        Offer::go("action", "Journeys with errors", with("/explore", "q", "status=error")),
        Offer { kind: "action", name: "Switch theme".to_owned(), act: Act::Theme },
        Offer { kind: "action", name: "Copy a link to this view".to_owned(), act: Act::Share },
        Offer { kind: "action", name: "Keys".to_owned(), act: Act::Keys },
    ]);
    all
}

/// Where the text itself leads: a trace by its id, or a search. `None` for no text. The flag: it asks for nothing else, so it
/// stands first.
fn itself(text: &str, carried: &str) -> Option<(Offer, bool)> {
    Some(match jump(text)? {
        Jump::Trace(trace, Some(span)) => {
            (Offer::go("span", format!("Span {span}"), format!("/t/{trace}/{span}{carried}")), true)
        }
        Jump::Trace(trace, None) => {
            (Offer::go("trace", format!("Trace {trace}"), format!("/t/{trace}{carried}")), true)
        }
        Jump::Filter(filter) => {
            let is_filter = filter == text.trim() || filter.starts_with("span_id");
            let state = ExploreState {
                unit: Unit::Spans,
                range: RangeText::read(carried),
                filter: filter.clone(),
                ..ExploreState::read(carried)
            };
            (Offer::go("search", format!("Spans with {filter}"), state.link()), is_filter)
        }
    })
}

/// How well a name fits a text: lower is better. `None`: not at all. Every word of the text must begin a word of the name, stand in
/// it, or its letters must stand in the name in this order.
fn misfit(name: &str, kind: &str, text: &str) -> Option<usize> {
    let name = name.to_lowercase();
    let mut sum = 0;
    for word in text.to_lowercase().split_whitespace() {
        let starts = |at: usize| at == 0 || !name[..at].ends_with(char::is_alphanumeric);
        sum += match name.match_indices(word).map(|(at, _)| at).min_by_key(|at| !starts(*at)) {
            Some(0) => 0,
            Some(at) if starts(at) => 1,
            Some(_) => 3,
            None if kind.starts_with(word) => 4,
            None => {
                let mut left = name.chars();
                if word.chars().count() < 2 || !word.chars().all(|letter| left.any(|other| other == letter)) {
                    return None;
                }
                8
            }
        };
    }
    Some(sum)
}

/// What fits the text, the best first, at most [`OFFERS_MAX`]; equally good ones as they stand in `known`, shorter names first.
/// Without a text: what stands first in `known`. Links keep the time of the reader: `carried` are the shared parameters of where he
/// is now, not of where he was when something became known.
pub(crate) fn offers(known: &[Offer], text: &str, carried: &str) -> Vec<Offer> {
    let mut fits: Vec<(usize, usize, &Offer)> = known
        .iter()
        .filter_map(|offer| Some((misfit(&offer.name, offer.kind, text)?, offer.name.chars().count(), offer)))
        .collect();
    if !text.trim().is_empty() {
        fits.sort_by_key(|(misfit, letters, _)| (*misfit, *letters));
    }
    let mut all: Vec<Offer> = fits.into_iter().map(|(.., offer)| offer.clone()).collect();
    match itself(text, carried) {
        Some((own, true)) => all.insert(0, own),
        Some((own, false)) => {
            all.truncate(OFFERS_MAX - 1);
            all.push(own);
        }
        None => {}
    }
    all.truncate(OFFERS_MAX);
    for offer in &mut all {
        if let Act::Go(link) = &mut offer.act {
            *link = url::carry(link, carried);
        }
    }
    all
}

/// Where the chosen offer stands: it keeps its place in the reader's mind when better ones come. The first without a choice, or
/// when what was chosen is gone.
pub(crate) fn place(offers: &[Offer], chosen: Option<&(&'static str, String)>) -> usize {
    let is_it = |offer: &Offer| chosen.is_some_and(|(kind, name)| *kind == offer.kind && *name == offer.name);
    offers.iter().position(is_it).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Vec<Offer> {
        let mut all = fixed();
        all.push(Offer::go("service", "order", "/services/order".to_owned()));
        all.push(Offer::go("queue", "order-created", "/map?sel=queue".to_owned()));
        all.push(Offer::go("query", "Slow by version", "/sql/slow-by-version".to_owned()));
        all
    }

    fn names(text: &str) -> Vec<String> {
        offers(&known(), text, "?from=now-6h")
            .into_iter()
            .map(|offer| format!("{}: {}", offer.kind, offer.name))
            .collect()
    }

    /// The first offer is what Enter does.
    #[test]
    fn the_best_stands_first() {
        assert_eq!(names("ord")[..2], ["service: order", "queue: order-created"]);
        assert_eq!(names("created")[0], "queue: order-created");
        assert_eq!(names("slow ver")[0], "query: Slow by version");
        assert_eq!(names("thm")[0], "action: Switch theme");
        assert_eq!(names("queue")[0], "queue: order-created");
        assert_eq!(names("")[0], "page: Home");
    }

    /// Ids and conditions are what they are, also when names contain them.
    #[test]
    fn an_id_leads_to_its_trace() {
        let id = "5b8efff798038103d269b633813fc60c";
        let first = offers(&known(), id, "?from=now-6h").into_iter().next().expect("an offer");
        assert_eq!(first.act, Act::Go(format!("/t/{id}?from=now-6h")));
        assert_eq!(names("service=order")[0], "search: Spans with service=order");
    }

    /// What nothing is called can still be looked for, and it always stands last.
    #[test]
    fn any_text_can_be_searched() {
        assert_eq!(names("zzz"), ["search: Spans with name~zzz"]);
        let last = offers(&known(), "order", "?from=now-6h").pop().expect("an offer");
        assert_eq!(
            (last.kind, last.act),
            ("search", Act::Go("/explore?unit=spans&q=name~order&from=now-6h".to_owned()))
        );
    }

    /// Services become known at one range of time and are gone to at another.
    #[test]
    fn links_are_of_the_time_where_the_reader_is() {
        let link = |text: &str, carried: &str| match offers(&known(), text, carried).remove(0).act {
            Act::Go(link) => link,
            other => panic!("{other:?}"),
        };
        assert_eq!(link("created", "?from=now-5m&theme=light"), "/map?sel=queue&from=now-5m&theme=light");
        assert_eq!(link("home", ""), "/");
        assert_eq!(link("slowest journeys", "?from=now-6h"), "/explore?sort=slowest&from=now-6h");
    }

    /// Answers that come late do not move the choice to another offer.
    #[test]
    fn the_choice_stays_when_better_offers_come() {
        let before = offers(&fixed(), "ser", "");
        let at = before.iter().position(|offer| offer.name == "Services").expect("the page is offered");
        let chosen = (before[at].kind, before[at].name.clone());
        let mut all = fixed();
        all.push(Offer::go("service", "serv", "/services/serv".to_owned()));
        let after = offers(&all, "ser", "");
        assert_eq!(after[0].name, "serv");
        assert_eq!(after[place(&after, Some(&chosen))].name, "Services");
        assert_eq!((place(&after, None), place(&after, Some(&("page", "gone".to_owned())))), (0, 0));
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in ".{0,40}") {
            proptest::prop_assert!(offers(&known(), &text, "").len() <= OFFERS_MAX);
        }
    }
}
