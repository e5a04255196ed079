//! Time to place: the part of a trace that is on screen, where a moment stands in it, and the ruler.

use super::format;

/// Shortest part that can be zoomed to, in nanoseconds.
const WINDOW_MIN: f64 = 100.0;
/// Free space behind the last span, as a part of the trace: room for the duration text.
const TAIL: f64 = 0.09;

/// The part of a trace on screen, in nanoseconds after its start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Window {
    /// Left edge.
    pub(crate) start: f64,
    /// Right edge; more than `start`.
    pub(crate) end: f64,
}

impl Window {
    /// The whole trace.
    pub(crate) fn whole(duration_nanos: u64) -> Self {
        let length = (duration_nanos as f64).max(WINDOW_MIN);
        Self { start: 0.0, end: length * (1.0 + TAIL) }
    }

    /// A part in either order, kept inside the trace and not too short.
    pub(crate) fn part(from: f64, to: f64, duration_nanos: u64) -> Self {
        let whole = Self::whole(duration_nanos);
        let (from, to) = if from <= to { (from, to) } else { (to, from) };
        let length = (to - from).clamp(WINDOW_MIN, whole.end);
        let start = from.clamp(0.0, whole.end - length);
        Self { start, end: start + length }
    }

    /// Reads `start-end` in whole nanoseconds, as the URL says it.
    pub(crate) fn read(text: &str, duration_nanos: u64) -> Option<Self> {
        let (from, to) = text.split_once('-')?;
        let (from, to) = (from.parse::<u64>().ok()?, to.parse::<u64>().ok()?);
        (from < to).then(|| Self::part(from as f64, to as f64, duration_nanos))
    }

    /// The text for the URL; `None` for the whole trace.
    pub(crate) fn text(self, duration_nanos: u64) -> Option<String> {
        (self != Self::whole(duration_nanos)).then(|| format!("{:.0}-{:.0}", self.start, self.end))
    }

    /// Nanoseconds from edge to edge.
    pub(crate) fn length(self) -> f64 {
        self.end - self.start
    }

    /// Where a moment stands: 0 at the left edge, 1 at the right, beyond when it is off screen.
    pub(crate) fn place(self, nanos: f64) -> f64 {
        (nanos - self.start) / self.length()
    }

    /// The moment at a place.
    pub(crate) fn moment(self, place: f64) -> f64 {
        self.start + place * self.length()
    }

    /// Zooms so that the moment under `place` stays where it is; `factor` < 1 shows less.
    pub(crate) fn zoomed(self, place: f64, factor: f64, duration_nanos: u64) -> Self {
        let length = (self.length() * factor).clamp(WINDOW_MIN, Self::whole(duration_nanos).end);
        let start = self.moment(place) - place * length;
        Self::part(start, start + length, duration_nanos)
    }

    /// Moves by a part of its own length.
    pub(crate) fn panned(self, by: f64, duration_nanos: u64) -> Self {
        let whole = Self::whole(duration_nanos).end;
        let start = (self.start + by * self.length()).clamp(0.0, (whole - self.length()).max(0.0));
        Self { start, end: start + self.length() }
    }
}

/// A mark of the ruler.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tick {
    /// Place between the edges, 0 to 1.
    pub(crate) place: f64,
    /// Text; the unit stands on the first tick that is not zero.
    pub(crate) label: String,
}

/// Marks at round moments, at most one per `spacing` pixels. At most 64.
pub(crate) fn ticks(window: Window, width: f64, spacing: f64) -> Vec<Tick> {
    let wanted = (width / spacing).clamp(1.0, 63.0);
    let step = round_step(window.length() / wanted);
    let (unit, size) = unit_for(window.end, step);
    let decimals = (0..9).find(|digits| is_whole(step / size * 10f64.powi(*digits))).unwrap_or(9) as usize;
    let first = (window.start / step).ceil();
    let mut labelled = false;
    (0..64)
        .map(|count| (first + f64::from(count)) * step)
        .take_while(|moment| *moment <= window.end)
        .map(|moment| {
            let number = format!("{:.decimals$}", moment / size);
            let number =
                if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { &number };
            let label = if moment > 0.0 && !labelled {
                labelled = true;
                format!("{number}\u{a0}{unit}")
            } else {
                number.to_owned()
            };
            Tick { place: window.place(moment), label }
        })
        .collect()
}

fn is_whole(value: f64) -> bool {
    (value - value.round()).abs() < 1e-6
}

/// The smallest round step that is not shorter: 1, 2, 5 times a power of ten below a minute, then parts of hours.
fn round_step(at_least: f64) -> f64 {
    const MINUTE: f64 = 60e9;
    const LONG: [f64; 13] = [1., 2., 5., 10., 15., 30., 60., 120., 360., 720., 1_440., 7_200., 14_400.];
    if at_least > 30e9 {
        let step = LONG.iter().map(|minutes| minutes * MINUTE).find(|step| *step >= at_least);
        return step.unwrap_or_else(|| (at_least / (14_400. * MINUTE)).ceil() * 14_400. * MINUTE);
    }
    let power = 10f64.powf(at_least.max(1.0).log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|step| *step >= at_least - 1e-9)
        .unwrap_or(10.0 * power)
}

/// The unit of a ruler that ends at `longest`. Hours and minutes only when the steps are tenths of them.
fn unit_for(longest: f64, step: f64) -> (&'static str, f64) {
    let fits = |size: f64| longest >= 2.0 * size && is_whole(step / size * 10.0);
    match longest {
        _ if fits(3_600e9) => ("h", 3_600e9),
        _ if fits(60e9) => ("min", 60e9),
        nanos if nanos >= 1e9 => ("s", 1e9),
        nanos if nanos >= 1e6 => ("ms", 1e6),
        nanos if nanos >= 1e3 => ("µs", 1e3),
        _ => ("ns", 1.0),
    }
}

/// Where the duration text of a bar goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LabelSide {
    /// Behind the bar.
    Right,
    /// Before the bar, when there is no room behind it.
    Left,
    /// Nowhere: the bar is off screen or fills the screen.
    None,
}

/// The side for a bar from `left` to `right` (places, 0 to 1) on a track `width` pixels wide.
pub(crate) fn label_side(left: f64, right: f64, width: f64, label: &str) -> LabelSide {
    let room = label.chars().count() as f64 * 6.5 + 14.0;
    if right <= 0.0 || left >= 1.0 {
        LabelSide::None
    } else if (1.0 - right) * width >= room {
        LabelSide::Right
    } else if left * width >= room {
        LabelSide::Left
    } else {
        LabelSide::None
    }
}

/// What stands beside a fold's bar: `32 ms, 12 calls`.
pub(crate) fn fold_label(sum_nanos: u64, size: usize) -> String {
    format!("{}, {} calls", format::duration(sum_nanos), format::count(size as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: f64 = 1e6;

    fn labels(start: f64, end: f64) -> String {
        let ticks = ticks(Window { start, end }, 600.0, 90.0);
        ticks.iter().map(|tick| tick.label.replace('\u{a0}', " ")).collect::<Vec<_>>().join("|")
    }

    #[test]
    fn rulers_are_round_and_name_their_unit_once() {
        assert_eq!(labels(0.0, 430.0 * MS), "0|100 ms|200|300|400");
        assert_eq!(labels(0.0, 3_350.0 * MS), "0|1 s|2|3");
        assert_eq!(labels(2_400.0 * MS, 2_640.0 * MS), "2.4 s|2.45|2.5|2.55|2.6");
        assert_eq!(labels(0.0, 104.0), "0|20 ns|40|60|80|100");
        assert_eq!(labels(0.0, 3.5 * 3_600e9), "0|1 h|2|3");
        assert_eq!(labels(0.0, 190e9), "0|50 s|100|150");
        assert_eq!(labels(0.0, 25.0 * 60e9), "0|5 min|10|15|20|25");
    }

    #[test]
    fn ticks_stand_where_their_moment_is() {
        let ticks = ticks(Window { start: 50.0 * MS, end: 150.0 * MS }, 100.0, 60.0);
        assert_eq!(ticks.len(), 1);
        assert!((ticks[0].place - 0.5).abs() < 1e-9, "{ticks:?}");
    }

    #[test]
    fn zooming_keeps_the_moment_under_the_pointer() {
        let window = Window::whole(1_000_000_000).zoomed(0.25, 0.5, 1_000_000_000);
        assert!((window.moment(0.25) - 272.5 * MS).abs() < 1.0);
        assert_eq!(window.zoomed(0.5, 1e9, 1_000_000_000), Window::whole(1_000_000_000));
        assert!(window.zoomed(0.5, 1e-30, 1_000_000_000).length() >= WINDOW_MIN);
    }

    #[test]
    fn the_window_is_in_the_url() {
        let duration = 1_000_000_000;
        let window = Window::part(700.0 * MS, 200.0 * MS, duration);
        assert_eq!(window.text(duration).as_deref(), Some("200000000-700000000"));
        assert_eq!(Window::read("200000000-700000000", duration), Some(window));
        assert_eq!(Window::whole(duration).text(duration), None);
        for text in ["", "5", "9-3", "a-b", "-1-5"] {
            assert_eq!(Window::read(text, duration), None, "{text}");
        }
    }

    #[test]
    fn texts_stand_where_there_is_room() {
        assert_eq!(label_side(0.1, 0.5, 600.0, "412 ms"), LabelSide::Right);
        assert_eq!(label_side(0.8, 0.99, 600.0, "412 ms"), LabelSide::Left);
        assert_eq!(label_side(0.0, 1.0, 600.0, "412 ms"), LabelSide::None);
        assert_eq!(label_side(1.2, 1.3, 600.0, "412 ms"), LabelSide::None);
    }

    proptest::proptest! {
        /// However a trace is zoomed and moved, the window stays inside and the ruler ends.
        #[test]
        fn windows_stay_inside(duration in 0u64..u64::MAX / 4, moves in proptest::collection::vec((0.0f64..1.0, 0.05f64..20.0, -2.0f64..2.0), 0..12)) {
            let mut window = Window::whole(duration);
            let whole = window;
            for (place, factor, by) in moves {
                window = window.zoomed(place, factor, duration).panned(by, duration);
                proptest::prop_assert!(window.start >= 0.0 && window.end > window.start);
                proptest::prop_assert!(window.end <= whole.end * 1.000_001, "{window:?} in {whole:?}");
            }
            proptest::prop_assert!(ticks(window, 900.0, 80.0).len() <= 64);
        }
    }
}
