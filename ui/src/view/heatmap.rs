//! The heatmap's plane: moments to the right, durations up on a logarithmic scale, both to pixels and back.

use super::url::Brush;
use super::{clock, format};

/// Space for the labels of durations at the left, in pixels.
pub(crate) const LEFT: f64 = 56.0;
/// Free space at the right.
pub(crate) const RIGHT: f64 = 16.0;
/// Free space above.
pub(crate) const TOP: f64 = 8.0;
/// Space for the labels of moments below.
pub(crate) const FOOT: f64 = 22.0;
/// Colours of cells.
pub(crate) const SHADES: usize = 7;

/// What is where.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Plane {
    /// Pixels.
    pub(crate) width: f64,
    /// Pixels.
    pub(crate) height: f64,
    /// Moment at the left edge, nanoseconds since 1970.
    pub(crate) from: i64,
    /// Moment at the right edge.
    pub(crate) to: i64,
    /// Duration at the foot, in nanoseconds; at least 1.
    pub(crate) least: f64,
    /// Duration at the top.
    pub(crate) most: f64,
}

impl Plane {
    /// For a picture of this size; `edges` are the rows' edges in nanoseconds.
    pub(crate) fn new(width: f64, height: f64, from: i64, to: i64, edges: &[u64]) -> Self {
        let least = edges.first().map_or(1.0, |edge| (*edge as f64).max(1.0));
        let most = edges.last().map_or(10.0, |edge| *edge as f64).max(least * 1.01);
        Self { width, height, from, to: to.max(from + 1), least, most }
    }

    fn wide(&self) -> f64 {
        (self.width - LEFT - RIGHT).max(1.0)
    }

    fn high(&self) -> f64 {
        (self.height - TOP - FOOT).max(1.0)
    }

    /// Pixels from the left.
    pub(crate) fn x(&self, moment: i64) -> f64 {
        LEFT + (moment.saturating_sub(self.from)) as f64 / (self.to - self.from) as f64 * self.wide()
    }

    /// Pixels from the top.
    pub(crate) fn y(&self, nanos: f64) -> f64 {
        let part = (nanos.max(self.least) / self.least).ln() / (self.most / self.least).ln();
        TOP + (1.0 - part.min(1.0)) * self.high()
    }

    /// The moment at a place, inside the picture.
    pub(crate) fn moment(&self, x: f64) -> i64 {
        let part = ((x - LEFT) / self.wide()).clamp(0.0, 1.0);
        self.from.saturating_add((part * (self.to - self.from) as f64) as i64)
    }

    /// The duration at a place, inside the picture.
    pub(crate) fn nanos(&self, y: f64) -> u64 {
        let part = 1.0 - ((y - TOP) / self.high()).clamp(0.0, 1.0);
        (self.least * (self.most / self.least).powf(part)).round() as u64
    }

    /// The rectangle between two places; `None` when it is thinner than 4 pixels. Touching the top or the foot takes
    /// in everything that is longer or shorter.
    pub(crate) fn brush(&self, a: (f64, f64), b: (f64, f64)) -> Option<Brush> {
        if (a.0 - b.0).abs() < 4.0 || (a.1 - b.1).abs() < 4.0 {
            return None;
        }
        let (top, foot) = (a.1.min(b.1), a.1.max(b.1));
        let brush = Brush {
            from: self.moment(a.0.min(b.0)),
            to: self.moment(a.0.max(b.0)),
            least: if foot >= self.height - FOOT - 1.0 { 0 } else { self.nanos(foot) },
            most: if top <= TOP + 1.0 { u64::MAX } else { self.nanos(top) },
        };
        (brush.from < brush.to && brush.least < brush.most).then_some(brush)
    }

    /// Left, top, width, height of a selection, cut to the picture.
    pub(crate) fn place(&self, brush: &Brush) -> (f64, f64, f64, f64) {
        let edge = |x: f64| x.clamp(LEFT, self.width - RIGHT);
        let (left, right) = (edge(self.x(brush.from)), edge(self.x(brush.to)));
        let top = if brush.most == u64::MAX { TOP } else { self.y(brush.most as f64) };
        let foot = if brush.least == 0 { self.height - FOOT } else { self.y(brush.least as f64) };
        (left, top, (right - left).max(2.0), (foot - top).max(2.0))
    }

    /// The selection moved by a part of the picture, or with `grow` its upper right corner moved.
    pub(crate) fn nudged(&self, brush: &Brush, right: f64, up: f64, grow: bool) -> Brush {
        let (left, top, wide, high) = self.place(brush);
        let (dx, dy) = (right * self.wide() / 40.0, -up * self.high() / 24.0);
        let corners = if grow {
            ((left, top + high), ((left + wide + dx).max(left + 6.0), (top + dy).min(top + high - 6.0)))
        } else {
            ((left + dx, top + high + dy), (left + wide + dx, top + dy))
        };
        self.brush(corners.0, corners.1).unwrap_or(*brush)
    }

    /// Round durations with their places.
    pub(crate) fn durations(&self) -> Vec<(f64, String)> {
        let decades = (self.most / self.least).log10().max(0.01);
        let steps: &[f64] = if self.high() / decades > 70.0 { &[1.0, 3.0] } else { &[1.0] };
        let first = self.least.log10().floor() as i32;
        (first..first + 16)
            .flat_map(|power| steps.iter().map(move |step| step * 10f64.powi(power)))
            .filter(|nanos| *nanos >= self.least && *nanos <= self.most)
            .map(|nanos| (self.y(nanos), format::duration(nanos as u64)))
            .collect()
    }

    /// Seven moments with their places: `14:05`, with the day where the range is longer than one.
    pub(crate) fn moments(&self) -> Vec<(f64, String)> {
        let is_long = self.to - self.from > model::UnixNanos::DAY;
        (0..7)
            .map(|at| {
                let moment = self.from + (self.to - self.from) / 6 * at;
                let text = if is_long { clock::day_and_time(moment) } else { clock::time_of_day(moment) };
                // Without seconds.
                let text = text.rsplit_once(':').map_or(text.clone(), |(minutes, _)| minutes.to_owned());
                (self.x(moment), text)
            })
            .collect()
    }
}

/// Which shade a cell has: the square root of its share of the fullest one.
pub(crate) fn shade(count: u64, most: u64) -> usize {
    ((count as f64 / most.max(1) as f64).sqrt() * SHADES as f64).floor().min(SHADES as f64 - 1.0) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLANE: fn() -> Plane =
        || Plane::new(972.0, 250.0, 0, 3_600_000_000_000, &[1_000_000, 10_000_000, 10_000_000_000]);

    #[test]
    fn a_place_leads_to_its_moment_and_back() {
        let plane = PLANE();
        assert_eq!((plane.x(0), plane.x(plane.to)), (LEFT, 956.0));
        assert_eq!(plane.moment(506.0), 1_800_000_000_000);
        assert_eq!((plane.y(1e6), plane.y(1e10)), (228.0, 8.0));
        assert_eq!(plane.nanos(plane.y(1e8)), 100_000_000);
        assert_eq!(plane.durations().len(), 5);
    }

    #[test]
    fn a_selection_is_where_it_was_drawn() {
        let plane = PLANE();
        let brush = plane.brush((806.0, 8.0), (506.0, 118.0)).expect("a rectangle");
        assert_eq!(
            (brush.from, brush.to, brush.least, brush.most),
            (1_800_000_000_000, 3_000_000_000_000, 100_000_000, u64::MAX)
        );
        let (left, top, wide, high) = plane.place(&brush);
        assert_eq!((left.round(), top.round(), wide.round(), high.round()), (506.0, 8.0, 300.0, 110.0));
        assert_eq!(plane.brush((10.0, 10.0), (12.0, 90.0)), None);
        assert!(plane.nudged(&brush, -1.0, 0.0, false).from < brush.from);
        assert!(plane.nudged(&brush, 1.0, 0.0, true).to > brush.to);
        assert_eq!(Brush::read(&brush.text()), Some(brush));
    }

    #[test]
    fn the_fullest_cell_is_the_brightest() {
        assert_eq!((shade(1, 10_000), shade(10_000, 10_000), shade(0, 0)), (0, 6, 0));
    }
}
