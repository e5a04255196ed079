//! Lines over time as paths.

use std::fmt::Write as _;

/// A line.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Series {
    /// What it is of.
    pub(crate) name: String,
    /// Class names of its colour.
    pub(crate) class: String,
    /// Values at equal distances; `None` where there is none.
    pub(crate) values: Vec<Option<f64>>,
}

/// Where values lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Frame {
    /// Left edge in pixels.
    pub(crate) left: f64,
    /// Upper edge.
    pub(crate) top: f64,
    /// Pixels.
    pub(crate) width: f64,
    /// Pixels.
    pub(crate) height: f64,
    /// Value at the foot.
    pub(crate) least: f64,
    /// Value at the top; more than `least`.
    pub(crate) most: f64,
    /// Values differ by more than two orders: equal factors take equal room.
    pub(crate) is_log: bool,
}

impl Frame {
    /// Around all values, with room for labels.
    pub(crate) fn around(series: &[Series], width: f64, height: f64) -> Self {
        let all = || series.iter().flat_map(|series| series.values.iter().flatten().copied());
        let most = all().fold(0.0, f64::max).max(1e-9);
        let lowest = all().fold(f64::INFINITY, f64::min);
        let is_log = lowest > 0.0 && lowest.is_finite() && most / lowest > 100.0;
        let least = if is_log { lowest / 1.2 } else { lowest.min(0.0) };
        Self {
            left: 76.0,
            top: 10.0,
            width: (width - 76.0 - 190.0).max(60.0),
            height: height - 34.0,
            least,
            most: most * 1.04,
            is_log,
        }
    }

    /// Pixels from the top.
    pub(crate) fn y(&self, value: f64) -> f64 {
        let part = if self.is_log {
            (value.max(self.least) / self.least).ln() / (self.most / self.least).ln()
        } else {
            (value - self.least) / (self.most - self.least)
        };
        self.top + (1.0 - part.clamp(0.0, 1.0)) * self.height
    }

    /// Round values for grid lines.
    pub(crate) fn marks(&self) -> Vec<f64> {
        if self.is_log {
            let first = self.least.log10().floor() as i32;
            return (first..first + 18)
                .map(|power| 10f64.powi(power))
                .filter(|value| *value >= self.least && *value <= self.most)
                .collect();
        }
        let rough = (self.most - self.least) / 4.0;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .into_iter()
            .map(|factor| factor * power)
            .find(|step| *step >= rough)
            .unwrap_or(power * 10.0);
        let first = (self.least / step).ceil() as i64;
        (first..first + 7).map(|at| at as f64 * step).filter(|value| *value <= self.most).collect()
    }
}

/// The line through values at equal distances; it breaks where there is none. A single value becomes a dash.
pub(crate) fn path(values: &[Option<f64>], frame: &Frame) -> String {
    let step = frame.width / values.len().saturating_sub(1).max(1) as f64;
    let mut text = String::new();
    for (at, value) in values.iter().enumerate() {
        let Some(value) = value else { continue };
        let has_before = at > 0 && values[at - 1].is_some();
        let has_after = values.get(at + 1).is_some_and(Option::is_some);
        let (x, y) = (frame.left + at as f64 * step, frame.y(*value));
        let _ = write!(text, "{}{x:.1},{y:.1}", if has_before { "L" } else { "M" });
        if !has_before && !has_after {
            text.push_str("h2");
        }
    }
    text
}

/// The ground under the line.
pub(crate) fn ground(values: &[Option<f64>], frame: &Frame) -> String {
    let step = frame.width / values.len().saturating_sub(1).max(1) as f64;
    let foot = frame.top + frame.height;
    let mut text = String::new();
    let mut open = None;
    for (at, value) in values.iter().enumerate() {
        let x = frame.left + at as f64 * step;
        match (value, open) {
            (Some(value), None) => {
                let _ = write!(text, "M{x:.1},{foot:.1}L{x:.1},{:.1}", frame.y(*value));
                open = Some(x);
            }
            (Some(value), Some(_)) => {
                let _ = write!(text, "L{x:.1},{:.1}", frame.y(*value));
                open = Some(x);
            }
            (None, Some(last)) => {
                let _ = write!(text, "L{last:.1},{foot:.1}Z");
                open = None;
            }
            (None, None) => {}
        }
    }
    if let Some(last) = open {
        let _ = write!(text, "L{last:.1},{foot:.1}Z");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Frame =
        Frame { left: 0.0, top: 0.0, width: 30.0, height: 10.0, least: 0.0, most: 10.0, is_log: false };

    #[test]
    fn a_line_breaks_where_nothing_was_measured() {
        assert_eq!(path(&[Some(0.0), Some(10.0), None, Some(5.0)], &FRAME), "M0.0,10.0L10.0,0.0M30.0,5.0h2");
        assert_eq!(ground(&[Some(10.0), None, None], &FRAME), "M0.0,10.0L0.0,0.0L0.0,10.0Z");
        assert_eq!(path(&[], &FRAME), "");
    }

    #[test]
    fn grid_lines_stand_at_round_values() {
        assert_eq!(Frame { most: 9.0, ..FRAME }.marks(), [0.0, 5.0]);
        assert_eq!(Frame { least: 0.5, most: 2_000.0, is_log: true, ..FRAME }.marks(), [1.0, 10.0, 100.0, 1000.0]);
    }
}
