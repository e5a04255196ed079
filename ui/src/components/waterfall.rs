//! One trace as a waterfall: minimap, ruler, virtual rows, match marks.
//!
//! | file         | draws                                                               |
//! |--------------|---------------------------------------------------------------------|
//! | `pool.rs`    | about 60 row nodes, written again as rows scroll into view          |
//! | `minimap.rs` | the whole trace in true scale; drag to zoom                         |
//! | `stage.rs`   | nothing: the trace on the page, and what its parts share            |
//! | `marks.rs`   | the strip at the right: matches, errors, what part is on screen     |
//!
//! The spans stay in their columns ([`Model`]); a change bumps a counter and the next animation frame
//! writes the visible rows. Nothing is kept per span and no node is made while scrolling.

mod marks;
mod minimap;
mod pool;
mod stage;

use leptos::html;
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::Closure;

pub(crate) use self::minimap::sharp_context;
pub(crate) use self::stage::{Model, Only, Stage};

use self::marks::Marks;
use self::minimap::MiniMap;
use self::pool::{Pool, Screen};
use super::keys::{is_control, on_key};
use crate::app::shared;
use crate::view::format;
use crate::view::span_tree::{Row, SpanTree};

/// Height of a row in pixels.
const ROW_HEIGHT: f64 = 22.0;
/// Width of the column of names in pixels, where the style (`--names-w`, which knows how wide the window is) does not say it.
const NAMES_WIDTH: f64 = 392.0;
/// Width of the strip of marks in pixels.
const MARKS_WIDTH: f64 = 10.0;

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
    let names_width = StoredValue::new(NAMES_WIDTH);
    let list_height = RwSignal::new(0.0);
    let scroll_top = RwSignal::new(0.0);
    let pool = StoredValue::new_local(None::<Pool>);
    stage.follow_colors(shared);
    let due = StoredValue::new(false);
    let n_rows = Memo::new(move |_| {
        stage.rows.track();
        stage.model.with_value(|model| model.tree.n_rows())
    });

    let scale = Memo::new(move |_| stage.scale(track_width.get()));

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
            scale: scale.get_untracked(),
            selected: stage.selected.get_untracked(),
            needle: stage.find.get_untracked(),
            track: stage.track.get_untracked(),
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
            names_width.set_value(width_of_names(&measured));
            track_width.set((f64::from(measured.client_width()) - names_width.get_value()).max(0.0));
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
        stage.colors.track();
        stage.rows.track();
        stage.selected.track();
        stage.matches.track();
        stage.find.track();
        stage.track.track();
        stage.path.track();
        scale.track();
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
            let x = f64::from(event.client_x()) - list.get_bounding_client_rect().left() - names_width.get_value();
            // Beside a fold the same place of the track is another part of the time.
            let moment = scale.with_untracked(|scale| scale.moment(x));
            let place = stage.window.get_untracked().place(moment).clamp(0.0, 1.0);
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
        let marks = scale.with(|scale| scale.ticks(84.0)).into_iter().filter(|mark| width - mark.x > 24.0);
        marks.map(|mark| view! { <span style:left=format!("{:.1}px", mark.x + 4.0)>{mark.label}</span> }).collect_view()
    };
    // A fold is a band behind the rows; what is printed on it opens it.
    let folds = move || {
        let pieces = scale.with(|scale| scale.pieces().to_vec()).into_iter();
        pieces.filter_map(|piece| Some((piece.fold?, piece.left, piece.right - piece.left, piece.to - piece.from)))
    };
    let bands = move || {
        folds()
            .map(|(_, left, width, _)| {
                view! { <i class="fold" style:left=format!("calc(var(--names-w) + {left:.1}px)") style:width=format!("{width:.1}px")></i> }
            })
            .collect_view()
    };
    let unfold = move || {
        folds()
            .map(|(fold, left, width, nanos)| {
                let length = format::duration(nanos as u64);
                let label = format!("Unfold {length} in which nothing ran");
                view! {
                    <button style:left=format!("{:.1}px", left + width / 2.0) title=label.clone() aria-label=label on:click=move |_| stage.opened.update(|opened| opened.push(fold))>{length}</button>
                }
            })
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
                <select aria-label="Rows shown" prop:value=move || stage.only.get().name() on:change=move |event| {
                    stage.show_only(Only::named(&event_target_value(&event)), stage.root.get_untracked());
                }>
                    {move || {
                        let has_path = stage.path.get() > 0;
                        Only::ALL.into_iter().filter(|(only, ..)| has_path || *only != Only::Path).map(|(only, name, title)| {
                            view! { <option value=name selected=move || stage.only.get() == only>{title}</option> }
                        }).collect_view()
                    }}
                </select>
                {move || stage.root.get().map(|_| view! {
                    <button class="btn s" title="Back to all rows (R)" on:click=move |_| {
                        stage.show_only(stage.only.get_untracked(), None);
                        stage.zoom_out();
                    }>"Subtree ×"</button>
                })}
                <span class="grow"></span>
                <span>"Level"</span>
                <span class="seg">{level(Some(1), "1")}{level(Some(2), "2")}{level(Some(3), "3")}{level(None, "All")}</span>
            </div>
            <div class="over">
                <div class="ticks" aria-hidden="true">{ruler}</div>
                {unfold}
            </div>
        </div>
        <div class="wfw">
            {bands}
            <div
                class="wf"
                class:dim=move || stage.only.get() == Only::Dim && stage.find.with(|text| !text.trim().is_empty())
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

/// What the style says.
fn width_of_names(list: &web_sys::Element) -> f64 {
    let style = window().get_computed_style(list).ok().flatten();
    let text = style.and_then(|style| style.get_property_value("--names-w").ok()).unwrap_or_default();
    text.trim().trim_end_matches("px").parse().unwrap_or(NAMES_WIDTH)
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
            "c" => stage.track.update(|on| *on = !*on),
            "f" => stage.switch_folds(),
            "r" => match row {
                Some(Row::Span(index)) if stage.root.get_untracked() != Some(index) => {
                    stage.show_only(stage.only.get_untracked(), Some(index));
                }
                _ if stage.root.get_untracked().is_some() => {
                    stage.show_only(stage.only.get_untracked(), None);
                    stage.zoom_out();
                }
                _ => return false,
            },
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
