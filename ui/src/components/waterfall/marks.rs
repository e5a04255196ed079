//! The strip at the right: where matches and errors are over the full height, and what part is on screen.

use leptos::html;
use leptos::prelude::*;

use super::minimap::sharp_context;
use super::{MARKS_WIDTH, ROW_HEIGHT, Stage};
use crate::app::Shared;

/// Draws the strip; a click or drag scrolls there.
#[component]
pub(super) fn Marks(
    stage: Stage,
    shared: Shared,
    list: NodeRef<html::Div>,
    scroll_top: RwSignal<f64>,
    list_height: RwSignal<f64>,
) -> impl IntoView {
    let canvas = NodeRef::<html::Canvas>::new();
    Effect::new(move |_| {
        let (Some(canvas), height) = (canvas.get(), list_height.get()) else { return };
        stage.rows.track();
        stage.matches.track();
        shared.theme.track();
        request_animation_frame(move || draw(stage, &canvas, height));
    });
    let full = move || {
        stage.rows.track();
        stage.model.with_value(|model| model.tree.n_rows()) as f64 * ROW_HEIGHT
    };
    // It moves with each frame of a scroll: one node, moved without a layout.
    let length = Memo::new(move |_| {
        let (full, height) = (full(), list_height.get());
        (full > height).then(|| (height / full * height).max(24.0))
    });
    let thumb = move || {
        length.get().map(|length| {
            let top = move || {
                let height = list_height.get();
                let top = scroll_top.get() / (full() - height).max(1.0) * (height - length);
                format!("translateY({top:.1}px)")
            };
            view! { <b style:transform=top style:height=format!("{length:.1}px")></b> }
        })
    };
    let scroll = move |event: web_sys::PointerEvent| {
        if event.buttons() & 1 == 0 {
            return;
        }
        let (Some(list), height) = (list.get_untracked(), list_height.get_untracked()) else { return };
        let y = f64::from(event.client_y()) - list.get_bounding_client_rect().top();
        let full = stage.model.with_value(|model| model.tree.n_rows()) as f64 * ROW_HEIGHT;
        list.set_scroll_top((y / height.max(1.0) * full - height / 2.0) as i32);
    };
    view! {
        <div class="ruler" aria-hidden="true" on:pointerdown=scroll on:pointermove=scroll>
            {thumb}
            <canvas node_ref=canvas></canvas>
        </div>
    }
}

fn draw(stage: Stage, canvas: &web_sys::HtmlCanvasElement, height: f64) {
    if height <= 0.0 || stage.model.try_with_value(|_| ()).is_none() {
        return;
    }
    let Some(context) = sharp_context(canvas, MARKS_WIDTH, height) else { return };
    let Some(style) = document().document_element().and_then(|root| window().get_computed_style(&root).ok().flatten())
    else {
        return;
    };
    let color = |name: &str| style.get_property_value(name).unwrap_or_default().trim().to_owned();
    stage.model.with_value(|model| {
        let tree = &model.tree;
        // Rows that fit are marked where they stand, more rows are pressed together.
        let pitch = ROW_HEIGHT.min(height / tree.n_rows().max(1) as f64);
        let mark = |indexes: &mut dyn Iterator<Item = usize>, fill: &str| {
            context.set_fill_style_str(fill);
            // One mark a pixel is enough, however many spans there are.
            let mut last = -10.0f64;
            for index in indexes {
                let Some(position) = tree.position(index) else { continue };
                let y = ((position as f64 + 0.5) * pitch).round();
                if y - last >= 1.0 {
                    last = y;
                    context.fill_rect(2.0, y - 1.0, MARKS_WIDTH - 4.0, 2.0);
                }
            }
        };
        mark(&mut (0..tree.len()).filter(|index| tree.is_error(*index)), &color("--err"));
        mark(&mut model.found.iter().map(|index| *index as usize), &color("--accent"));
    });
}
