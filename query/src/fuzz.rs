//! Ways in for the fuzz targets (`tests/fuzz/`) to the texts that people and their tools write. No other use.

use std::collections::BTreeMap;

use model::UnixNanos;

use crate::alert::duration;
use crate::alert::fuzzed::{Fill, Template, read_file};
use crate::engine::read_only;
use crate::error::Result;
use crate::metrics::{MetricQuestion, MetricsQuestion};
use crate::search::filter;
use crate::times;

/// Reads a filter; what was read is written and read again as the same.
///
/// # Errors
/// As for a search.
///
/// # Panics
/// When the second reading differs.
pub fn filter(text: &str) -> Result<Option<String>> {
    let Some(read) = filter::parse(text)? else { return Ok(None) };
    let written = read.to_string();
    // What is written may need more quotes and brackets than what was read.
    if written.len() <= filter::TEXT_BYTES_MAX {
        let again = filter::parse(&written);
        assert!(matches!(&again, Ok(Some(again)) if *again == read), "{text:?} is written {written:?}: {again:?}");
    }
    Ok(Some(written))
}

/// Reads moments, ranges and durations.
///
/// # Panics
/// When a moment or a duration is written so that it reads as another.
pub fn times(text: &str, now: UnixNanos) {
    if let Ok(moment) = times::parse_moment(text, now) {
        let written = times::format_moment(moment.0);
        assert_eq!(times::parse_moment(&written, now).ok(), Some(moment), "{text:?} is written {written:?}");
    }
    let (from, to) = text.split_once('/').map_or((text, None), |(from, to)| (from, Some(to)));
    if let Ok(range) = times::parse_range(Some(from), to, now) {
        assert!(range.start < range.end, "{text:?} is empty");
    }
    assert!(times::parse_duration(text).is_none_or(|nanos| nanos >= 0), "{text:?} is negative");
    if let Ok(nanos) = duration::parse(text) {
        let written = duration::format(nanos);
        let again = if nanos == 0 { Ok(0) } else { duration::parse(&written) };
        assert_eq!(again, Ok(nanos), "{text:?} is written {written:?}");
    }
}

/// Judges a statement before it is planned.
///
/// # Errors
/// As for SQL.
pub fn statement(text: &str) -> Result<()> {
    read_only::parse(text).map(drop)
}

/// Reads a file of alert rules; the number of its groups.
///
/// # Errors
/// What is wrong with it, and in which line.
pub fn rules(text: &str) -> std::result::Result<usize, String> {
    read_file(text).map(|groups| groups.len()).map_err(|wrong| wrong.to_string())
}

/// Reads a template and fills it.
///
/// # Errors
/// What is wrong with it.
pub fn template(text: &str, label: &str, value: f64) -> std::result::Result<String, String> {
    let labels = BTreeMap::from([("service".to_owned(), label.to_owned()), ("other".to_owned(), String::new())]);
    let fill = Fill { labels: &labels, value, external_url: "https://traces.example/x" };
    Template::parse(text)?.fill(&fill)
}

/// Reads the parameters of questions about metrics.
pub fn metrics(params: &BTreeMap<String, String>, now: UnixNanos) {
    let _ = MetricsQuestion::from_params(params, now);
    let _ = MetricQuestion::from_params("shop.orders".to_owned(), params, now);
}
