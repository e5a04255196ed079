//! The picture in pixels: boxes, lines and texts, ready to be drawn.
//!
//! What is too narrow to be told apart is drawn once, so the number of shapes is bounded by pixels, not by spans.
//! Texts are cut, then put beside, then left out: they never run over a neighbour.

use std::fmt::Write as _;

use super::facts::Family;
use super::picture::{Anchor, ArrowKind, Lane, Picture, Tone};
use super::scale::Scale;
use crate::view::format;

/// Sizes in pixels: roomy while everything fits a screen, dense with many rows.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    /// Height of a bar or dwell.
    bar: f64,
    /// Height of a mark, and from the bar to it.
    mark: f64,
    /// From the top of a lane to its first bar or dwell.
    top: f64,
    /// From row to row: bars with and without marks, dwells.
    marked: f64,
    plain: f64,
    dwell: f64,
    /// Free space at the foot of a lane.
    foot: f64,
}

const ROOMY: Sizes = Sizes { bar: 17.0, mark: 7.0, top: 8.0, marked: 37.0, plain: 25.0, dwell: 24.0, foot: 5.0 };
const DENSE: Sizes = Sizes { bar: 15.0, mark: 5.0, top: 6.0, marked: 30.0, plain: 22.0, dwell: 20.0, foot: 3.0 };
/// More rows than this are drawn dense.
const ROOMY_ROWS_MAX: usize = 10;
/// Room for a lane's name and note.
const LANE_MIN: f64 = 34.0;
/// Width of a letter of the small texts.
const LETTER: f64 = 5.7;
/// From the foot of a bar to the track.
const TRACK: f64 = 2.2;
/// Lanes shown before those off the track fold.
pub(crate) const LANES_MAX: usize = 14;

/// A line of the diagram.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LaneBox {
    /// Position in the picture.
    pub(crate) lane: usize,
    /// Top.
    pub(crate) y: f64,
    /// Height.
    pub(crate) height: f64,
}

/// A box.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Shape {
    /// Position of the bar, mark or dwell in the picture.
    pub(crate) of: usize,
    /// Left.
    pub(crate) x: f64,
    /// Top.
    pub(crate) y: f64,
    /// Width.
    pub(crate) width: f64,
    /// Height.
    pub(crate) height: f64,
    /// Text inside; empty for none.
    pub(crate) text: String,
}

/// Which end of a text stands at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    /// Its beginning.
    Start,
    /// Its end.
    End,
}

/// A text beside something.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Label {
    /// Place of its beginning or end.
    pub(crate) x: f64,
    /// Base line.
    pub(crate) y: f64,
    /// What it says.
    pub(crate) text: String,
    /// Which end stands at `x`.
    pub(crate) align: Align,
    /// Class name.
    pub(crate) class: &'static str,
}

/// A line between lanes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    /// What it says.
    pub(crate) kind: ArrowKind,
    /// From.
    pub(crate) from: (f64, f64),
    /// To.
    pub(crate) to: (f64, f64),
    /// It leads down.
    pub(crate) down: bool,
    /// It failed.
    pub(crate) failed: bool,
}

impl Line {
    /// The head as a path; nothing for answers.
    pub(crate) fn head(&self) -> Option<String> {
        let (x, y) = self.to;
        let back = if self.down { -6.5 } else { 6.5 };
        (self.kind != ArrowKind::Answer).then(|| format!("M{x:.1},{y:.1}l-3.8,{back}h7.6z"))
    }
}

/// Everything in pixels.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Layout {
    /// Height of all lanes.
    pub(crate) height: f64,
    /// Lanes that are shown.
    pub(crate) lanes: Vec<LaneBox>,
    /// Lanes that are folded away or hidden.
    pub(crate) hidden: usize,
    /// Bars.
    pub(crate) bars: Vec<Shape>,
    /// Marks under bars.
    pub(crate) marks: Vec<Shape>,
    /// Waits.
    pub(crate) dwells: Vec<Shape>,
    /// Texts beside them.
    pub(crate) labels: Vec<Label>,
    /// Lines, under the bars.
    pub(crate) lines: Vec<Line>,
    /// The track where it is solid, as a path.
    pub(crate) track: String,
    /// The track where it is dashed.
    pub(crate) track_dashed: String,
    /// Where the track begins and ends.
    pub(crate) track_ends: Option<((f64, f64), (f64, f64))>,
}

impl Sizes {
    /// From row to row of a lane.
    fn pitch(&self, lane: &Lane) -> f64 {
        match (lane.family, lane.has_marks) {
            (Family::Broker, _) => self.dwell,
            (_, true) => self.marked,
            (_, false) => self.plain,
        }
    }

    /// From the top of a bar to the base line of its text.
    fn base(&self) -> f64 {
        self.bar / 2.0 + 3.8
    }
}

/// What is taken on a row of a lane.
#[derive(Debug, Default)]
struct Shelf {
    taken: Vec<(usize, usize, f64, f64)>,
}

impl Shelf {
    fn is_free(&self, lane: usize, row: usize, left: f64, right: f64) -> bool {
        !self.taken.iter().any(|(l, r, from, to)| *l == lane && *r == row && *from < right && *to > left)
    }

    fn take(&mut self, lane: usize, row: usize, left: f64, right: f64) {
        self.taken.push((lane, row, left, right));
    }
}

/// The lanes of `order` that are shown: all, or with more than [`LANES_MAX`] those on the track and as many others as fit.
pub(crate) fn fold_lanes(picture: &Picture, mut order: Vec<usize>) -> Vec<usize> {
    if order.len() > LANES_MAX {
        let is_critical = |at: &usize| picture.lanes[*at].is_critical;
        let mut left = LANES_MAX.saturating_sub(order.iter().filter(|at| is_critical(at)).count());
        order.retain(|at| {
            let takes = !is_critical(at) && left > 0;
            left -= usize::from(takes);
            is_critical(at) || takes
        });
    }
    order
}

impl Layout {
    /// Places everything on the lanes that are shown, top to bottom.
    pub(crate) fn new(picture: &Picture, scale: &Scale, shown: &[usize]) -> Self {
        let mut layout = Self { hidden: picture.lanes.len() - shown.len(), ..Self::default() };
        let mut tops = vec![None; picture.lanes.len()];
        let n_rows: usize = shown.iter().map(|at| picture.lanes[*at].rows).sum();
        let sizes = if n_rows > ROOMY_ROWS_MAX { DENSE } else { ROOMY };
        for &at in shown {
            let lane = &picture.lanes[at];
            let rows = lane.rows as f64;
            let pitch = sizes.pitch(lane);
            let height = (sizes.top + rows * pitch + sizes.foot).max(LANE_MIN);
            tops[at] = Some(layout.height);
            layout.lanes.push(LaneBox { lane: at, y: layout.height, height });
            layout.height += height;
        }
        let mut placer = Placer { sizes, picture, scale, tops, shelf: Shelf::default(), layout };
        placer.bars();
        placer.dwells();
        placer.marks();
        placer.texts();
        placer.lines();
        placer.track();
        placer.layout
    }
}

/// A bar of the minimap.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct MiniBar {
    /// Lane, by position in the picture.
    pub(crate) lane: usize,
    /// Left.
    pub(crate) x: f64,
    /// Top.
    pub(crate) y: f64,
    /// Width.
    pub(crate) width: f64,
    /// It failed, or waits for redelivery.
    pub(crate) failed: bool,
    /// The hop that waits, when it is a wait.
    pub(crate) hop: Option<usize>,
}

/// The whole journey in true scale: one line a lane, slivers on the same pixels once.
pub(crate) fn mini(picture: &Picture, length: f64, left: f64, width: f64, height: f64) -> Vec<MiniBar> {
    let pitch = ((height - 10.0) / picture.lanes.len().max(1) as f64).min(4.4);
    let top = (height - pitch * picture.lanes.len() as f64) / 2.0;
    let mut seen = std::collections::HashSet::new();
    let bars = picture.bars.iter().map(|bar| (bar.lane, bar.start, bar.end, bar.failed, None));
    let dwells = picture.dwells.iter();
    let dwells = dwells.map(|dwell| (dwell.lane, dwell.start, dwell.end, dwell.is_redelivery, Some(dwell.hop)));
    bars.chain(dwells)
        .map(|(lane, start, end, failed, hop)| {
            let x = left + start / length * width;
            let wide = ((end - start) / length * width).max(1.5);
            MiniBar { lane, x, y: top + lane as f64 * pitch, width: wide, failed, hop }
        })
        .filter(|bar| bar.width > 2.0 || seen.insert((bar.lane, (bar.x * 0.67) as i64, bar.failed)))
        .collect()
}

struct Placer<'a> {
    sizes: Sizes,
    picture: &'a Picture,
    scale: &'a Scale,
    /// Top of each lane that is shown.
    tops: Vec<Option<f64>>,
    shelf: Shelf,
    layout: Layout,
}

impl Placer<'_> {
    fn row_top(&self, lane: usize, row: usize) -> Option<f64> {
        let data = &self.picture.lanes[lane];
        Some(self.tops[lane]? + self.sizes.top + row as f64 * self.sizes.pitch(data))
    }

    /// Top and foot of what an anchor names.
    fn extent(&self, anchor: Anchor) -> Option<(f64, f64)> {
        let (lane, row, height) = match anchor {
            Anchor::Bar(bar) => (self.picture.bars[bar].lane, self.picture.bars[bar].row, self.sizes.bar),
            Anchor::Dwell(dwell) => (self.picture.dwells[dwell].lane, self.picture.dwells[dwell].row, self.sizes.bar),
            Anchor::Row(lane, row) => (lane, row, self.sizes.bar),
        };
        let top = self.row_top(lane, row)?;
        Some((top, top + height))
    }

    fn bars(&mut self) {
        let mut last: Vec<(usize, usize, f64)> = Vec::new();
        for (at, bar) in self.picture.bars.iter().enumerate() {
            let Some(y) = self.row_top(bar.lane, bar.row).filter(|_| self.scale.shows(bar.start, bar.end)) else {
                continue;
            };
            let x = self.scale.x(bar.start);
            let width = (self.scale.x(bar.end) - x).max(2.5);
            let seen = last.iter_mut().find(|(lane, row, _)| (*lane, *row) == (bar.lane, bar.row));
            match seen {
                // A sliver beside a sliver cannot be told apart.
                Some((.., right)) if width < 3.0 && x + width <= *right + 1.0 && x + 3.0 >= *right => continue,
                Some((.., right)) => *right = right.max(x + width),
                None => last.push((bar.lane, bar.row, x + width)),
            }
            self.shelf.take(bar.lane, bar.row, x, x + width);
            self.layout.bars.push(Shape { of: at, x, y, width, height: self.sizes.bar, text: String::new() });
        }
    }

    fn dwells(&mut self) {
        for (at, dwell) in self.picture.dwells.iter().enumerate() {
            let Some(y) = self.row_top(dwell.lane, dwell.row).filter(|_| self.scale.shows(dwell.start, dwell.end))
            else {
                continue;
            };
            let x = self.scale.x(dwell.start);
            let width = (self.scale.x(dwell.end) - x).max(3.0);
            self.shelf.take(dwell.lane, dwell.row, x, x + width);
            self.layout.dwells.push(Shape { of: at, x, y, width, height: self.sizes.bar, text: String::new() });
        }
    }

    fn marks(&mut self) {
        // The last mark drawn on each bar: slivers on the same pixels are drawn once.
        let mut last: std::collections::HashMap<(usize, Tone), f64> = std::collections::HashMap::new();
        for (at, mark) in self.picture.marks.iter().enumerate() {
            let bar = &self.picture.bars[mark.bar];
            let Some(top) = self.row_top(bar.lane, bar.row).filter(|_| self.scale.shows(mark.start, mark.end)) else {
                continue;
            };
            let x = self.scale.x(mark.start);
            let width = (self.scale.x(mark.end) - x).max(2.0);
            let right = last.entry((mark.bar, mark.tone)).or_insert(f64::MIN);
            if width <= 2.5 && x + width <= *right + 0.5 && x + 3.0 >= *right {
                continue;
            }
            *right = right.max(x + width);
            self.layout.marks.push(Shape {
                of: at,
                x,
                y: top + self.sizes.bar + self.sizes.mark,
                width,
                height: self.sizes.mark,
                text: String::new(),
            });
        }
    }

    fn texts(&mut self) {
        let (_, right) = self.scale.edges();
        for at in 0..self.layout.bars.len() {
            let shape = &self.layout.bars[at];
            let bar = &self.picture.bars[shape.of];
            let (x, y, width) = (shape.x, shape.y, shape.width);
            let inside = cut(&bar.text, ((width - 11.0) / LETTER).floor());
            let wanted = text_width(&bar.text);
            if inside.chars().count() >= bar.text.chars().count().min(9) && !inside.is_empty() {
                self.layout.bars[at].text = inside;
            } else if wanted < 220.0 && x + width + 6.0 + wanted <= right {
                let (from, to) = (x + width + 5.0, x + width + 7.0 + wanted);
                if self.shelf.is_free(bar.lane, bar.row, from, to) {
                    self.shelf.take(bar.lane, bar.row, from, to);
                    let class = if bar.failed { "bad" } else { "" };
                    let text = bar.text.clone();
                    self.layout.labels.push(Label {
                        x: from,
                        y: y + self.sizes.base(),
                        text,
                        align: Align::Start,
                        class,
                    });
                } else {
                    self.layout.bars[at].text = inside;
                }
            } else {
                self.layout.bars[at].text = inside;
            }
        }
        for at in 0..self.layout.dwells.len() {
            let shape = self.layout.dwells[at].clone();
            let dwell = &self.picture.dwells[shape.of];
            let class = if dwell.is_redelivery { "bad" } else { "" };
            let wait = if dwell.is_overlap {
                "≤ 0, overlaps".to_owned()
            } else {
                format::duration(dwell.wait.max(0.0) as u64)
            };
            let long = if dwell.is_redelivery { format!("{wait} redelivery") } else { format!("waited {wait}") };
            let fits = |text: &str| text_width(text) + 22.0 <= shape.width;
            let inside = [&long, &wait].into_iter().find(|text| fits(text)).cloned();
            self.layout.dwells[at].text = inside.clone().unwrap_or_default();
            if inside.is_none() {
                self.beside(&shape, &wait, class);
            }
        }
        // Consumer groups stand before the first wait of their rows.
        for lane in self.picture.lanes.iter().filter(|lane| !lane.groups.is_empty()) {
            for (row, group) in lane.groups.iter().filter(|(_, group)| !group.is_empty()) {
                let lane = self.picture.lanes.iter().position(|other| std::ptr::eq(other, lane)).unwrap_or_default();
                let of_row = self.layout.dwells.iter().filter(|shape| {
                    let dwell = &self.picture.dwells[shape.of];
                    (dwell.lane, dwell.row) == (lane, *row)
                });
                let Some((x, y)) = of_row.map(|shape| (shape.x, shape.y)).min_by(|a, b| a.0.total_cmp(&b.0)) else {
                    continue;
                };
                let wide = text_width(group);
                let (left, _) = self.scale.edges();
                // Behind a label that stands there already.
                let ends = [x - 7.0, x - 7.0 - 52.0];
                let end = ends
                    .into_iter()
                    .find(|end| end - wide >= left + 2.0 && self.shelf.is_free(lane, *row, end - wide, *end));
                if let Some(end) = end {
                    self.shelf.take(lane, *row, end - wide, end);
                    let text = group.clone();
                    self.layout.labels.push(Label {
                        x: end,
                        y: y + self.sizes.base(),
                        text,
                        align: Align::End,
                        class: "group",
                    });
                }
            }
        }
        for (bar, more) in &self.picture.more_into {
            if let Some(shape) = self.layout.bars.iter().find(|shape| shape.of == *bar) {
                let label = Label {
                    x: shape.x - 5.0,
                    y: shape.y + self.sizes.base(),
                    text: format!("+ {}", format::count(*more as u64)),
                    align: Align::End,
                    class: "",
                };
                self.layout.labels.push(label);
            }
        }
    }

    fn beside(&mut self, shape: &Shape, text: &str, class: &'static str) {
        let (x, y, width) = (shape.x, shape.y, shape.width);
        let (lane, row) = (self.picture.dwells[shape.of].lane, self.picture.dwells[shape.of].row);
        let wide = text_width(text);
        let (left, right) = self.scale.edges();
        let places = [(x - 6.0 - wide, Align::End), (x + width + 6.0, Align::Start)];
        for (from, align) in places {
            if from >= left && from + wide <= right && self.shelf.is_free(lane, row, from, from + wide) {
                self.shelf.take(lane, row, from, from + wide);
                let x = if align == Align::End { from + wide } else { from };
                self.layout.labels.push(Label { x, y: y + self.sizes.base(), text: text.to_owned(), align, class });
                return;
            }
        }
    }

    fn lines(&mut self) {
        let mut drawn = std::collections::HashSet::new();
        for arrow in &self.picture.arrows {
            let (Some(from), Some(to)) = (self.extent(arrow.from.0), self.extent(arrow.to.0)) else { continue };
            let (start, end) = (arrow.from.1, arrow.to.1);
            if !self.scale.shows(start, start) && !self.scale.shows(end, end) {
                continue;
            }
            let down = to.0 > from.0;
            let (x0, x1) = (self.scale.x(start), self.scale.x(end));
            let (y0, y1) = if down { (from.1, to.0) } else { (from.0, to.1) };
            // Lines on the same pixels are one line.
            if drawn.insert(((x0 / 1.5) as i64, y0 as i64, (x1 / 1.5) as i64, y1 as i64, arrow.kind as u8)) {
                self.layout.lines.push(Line {
                    kind: arrow.kind,
                    from: (x0, y0),
                    to: (x1, y1),
                    down,
                    failed: arrow.failed,
                });
            }
        }
    }

    fn track(&mut self) {
        let (mut solid, mut dashed) = (String::new(), String::new());
        let mut before: Option<(f64, f64)> = None;
        let mut pen: Option<(f64, f64)> = None;
        let mut ends = None;
        for stretch in &self.picture.track {
            let Some((_, foot)) = self.extent(stretch.anchor) else { continue };
            if !self.scale.shows(stretch.start, stretch.end) {
                continue;
            }
            let y = foot + TRACK;
            let (x0, x1) = (self.scale.x(stretch.start), self.scale.x(stretch.end));
            if let Some((x, last)) = before {
                if stretch.is_async {
                    let _ = write!(dashed, "M{x:.1},{last:.1}L{x0:.1},{y:.1}");
                } else {
                    to(&mut solid, &mut pen, (x, last), (x0, y));
                }
            }
            if stretch.is_gap {
                let _ = write!(dashed, "M{x0:.1},{y:.1}L{x1:.1},{y:.1}");
            } else {
                to(&mut solid, &mut pen, (x0, y), (x1, y));
            }
            before = Some((x1, y));
            let (first, _) = ends.unwrap_or(((x0, y), (x1, y)));
            ends = Some((first, (x1, y)));
        }
        self.layout.track = solid;
        self.layout.track_dashed = dashed;
        self.layout.track_ends = ends;
    }
}

/// Draws on, lifting the pen only when it stands elsewhere.
fn to(path: &mut String, pen: &mut Option<(f64, f64)>, from: (f64, f64), to: (f64, f64)) {
    if *pen != Some(from) {
        let _ = write!(path, "M{:.1},{:.1}", from.0, from.1);
    }
    let _ = write!(path, "L{:.1},{:.1}", to.0, to.1);
    *pen = Some(to);
}

fn text_width(text: &str) -> f64 {
    text.chars().count() as f64 * LETTER
}

/// A text cut to so many letters with an ellipsis; nothing below four.
fn cut(text: &str, letters: f64) -> String {
    let letters = letters.max(0.0) as usize;
    let count = text.chars().count();
    match letters {
        _ if count <= letters => text.to_owned(),
        0..4 => String::new(),
        _ => text.chars().take(letters - 1).chain(std::iter::once('…')).collect(),
    }
}
