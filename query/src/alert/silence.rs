//! Silences: alerts that nobody is told about for a while, chosen by their labels. Pure but for what is kept.
//!
//! Matchers are Alertmanager's: name, value, whether the value is a pattern (anchored), whether it must be equal or differ. All of
//! them must hold. A silence has an end; it can be ended earlier, and stays visible for a week after that.

use api::{SilenceAnswer, SilenceMatcher, SilenceRequest};
use model::UnixNanos;
use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

use super::condition::Labels;
use crate::error::{Error, Result};
use crate::times::{format_moment, parse_moment};

/// Longest silence: a year.
const NANOS_MAX: i64 = 366 * UnixNanos::DAY;
/// How long an ended silence is kept.
pub(crate) const KEPT_NANOS: i64 = 7 * UnixNanos::DAY;
/// Matchers of one silence.
const MATCHERS_MAX: usize = 32;
const REGEX_BYTES_MAX: usize = 1 << 20;

/// As it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    pub(crate) id: String,
    pub(crate) matchers: Vec<SilenceMatcher>,
    pub(crate) starts_at: i64,
    pub(crate) ends_at: i64,
    pub(crate) created_by: String,
    pub(crate) comment: String,
}

/// A silence that can be asked.
#[derive(Clone, Debug)]
pub(crate) struct Silence {
    pub(crate) kept: Kept,
    tests: Vec<Test>,
}

#[derive(Clone, Debug)]
struct Test {
    name: String,
    is_equal: bool,
    value: Wanted,
}

#[derive(Clone, Debug)]
enum Wanted {
    Text(String),
    Pattern(Regex),
}

impl Silence {
    /// What a request asks for.
    ///
    /// # Errors
    /// No matcher, a pattern that cannot be used, times that make no sense.
    pub(crate) fn asked(id: String, request: &SilenceRequest, now: UnixNanos) -> Result<Self> {
        let moment = |text: &Option<String>| text.as_deref().map(|text| parse_moment(text, now)).transpose();
        let starts_at = moment(&request.starts_at)?.unwrap_or(now).max(now);
        let ends_at = moment(&request.ends_at)?
            .ok_or_else(|| Error::invalid("a silence needs endsAt, such as \"2026-01-15T10:00:00Z\" or \"now+2h\""))?;
        if ends_at <= starts_at {
            return Err(Error::invalid("endsAt must lie after startsAt and in the future"));
        }
        if ends_at - starts_at > NANOS_MAX {
            return Err(Error::invalid("a silence lasts at most a year"));
        }
        Self::new(Kept {
            id,
            matchers: request.matchers.clone(),
            starts_at: starts_at.0,
            ends_at: ends_at.0,
            created_by: request.created_by.clone(),
            comment: request.comment.clone(),
        })
    }

    /// # Errors
    /// No matcher, too many, or a pattern that cannot be used.
    pub(crate) fn new(kept: Kept) -> Result<Self> {
        if !(1..=MATCHERS_MAX).contains(&kept.matchers.len()) {
            return Err(Error::invalid(format!(
                "a silence has 1 to {MATCHERS_MAX} matchers: name and value of a label"
            )));
        }
        let test = |matcher: &SilenceMatcher| -> Result<Test> {
            let value = if matcher.is_regex {
                let pattern =
                    RegexBuilder::new(&format!("^(?:{})$", matcher.value)).size_limit(REGEX_BYTES_MAX).build();
                let wrong = |error: regex::Error| {
                    Error::invalid(format!(
                        "the pattern of {} cannot be used: {}",
                        matcher.name,
                        error.to_string().replace('\n', " ")
                    ))
                };
                Wanted::Pattern(pattern.map_err(wrong)?)
            } else {
                Wanted::Text(matcher.value.clone())
            };
            Ok(Test { name: matcher.name.clone(), is_equal: matcher.is_equal, value })
        };
        let tests = kept.matchers.iter().map(test).collect::<Result<Vec<_>>>()?;
        let hits_everything = tests.iter().all(|test| test.holds("") == test.is_equal && test.is_equal);
        if hits_everything {
            return Err(Error::invalid(
                "these matchers hold for every alert; at least one must ask for a label that is there",
            ));
        }
        Ok(Self { kept, tests })
    }

    pub(crate) fn is_active(&self, now: UnixNanos) -> bool {
        self.kept.starts_at <= now.0 && now.0 < self.kept.ends_at
    }

    pub(crate) fn matches(&self, labels: &Labels) -> bool {
        self.tests.iter().all(|test| {
            let value = labels.get(&test.name).map(String::as_str).unwrap_or_default();
            test.holds(value) == test.is_equal
        })
    }

    pub(crate) fn answer(&self, now: UnixNanos) -> SilenceAnswer {
        let state = match now.0 {
            now if now >= self.kept.ends_at => "expired",
            now if now < self.kept.starts_at => "pending",
            _ => "active",
        };
        SilenceAnswer {
            id: self.kept.id.clone(),
            state: state.to_owned(),
            matchers: self.kept.matchers.clone(),
            starts_at: format_moment(self.kept.starts_at),
            ends_at: format_moment(self.kept.ends_at),
            created_by: self.kept.created_by.clone(),
            comment: self.kept.comment.clone(),
        }
    }
}

impl Test {
    fn holds(&self, value: &str) -> bool {
        match &self.value {
            Wanted::Text(text) => text == value,
            Wanted::Pattern(pattern) => pattern.is_match(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixNanos = UnixNanos(1_768_471_200_000_000_000);

    fn request(name: &str, value: &str, is_regex: bool, is_equal: bool) -> SilenceRequest {
        SilenceRequest {
            matchers: vec![SilenceMatcher { name: name.to_owned(), value: value.to_owned(), is_regex, is_equal }],
            ends_at: Some("now+2h".to_owned()),
            ..SilenceRequest::default()
        }
    }

    #[test]
    fn matchers_are_alertmanagers() {
        let labels: Labels =
            [("alertname", "Errors"), ("service", "shop")].map(|(n, v)| (n.to_owned(), v.to_owned())).into();
        for (name, value, is_regex, is_equal, hits) in [
            ("service", "shop", false, true, true),
            ("service", "sho", false, true, false),
            ("service", "sho|shop", true, true, true),
            ("service", "sho", true, true, false),
            ("service", "cart", false, false, true),
            ("service", "s.*", true, false, false),
            ("absent", "x", false, false, true),
        ] {
            let silence =
                Silence::asked("x".to_owned(), &request(name, value, is_regex, is_equal), NOW).expect("a silence");
            assert_eq!(silence.matches(&labels), hits, "{name} {value}");
        }
    }

    #[test]
    fn silences_end() {
        let silence = Silence::asked("x".to_owned(), &request("a", "b", false, true), NOW).expect("a silence");
        let state = |hours: i64| silence.answer(NOW + hours * 3_600 * UnixNanos::SECOND).state;
        assert_eq!([state(-1), state(1), state(2)], ["pending", "active", "expired"]);
        let refused = |change: fn(&mut SilenceRequest)| {
            let mut request = request("a", "b", false, true);
            change(&mut request);
            Silence::asked("x".to_owned(), &request, NOW).is_err()
        };
        assert!(refused(|request| request.ends_at = None));
        assert!(refused(|request| request.ends_at = Some("now-1h".to_owned())));
        assert!(refused(|request| request.matchers.clear()));
        assert!(refused(|request| request.matchers[0].value = String::new()));
        assert!(refused(|request| (request.matchers[0].value, request.matchers[0].is_regex) = (".*".to_owned(), true)));
        assert!(refused(|request| (request.matchers[0].value, request.matchers[0].is_regex) = ("(".to_owned(), true)));
    }
}
