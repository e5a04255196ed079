//! How long hops like one took: bars on a logarithmic scale, and where this one stands among them.

/// Steps of the server's buckets to a doubling.
const STEPS: f64 = 4.0;
/// Bars drawn at most, one for each of the server's buckets; what is four thousand times shorter than the longest is in the first.
const BARS_MAX: usize = 48;
/// Fewer than these tell nothing.
const LEAST: u64 = 5;

/// The picture.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Spread {
    /// Share of the highest, 0 to 1, at equal distances; the last bar takes in the longest.
    pub(crate) bars: Vec<f64>,
    /// The first bar that is much longer than usual; as many as bars when none is.
    pub(crate) hot: usize,
    /// Where this one stands, 0 to 1.
    pub(crate) place: f64,
    /// The shortest and the longest edge, in nanoseconds.
    pub(crate) ends: (f64, f64),
    /// The first bar holds much shorter ones, too.
    pub(crate) has_shorter: bool,
    /// Hops counted.
    pub(crate) total: u64,
}

fn position(nanos: f64) -> f64 {
    nanos.max(1.0).log2() * STEPS
}

impl Spread {
    /// `buckets` are lower edges in nanoseconds with their counts; `hot_nanos` is where much longer than usual begins. `None` when
    /// there are too few to tell anything.
    pub(crate) fn new(buckets: &[(f64, u64)], took: f64, hot_nanos: Option<f64>) -> Option<Self> {
        let total: u64 = buckets.iter().map(|(_, count)| count).sum();
        if total < LEAST {
            return None;
        }
        let places = || buckets.iter().map(|(edge, _)| position(*edge).round());
        let own = position(took);
        let last = places().fold(own.floor(), f64::max) + 1.0;
        let shortest = places().fold(own.floor(), f64::min);
        let first = shortest.max(last - BARS_MAX as f64);
        let n_bars = ((last - first) as usize).clamp(1, BARS_MAX);
        let bar = |place: f64| ((place - first).max(0.0) as usize).min(n_bars - 1);
        let mut counts = vec![0u64; n_bars];
        for (edge, count) in buckets {
            counts[bar(position(*edge).round())] += count;
        }
        let most = counts.iter().copied().max().unwrap_or(1).max(1) as f64;
        let width = n_bars as f64;
        Some(Self {
            bars: counts.into_iter().map(|count| count as f64 / most).collect(),
            hot: hot_nanos.map_or(n_bars, |nanos| ((position(nanos) - first).ceil().max(0.0) as usize).min(n_bars)),
            place: ((own - first) / width).clamp(0.0, 1.0),
            ends: ((first / STEPS).exp2(), (last / STEPS).exp2()),
            has_shorter: shortest < first,
            total,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_one_stands_where_it_took() {
        let millis = 1e6;
        let usual = (1..=6).map(|at| (2f64.powf(f64::from(at) / 4.0) * 32.0 * millis, 10)).collect::<Vec<_>>();
        let spread = Spread::new(&usual, 2_000.0 * millis, Some(120.0 * millis)).expect("enough of them");
        assert_eq!(spread.total, 60);
        assert!(spread.place > 0.9 && spread.bars.len() <= BARS_MAX, "{spread:?}");
        assert!(spread.bars[0] == 1.0 && spread.bars[spread.bars.len() - 1] == 0.0, "{spread:?}");
        assert!(spread.hot > 6 && spread.hot < spread.bars.len(), "{spread:?}");
        assert!(spread.ends.0 <= 40.0 * millis && spread.ends.1 >= 2_000.0 * millis, "{spread:?}");
    }

    /// A message that did not wait at all does not press all others into a corner.
    #[test]
    fn nothing_at_all_is_in_the_first_bar() {
        let spread = Spread::new(&[(0.0, 90), (30e6, 5), (40e6, 3)], 38e6, None).expect("enough of them");
        assert!(spread.has_shorter && spread.bars.len() == BARS_MAX && spread.bars[0] == 1.0, "{spread:?}");
        assert!(spread.ends.0 > 5e3 && spread.ends.0 < 20e3, "{spread:?}");
        assert!(!Spread::new(&[(30e6, 5)], 38e6, None).expect("enough of them").has_shorter);
    }

    #[test]
    fn a_few_tell_nothing() {
        assert_eq!(Spread::new(&[], 1e6, None), None);
        assert_eq!(Spread::new(&[(1e6, 4)], 1e6, None), None);
    }

    proptest::proptest! {
        /// Whatever was measured, the bars are few and this one is among them.
        #[test]
        fn bars_are_few(edges in proptest::collection::vec((0.0f64..1e18, 1u64..9), 0..80), took in 0.0f64..1e18) {
            if let Some(spread) = Spread::new(&edges, took, Some(took / 2.0)) {
                proptest::prop_assert!(spread.bars.len() <= BARS_MAX && (0.0..=1.0).contains(&spread.place));
                proptest::prop_assert!(spread.hot <= spread.bars.len());
            }
        }
    }
}
