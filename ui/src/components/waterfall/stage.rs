//! The trace on the page, and what the parts of the waterfall share about it.

use std::collections::HashMap;

use leptos::prelude::*;
use model::{SpanId, TraceId};

use crate::app::Shared;
use crate::view::find;
use crate::view::journey::scale::Scale;
use crate::view::span_tree::{Row, SpanTree};
use crate::view::stitched::{Crossing, Pause, Stitched};
use crate::view::timeline::Window;

/// A trace on the page.
#[derive(Debug)]
pub(crate) struct Model {
    /// Spans and which of them are rows.
    pub(crate) tree: SpanTree,
    /// Services by index.
    pub(crate) services: Vec<String>,
    /// Class names of each service's colour.
    pub(super) classes: Vec<String>,
    /// Colour slot of each service.
    pub(super) slots: Vec<u8>,
    /// Names, badges, details by index.
    pub(crate) texts: Vec<String>,
    /// Length of the trace.
    pub(crate) duration_nanos: u64,
    /// Spans that match the find text, ascending.
    pub(crate) found: Vec<u32>,
    /// The same, by span.
    pub(super) is_found: Vec<bool>,
    /// The traces, and the position among them of each span's.
    pub(crate) traces: Vec<TraceId>,
    trace_of: Vec<u8>,
    /// Rows that are messages between traces.
    pub(crate) crossings: HashMap<usize, Crossing>,
    /// Rows that are pauses between attempts.
    pub(crate) pauses: HashMap<usize, Pause>,
    /// Where the critical path runs, by row; empty until it is known.
    pub(crate) path: HashMap<usize, Vec<(u64, u64)>>,
    /// Stretches in which nothing runs.
    pub(crate) quiet: Vec<(f64, f64)>,
}

/// Which rows are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Only {
    /// All.
    #[default]
    All,
    /// All, and those that match the find text stand out.
    Dim,
    /// Those that match the find text.
    Found,
    /// Those that failed.
    Errors,
    /// Those on the critical path.
    Path,
    /// Those that took at least so many nanoseconds.
    Longer(u64),
    /// Those that took at least so many hundredths of the whole.
    Share(u8),
}

impl Only {
    /// All, with what the URL and the list call them.
    pub(crate) const ALL: [(Self, &'static str, &'static str); 10] = [
        (Self::All, "", "All rows"),
        (Self::Dim, "dim", "All, others than matches dim"),
        (Self::Found, "found", "Only matches"),
        (Self::Errors, "errors", "Only errors"),
        (Self::Path, "path", "Only the critical path"),
        (Self::Share(10), "10pc", "Only 10 % of it or longer"),
        (Self::Share(1), "1pc", "Only 1 % of it or longer"),
        (Self::Longer(1_000_000_000), "1s", "Only 1 s or longer"),
        (Self::Longer(100_000_000), "100ms", "Only 100 ms or longer"),
        (Self::Longer(10_000_000), "10ms", "Only 10 ms or longer"),
    ];

    /// The one with this name; all for an unknown one.
    pub(crate) fn named(name: &str) -> Self {
        Self::ALL.into_iter().find(|(_, known, _)| *known == name).map(|(only, ..)| only).unwrap_or_default()
    }

    /// As the URL calls it.
    pub(crate) fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(only, ..)| *only == self).map(|(_, name, _)| name).unwrap_or_default()
    }
}

impl Model {
    /// Takes an answer; gives its services their colours.
    pub(crate) fn new(stitched: Stitched, shared: Shared) -> Self {
        let Stitched { timeline, traces, trace_of, crossings, pauses } = stitched;
        shared.see_services(timeline.services.iter().map(String::as_str));
        let tree = SpanTree::new(timeline.spans);
        let mut model = Self {
            classes: Vec::new(),
            slots: Vec::new(),
            is_found: vec![false; tree.len()],
            quiet: tree.quiet(timeline.duration_nanos),
            tree,
            services: timeline.services,
            texts: timeline.texts,
            duration_nanos: timeline.duration_nanos,
            found: Vec::new(),
            traces,
            trace_of,
            crossings,
            pauses,
            path: HashMap::new(),
        };
        model.color(shared);
        model
    }

    /// Gives each service its colour.
    fn color(&mut self, shared: Shared) {
        self.classes = self.services.iter().map(|service| shared.color_class(service)).collect();
        self.slots = self.services.iter().map(|service| shared.color_slot(service)).collect();
    }

    /// The trace of a row.
    pub(crate) fn trace(&self, index: usize) -> Option<TraceId> {
        self.traces.get(usize::from(*self.trace_of.get(index)?)).copied()
    }

    /// The first span of the trace at this position among the traces.
    pub(crate) fn first_of(&self, at: usize) -> Option<usize> {
        let is_there = |index: &usize| usize::from(self.trace_of[*index]) == at && !self.tree.is_between(*index);
        (0..self.trace_of.len()).find(is_there)
    }

    /// A span of one of the traces.
    pub(crate) fn find(&self, trace: TraceId, span: SpanId) -> Option<usize> {
        let is_there = |index: &usize| {
            self.tree.spans.span_id[*index] == span
                && !self.tree.is_between(*index)
                && self.trace(*index) == Some(trace)
        };
        (0..self.tree.len()).find(is_there)
    }

    /// Shows the wanted rows at or below a root.
    fn keep(&mut self, only: Only, root: Option<usize>) {
        let (is_found, path, duration) = (&self.is_found, &self.path, self.duration_nanos);
        let took: Vec<u64> = match only {
            Only::Longer(_) | Only::Share(_) => self.tree.spans.duration_nanos.clone(),
            _ => Vec::new(),
        };
        let long = |index: usize, least: u64| took.get(index).is_some_and(|took| *took >= least);
        let errors: Vec<bool> = match only {
            Only::Errors => (0..self.tree.len()).map(|index| self.tree.is_error(index)).collect(),
            _ => Vec::new(),
        };
        match only {
            Only::All | Only::Dim => self.tree.keep(None, root),
            Only::Found => self.tree.keep(Some(&|index| is_found.get(index).copied().unwrap_or(false)), root),
            Only::Errors => self.tree.keep(Some(&|index| errors.get(index).copied().unwrap_or(false)), root),
            Only::Path => self.tree.keep(Some(&|index| path.contains_key(&index)), root),
            Only::Longer(least) => self.tree.keep(Some(&|index| long(index, least)), root),
            Only::Share(hundredths) => {
                self.tree.keep(Some(&|index| long(index, duration / 100 * u64::from(hundredths))), root);
            }
        }
    }

    /// Spans; what is between them is none.
    pub(crate) fn n_spans(&self) -> usize {
        self.tree.len() - self.crossings.len() - self.pauses.len()
    }

    /// A text by index; empty when there is none.
    pub(crate) fn text(&self, index: u32) -> &str {
        self.texts.get(index as usize).map_or("", String::as_str)
    }

    /// The service of a span.
    pub(crate) fn service(&self, span: usize) -> &str {
        self.services.get(self.tree.spans.service[span] as usize).map_or("", String::as_str)
    }

    /// Replaces the matches.
    pub(crate) fn set_found(&mut self, found: Vec<u32>) {
        self.is_found.fill(false);
        for index in &found {
            if let Some(is_found) = self.is_found.get_mut(*index as usize) {
                *is_found = true;
            }
        }
        self.found = found;
    }
}

/// What the parts of the page share about the trace on it. Copied freely: it holds handles.
#[derive(Clone, Copy)]
pub(crate) struct Stage {
    /// The trace.
    pub(crate) model: StoredValue<Model, LocalStorage>,
    /// Bumped when services have other colours.
    pub(super) colors: RwSignal<u32>,
    /// Bumped when rows opened or shut.
    pub(crate) rows: RwSignal<u32>,
    /// The selected row.
    pub(crate) selected: RwSignal<Option<Row>>,
    /// The part of the time on screen.
    pub(crate) window: RwSignal<Window>,
    /// Quiet stretches fold.
    pub(crate) fold: RwSignal<bool>,
    /// Folds opened one by one.
    pub(super) opened: RwSignal<Vec<usize>>,
    /// The find text.
    pub(crate) find: RwSignal<String>,
    /// Bumped when the matches changed.
    pub(crate) matches: RwSignal<u32>,
    /// A row to bring into view, and whether to its middle.
    pub(crate) wanted: RwSignal<Option<(Row, bool)>>,
    /// The inspector is shown.
    pub(crate) inspector: RwSignal<bool>,
    /// Which rows are shown.
    pub(crate) only: RwSignal<Only>,
    /// The span whose subtree is shown alone.
    pub(crate) root: RwSignal<Option<usize>>,
    /// The critical path is drawn.
    pub(crate) track: RwSignal<bool>,
    /// Bumped when it became known.
    pub(crate) path: RwSignal<u32>,
    /// Levels shown; 0 for all, `None` once rows were opened or shut one by one.
    pub(super) level: RwSignal<Option<u32>>,
}

impl Stage {
    /// For a trace that has just arrived.
    pub(crate) fn new(model: Model) -> Self {
        let window = Window::whole(model.duration_nanos);
        Self {
            model: StoredValue::new_local(model),
            colors: RwSignal::new(0),
            rows: RwSignal::new(0),
            selected: RwSignal::new(None),
            window: RwSignal::new(window),
            fold: RwSignal::new(true),
            opened: RwSignal::new(Vec::new()),
            find: RwSignal::new(String::new()),
            matches: RwSignal::new(0),
            wanted: RwSignal::new(None),
            inspector: RwSignal::new(true),
            only: RwSignal::new(Only::All),
            root: RwSignal::new(None),
            track: RwSignal::new(true),
            path: RwSignal::new(0),
            level: RwSignal::new(Some(0)),
        }
    }

    /// Shows other rows; for another root also another part of the time. A selected row that is left out is selected no longer.
    pub(crate) fn show_only(self, only: Only, root: Option<usize>) {
        let is_new = root != self.root.get_untracked();
        self.model.update_value(|model| model.keep(only, root));
        self.only.set(only);
        self.root.set(root);
        self.rows.update(|count| *count += 1);
        let selected = self.selected.get_untracked();
        if selected.is_some_and(|row| self.model.with_value(|model| model.tree.is_left_out(row.index()))) {
            self.selected.set(None);
        }
        if let Some(root) = root.filter(|_| is_new) {
            let window = self.model.with_value(|model| {
                let (start, end) = model.tree.extent(Row::Span(root));
                Window::part(start as f64, end as f64, model.duration_nanos)
            });
            self.window.set(window);
        }
    }

    /// Gives each service its colour again whenever colours become known better.
    pub(super) fn follow_colors(self, shared: Shared) {
        Effect::new(move |first: Option<()>| {
            self.model.update_value(|model| model.color(shared));
            if first.is_some() {
                self.colors.update(|count| *count += 1);
            }
        });
    }

    /// Shows the critical path.
    pub(crate) fn set_path(self, path: HashMap<usize, Vec<(u64, u64)>>) {
        self.model.update_value(|model| model.path = path);
        if self.only.get_untracked() == Only::Path {
            self.show_only(Only::Path, self.root.get_untracked());
        }
        self.path.update(|count| *count += 1);
    }

    /// Shuts what an address tells; see [`SpanTree::shut_like`].
    pub(crate) fn shut_like(self, text: &str) {
        self.model.update_value(|model| model.tree.shut_like(text));
        self.level.set(None);
        self.rows.update(|count| *count += 1);
    }

    /// The find text was looked for: what is shown may be what matches.
    pub(crate) fn found(self) {
        if self.only.get_untracked() == Only::Found {
            self.show_only(Only::Found, self.root.get_untracked());
        }
        self.matches.update(|count| *count += 1);
    }

    /// Selects a row and brings it into view.
    pub(crate) fn select(self, row: Row) {
        self.selected.set(Some(row));
        self.wanted.set(Some((row, false)));
    }

    /// Opens what hides a span, selects it and brings it into the middle.
    pub(crate) fn show_span(self, index: usize) {
        if self.model.with_value(|model| model.tree.is_left_out(index)) {
            self.show_only(Only::All, None);
        }
        if self.change(|tree| tree.reveal(index)) {
            self.rows.update(|count| *count += 1);
        }
        self.selected.set(Some(Row::Span(index)));
        self.wanted.set(Some((Row::Span(index), true)));
    }

    /// Opens or shuts a row.
    pub(crate) fn set_open(self, row: Row, open: bool) -> bool {
        let changed = self.change(|tree| tree.set_open(row, open));
        if changed {
            self.level.set(None);
            self.rows.update(|count| *count += 1);
        }
        changed
    }

    /// Shows this many levels, or all.
    pub(crate) fn open_to(self, levels: Option<u32>) {
        self.change(|tree| {
            tree.open_to(levels);
            true
        });
        self.level.set(Some(levels.unwrap_or(0)));
        self.rows.update(|count| *count += 1);
        // A selected row that is hidden now gives its place to the row that hides it.
        if let Some(row) = self.selected.get_untracked() {
            let stays =
                self.model.with_value(|model| model.tree.position(row.index()).and_then(|at| model.tree.row(at)));
            if let Some(stays) = stays {
                self.select(stays);
            }
        }
    }

    /// Goes to the next (or previous) match, opening what hides it.
    pub(crate) fn step_match(self, forward: bool) {
        let current = self.selected.get_untracked().map(Row::index);
        if let Some(index) = self.model.with_value(|model| find::step(&model.found, current, forward)) {
            self.show_span(index);
        }
    }

    /// Goes to the next span with an error.
    pub(crate) fn step_error(self) {
        let current = self.selected.get_untracked().map(Row::index);
        let next = self.model.with_value(|model| {
            let errors: Vec<u32> =
                (0..model.tree.len()).filter(|index| model.tree.is_error(*index)).map(|index| index as u32).collect();
            find::step(&errors, current, true)
        });
        if let Some(index) = next {
            self.show_span(index);
        }
    }

    /// Zooms to the selected row with some air around it.
    pub(crate) fn zoom_to_selected(self) {
        if let Some(row) = self.selected.get_untracked() {
            let window = self.model.with_value(|model| {
                let (start, end) = model.tree.extent(row);
                let air = ((end - start) as f64 * 0.1).max(50.0);
                Window::part(start as f64 - air, end as f64 + air * 2.0, model.duration_nanos)
            });
            self.window.set(window);
        }
    }

    /// Zooms around a place (0 to 1) of the time on screen.
    pub(crate) fn zoom(self, place: f64, factor: f64) {
        let duration = self.duration_nanos();
        self.window.update(|window| *window = window.zoomed(place, factor, duration));
    }

    /// Moves the time on screen by a part of its length.
    pub(crate) fn pan(self, by: f64) {
        let duration = self.duration_nanos();
        self.window.update(|window| *window = window.panned(by, duration));
    }

    /// Shows the whole time.
    pub(crate) fn zoom_out(self) {
        self.window.set(Window::whole(self.duration_nanos()));
    }

    /// Time to pixels on a track of this width.
    pub(super) fn scale(self, width: f64) -> Scale {
        let (is_on, opened) = (self.fold.get(), self.opened.get());
        let folds: Vec<(usize, f64, f64)> = self.model.with_value(|model| {
            let all = model.quiet.iter().enumerate().filter(|(at, _)| is_on && !opened.contains(at));
            all.map(|(at, (from, to))| (at, *from, *to)).collect()
        });
        Scale::new(self.window.get(), &folds, 0.0, width)
    }

    /// Folds quiet stretches, or none of them.
    pub(crate) fn switch_folds(self) {
        self.opened.set(Vec::new());
        self.fold.update(|on| *on = !*on);
    }

    /// Length of the trace.
    pub(crate) fn duration_nanos(self) -> u64 {
        self.model.with_value(|model| model.duration_nanos)
    }

    fn change(self, change: impl FnOnce(&mut SpanTree) -> bool) -> bool {
        self.model.try_update_value(|model| change(&mut model.tree)).unwrap_or(false)
    }
}
