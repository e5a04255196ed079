//! Time to pixels, with quiet stretches folded.
//!
//! ```text
//! 0        100 ms      200     ~        2.4 s     2.5
//! |-----------live----------|fold|--------live--------|
//! ```
//!
//! An interval in which no span runs and that is longer than [`FOLD_SHARE`] of the journey takes 24 to 64 px,
//! whatever its length; all live time has one scale. The minimap is drawn with a scale without folds.

use std::cmp::Ordering;

use crate::view::timeline::{Window, ticks};

/// Shortest quiet stretch that folds, as a part of what is on screen.
const FOLD_SHARE: f64 = 0.08;
/// Narrowest and widest fold in pixels.
const FOLD_WIDTH: (f64, f64) = (24.0, 64.0);
/// Live time left on each side of a fold, as a part of the quiet stretch: a bar never touches the fold.
const AIR: f64 = 0.004;
/// Folds at most in one picture.
const FOLDS_MAX: usize = 12;

/// A stretch of time on screen. Nanoseconds after the start of the journey, pixels from the left.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Piece {
    /// First moment.
    pub(crate) from: f64,
    /// Last moment.
    pub(crate) to: f64,
    /// Left edge.
    pub(crate) left: f64,
    /// Right edge.
    pub(crate) right: f64,
    /// Its place in the list of quiet stretches, when it is folded.
    pub(crate) fold: Option<usize>,
}

impl Piece {
    fn share(&self, nanos: f64) -> f64 {
        if self.to > self.from { ((nanos - self.from) / (self.to - self.from)).clamp(0.0, 1.0) } else { 0.0 }
    }
}

/// A mark of the ruler: pixels from the left, text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mark {
    /// Pixels from the left.
    pub(crate) x: f64,
    /// The moment.
    pub(crate) label: String,
}

/// Time to pixels and back.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scale {
    pieces: Vec<Piece>,
}

impl Scale {
    /// Lays the window out from `left` over `width` pixels. `folds` are quiet stretches in order, each with its
    /// number; they fold when they are long enough in this window.
    pub(crate) fn new(window: Window, folds: &[(usize, f64, f64)], left: f64, width: f64) -> Self {
        let length = window.length();
        let mut cuts: Vec<(usize, f64, f64)> = Vec::new();
        for (number, from, to) in folds {
            let air = (to - from) * AIR + length * AIR;
            let (from, to) = ((from + air).max(window.start), (to - air).min(window.end));
            let after = cuts.last().map_or(window.start, |(_, _, to)| *to);
            if to - from > length * FOLD_SHARE && from >= after && cuts.len() < FOLDS_MAX {
                cuts.push((*number, from, to));
            }
        }
        let quiet: f64 = cuts.iter().map(|(_, from, to)| to - from).sum();
        let live = length - quiet;
        // A window inside a quiet stretch has nothing else to show: then it is drawn as it is.
        if live < length * 0.001 {
            cuts.clear();
        }
        let wide = |from: f64, to: f64| {
            (FOLD_WIDTH.0 + (FOLD_WIDTH.1 - FOLD_WIDTH.0) * ((to - from) / length * 1.6).min(1.0)).min(width / 4.0)
        };
        let folded: f64 = cuts.iter().map(|(_, from, to)| wide(*from, *to)).sum();
        let live = if cuts.is_empty() { length } else { live };
        let scale = (width - folded).max(1.0) / live.max(f64::MIN_POSITIVE);
        let mut pieces = Vec::with_capacity(cuts.len() * 2 + 1);
        let (mut at, mut x) = (window.start, left);
        let mut push = |from: f64, to: f64, wide: f64, fold: Option<usize>| {
            if to > from {
                pieces.push(Piece { from, to, left: x, right: x + wide, fold });
                x += wide;
            }
        };
        for (number, from, to) in &cuts {
            push(at, *from, (from - at) * scale, None);
            push(*from, *to, wide(*from, *to), Some(*number));
            at = *to;
        }
        push(at, window.end, (window.end - at) * scale, None);
        Self { pieces }
    }

    /// All pieces, left to right.
    pub(crate) fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// Left and right edge.
    pub(crate) fn edges(&self) -> (f64, f64) {
        (self.pieces.first().map_or(0.0, |piece| piece.left), self.pieces.last().map_or(0.0, |piece| piece.right))
    }

    /// Where a moment stands; moments off screen stand at the edge.
    pub(crate) fn x(&self, nanos: f64) -> f64 {
        let piece = self.pieces.iter().find(|piece| nanos <= piece.to).or(self.pieces.last());
        piece.map_or(0.0, |piece| piece.left + piece.share(nanos) * (piece.right - piece.left))
    }

    /// True when any part of an interval is on screen.
    pub(crate) fn shows(&self, from: f64, to: f64) -> bool {
        let (first, last) = (self.pieces.first(), self.pieces.last());
        first.is_some_and(|first| to >= first.from) && last.is_some_and(|last| from <= last.to)
    }

    /// Where a moment stands to what is on screen: before it, on it, behind it.
    pub(crate) fn side(&self, nanos: f64) -> Ordering {
        match (self.pieces.first(), self.pieces.last()) {
            (Some(first), _) if nanos < first.from => Ordering::Less,
            (_, Some(last)) if nanos > last.to => Ordering::Greater,
            _ => Ordering::Equal,
        }
    }

    /// The moment at a place.
    pub(crate) fn moment(&self, x: f64) -> f64 {
        let piece = self.pieces.iter().find(|piece| x <= piece.right).or(self.pieces.last());
        piece.map_or(0.0, |piece| {
            let wide = (piece.right - piece.left).max(f64::MIN_POSITIVE);
            piece.from + ((x - piece.left) / wide).clamp(0.0, 1.0) * (piece.to - piece.from)
        })
    }

    /// Round moments, at least `spacing` pixels apart, none inside or right at a fold.
    pub(crate) fn ticks(&self, spacing: f64) -> Vec<Mark> {
        let live = self.pieces.iter().filter(|piece| piece.fold.is_none());
        let mut marks = Vec::new();
        for (at, piece) in live.enumerate() {
            let wide = piece.right - piece.left;
            let room = if Some(piece) == self.pieces.last() { 16.0 } else { 12.0 };
            let window = Window { start: piece.from, end: piece.to };
            for tick in ticks(window, wide, spacing).into_iter().take(48) {
                let x = piece.left + tick.place * wide;
                let is_free = marks.last().is_none_or(|last: &Mark| x - last.x >= spacing * 0.55);
                if x + room <= piece.right && is_free || at == 0 && tick.place == 0.0 {
                    marks.push(Mark { x, label: tick.label });
                }
            }
        }
        marks
    }
}

/// Stretches in which nothing runs and that are longer than a part of the whole, in order. `busy` intervals
/// may overlap and come in any order; they are sorted.
pub(crate) fn quiet(busy: &mut [(f64, f64)], length: f64) -> Vec<(f64, f64)> {
    busy.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut found = Vec::new();
    let mut until = 0.0_f64;
    for (start, end) in busy.iter() {
        if start - until > length * FOLD_SHARE * 0.25 {
            found.push((until, *start));
        }
        until = until.max(*end);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: f64 = 1e6;

    fn show(scale: &Scale) -> String {
        let piece = |piece: &Piece| {
            let sign = if piece.fold.is_some() { '~' } else { '-' };
            format!("{:.0}{sign}{:.0}@{:.0}..{:.0}", piece.from / MS, piece.to / MS, piece.left, piece.right)
        };
        scale.pieces.iter().map(piece).collect::<Vec<_>>().join(" ")
    }

    fn window(start: f64, end: f64) -> Window {
        Window { start: start * MS, end: end * MS }
    }

    #[test]
    fn a_long_wait_folds_and_live_time_keeps_one_scale() {
        let scale = Scale::new(window(0.0, 3_200.0), &[(0, 420.0 * MS, 2_310.0 * MS)], 160.0, 900.0);
        assert_eq!(show(&scale), "0-440@160..434 440~2290@434..495 2290-3200@495..1060");
        assert!((scale.x(2_746.0 * MS) - 778.0).abs() < 1.0);
        assert!((scale.moment(scale.x(300.0 * MS)) / MS - 300.0).abs() < 1e-6);
    }

    #[test]
    fn short_waits_and_windows_inside_a_wait_do_not_fold() {
        assert_eq!(
            show(&Scale::new(window(0.0, 1_000.0), &[(0, 100.0 * MS, 160.0 * MS)], 0.0, 500.0)),
            "0-1000@0..500"
        );
        assert_eq!(show(&Scale::new(window(200.0, 300.0), &[(0, 0.0, 900.0 * MS)], 0.0, 500.0)), "200-300@0..500");
    }

    #[test]
    fn waits_are_found_between_overlapping_spans() {
        let mut busy = vec![(50.0, 100.0), (0.0, 60.0), (400.0, 500.0), (505.0, 510.0)];
        assert_eq!(quiet(&mut busy, 510.0), [(100.0, 400.0)]);
    }

    #[test]
    fn ticks_name_their_moment_and_keep_off_the_folds() {
        let scale = Scale::new(window(0.0, 3_214.0), &[(0, 424.0 * MS, 2_306.0 * MS)], 158.0, 880.0);
        let text: Vec<String> = scale.ticks(84.0).iter().map(|mark| mark.label.replace('\u{a0}', " ")).collect();
        assert_eq!(text.join("|"), "0|200 ms|400|2.4 s|2.6|2.8|3");
        for mark in scale.ticks(84.0) {
            let moment = scale.moment(mark.x);
            let fold = scale.pieces().iter().find(|piece| piece.fold.is_some()).expect("one");
            assert!(moment <= fold.from || moment >= fold.to);
        }
    }

    proptest::proptest! {
        /// Later never stands further left, and a place leads back to its moment.
        #[test]
        fn time_runs_right(
            gaps in proptest::collection::vec((0.0f64..1e9, 0.0f64..1e9), 0..20),
            moments in proptest::collection::vec(0.0f64..1e9, 2..20),
            width in 10.0f64..3_000.0,
        ) {
            let mut busy = gaps.iter().map(|(a, b)| (a.min(*b), a.max(*b))).collect::<Vec<_>>();
            let folds: Vec<_> = quiet(&mut busy, 1e9).into_iter().enumerate().map(|(at, (a, b))| (at, a, b)).collect();
            let scale = Scale::new(Window { start: 0.0, end: 1e9 }, &folds, 0.0, width);
            let mut moments = moments;
            moments.sort_by(f64::total_cmp);
            for pair in moments.windows(2) {
                proptest::prop_assert!(scale.x(pair[0]) <= scale.x(pair[1]) + 1e-6);
                proptest::prop_assert!((scale.moment(scale.x(pair[0])) - pair[0]).abs() < 1e9 / 1e3);
            }
            let (left, right) = scale.edges();
            proptest::prop_assert!(left >= -1e-6 && right <= width.max(12.0 * 64.0 + 1.0) + 1e-6);
        }
    }
}
