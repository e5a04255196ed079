//! The visible rows: a pool of nodes that are written again as rows scroll into view.
//!
//! Row number `n` always uses node `n % pool`, so a row that stays on screen keeps its node, and scrolling
//! by one row writes one node. Of a row that enters only what differs from the row its node showed before goes to the
//! browser ([`Kept`]): each write is a call out of wasm, and rows of one trace have most of their classes, texts and levels in
//! common. Texts are set as text nodes, places through the style object.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::fmt::Write as _;

use api::span_flag;
use leptos::prelude::document;
use wasm_bindgen::JsCast;
use web_sys::{Element, HtmlElement, Text};

use super::{Model, ROW_HEIGHT};
use crate::view::journey::scale::Scale;
use crate::view::span_tree::Row;
use crate::view::stitched::{CROSSING, PAUSE};
use crate::view::timeline::{LabelSide, fold_label, label_side};
use crate::view::{find, format};

/// Nodes in the pool beyond what is visible, so that a fast scroll finds rows ready above and below.
const SPARE: usize = 12;
/// Levels drawn as indentation; deeper rows stand under each other.
const LEVELS_DRAWN_MAX: u32 = 16;
/// Pieces of the critical path drawn in one row.
const PIECES_MAX: usize = 24;
/// Width of a level in pixels.
const LEVEL_WIDTH: u32 = 14;

/// What is on screen.
#[derive(Debug)]
pub(super) struct Screen {
    /// First visible row.
    pub(super) first: usize,
    /// Visible rows.
    pub(super) count: usize,
    /// Width of the time track in pixels.
    pub(super) track_width: f64,
    /// Time to pixels.
    pub(super) scale: Scale,
    /// The selected row.
    pub(super) selected: Option<Row>,
    /// Text to mark in names.
    pub(super) needle: String,
    /// The critical path is drawn.
    pub(super) track: bool,
}

impl Screen {
    /// Where a moment stands: 0 at the left edge of the track, 1 at the right, a little beyond when it is off screen.
    fn place(&self, nanos: u64) -> f64 {
        let nanos = nanos as f64;
        match self.scale.side(nanos) {
            Ordering::Less => -0.01,
            Ordering::Greater => 1.01,
            Ordering::Equal => self.scale.x(nanos) / self.track_width.max(1.0),
        }
    }
}

/// The nodes.
#[derive(Debug)]
pub(super) struct Pool {
    host: Element,
    slots: Vec<Slot>,
}

/// One row node and the parts of it that change.
#[derive(Debug)]
struct Slot {
    /// Row number it shows; `None` when it must be written again.
    shows: Option<usize>,
    row: HtmlElement,
    /// The column of names; lines that show levels are its background.
    names: HtmlElement,
    chevron: Element,
    /// The name, behind a swatch in the service's colour.
    name: Element,
    before: Text,
    /// What was found of the name; in the row only where something was.
    mark: Element,
    after: Text,
    chip: Element,
    side: Element,
    badge: Element,
    /// The time track: the bar and its label stand in its flow, the critical path is its background.
    track: HtmlElement,
    bar: HtmlElement,
    label: Text,
    kept: Kept,
}

/// What of a row is written, one place each in [`Kept`].
#[derive(Clone, Copy, Debug)]
enum What {
    Class,
    Hidden,
    Place,
    Indent,
    Chevron,
    NameClass,
    Before,
    Mark,
    After,
    ChipClass,
    Chip,
    Side,
    Badge,
    BadgeClass,
    TrackClass,
    Path,
    BarClass,
    Bar,
    Label,
    Id,
    Level,
    Index,
    Selected,
    Expanded,
    Meaning,
    Title,
}

/// How many [`What`] there are.
const WHATS: usize = What::Title as usize + 1;

/// What the nodes of a row hold, so that nothing is written twice; `None` for what was never written.
#[derive(Debug, Default)]
struct Kept(RefCell<[Option<String>; WHATS]>);

impl Kept {
    /// Calls `write` when the value is another than the one before.
    fn put(&self, what: What, value: &str, write: impl FnOnce(&str)) {
        let mut kept = self.0.borrow_mut();
        let Some(known) = kept.get_mut(what as usize) else { return };
        match known {
            Some(known) if known == value => return,
            // The text's room is used again.
            Some(known) => value.clone_into(known),
            None => *known = Some(value.to_owned()),
        }
        write(value);
    }
}

impl Pool {
    /// An empty pool inside `host`.
    pub(super) fn new(host: Element) -> Self {
        // Where another list stood before, its rows are still there.
        host.set_text_content(None);
        Self { host, slots: Vec::new() }
    }

    /// Every node must be written again: something other than the scroll position changed.
    pub(super) fn forget(&mut self) {
        for slot in &mut self.slots {
            slot.shows = None;
        }
    }

    /// Shows the rows of the screen.
    pub(super) fn write(&mut self, model: &Model, screen: &Screen) {
        let n_rows = model.tree.n_rows();
        let wanted = screen.count + SPARE;
        if self.slots.len() < wanted {
            // Another pool size moves every row to another node.
            self.forget();
            while self.slots.len() < wanted {
                match Slot::new() {
                    Some(slot) => {
                        let _ = self.host.append_child(&slot.row);
                        self.slots.push(slot);
                    }
                    None => return,
                }
            }
        }
        let n_slots = self.slots.len();
        let first = screen.first.saturating_sub(SPARE / 2).min(n_rows.saturating_sub(1));
        for position in first..first + n_slots {
            let slot = &mut self.slots[position % n_slots];
            if slot.shows == Some(position) {
                continue;
            }
            slot.shows = Some(position);
            match model.tree.row(position) {
                Some(row) => slot.write(model, screen, position, row),
                None => slot.hide(true),
            }
        }
    }
}

impl Slot {
    /// Makes the nodes of a row; `None` when the browser refuses to make one.
    fn new() -> Option<Self> {
        let row = element("div", "wr")?.dyn_into::<HtmlElement>().ok()?;
        let names = element("div", "nm")?.dyn_into::<HtmlElement>().ok()?;
        let track = element("div", "tl")?.dyn_into::<HtmlElement>().ok()?;
        let (chevron, name, mark) = (element("span", "cv")?, element("span", "name ell")?, element("mark", "")?);
        let (before, after) = (document().create_text_node(""), document().create_text_node(""));
        let (chip, side, badge) =
            (element("span", "chip")?, element("span", "sn ell grow")?, element("span", "proto")?);
        let bar = element("i", "bar")?.dyn_into::<HtmlElement>().ok()?;
        let label = document().create_text_node("");
        for part in [names.as_ref(), track.as_ref()] as [&Element; 2] {
            part.set_attribute("role", "gridcell").ok()?;
        }
        row.set_attribute("role", "row").ok()?;
        name.append_child(&before).ok()?;
        for part in [&chevron, &name, &chip, &side, &badge] {
            names.append_child(part).ok()?;
        }
        track.append_child(&bar).ok()?;
        track.append_child(&label).ok()?;
        row.append_child(&names).ok()?;
        row.append_child(&track).ok()?;
        Some(Self {
            shows: None,
            row,
            names,
            chevron,
            name,
            before,
            mark,
            after,
            chip,
            side,
            badge,
            track,
            bar,
            label,
            kept: Kept::default(),
        })
    }

    fn hide(&self, hidden: bool) {
        self.kept.put(What::Hidden, if hidden { "yes" } else { "no" }, |_| self.row.set_hidden(hidden));
    }

    fn class(&self, what: What, element: &Element, class: &str) {
        self.kept.put(what, class, |class| element.set_class_name(class));
    }

    fn text(&self, what: What, element: &Element, text: &str) {
        self.kept.put(what, text, |text| element.set_text_content(Some(text)));
    }

    fn style(&self, what: What, element: &HtmlElement, property: &str, value: &str) {
        self.kept.put(what, value, |value| {
            let _ = element.style().set_property(property, value);
        });
    }

    fn write(&self, model: &Model, screen: &Screen, position: usize, row: Row) {
        let (tree, index) = (&model.tree, row.index());
        let spans = &tree.spans;
        let is_selected = screen.selected == Some(row);
        let is_open = tree.is_open(row);
        let n_errors = tree.row_errors(row);
        let is_parent = matches!(row, Row::Span(index) if tree.has_children(index));
        let can_open = is_parent || matches!(row, Row::Fold(_));
        let is_found = match row {
            Row::Span(index) => model.is_found[index],
            Row::Fold(first) => !is_open && (first..first + tree.fold_size(first)).any(|index| model.is_found[index]),
        };
        let level = tree.level(row);
        let (name, service) = (model.text(spans.name[index]), model.service(index));
        let (start, end) = tree.extent(row);

        let color = model.classes.get(spans.service[index] as usize).map_or("", String::as_str);
        let crossing = model.crossings.get(&index);
        let is_pause = spans.kind[index] == PAUSE;
        let flags = [
            (is_found, " m"),
            (is_selected, " sel"),
            (n_errors > 0, " err"),
            (crossing.is_some(), " cross"),
            (is_pause, " pause"),
        ];
        let mut class = "wr".to_owned();
        flags.iter().filter(|(on, _)| *on).for_each(|(_, name)| class.push_str(name));
        self.class(What::Class, &self.row, &class);
        self.hide(false);
        self.style(What::Place, &self.row, "transform", &format!("translateY({}px)", position as f64 * ROW_HEIGHT));
        // Not beyond the column where the window is narrow.
        let indent = level.min(LEVELS_DRAWN_MAX) * LEVEL_WIDTH;
        let indent =
            format!("padding-left:min({}px,calc(var(--names-w)*.6));background-size:{indent}px 100%", 10 + indent);
        self.kept.put(What::Indent, &indent, |indent| self.names.style().set_css_text(indent));

        let chevron = match (can_open, is_open) {
            (false, _) => "cv",
            (true, true) => "cv open",
            (true, false) => "cv shut",
        };
        self.class(What::Chevron, &self.chevron, chevron);
        // Only where it is seen: a colour of the row would have each part of the row styled again.
        self.class(What::NameClass, &self.name, &format!("name ell {color}"));
        self.write_name(name, &screen.needle, is_found);
        let n_below = if is_parent && !is_open { tree.n_below(index) } else { 0 };
        let chip = match row {
            Row::Fold(first) => format!("× {}", format::count(tree.fold_size(first) as u64)),
            Row::Span(_) if n_below > 0 => format!("+ {}", format::count(n_below as u64)),
            Row::Span(_) => String::new(),
        };
        let chip_class = match (chip.is_empty(), n_below > 0 && tree.errors_below(index) > 0) {
            (true, _) => "chip gone",
            (false, true) => "chip bad",
            (false, false) => "chip",
        };
        self.class(What::ChipClass, &self.chip, chip_class);
        self.text(What::Chip, &self.chip, &chip);
        self.text(What::Side, &self.side, &side_text(model, row, service));
        let badge = model.text(spans.badge[index]);
        let badge_class = match (badge.is_empty(), spans.kind[index]) {
            (_, CROSSING) => "proto",
            (true, _) => "proto gone",
            // Producer and consumer: the message waits somewhere in between.
            (false, 4 | 5) => "proto async",
            (false, _) => "proto",
        };
        self.text(What::Badge, &self.badge, badge);
        self.class(What::BadgeClass, &self.badge, badge_class);

        let label = match row {
            Row::Span(_) if crossing.is_some() => {
                format!("waited {}", format::duration(crossing.map_or(0, |crossing| crossing.waited)))
            }
            Row::Span(_) => format::duration(end - start),
            Row::Fold(first) => fold_label(tree.fold_durations(first).0, tree.fold_size(first)),
        };
        let bar = match (is_parent, n_errors > 0) {
            _ if is_pause || crossing.is_some_and(|crossing| crossing.is_again) => "bar hatch bad",
            _ if crossing.is_some() => "bar hatch",
            (true, true) => "bar par e",
            (true, false) => "bar par",
            (false, true) => "bar e",
            (false, false) => "bar",
        };
        let path = model.path.get(&index).filter(|_| screen.track && matches!(row, Row::Span(_)));
        self.write_track(screen, (start, end), &format!("{bar} {color}"), &label, path);
        self.write_meaning(
            model,
            position,
            row,
            level,
            can_open.then_some(is_open),
            is_selected,
            &label,
            name,
            service,
        );
    }

    /// Bar, label and critical path.
    ///
    /// Nothing in the track has a place of its own, and nothing is cut: each would be a layer for the browser to paint. The
    /// bar is pushed by its margin, from the right where the label stands before it.
    fn write_track(
        &self,
        screen: &Screen,
        (start, end): (u64, u64),
        bar: &str,
        label: &str,
        path: Option<&Vec<(u64, u64)>>,
    ) {
        let width = screen.track_width;
        let (left, right) = (screen.place(start), screen.place(end));
        let is_off = right < 0.0 || left > 1.0;
        let (from, to) = (left.max(0.0) * width, right.min(1.0) * width);
        // A bar is never too short to be seen.
        let to = to.max(from + 2.0);
        let side = label_side(left, right.max(left + 2.0 / width.max(1.0)), width, label);
        let class = match (side, path) {
            (LabelSide::Left, Some(_)) => "tl back cp",
            (LabelSide::Left, None) => "tl back",
            (_, Some(_)) => "tl cp",
            (_, None) => "tl",
        };
        self.class(What::TrackClass, &self.track, class);
        self.style(
            What::Path,
            &self.track,
            "background-image",
            &path.map_or_else(String::new, |path| line(screen, path)),
        );
        self.class(What::BarClass, &self.bar, if is_off { "bar gone" } else { bar });
        let place = match side {
            LabelSide::Left => format!("margin-right:{:.1}px;width:{:.1}px", width - to, to - from),
            _ => format!("margin-left:{from:.1}px;width:{:.1}px", to - from),
        };
        self.kept.put(What::Bar, &place, |place| self.bar.style().set_css_text(place));
        let label = if side == LabelSide::None { "" } else { label };
        self.kept.put(What::Label, label, |text| self.label.set_data(text));
    }

    fn write_name(&self, name: &str, needle: &str, is_found: bool) {
        let parts = if is_found { find::around(name, needle) } else { None };
        let (before, hit, after) = parts.unwrap_or((name, "", ""));
        self.kept.put(What::Before, before, |text| self.before.set_data(text));
        self.kept.put(What::Mark, hit, |text| {
            self.mark.set_text_content(Some(text));
            if text.is_empty() {
                self.mark.remove();
                self.after.remove();
            } else {
                let _ = self.name.append_child(&self.mark);
                let _ = self.name.append_child(&self.after);
            }
        });
        self.kept.put(What::After, after, |text| self.after.set_data(text));
    }

    /// What a screen reader and the pointer at rest are told.
    #[allow(clippy::too_many_arguments)]
    fn write_meaning(
        &self,
        model: &Model,
        position: usize,
        row: Row,
        level: u32,
        open: Option<bool>,
        is_selected: bool,
        label: &str,
        name: &str,
        service: &str,
    ) {
        let set = |what: What, key: &str, value: &str| {
            self.kept.put(what, value, |value| {
                let _ = self.row.set_attribute(key, value);
            });
        };
        match row {
            Row::Span(index) => set(What::Id, "id", &format!("span-{index}")),
            Row::Fold(index) => set(What::Id, "id", &format!("fold-{index}")),
        }
        set(What::Level, "aria-level", &(level + 1).to_string());
        set(What::Index, "aria-rowindex", &(position + 1).to_string());
        set(What::Selected, "aria-selected", if is_selected { "true" } else { "false" });
        match open {
            Some(open) => set(What::Expanded, "aria-expanded", if open { "true" } else { "false" }),
            None => self.kept.put(What::Expanded, "", |_| {
                let _ = self.row.remove_attribute("aria-expanded");
            }),
        }
        let errors = model.tree.row_errors(row);
        let failed = match (row, errors) {
            (_, 0) => String::new(),
            (Row::Span(_), _) => ", error".to_owned(),
            (Row::Fold(_), count) => format!(", {}", format::counted(count as u64, "error")),
        };
        // What is between spans has no service.
        let service = match (service, model.tree.spans.kind[row.index()]) {
            ("", CROSSING) => "between two traces",
            ("", PAUSE) => "between two attempts",
            (service, _) => service,
        };
        let mut text = format!("{name}, {service}, {label}{failed}");
        set(What::Meaning, "aria-label", &text);
        text.clear();
        let _ = write!(text, "{name}\n{service}{failed}");
        self.kept.put(What::Title, &text, |text| {
            let _ = self.name.set_attribute("title", text);
        });
    }
}

/// The critical path as the background of a track: a gradient for each of its pieces.
fn line(screen: &Screen, pieces: &[(u64, u64)]) -> String {
    let mut text = String::new();
    for (from, to) in pieces.iter().take(PIECES_MAX) {
        let place = |nanos: u64| screen.place(nanos) * 100.0;
        // A piece is never too short to be seen.
        let (left, right) = (place(*from), place(*to).max(place(*from) + 0.15));
        let comma = if text.is_empty() { "" } else { "," };
        let _ = write!(
            text,
            "{comma}linear-gradient(90deg,transparent {left:.3}%,var(--accent) {left:.3}% {right:.3}%,transparent {right:.3}%)"
        );
    }
    text
}

/// What stands behind the name: the service where it changes, else the detail, else the service.
fn side_text(model: &Model, row: Row, service: &str) -> String {
    let (tree, index) = (&model.tree, row.index());
    let detail = model.text(tree.spans.detail[index]);
    if tree.is_between(index) {
        return detail.to_owned();
    }
    let enters = tree.parent(index).is_none_or(|parent| tree.spans.service[parent] != tree.spans.service[index]);
    let mut parts: Vec<&str> = Vec::with_capacity(3);
    if enters || detail.is_empty() {
        parts.push(service);
    }
    if !detail.is_empty() {
        parts.push(detail);
    }
    if tree.spans.flags[index] & span_flag::ORPHAN != 0 {
        parts.push("parent not received");
    }
    if tree.spans.flags[index] & span_flag::ID_TWICE != 0 {
        parts.push("id used twice");
    }
    parts.join(", ")
}

fn element(tag: &str, class: &str) -> Option<Element> {
    let element = document().create_element(tag).ok()?;
    if !class.is_empty() {
        element.set_class_name(class);
    }
    Some(element)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The point of it: what a node shows already is not written again.
    #[test]
    fn only_what_differs_is_written() {
        let kept = Kept::default();
        let mut written = Vec::new();
        for (what, value) in
            [(What::Level, "1"), (What::Level, "1"), (What::Index, "1"), (What::Level, "2"), (What::Level, "1")]
        {
            kept.put(what, value, |value| written.push(format!("{what:?} {value}")));
        }
        assert_eq!(written, ["Level 1", "Index 1", "Level 2", "Level 1"]);
    }
}
