//! The scale of the pictures in a list of traces.

/// How many times the 90th percentile a trace may last and still set the scale for all.
const OUTLIER: u64 = 2;

/// The duration that fills the width of a strip: the longest of the list, or twice the 90th percentile when
/// single traces are longer than that. Those few are drawn to their own length, marked as such: one import
/// of an hour must not turn every request beside it into a dot. 0 for an empty list.
pub(crate) fn common_scale(durations: &mut [u64]) -> u64 {
    durations.sort_unstable();
    let (Some(longest), Some(usual)) = (durations.last(), durations.get(durations.len() * 9 / 10)) else { return 0 };
    (*longest).min(usual.saturating_mul(OUTLIER).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_sets_the_scale_unless_it_is_far_out() {
        let mut twenty = [100; 20];
        twenty[3] = 190;
        assert_eq!(common_scale(&mut twenty), 190);
        twenty[0] = 90_000;
        assert_eq!(common_scale(&mut twenty), 380);
        assert_eq!(common_scale(&mut [300, 100, 200]), 300);
        assert_eq!(common_scale(&mut [0, 0, 0]), 0);
        assert_eq!(common_scale(&mut []), 0);
    }
}
