//! Questions about metrics: parameters, what each kind of metric can be asked, steps of time.

use std::collections::BTreeMap;

use api::MetricItem;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use model::{MetricKind, TimeRange, UnixNanos};
use serde::{Deserialize, Serialize};

use super::labels::By;
use crate::error::{Error, Result};
use crate::search::filter::{self, Filter};
use crate::times::{parse_duration, parse_range};

/// Metrics of a page when nobody says, and at most.
const METRICS: (usize, usize) = (100, 1_000);
/// Groups of an answer when nobody says, and at most.
const GROUPS: (usize, usize) = (50, 1_000);
/// Exemplars of an answer when nobody says, and at most.
const EXEMPLARS: (usize, usize) = (100, 1_000);
/// Steps of an answer when nobody says, and at most.
const STEPS: (i64, i64) = (120, 2_000);
/// Quantiles of an answer.
const QUANTILES_MAX: usize = 8;
/// Shortest step.
const STEP_MIN: i64 = 1_000_000;
/// How far before the range points are read, so that its first step knows what came before.
const BEFORE: (i64, i64) = (300 * UnixNanos::SECOND, 3_600 * UnixNanos::SECOND);

type Params = BTreeMap<String, String>;

fn text<'a>(params: &'a Params, name: &str) -> Option<&'a str> {
    params.get(name).map(|text| text.trim()).filter(|text| !text.is_empty())
}

fn number(params: &Params, name: &str, low: usize, (default, high): (usize, usize)) -> Result<usize> {
    match text(params, name).map(str::parse::<usize>) {
        None => Ok(default),
        Some(Ok(n)) if (low..=high).contains(&n) => Ok(n),
        Some(_) => Err(Error::invalid(format!("{name} is a number from {low} to {high}"))),
    }
}

fn kind(params: &Params) -> Result<Option<MetricKind>> {
    let Some(word) = text(params, "kind") else { return Ok(None) };
    let words = "gauge, sum, histogram, exponential_histogram or summary";
    MetricKind::from_word(word).map(Some).ok_or_else(|| Error::invalid(format!("kind is {words}")))
}

/// Which metrics there are, checked.
#[derive(Clone, Debug)]
pub struct MetricsQuestion {
    pub(super) range: TimeRange,
    pub(super) filter: Option<Filter>,
    pub(super) kind: Option<MetricKind>,
    pub(super) limit: usize,
    /// The last metric of the page before.
    pub(super) after: Option<After>,
    /// The question without its page.
    text: String,
}

/// Where a page ended. The range is kept, so that "the last hour" means the same hour on each page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct After {
    question: String,
    range: (i64, i64),
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) unit: String,
}

impl MetricsQuestion {
    /// Reads the parameters of a request; those it does not know are passed over.
    ///
    /// # Errors
    /// [`Error::Invalid`]; for the filter text with a position.
    pub fn from_params(params: &Params, now: UnixNanos) -> Result<Self> {
        let q = params.get("q").map(String::as_str).unwrap_or_default();
        let identity = ["from", "to", "kind"].map(|name| text(params, name).unwrap_or_default());
        let identity = format!("{q}\n{}", identity.join("\n"));
        let mut range = parse_range(text(params, "from"), text(params, "to"), now)?;
        let after = text(params, "cursor").map(|text| After::from_text(text, &identity)).transpose()?;
        if let Some(after) = &after {
            range = TimeRange::new(UnixNanos(after.range.0), UnixNanos(after.range.1));
        }
        Ok(Self {
            range,
            filter: filter::parse(q)?,
            kind: kind(params)?,
            limit: number(params, "limit", 1, METRICS)?,
            after,
            text: identity,
        })
    }

    /// The cursor behind a metric.
    pub(super) fn cursor(&self, last: &MetricItem) -> String {
        let after = After {
            question: self.text.clone(),
            range: (self.range.start.0, self.range.end.0),
            name: last.name.clone(),
            kind: last.kind.clone(),
            unit: last.unit.clone(),
        };
        BASE64.encode(serde_json::to_vec(&after).unwrap_or_default())
    }
}

impl After {
    fn from_text(text: &str, question: &str) -> Result<Self> {
        match BASE64.decode(text).ok().and_then(|json| serde_json::from_slice::<Self>(&json).ok()) {
            Some(after) if after.question == question && after.range.0 < after.range.1 => Ok(after),
            Some(_) => {
                Err(Error::invalid("the cursor belongs to another list; leave it out to start at the first page"))
            }
            None => Err(Error::invalid("the cursor cannot be read; pass next_cursor of the page before, unchanged")),
        }
    }
}

/// What is done with the points of a series in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Last,
    Avg,
    Min,
    Max,
    Sum,
    Count,
    Rate,
    Increase,
    Quantile,
    Heatmap,
}

impl Function {
    const ALL: [Self; 10] = [
        Self::Last,
        Self::Avg,
        Self::Min,
        Self::Max,
        Self::Sum,
        Self::Count,
        Self::Rate,
        Self::Increase,
        Self::Quantile,
        Self::Heatmap,
    ];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Last => "last",
            Self::Avg => "avg",
            Self::Min => "min",
            Self::Max => "max",
            Self::Sum => "sum",
            Self::Count => "count",
            Self::Rate => "rate",
            Self::Increase => "increase",
            Self::Quantile => "quantile",
            Self::Heatmap => "heatmap",
        }
    }

    /// What a metric can be asked; the first is the usual one.
    fn of(item: &MetricItem, kind: MetricKind) -> &'static [Self] {
        match kind {
            MetricKind::Gauge => &[Self::Last, Self::Avg, Self::Min, Self::Max, Self::Sum, Self::Count],
            MetricKind::Sum if item.is_monotonic => {
                &[Self::Rate, Self::Increase, Self::Last, Self::Avg, Self::Min, Self::Max, Self::Count]
            }
            // Changes alone do not say how much there is.
            MetricKind::Sum if item.temporality == "delta" => &[Self::Increase, Self::Rate, Self::Count],
            MetricKind::Sum => &[Self::Last, Self::Avg, Self::Min, Self::Max, Self::Increase, Self::Rate, Self::Count],
            MetricKind::Histogram | MetricKind::ExponentialHistogram => {
                &[Self::Quantile, Self::Heatmap, Self::Rate, Self::Increase, Self::Avg, Self::Sum, Self::Min, Self::Max]
            }
            MetricKind::Summary => &[Self::Rate, Self::Increase, Self::Avg, Self::Sum, Self::Quantile],
        }
    }
}

/// What is done with the series of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Across {
    Sum,
    Avg,
    Min,
    Max,
    Count,
}

impl Across {
    const ALL: [Self; 5] = [Self::Sum, Self::Avg, Self::Min, Self::Max, Self::Count];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Avg => "avg",
            Self::Min => "min",
            Self::Max => "max",
            Self::Count => "count",
        }
    }

    /// The usual one: amounts add up, levels of gauges do not.
    const fn usual(kind: MetricKind, function: Function) -> Self {
        match (kind, function) {
            (_, Function::Rate | Function::Increase | Function::Sum | Function::Count) => Self::Sum,
            (_, Function::Min) => Self::Min,
            (_, Function::Max) => Self::Max,
            (MetricKind::Sum, _) => Self::Sum,
            _ => Self::Avg,
        }
    }
}

/// Steps of equal length; their edges are multiples of it, so that answers of neighbouring ranges fit together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grid {
    /// Begin of the first step.
    pub(super) start: i64,
    /// Length, in nanoseconds.
    pub(super) step: i64,
    pub(super) n: usize,
}

impl Grid {
    /// The steps that cover a range.
    pub(super) fn new(range: TimeRange, step: i64) -> Self {
        let step = step.max(1);
        let start = range.start.0.div_euclid(step).saturating_mul(step);
        let length = range.end.0.saturating_sub(start).max(1);
        let n = length / step + i64::from(length % step != 0);
        Self { start, step, n: usize::try_from(n).unwrap_or(1) }
    }

    pub(super) const fn end(&self) -> i64 {
        self.start.saturating_add(self.step.saturating_mul(self.n as i64))
    }

    /// The step of a moment.
    pub(super) fn at(&self, time: i64) -> Option<usize> {
        let offset = time.checked_sub(self.start).filter(|offset| *offset >= 0)?;
        usize::try_from(offset / self.step).ok().filter(|step| *step < self.n)
    }
}

/// One metric over time, as asked for.
#[derive(Clone, Debug)]
pub struct MetricQuestion {
    pub(super) name: String,
    pub(super) range: TimeRange,
    pub(super) filter: Option<Filter>,
    pub(super) kind: Option<MetricKind>,
    pub(super) unit: Option<String>,
    pub(super) exemplars: usize,
    step: Option<i64>,
    by: By,
    function: Option<Function>,
    across: Option<Across>,
    quantiles: Vec<f64>,
    limit: usize,
}

/// What is asked of a metric that is known.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) kind: MetricKind,
    pub(super) function: Function,
    pub(super) functions: &'static [Function],
    /// `None` for histograms and summaries.
    pub(super) across: Option<Across>,
    pub(super) quantiles: Vec<f64>,
    pub(super) by: By,
    pub(super) steps: Grid,
    pub(super) limit: usize,
}

impl Asked {
    /// The moment from which points are read.
    pub(super) fn read_from(&self) -> i64 {
        self.steps.start.saturating_sub(self.steps.step.clamp(BEFORE.0, BEFORE.1))
    }
}

impl MetricQuestion {
    /// Reads the parameters of a request; those it does not know are passed over.
    ///
    /// # Errors
    /// [`Error::Invalid`]; for the filter text with a position.
    pub fn from_params(name: String, params: &Params, now: UnixNanos) -> Result<Self> {
        let (function, shorthand) = match text(params, "function") {
            None => (None, None),
            Some(word) => match Function::ALL.into_iter().find(|function| function.as_str() == word) {
                Some(function) => (Some(function), None),
                None => match word.strip_prefix('p').and_then(|percent| percent.parse::<f64>().ok()) {
                    Some(percent) if (0.0..=100.0).contains(&percent) => {
                        (Some(Function::Quantile), Some(percent / 100.0))
                    }
                    _ => {
                        let words = Function::ALL.map(Function::as_str).join(", ");
                        return Err(Error::invalid(format!("function is one of {words}, or p95 for quantile")));
                    }
                },
            },
        };
        let across = match text(params, "across") {
            None => None,
            Some(word) => {
                let found = Across::ALL.into_iter().find(|across| across.as_str() == word);
                let words = || Across::ALL.map(Across::as_str).join(", ");
                Some(found.ok_or_else(|| Error::invalid(format!("across is one of {}", words())))?)
            }
        };
        let mut quantiles: Vec<f64> = shorthand.into_iter().collect();
        if let Some(list) = text(params, "quantile") {
            let read = |part: &str| part.trim().parse().ok().filter(|q| (0.0..=1.0).contains(q));
            let wrong = || {
                Error::invalid(format!("quantile is up to {QUANTILES_MAX} numbers from 0 to 1, such as 0.5,0.95,0.99"))
            };
            quantiles.extend(list.split(',').map(read).collect::<Option<Vec<f64>>>().ok_or_else(wrong)?);
            if quantiles.len() > QUANTILES_MAX {
                return Err(wrong());
            }
        }
        quantiles.sort_by(f64::total_cmp);
        quantiles.dedup();
        let step = match text(params, "step") {
            None => None,
            Some(text) => {
                let nanos = parse_duration(text).filter(|nanos| *nanos >= STEP_MIN);
                Some(nanos.ok_or_else(|| Error::invalid("step is a duration of 1ms or more, such as 15s or 5m"))?)
            }
        };
        Ok(Self {
            name,
            range: parse_range(text(params, "from"), text(params, "to"), now)?,
            filter: filter::parse(params.get("q").map(String::as_str).unwrap_or_default())?,
            kind: kind(params)?,
            unit: params.get("unit").map(|unit| unit.trim().to_owned()),
            exemplars: number(params, "exemplars", 0, EXEMPLARS)?,
            step,
            by: By::read(text(params, "by"))?,
            function,
            across,
            quantiles,
            limit: number(params, "limit", 1, GROUPS)?,
        })
    }

    /// The same question about a metric that was found.
    ///
    /// # Errors
    /// [`Error::Invalid`] when such a metric cannot be asked this.
    pub(super) fn asked(&self, item: &MetricItem) -> Result<Asked> {
        let kind = MetricKind::from_word(&item.kind).ok_or_else(|| Error::Internal("a kind of no table".to_owned()))?;
        let functions = Function::of(item, kind);
        let implied = (!self.quantiles.is_empty()).then_some(Function::Quantile);
        let function = self.function.or(implied).unwrap_or(functions[0]);
        if !functions.contains(&function) {
            let words: Vec<&str> = functions.iter().map(|function| function.as_str()).collect();
            let (name, kind) = (&item.name, &item.kind);
            let what = if kind == "sum" { format!("{} {kind}", item.temporality) } else { kind.clone() };
            return Err(Error::invalid(format!(
                "{name} is a {what} and has no {}; it has {}",
                function.as_str(),
                words.join(", ")
            )));
        }
        if function != Function::Quantile && !self.quantiles.is_empty() {
            return Err(Error::invalid(format!(
                "quantile goes with function=quantile, not with {}",
                function.as_str()
            )));
        }
        let is_number = matches!(kind, MetricKind::Gauge | MetricKind::Sum);
        if !is_number && self.across.is_some() {
            return Err(Error::invalid(format!(
                "across is for gauges and sums; measurements of a {} are put together",
                item.kind
            )));
        }
        if kind == MetricKind::Summary && function == Function::Quantile && self.by != By::Series {
            return Err(Error::invalid(
                "quantiles of summaries were computed by their senders and cannot be put together; ask with by=*",
            ));
        }
        if function == Function::Heatmap && self.by != By::Nothing {
            return Err(Error::invalid("a heatmap puts all series together; filter with q instead of by"));
        }
        let quantiles = match function {
            Function::Quantile if self.quantiles.is_empty() => vec![0.5, 0.95, 0.99],
            Function::Quantile => self.quantiles.clone(),
            _ => Vec::new(),
        };
        let length = self.range.end.0.saturating_sub(self.range.start.0);
        let step = self.step.unwrap_or_else(|| usual_step(length, item.interval_nanos));
        if length / step > STEPS.1 {
            let shortest = format_step(length / STEPS.1 + 1);
            return Err(Error::invalid(format!(
                "this step makes more than {} values for a series; the shortest for this range is {shortest}",
                STEPS.1
            )));
        }
        Ok(Asked {
            kind,
            function,
            functions,
            across: is_number.then(|| self.across.unwrap_or_else(|| Across::usual(kind, function))),
            quantiles,
            by: self.by.clone(),
            steps: Grid::new(self.range, step),
            limit: self.limit,
        })
    }
}

/// The shortest of these that makes a readable number of steps and holds two points of each series, so that points that
/// come a little early or late leave no gap.
fn usual_step(length: i64, interval: Option<i64>) -> i64 {
    const SECONDS: [i64; 17] =
        [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1_800, 3_600, 3 * 3_600, 6 * 3_600, 86_400, 7 * 86_400, 28 * 86_400];
    let least = (length / STEPS.0).max(interval.unwrap_or(0).saturating_mul(2));
    let fits = |seconds: &&i64| **seconds * UnixNanos::SECOND >= least;
    let step = SECONDS.iter().find(fits).copied().unwrap_or(365 * 86_400) * UnixNanos::SECOND;
    step.max(length / STEPS.1 + 1)
}

/// A duration that is read again, rounded up to whole seconds when it is longer than one.
fn format_step(nanos: i64) -> String {
    match nanos {
        ..1_000_000_000 => format!("{}ms", nanos.max(1) / STEP_MIN + 1),
        _ => format!("{}s", nanos / UnixNanos::SECOND + 1),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::NOW;

    fn question(params: &[(&str, &str)]) -> Result<MetricQuestion> {
        let params = params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        MetricQuestion::from_params("m".to_owned(), &params, NOW)
    }

    fn item(kind: &str, temporality: &str, is_monotonic: bool) -> MetricItem {
        let (kind, temporality) = (kind.to_owned(), temporality.to_owned());
        MetricItem { name: "m".to_owned(), kind, temporality, is_monotonic, ..MetricItem::default() }
    }

    #[test]
    fn every_kind_has_a_usual_function() {
        let asked = |item: &MetricItem| question(&[]).expect("a question").asked(item).expect("fits");
        for (item, function, across) in [
            (item("gauge", "", false), Function::Last, Some(Across::Avg)),
            (item("sum", "cumulative", true), Function::Rate, Some(Across::Sum)),
            (item("sum", "cumulative", false), Function::Last, Some(Across::Sum)),
            (item("sum", "delta", false), Function::Increase, Some(Across::Sum)),
            (item("histogram", "delta", false), Function::Quantile, None),
            (item("exponential_histogram", "delta", false), Function::Quantile, None),
            (item("summary", "", false), Function::Rate, None),
        ] {
            let asked = asked(&item);
            assert_eq!((asked.function, asked.across), (function, across), "{item:?}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for params in [
            [("function", "median")],
            [("function", "p101")],
            [("across", "median")],
            [("quantile", "1.5")],
            [("quantile", "NaN")],
            [("quantile", "0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9")],
            [("step", "0s")],
            [("step", "15")],
            [("limit", "0")],
            [("exemplars", "-1")],
            [("kind", "counter")],
            [("from", "never")],
            [("q", "a=")],
            [("by", "colour")],
        ] {
            assert!(question(&params).is_err(), "{params:?}");
        }
        for (params, item) in [
            (vec![("function", "rate")], item("gauge", "", false)),
            (vec![("function", "p95")], item("sum", "delta", true)),
            (vec![("function", "last")], item("sum", "delta", false)),
            (vec![("function", "rate"), ("quantile", "0.5")], item("histogram", "delta", false)),
            (vec![("across", "avg")], item("histogram", "delta", false)),
            (vec![("function", "p95")], item("summary", "", false)),
            (vec![("function", "heatmap")], item("summary", "", false)),
            (vec![("function", "heatmap"), ("by", "service")], item("histogram", "delta", false)),
            (vec![("step", "1ms")], item("gauge", "", false)),
        ] {
            assert!(question(&params).expect("a question").asked(&item).is_err(), "{params:?}");
        }
    }

    #[test]
    fn the_usual_step_holds_two_points() {
        let second = UnixNanos::SECOND;
        assert_eq!(usual_step(3_600 * second, None), 30 * second);
        assert_eq!(usual_step(3_600 * second, Some(60 * second)), 120 * second);
        assert_eq!(usual_step(86_400 * second, Some(second)), 1_800 * second);
        assert_eq!(usual_step(10, None), second);
    }

    proptest! {
        /// Steps cover the range, touch it with each of them, and each moment of it has one.
        #[test]
        fn steps_cover_the_range(start in -10_000i64..10_000, length in 1i64..10_000, step in 1i64..500, at in 0.0f64..1.0) {
            let range = TimeRange::new(UnixNanos(start), UnixNanos(start + length));
            let grid = Grid::new(range, step);
            prop_assert!(grid.start <= start && grid.start + step > start);
            prop_assert!(grid.end() >= start + length && grid.end() - step < start + length);
            let moment = start + (at * length as f64) as i64;
            let found = grid.at(moment).expect("inside");
            prop_assert!((grid.start + found as i64 * step..grid.start + (found as i64 + 1) * step).contains(&moment));
            prop_assert_eq!(grid.at(grid.start - 1), None);
            prop_assert_eq!(grid.at(grid.end()), None);
        }

        #[test]
        fn the_shortest_step_is_accepted(hours in 1i64..100_000, step in 1i64..10_000) {
            let range = [("from", "0".to_owned()), ("to", (hours * 3_600).to_string()), ("step", format!("{step}ms"))];
            let params = range.iter().map(|(name, value)| (*name, value.as_str())).collect::<Vec<_>>();
            let gauge = item("gauge", "", false);
            if let Err(Error::Invalid { detail, .. }) = question(&params).expect("a question").asked(&gauge) {
                let shortest = detail.rsplit(' ').next().expect("a step").to_owned();
                let params = [params[0], params[1], ("step", shortest.as_str())];
                prop_assert!(question(&params).expect("a question").asked(&gauge).is_ok(), "{}", shortest);
            }
        }
    }
}
