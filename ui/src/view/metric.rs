//! One metric over time as text: its values in their unit, names of its lines, the points behind it.

use api::{MetricAnswer, MetricSeries};

use super::format;

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
    let all: Vec<String> = quantile.into_iter().chain(labels).collect();
    if all.is_empty() { "all".to_owned() } else { all.join(" ") }
}

/// The unit of an answer's values: a rate is per second, a count has none.
pub(crate) fn unit_of(answer: &MetricAnswer) -> String {
    let is_histogram = answer.kind.ends_with("histogram");
    match answer.function.as_str() {
        "rate" if answer.unit.is_empty() || is_histogram => "/s".to_owned(),
        "rate" => format!("{}/s", answer.unit.trim_matches(['{', '}'])),
        "count" => String::new(),
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
