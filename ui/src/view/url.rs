//! The state of each page as a query string and back: every view is a URL.
//!
//! Only what differs from the default is written, in a fixed order, so that one view has one URL.
//! Parameters a page does not know are left out of its links, apart from the shared ones (`from`, `to`, `env`,
//! `theme`), which travel along.

use std::fmt::Write as _;

use super::environment;

/// First parts of the addresses that each program shows; the empty one of Home is `desk`'s, all others belong to `trail`.
/// `index.html` says the same to `boot.js`, which chooses before wasm is there.
const PROGRAMS: [(&str, &str); 2] =
    [("desk", "explore map"), ("watch", "services metrics sql alerts system compare v")];

/// The program that shows a path: `desk`, `watch` or `trail`.
pub(crate) fn program(path: &str) -> &'static str {
    let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    if first.is_empty() {
        return "desk";
    }
    let shows = |pages: &str| pages.split(' ').any(|name| name == first);
    PROGRAMS.into_iter().find(|(_, pages)| shows(pages)).map_or("trail", |(program, _)| program)
}

/// Pairs of a query string, decoded, in order.
pub(crate) fn pairs(query: &str) -> Vec<(String, String)> {
    let query = query.strip_prefix('?').unwrap_or(query);
    query
        .split('&')
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            (decode(key), decode(value))
        })
        .collect()
}

/// Writes pairs as a query string with its `?`; nothing when there are none.
pub(crate) fn query_string<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = String::new();
    for (key, value) in pairs {
        text.push(if text.is_empty() { '?' } else { '&' });
        text.push_str(&encode(key));
        text.push('=');
        text.push_str(&encode(value));
    }
    text
}

/// Percent-encodes what may not stand in a query value or a path segment. `: , =` inside values stay readable.
pub(crate) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' | b',' => {
                encoded.push(char::from(byte));
            }
            b' ' => encoded.push('+'),
            _ => write!(encoded, "%{byte:02X}").unwrap_or_default(),
        }
    }
    encoded
}

/// Undoes [`encode`]. What is not valid stays as it stands; bytes that are no UTF-8 become `U+FFFD`.
pub(crate) fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while index < bytes.len() {
        let hex = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        match (bytes[index], hex(index + 1), hex(index + 2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                index += 3;
            }
            (b'+', ..) => {
                decoded.push(b' ');
                index += 1;
            }
            (byte, ..) => {
                decoded.push(byte);
                index += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// A range of time as two texts of the API; see `clock.rs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RangeText {
    /// First moment inside.
    pub(crate) from: String,
    /// First moment after.
    pub(crate) to: String,
}

impl Default for RangeText {
    fn default() -> Self {
        Self { from: "now-1h".to_owned(), to: "now".to_owned() }
    }
}

impl RangeText {
    /// From the pairs of a query string.
    pub(crate) fn read(query: &str) -> Self {
        let mut range = Self::default();
        for (key, value) in pairs(query) {
            match key.as_str() {
                "from" if !value.is_empty() => range.from = value,
                "to" if !value.is_empty() => range.to = value,
                _ => {}
            }
        }
        range
    }
}

/// What the list of Explore counts as one row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Unit {
    /// A journey of which at least one span matches.
    #[default]
    Journeys,
    /// A trace of which at least one span matches.
    Traces,
    /// A span that matches.
    Spans,
}

impl Unit {
    /// As the API and the URL call it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Journeys => "journeys",
            Self::Traces => "traces",
            Self::Spans => "spans",
        }
    }

    /// The unit with this name; journeys for an unknown one.
    pub(crate) fn named(name: &str) -> Self {
        match name {
            "traces" => Self::Traces,
            "spans" => Self::Spans,
            _ => Self::Journeys,
        }
    }
}

/// Which duration the heatmap shows. Traces and spans have one; journeys three.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Plot {
    /// Until the last effect.
    #[default]
    LastEffect,
    /// Until the caller had its answer.
    Answer,
    /// In queues and before redelivery.
    Wait,
}

impl Plot {
    /// All, with their names in the URL and on the page, and the filter's field.
    pub(crate) const ALL: [(Self, &str, &str, &str); 3] = [
        (Self::LastEffect, "last_effect", "Last effect", "journey:duration"),
        (Self::Answer, "answer", "Answer", "journey:answer"),
        (Self::Wait, "wait", "Broker wait", "journey:wait"),
    ];

    fn entry(self) -> (&'static str, &'static str) {
        let entry = Self::ALL.into_iter().find(|(plot, ..)| *plot == self).unwrap_or(Self::ALL[0]);
        (entry.1, entry.3)
    }

    /// As the API and the URL call it.
    pub(crate) fn name(self) -> &'static str {
        self.entry().0
    }

    /// The filter's field that holds this duration of items of a unit.
    pub(crate) fn field(self, unit: Unit) -> &'static str {
        if unit == Unit::Journeys { self.entry().1 } else { "duration" }
    }
}

/// A rectangle in the heatmap: nanoseconds since 1970, then nanoseconds of duration. Ends are outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Brush {
    /// First moment inside.
    pub(crate) from: i64,
    /// First moment after.
    pub(crate) to: i64,
    /// Shortest duration inside.
    pub(crate) least: u64,
    /// Shortest duration that is too long.
    pub(crate) most: u64,
}

impl Brush {
    /// Reads `from,to,least,most`; `None` when it is no rectangle.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let mut parts = text.split(',');
        let brush = Self {
            from: parts.next()?.parse().ok()?,
            to: parts.next()?.parse().ok()?,
            least: parts.next()?.parse().ok()?,
            most: parts.next()?.parse().ok()?,
        };
        (parts.next().is_none() && brush.from < brush.to && brush.least < brush.most).then_some(brush)
    }

    /// The text for the URL.
    pub(crate) fn text(self) -> String {
        format!("{},{},{},{}", self.from, self.to, self.least, self.most)
    }
}

/// Which row of Explore stands first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Sort {
    /// The latest start.
    #[default]
    Newest,
    /// The longest duration.
    Slowest,
    /// The most failed spans.
    Errors,
}

impl Sort {
    /// As the API and the URL call it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Newest => "newest",
            Self::Slowest => "slowest",
            Self::Errors => "errors",
        }
    }
}

/// Everything Explore shows, as its URL says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ExploreState {
    /// Rows are journeys, traces or spans.
    pub(crate) unit: Unit,
    /// The filter text.
    pub(crate) filter: String,
    /// Order of rows.
    pub(crate) sort: Sort,
    /// Range of time.
    pub(crate) range: RangeText,
    /// Columns of the table, names with commas between; empty for the usual ones.
    pub(crate) columns: String,
    /// Duration the heatmap shows.
    pub(crate) plot: Plot,
    /// Part of the heatmap that is selected.
    pub(crate) brush: Option<Brush>,
    /// New rows come by themselves.
    pub(crate) live: bool,
    /// Theme forced by the URL.
    pub(crate) theme: Option<String>,
}

impl ExploreState {
    /// From a query string; unknown values read as the default.
    pub(crate) fn read(query: &str) -> Self {
        let (mut state, mut env) = (Self { range: RangeText::read(query), ..Self::default() }, None);
        for (key, value) in pairs(query) {
            match (key.as_str(), value.as_str()) {
                ("unit", name) => state.unit = Unit::named(name),
                ("sort", "slowest") => state.sort = Sort::Slowest,
                ("sort", "errors") => state.sort = Sort::Errors,
                ("plot", name) => {
                    state.plot =
                        Plot::ALL.into_iter().find(|plot| plot.1 == name).map(|plot| plot.0).unwrap_or_default();
                }
                ("brush", text) => state.brush = Brush::read(text),
                ("live", on) => state.live = on == "1",
                ("q", _) => state.filter = value,
                ("cols", _) => state.columns = value,
                ("theme", _) => state.theme = Some(value),
                ("env", _) => env = Some(value).filter(|env| !env.is_empty()),
                _ => {}
            }
        }
        if let Some(env) = env {
            state.filter = environment::with(&state.filter, &env);
        }
        state
    }

    /// Path and query string of this view.
    pub(crate) fn link(&self) -> String {
        let default = Self::default();
        let theme = self.theme.as_deref().unwrap_or_default();
        let brush = self.brush.map(Brush::text).unwrap_or_default();
        let (filter, env) = environment::taken_out(&self.filter);
        let env = env.unwrap_or_default();
        let all = [
            ("unit", self.unit.name(), self.unit != default.unit),
            ("q", &filter, !filter.is_empty()),
            ("sort", self.sort.name(), self.sort != default.sort),
            ("cols", &self.columns, !self.columns.is_empty()),
            ("plot", self.plot.name(), self.plot != default.plot),
            ("brush", &brush, !brush.is_empty()),
            ("live", "1", self.live),
            ("from", &self.range.from, self.range != default.range),
            ("to", &self.range.to, self.range.to != default.range.to),
            ("env", &env, !env.is_empty()),
            ("theme", theme, !theme.is_empty()),
        ];
        let kept = all.iter().filter(|(_, _, differs)| *differs).map(|(key, value, _)| (*key, *value));
        format!("/explore{}", query_string(kept))
    }

    /// The question of this view for the API: what is counted and listed.
    pub(crate) fn question(&self) -> Vec<(&str, &str)> {
        let all = [
            ("unit", self.unit.name()),
            ("q", self.filter.as_str()),
            ("from", self.range.from.as_str()),
            ("to", self.range.to.as_str()),
        ];
        all.into_iter().filter(|(_, value)| !value.is_empty()).collect()
    }

    /// Query string of the API for one page of this view.
    pub(crate) fn api_query(&self, limit: usize, cursor: Option<&str>) -> String {
        let limit = limit.to_string();
        let mut all = vec![
            ("unit", self.unit.name()),
            ("q", self.filter.as_str()),
            ("from", self.range.from.as_str()),
            ("to", self.range.to.as_str()),
            ("sort", self.sort.name()),
            ("limit", limit.as_str()),
        ];
        all.extend(cursor.map(|cursor| ("cursor", cursor)));
        query_string(all.into_iter().filter(|(_, value)| !value.is_empty()))
    }
}

/// Sets, replaces or (with `None`) removes parameters of a query string; the others keep their place.
pub(crate) fn with_parameters(query: &str, changes: &[(&str, Option<&str>)]) -> String {
    let mut all = pairs(query);
    for (key, value) in changes {
        match (all.iter_mut().find(|(name, _)| name == key), value) {
            (Some(pair), Some(value)) => (*value).clone_into(&mut pair.1),
            (None, Some(value)) => all.push(((*key).to_owned(), (*value).to_owned())),
            (_, None) => all.retain(|(name, _)| name != key),
        }
    }
    query_string(all.iter().map(|(key, value)| (key.as_str(), value.as_str())))
}

/// The shared parameters of a query string, to be carried to another page.
pub(crate) fn shared(query: &str) -> String {
    let all = pairs(query);
    let kept =
        all.iter().filter(|(key, value)| matches!(key.as_str(), "from" | "to" | "env" | "theme") && !value.is_empty());
    query_string(kept.map(|(key, value)| (key.as_str(), value.as_str())))
}

/// A link to another page with the shared parameters of the query string where the reader is. What the link says itself stays; a
/// range is taken as a whole or not at all.
pub(crate) fn carry(link: &str, search: &str) -> String {
    let (path, query) = link.split_once('?').unwrap_or((link, ""));
    let mut all = pairs(query);
    let has_range = all.iter().any(|(key, _)| matches!(key.as_str(), "from" | "to"));
    for (key, value) in pairs(&shared(search)) {
        let is_known =
            all.iter().any(|(known, _)| *known == key) || (has_range && matches!(key.as_str(), "from" | "to"));
        if !is_known {
            all.push((key, value));
        }
    }
    format!("{path}{}", query_string(all.iter().map(|(key, value)| (key.as_str(), value.as_str()))))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The plain view has the plain URL, and each choice is one parameter.
    #[test]
    fn only_what_differs_is_written() {
        assert_eq!(ExploreState::default().link(), "/explore");
        let state = ExploreState {
            unit: Unit::Spans,
            filter: "service=checkout duration>=100ms name~\"GET /a b\"".to_owned(),
            sort: Sort::Slowest,
            range: RangeText { from: "now-24h".to_owned(), to: "now".to_owned() },
            ..ExploreState::default()
        };
        assert_eq!(
            state.link(),
            "/explore?unit=spans&q=service%3Dcheckout+duration%3E%3D100ms+name~%22GET+%2Fa+b%22&sort=slowest&from=now-24h"
        );
        assert_eq!(ExploreState::read(state.link().split_once('?').expect("has a query").1), state);
    }

    #[test]
    fn the_api_is_asked_without_empty_parts() {
        let query = ExploreState::default().api_query(50, None);
        assert_eq!(query, "?unit=journeys&from=now-1h&to=now&sort=newest&limit=50");
        assert!(ExploreState::default().api_query(50, Some("a/b")).ends_with("&cursor=a%2Fb"));
    }

    /// The environment is a condition of Explore and goes along to other pages.
    #[test]
    fn the_environment_is_shared() {
        let state = ExploreState::read("?q=service%3Dorder&env=eu");
        assert!(state.filter.ends_with("=eu"), "{}", state.filter);
        assert_eq!(state.link(), "/explore?q=service%3Dorder&env=eu");
        assert_eq!(carry("/map?from=now-6h", "?env=eu&from=now-1d"), "/map?from=now-6h&env=eu");
    }

    #[test]
    fn parameters_are_replaced_in_place() {
        assert_eq!(with_parameters("?x=1&q=a", &[("x", Some("2")), ("find", Some("é"))]), "?x=2&q=a&find=%C3%A9");
        assert_eq!(with_parameters("?x=1", &[("x", None)]), "");
        assert_eq!(shared("?q=a&from=now-6h&env=eu&theme=light&x=1"), "?from=now-6h&env=eu&theme=light");
    }

    #[test]
    fn links_keep_the_time_of_the_reader() {
        let here = "?q=a&from=now-6h&to=now-1h&theme=light&x=1";
        assert_eq!(carry("/map", here), "/map?from=now-6h&to=now-1h&theme=light");
        assert_eq!(carry("/map?sel=a%20b", here), "/map?sel=a+b&from=now-6h&to=now-1h&theme=light");
        assert_eq!(carry("/explore?from=now-5m", here), "/explore?from=now-5m&theme=light");
        assert_eq!(carry("/j/abc", ""), "/j/abc");
    }

    /// Before wasm is there and after: the same choice.
    #[test]
    fn the_shell_chooses_the_same_program() {
        for (name, pages) in PROGRAMS {
            assert!(include_str!("../../index.html").contains(&format!("data-{name}-pages=\"{pages}\"")), "{name}");
        }
        assert_eq!([program("/sql/7"), program("/"), program("/mapper")], ["watch", "desk", "trail"]);
    }

    #[test]
    fn broken_escapes_are_kept() {
        assert_eq!(decode("100%&a%zz%4"), "100%&a%zz%4");
        assert_eq!(decode("%ff"), "\u{fffd}");
    }

    proptest::proptest! {
        #[test]
        fn encoded_texts_come_back(text in ".{0,60}") {
            proptest::prop_assert_eq!(decode(&encode(&text)), text);
        }

        /// A URL restores its view.
        #[test]
        fn states_come_back(filter in ".{0,40}", slowest: bool, spans: bool, from in "now-[1-9][mhd]") {
            let state = ExploreState {
                unit: if spans { Unit::Spans } else { Unit::Traces },
                filter,
                sort: if slowest { Sort::Slowest } else { Sort::Newest },
                range: RangeText { from, to: "now".to_owned() },
                brush: slowest.then_some(Brush { from: -5, to: 7, least: 0, most: u64::MAX }),
                plot: if spans { Plot::Wait } else { Plot::Answer },
                live: spans,
                ..ExploreState::default()
            };
            let link = state.link();
            proptest::prop_assert_eq!(ExploreState::read(link.trim_start_matches("/explore")), state);
        }
    }
}
