//! One trace as a waterfall: minimap, ruler, virtual rows, match marks.
//!
//! | file         | draws                                                               |
//! |--------------|---------------------------------------------------------------------|
//! | `pool.rs`    | about 60 row nodes, written again as rows scroll into view          |
//! | `minimap.rs` | the whole trace in true scale; drag to zoom                         |
//! | `marks.rs`   | the strip at the right: matches, errors, what part is on screen     |
//!
//! The spans stay in their columns ([`Model`]); a change bumps a counter and the next animation frame
//! writes the visible rows. Nothing is kept per span and no node is made while scrolling.

mod marks;
mod minimap;
mod pool;

use api::Timeline;
use leptos::html;
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::Closure;

pub(crate) use self::minimap::sharp_context;

use self::marks::Marks;
use self::minimap::MiniMap;
use self::pool::{Pool, Screen};
use super::keys::{is_control, on_key};
use crate::app::{Shared, shared};
use crate::view::find;
use crate::view::span_tree::{Row, SpanTree};
use crate::view::timeline::{Window, ticks};

/// Height of a row in pixels.
const ROW_HEIGHT: f64 = 22.0;
/// Width of the column of names in pixels; `--names-w` in the style says the same.
const NAMES_WIDTH: f64 = 392.0;
/// Width of the strip of marks in pixels.
const MARKS_WIDTH: f64 = 10.0;

/// A trace on the page.
#[derive(Debug)]
pub(crate) struct Model {
    /// Spans and which of them are rows.
    pub(crate) tree: SpanTree,
    /// Services by index.
    pub(crate) services: Vec<String>,
    /// Class names of each service's colour.
    pub(crate) classes: Vec<String>,
    /// Colour slot of each service.
    slots: Vec<u8>,
    /// Names, badges, details by index.
    pub(crate) texts: Vec<String>,
    /// Length of the trace.
    pub(crate) duration_nanos: u64,
    /// Spans that match the find text, ascending.
    pub(crate) found: Vec<u32>,
    /// The same, by span.
    is_found: Vec<bool>,
}

impl Model {
    /// Takes an answer; gives its services their colours.
    pub(crate) fn new(timeline: Timeline, shared: Shared) -> Self {
        shared.see_services(timeline.services.iter().map(String::as_str));
        let tree = SpanTree::new(timeline.spans);
        Self {
            classes: timeline.services.iter().map(|service| shared.color_class(service)).collect(),
            slots: timeline.services.iter().map(|service| shared.color_slot(service)).collect(),
            is_found: vec![false; tree.len()],
            tree,
            services: timeline.services,
            texts: timeline.texts,
            duration_nanos: timeline.duration_nanos,
            found: Vec::new(),
        }
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
    /// Bumped when rows opened or shut.
    pub(crate) rows: RwSignal<u32>,
    /// The selected row.
    pub(crate) selected: RwSignal<Option<Row>>,
    /// The part of the time on screen.
    pub(crate) window: RwSignal<Window>,
    /// The find text.
    pub(crate) find: RwSignal<String>,
    /// Bumped when the matches changed.
    pub(crate) matches: RwSignal<u32>,
    /// A row to bring into view, and whether to its middle.
    pub(crate) wanted: RwSignal<Option<(Row, bool)>>,
    /// The inspector is shown.
    pub(crate) inspector: RwSignal<bool>,
    /// Levels shown; 0 for all, `None` once rows were opened or shut one by one.
    level: RwSignal<Option<u32>>,
}

impl Stage {
    /// For a trace that has just arrived.
    pub(crate) fn new(model: Model) -> Self {
        let window = Window::whole(model.duration_nanos);
        Self {
            model: StoredValue::new_local(model),
            rows: RwSignal::new(0),
            selected: RwSignal::new(None),
            window: RwSignal::new(window),
            find: RwSignal::new(String::new()),
            matches: RwSignal::new(0),
            wanted: RwSignal::new(None),
            inspector: RwSignal::new(true),
            level: RwSignal::new(Some(0)),
        }
    }

    /// Selects a row and brings it into view.
    pub(crate) fn select(self, row: Row) {
        self.selected.set(Some(row));
        self.wanted.set(Some((row, false)));
    }

    /// Opens what hides a span, selects it and brings it into the middle.
    pub(crate) fn show_span(self, index: usize) {
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

    /// Length of the trace.
    pub(crate) fn duration_nanos(self) -> u64 {
        self.model.with_value(|model| model.duration_nanos)
    }

    fn change(self, change: impl FnOnce(&mut SpanTree) -> bool) -> bool {
        self.model.try_update_value(|model| change(&mut model.tree)).unwrap_or(false)
    }
}

/// Minimap, ruler, rows and marks of one trace.
#[component]
pub(crate) fn Waterfall(
    /// The trace.
    stage: Stage,
) -> impl IntoView {
    let shared = shared();
    let list = NodeRef::<html::Div>::new();
    let host = NodeRef::<html::Div>::new();
    let track_width = RwSignal::new(0.0);
    let list_height = RwSignal::new(0.0);
    let scroll_top = RwSignal::new(0.0);
    let pool = StoredValue::new_local(None::<Pool>);
    let due = StoredValue::new(false);
    let n_rows = Memo::new(move |_| {
        stage.rows.track();
        stage.model.with_value(|model| model.tree.n_rows())
    });

    // Rows are written at most once a frame, whatever changed since the last one.
    let write = move || {
        let Some(list) = list.get_untracked() else { return };
        let top = f64::from(list.scroll_top());
        if scroll_top.get_untracked() != top {
            scroll_top.set(top);
        }
        let screen = Screen {
            first: (top / ROW_HEIGHT) as usize,
            count: (list_height.get_untracked() / ROW_HEIGHT).ceil() as usize + 1,
            track_width: track_width.get_untracked(),
            window: stage.window.get_untracked(),
            selected: stage.selected.get_untracked(),
            needle: stage.find.get_untracked(),
        };
        pool.update_value(|pool| {
            if let Some(pool) = pool {
                stage.model.with_value(|model| pool.write(model, &screen));
            }
        });
    };
    let request = move || {
        if !due.get_value() {
            due.set_value(true);
            request_animation_frame(move || {
                // The page may be gone by now.
                if due.try_get_value().is_some() {
                    due.set_value(false);
                    write();
                }
            });
        }
    };

    // The pool is made once its place is on the page, then told about every size.
    Effect::new(move |_| {
        let (Some(list), Some(host)) = (list.get(), host.get()) else { return };
        pool.set_value(Some(Pool::new(host.into())));
        let measured = list.clone();
        let measure = move || {
            list_height.set(f64::from(measured.client_height()));
            track_width.set((f64::from(measured.client_width()) - NAMES_WIDTH).max(0.0));
        };
        measure();
        let on_resize = Closure::<dyn FnMut()>::new(measure);
        if let Ok(observer) = web_sys::ResizeObserver::new(on_resize.as_ref().unchecked_ref()) {
            observer.observe(&list);
            let keep = StoredValue::new_local(Some((observer, on_resize)));
            on_cleanup(move || {
                keep.update_value(|kept| {
                    if let Some((observer, _)) = kept.take() {
                        observer.disconnect();
                    }
                });
            });
        }
    });
    Effect::new(move |_| {
        stage.rows.track();
        stage.selected.track();
        stage.window.track();
        stage.matches.track();
        stage.find.track();
        track_width.track();
        list_height.track();
        pool.update_value(|pool| {
            if let Some(pool) = pool {
                pool.forget();
            }
        });
        request();
    });
    Effect::new(move |_| {
        let Some((row, to_middle)) = stage.wanted.get() else { return };
        let (Some(list), height) = (list.get(), list_height.get_untracked()) else { return };
        let position = stage.model.with_value(|model| {
            let at = model.tree.position(row.index())?;
            // A fold stands before its first member.
            Some(if matches!(row, Row::Fold(_)) && model.tree.row(at) != Some(row) { at.saturating_sub(1) } else { at })
        });
        let Some(position) = position else { return };
        let (top, y) = (f64::from(list.scroll_top()), position as f64 * ROW_HEIGHT);
        let is_visible = y >= top && y + ROW_HEIGHT <= top + height;
        let wanted = match (is_visible, to_middle) {
            (true, _) => return,
            (false, true) => y - height / 2.0 + ROW_HEIGHT / 2.0,
            (false, false) if y < top => y,
            (false, false) => y + ROW_HEIGHT - height,
        };
        // The space for the rows must be there before the list can scroll into it.
        request_animation_frame(move || list.set_scroll_top(wanted as i32));
    });

    let row_at = move |event: &web_sys::MouseEvent| {
        let list = list.get_untracked()?;
        let y = f64::from(event.client_y()) - list.get_bounding_client_rect().top() + f64::from(list.scroll_top());
        stage.model.with_value(|model| model.tree.row((y / ROW_HEIGHT) as usize))
    };
    let click = move |event: web_sys::MouseEvent| {
        let Some(row) = row_at(&event) else { return };
        let on_chevron = event
            .target()
            .and_then(|target| target.dyn_into::<web_sys::Element>().ok())
            .is_some_and(|target| target.closest(".cv, .chip").is_ok_and(|hit| hit.is_some()));
        if on_chevron {
            let open = stage.model.with_value(|model| model.tree.is_open(row));
            if stage.set_open(row, !open) {
                return;
            }
        }
        stage.selected.set(Some(row));
    };
    let wheel = move |event: web_sys::WheelEvent| {
        if event.ctrl_key()
            && let Some(list) = list.get_untracked()
        {
            event.prevent_default();
            let x = f64::from(event.client_x()) - list.get_bounding_client_rect().left() - NAMES_WIDTH;
            let place = (x / track_width.get_untracked().max(1.0)).clamp(0.0, 1.0);
            stage.zoom(place, (event.delta_y() / 300.0).exp());
        }
    };
    use_keys(stage, list_height);

    let level = move |levels: Option<u32>, name: &'static str| {
        let label = levels.map_or_else(|| "Open all levels".to_owned(), |levels| format!("Open to level {levels}"));
        let is_now = move || (stage.level.get() == Some(levels.unwrap_or(0))).to_string();
        view! { <button aria-label=label aria-pressed=is_now on:click=move |_| stage.open_to(levels)>{name}</button> }
    };
    let ruler = move || {
        let width = track_width.get();
        ticks(stage.window.get(), width, 84.0)
            .into_iter()
            .filter(|tick| (1.0 - tick.place) * width > 24.0)
            .map(
                |tick| view! { <span style:left=format!("calc({:.3}% + 4px)", tick.place * 100.0)>{tick.label}</span> },
            )
            .collect_view()
    };
    let active = move || {
        stage.selected.get().map(|row| match row {
            Row::Span(index) => format!("span-{index}"),
            Row::Fold(index) => format!("fold-{index}"),
        })
    };
    view! {
        <MiniMap stage shared/>
        <div class="wax">
            <div>
                <span>"Span"</span>
                <span class="grow"></span>
                <span>"Open to level"</span>
                <span class="seg">{level(Some(1), "1")}{level(Some(2), "2")}{level(Some(3), "3")}{level(None, "All")}</span>
            </div>
            <div class="ticks" aria-hidden="true">{ruler}</div>
        </div>
        <div class="wfw">
            <div
                class="wf"
                node_ref=list
                role="treegrid"
                aria-label="Spans"
                aria-rowcount=move || n_rows.get().to_string()
                aria-activedescendant=active
                tabindex="0"
                on:scroll=move |_| request()
                on:click=click
                on:dblclick=move |_| stage.zoom_to_selected()
                on:wheel=wheel
            >
                <div class="space" role="presentation" style:height=move || format!("{}px", n_rows.get() as f64 * ROW_HEIGHT)>
                    <div class="pool" role="rowgroup" node_ref=host></div>
                </div>
            </div>
            <Marks stage shared list scroll_top list_height/>
        </div>
    }
}

/// Keys of the waterfall.
fn use_keys(stage: Stage, list_height: RwSignal<f64>) {
    on_key(move |event, key| {
        let row = stage.selected.get_untracked();
        let at = row.and_then(|row| {
            stage.model.with_value(|model| {
                let at = model.tree.position(row.index())?;
                Some(if model.tree.row(at) == Some(row) { at } else { at.saturating_sub(1) })
            })
        });
        let last = stage.model.with_value(|model| model.tree.n_rows()).saturating_sub(1);
        let go = |position: usize| {
            if let Some(row) = stage.model.with_value(|model| model.tree.row(position.min(last))) {
                stage.select(row);
            }
        };
        let page = (list_height.get_untracked() / ROW_HEIGHT) as usize;
        match key {
            "ArrowDown" | "j" => go(at.map_or(0, |at| at + 1)),
            "ArrowUp" | "k" => go(at.map_or(0, |at| at.saturating_sub(1))),
            "PageDown" => go(at.unwrap_or(0) + page),
            "PageUp" => go(at.unwrap_or(0).saturating_sub(page)),
            "Home" => go(0),
            "End" => go(last),
            "ArrowRight" => {
                // A shut row opens, an open one leads to its first child.
                let Some((row, at)) = row.zip(at) else { return true };
                if !stage.set_open(row, true) && stage.model.with_value(|model| is_parent(&model.tree, row)) {
                    go(at + 1);
                }
            }
            "ArrowLeft" => {
                let Some(row) = row else { return true };
                let is_open_parent =
                    stage.model.with_value(|model| is_parent(&model.tree, row) && model.tree.is_open(row));
                if is_open_parent {
                    stage.set_open(row, false);
                } else if let Some(above) = stage.model.with_value(|model| above(&model.tree, row)) {
                    stage.select(above);
                }
            }
            "n" => stage.step_match(true),
            "p" => stage.step_match(false),
            "e" => stage.step_error(),
            "z" => stage.zoom_to_selected(),
            "o" => stage.zoom_out(),
            "0" => stage.open_to(None),
            "Enter" if !is_control(event) => stage.inspector.set(true),
            "." => stage.inspector.update(|shown| *shown = !*shown),
            digit if digit.len() == 1 && digit.as_bytes()[0].is_ascii_digit() => stage.open_to(digit.parse().ok()),
            // By position, so that they work on any layout.
            _ => match event.code().as_str() {
                "KeyW" => stage.zoom(0.5, 0.6),
                "KeyS" => stage.zoom(0.5, 1.0 / 0.6),
                "KeyA" => stage.pan(-0.25),
                "KeyD" => stage.pan(0.25),
                _ => return false,
            },
        }
        true
    });
}

fn is_parent(tree: &SpanTree, row: Row) -> bool {
    match row {
        Row::Span(index) => tree.has_children(index),
        Row::Fold(_) => true,
    }
}

/// The row a level up: the fold of a member, else the parent.
fn above(tree: &SpanTree, row: Row) -> Option<Row> {
    match row {
        Row::Span(index) => tree.fold_of(index).map(Row::Fold).or_else(|| tree.parent(index).map(Row::Span)),
        Row::Fold(first) => tree.parent(first).map(Row::Span),
    }
}
