//! The scale of the pictures in a list of traces.

/// How many times the median a trace may last and still set the scale for all.
const OUTLIER: u64 = 4;

/// The duration that fills the width of a strip: the longest of the list, or four times the median when
/// single traces are longer than that. Those few are drawn to their own length, marked as such: one import
/// of an hour must not turn every request beside it into a dot. 0 for an empty list.
pub(crate) fn common_scale(durations: &mut [u64]) -> u64 {
    durations.sort_unstable();
    let (Some(longest), Some(median)) = (durations.last(), durations.get(durations.len() / 2)) else { return 0 };
    (*longest).min(median.saturating_mul(OUTLIER).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_sets_the_scale_unless_it_is_far_out() {
        assert_eq!(common_scale(&mut [300, 100, 200]), 300);
        assert_eq!(common_scale(&mut [100, 100, 90_000]), 400);
        assert_eq!(common_scale(&mut [0, 0, 0]), 0);
        assert_eq!(common_scale(&mut []), 0);
    }
}
