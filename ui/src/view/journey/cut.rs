//! Joins that the reader does not believe: traces cut off a journey, as the URL holds them.

use model::TraceId;

use crate::view::url;

/// How much more of a journey is asked for than is joined by itself, at most; the server's own bound.
pub(crate) const WIDER_MAX: usize = 8;

/// Times as many traces and spans as are joined by themselves, as the address says it.
pub(crate) fn wider(search: &str) -> usize {
    let asked = url::pairs(search).into_iter().find(|(key, _)| key == "wider").and_then(|(_, text)| text.parse().ok());
    asked.unwrap_or(1).clamp(1, WIDER_MAX)
}

/// Name of the parameter.
const CUT: &str = "cut";

/// Traces that are cut off, as the query string says; what is no trace id is left out.
pub(crate) fn cuts(search: &str) -> Vec<TraceId> {
    let text = url::pairs(search).into_iter().find(|(key, _)| key == CUT).map(|(_, value)| value).unwrap_or_default();
    text.split(',').filter_map(TraceId::from_hex).collect()
}

/// The query string with a trace cut off, or joined again. Which hop is selected, what part of the time is shown and which cause
/// is followed are of the other picture and go.
pub(crate) fn with_cut(search: &str, trace: TraceId, is_cut: bool) -> String {
    let mut all = cuts(search);
    all.retain(|known| *known != trace);
    if is_cut {
        all.push(trace);
    }
    let text = all.iter().map(|trace| trace.to_hex()).collect::<Vec<_>>().join(",");
    url::with_parameters(
        search,
        &[(CUT, Some(text.as_str()).filter(|text| !text.is_empty())), ("hop", None), ("x", None), ("cause", None)],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_can_be_taken_back() {
        let trace = |digit: &str| TraceId::from_hex(&digit.repeat(32)).expect("an id");
        let once = with_cut("?tab=journey&hop=3&x=1-2&cause=00000000000000aa", trace("a"), true);
        assert_eq!(once, format!("?tab=journey&cut={}", "a".repeat(32)));
        let twice = with_cut(&once, trace("b"), true);
        assert_eq!(cuts(&twice), [trace("a"), trace("b")]);
        assert_eq!(cuts(&with_cut(&twice, trace("a"), false)), [trace("b")]);
        assert_eq!(with_cut(&once, trace("a"), false), "?tab=journey");
        assert_eq!(cuts("?cut=nonsense,,"), []);
    }
}
