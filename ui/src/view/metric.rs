//! Metrics over time as text: which ones the URL asks for, values in their unit, names of lines, the points behind them.

use api::{MetricAnswer, MetricSeries};

use super::{format, url};

/// Plots at once.
pub(crate) const PLOTS_MAX: usize = 4;
/// The function that counts by time and value, all series together.
const HEATMAP: &str = "heatmap";
/// Parameters of a plot: `m`, `kind` ... of the first, `m2`, `kind2` ... of the second.
const KEYS: [&str; 6] = ["m", "kind", "unit", "q", "by", "fn"];

/// Which metric, and how it is looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Empty: the first that there is.
    pub(crate) name: String,
    /// Which of the name; `None`: the only one. The same name may be sent as several kinds.
    pub(crate) kind: Option<String>,
    /// Which of the name; `Some` of nothing is the one that has no unit.
    pub(crate) unit: Option<String>,
    /// Which series.
    pub(crate) filter: String,
    /// What the series of a line share; `*`: each is a line.
    pub(crate) by: String,
    /// What is done with the points of a step.
    pub(crate) function: String,
}

impl Asked {
    /// Parameters of the API besides the range.
    pub(crate) fn question(&self) -> Vec<(&str, &str)> {
        let given = [("kind", self.kind.as_deref()), ("unit", self.unit.as_deref())];
        let mut all: Vec<(&str, &str)> = given.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
        let texts = [("q", &self.filter), ("by", &self.by), ("function", &self.function)];
        all.extend(texts.into_iter().filter(|(_, text)| !text.is_empty()).map(|(key, text)| (key, text.as_str())));
        all
    }

    /// Shows another function. A heatmap puts all series together: it has no lines by something.
    pub(crate) fn show(&mut self, function: String) {
        if function == HEATMAP {
            self.by.clear();
        }
        self.function = function;
    }

    /// Draws a line for each value of a field. A heatmap has no lines: then the usual function is shown.
    pub(crate) fn group(&mut self, by: String) {
        if !by.is_empty() && self.function == HEATMAP {
            self.function.clear();
        }
        self.by = by;
    }

    /// True for a metric of a list.
    pub(crate) fn is(&self, name: &str, kind: &str, unit: &str) -> bool {
        let fits = |asked: &Option<String>, value: &str| asked.as_ref().is_none_or(|asked| asked == value);
        self.name == name && fits(&self.kind, kind) && fits(&self.unit, unit)
    }
}

fn key(key: &str, plot: usize) -> String {
    if plot == 0 { key.to_owned() } else { format!("{key}{}", plot + 1) }
}

/// The plots of a query string, at least one: a first one without a name is of the first metric that there is.
pub(crate) fn plots(search: &str) -> Vec<Asked> {
    let pairs = url::pairs(search);
    let one = |plot: usize| {
        let value = |name: &str| {
            let name = key(name, plot);
            pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
        };
        let text = |name: &str| value(name).unwrap_or_default();
        Asked {
            name: text("m"),
            kind: value("kind").filter(|kind| !kind.is_empty()),
            unit: value("unit"),
            filter: text("q"),
            by: text("by"),
            function: text("fn"),
        }
    };
    let mut all: Vec<Asked> = (0..PLOTS_MAX).map(one).collect();
    let first = all.remove(0);
    all.retain(|asked| !asked.name.is_empty());
    all.insert(0, first);
    all
}

/// Where a plot stands once another one, or itself, is taken away and `n_left` are left: the next one takes the place of one that is
/// gone, else the last.
pub(crate) fn place_after(at: usize, removed: usize, n_left: usize) -> usize {
    let at = if removed < at { at - 1 } else { at };
    at.min(n_left.saturating_sub(1))
}

/// The query string with these plots.
pub(crate) fn with_plots(search: &str, plots: &[Asked]) -> String {
    let keys: Vec<String> = (0..PLOTS_MAX).flat_map(|plot| KEYS.map(|name| key(name, plot))).collect();
    let mut changes: Vec<(&str, Option<&str>)> = Vec::new();
    for (at, name) in keys.iter().enumerate() {
        let value = plots.get(at / KEYS.len()).and_then(|asked| match at % KEYS.len() {
            0 => Some(asked.name.as_str()),
            1 => asked.kind.as_deref(),
            // A unit that is nothing is said: it tells one metric from another.
            2 => asked.unit.as_deref().filter(|_| !asked.name.is_empty()),
            3 => Some(asked.filter.as_str()),
            4 => Some(asked.by.as_str()),
            _ => Some(asked.function.as_str()),
        });
        let is_unit = at % KEYS.len() == 2;
        changes.push((name, value.filter(|value| is_unit || !value.is_empty())));
    }
    url::with_parameters(search, &changes)
}

/// A value in a unit of UCUM: times and bytes as people read them, others with the unit behind.
pub(crate) fn value_text(value: f64, unit: &str) -> String {
    let scale = match unit {
        "s" => 1e9,
        "ms" => 1e6,
        "us" => 1e3,
        "ns" => 1.0,
        _ => 0.0,
    };
    match unit {
        _ if scale > 0.0 && value >= 0.0 => format::duration((value * scale) as u64),
        "By" if value >= 0.0 => format::bytes(value as u64),
        "" | "1" => format::number(value),
        // A unit in braces is a remark: {request}.
        unit => format!("{} {}", format::number(value), unit.trim_matches(['{', '}'])),
    }
}

/// What a line is called: its quantile, then what its series share.
pub(crate) fn series_name(series: &MetricSeries, by: &[String]) -> String {
    let quantile = series.quantile.map(|quantile| format!("p{}", format::number(quantile * 100.0)));
    let is_each = by.iter().any(|field| field == "*");
    let labels: Vec<String> = match is_each {
        true => series.labels.iter().map(|(key, value)| format!("{key}={value}")).collect(),
        false => by.iter().filter_map(|field| series.labels.get(field)).cloned().collect(),
    };
    let edge = |edge: f64| format::number(edge);
    let band = series.band.as_ref().map(|band| match (band.from, band.to) {
        (Some(from), Some(to)) if from == to => edge(to),
        (Some(from), Some(to)) => format!("{} to {}", edge(from), edge(to)),
        (None, Some(to)) => format!("up to {}", edge(to)),
        (Some(from), None) => format!("above {}", edge(from)),
        (None, None) => "any".to_owned(),
    });
    let all: Vec<String> = quantile.into_iter().chain(band).chain(labels).collect();
    if all.is_empty() { "all".to_owned() } else { all.join(" ") }
}

/// The unit of an answer's values: a rate is per second, a count has none.
pub(crate) fn unit_of(answer: &MetricAnswer) -> String {
    let is_histogram = answer.kind.ends_with("histogram");
    match answer.function.as_str() {
        "rate" if answer.unit.is_empty() || is_histogram => "/s".to_owned(),
        "rate" => format!("{}/s", answer.unit.trim_matches(['{', '}'])),
        "count" | "heatmap" => String::new(),
        "increase" if is_histogram => String::new(),
        _ => answer.unit.clone(),
    }
}

/// The statement that lists a metric's points of the time range, newest first.
pub(crate) fn points_sql(name: &str, kind: &str, unit: &str) -> String {
    let table = match kind {
        "histogram" => "histogram_points",
        "exponential_histogram" => "exp_histogram_points",
        "summary" => "summary_points",
        _ => "number_points",
    };
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    format!(
        "SELECT *\nFROM {table}\nWHERE time >= $from AND time < $to\n  AND metric_name = {} AND metric_unit = {}\nORDER BY time DESC\nLIMIT 200",
        quoted(name),
        quoted(unit)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A metric of no unit is another one than the same name with one, and can be asked for.
    #[test]
    fn plots_come_back_from_their_url() {
        let latency =
            Asked { name: "latency".into(), unit: Some(String::new()), by: "service".into(), ..Asked::default() };
        let other = Asked {
            name: "latency".into(),
            unit: Some("s".into()),
            kind: Some("histogram".into()),
            ..Asked::default()
        };
        let search = with_plots("?from=now-6h&find=lat", &[latency.clone(), other.clone()]);
        assert_eq!(search, "?from=now-6h&find=lat&m=latency&unit=&by=service&m2=latency&kind2=histogram&unit2=s");
        assert_eq!(plots(&search), [latency.clone(), other.clone()]);
        assert_eq!(latency.question(), [("unit", ""), ("by", "service")]);
        assert!(latency.is("latency", "gauge", "") && !latency.is("latency", "gauge", "s"));
        // What is taken away leaves nothing of itself.
        assert_eq!(with_plots(&search, &[other]), "?from=now-6h&find=lat&m=latency&unit=s&kind=histogram");
    }

    /// The server refuses a heatmap by something: choosing one takes the other away.
    #[test]
    fn a_heatmap_has_no_lines() {
        let mut asked = Asked { by: "service".into(), filter: "a=b".into(), ..Asked::default() };
        asked.show("heatmap".into());
        assert_eq!(asked.question(), [("q", "a=b"), ("function", "heatmap")]);
        asked.group("*".into());
        assert_eq!(asked.question(), [("q", "a=b"), ("by", "*")]);
        asked.show("rate".into());
        assert_eq!(asked.question(), [("q", "a=b"), ("by", "*"), ("function", "rate")]);
        asked.show("heatmap".into());
        asked.group(String::new());
        assert_eq!(asked.function, "heatmap", "nothing to group by changes nothing");
    }

    /// Of the plots a, b, c and d the list changes one; another one goes.
    #[test]
    fn the_list_keeps_its_plot() {
        let all = ["a", "b", "c", "d"];
        for (at, removed, then) in [(2, 0, "c"), (0, 3, "a"), (1, 2, "b"), (3, 3, "c"), (0, 0, "b"), (3, 1, "d")] {
            let mut left = all.to_vec();
            left.remove(removed);
            assert_eq!(left[place_after(at, removed, left.len())], then, "{at} {removed}");
        }
    }

    #[test]
    fn there_is_always_a_first_plot() {
        assert_eq!(plots(""), [Asked::default()]);
        assert_eq!(plots("?fn=rate")[0].function, "rate");
        let names: Vec<String> = plots("?m=a&m3=c&m9=z").into_iter().map(|asked| asked.name).collect();
        assert_eq!(names, ["a", "c"]);
    }

    #[test]
    fn values_are_read_in_their_unit() {
        let plain = |value, unit| value_text(value, unit).replace(['\u{a0}', '\u{202f}'], " ");
        assert_eq!(plain(0.25, "s"), "250 ms");
        assert_eq!(plain(2_048.0, "By"), "2 KiB");
        assert_eq!(plain(3.0, "{request}"), "3 request");
        assert_eq!(plain(-4.5, "Cel"), "−4.5 Cel");
        assert_eq!(plain(0.5, "1"), "0.5");
    }

    #[test]
    fn lines_are_named_by_what_they_share() {
        let labels =
            [("service", "order"), ("point.route", "/a")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        let series = MetricSeries { labels: labels.into(), quantile: Some(0.95), ..MetricSeries::default() };
        let by = |fields: &[&str]| fields.iter().map(|field| (*field).to_owned()).collect::<Vec<_>>();
        assert_eq!(series_name(&series, &by(&["service"])), "p95 order");
        assert_eq!(series_name(&series, &by(&["*"])), "p95 point.route=/a service=order");
        assert_eq!(series_name(&MetricSeries::default(), &[]), "all");
        let band = |from, to| {
            series_name(&MetricSeries { band: Some(api::MetricBand { from, to }), ..MetricSeries::default() }, &[])
        };
        let names =
            [band(None, Some(0.1)), band(Some(0.1), Some(1.0)), band(Some(1.0), None), band(Some(0.0), Some(0.0))];
        assert_eq!(names, ["up to 0.1", "0.1 to 1", "above 1", "0"]);
    }

    #[test]
    fn rates_are_per_second() {
        let answer = |function: &str, unit: &str, kind: &str| {
            unit_of(&MetricAnswer {
                function: function.into(),
                unit: unit.into(),
                kind: kind.into(),
                ..MetricAnswer::default()
            })
        };
        assert_eq!(answer("rate", "By", "sum"), "By/s");
        assert_eq!(answer("rate", "s", "histogram"), "/s");
        assert_eq!(answer("quantile", "s", "histogram"), "s");
    }

    /// A name is text, whatever stands in it.
    #[test]
    fn the_points_behind_a_metric_can_be_asked_for() {
        let sql = points_sql("it's", "histogram", "");
        assert!(sql.contains("FROM histogram_points") && sql.contains("metric_name = 'it''s'"), "{sql}");
    }
}
