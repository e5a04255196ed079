//! A long table of which only the rows on screen are nodes.

use leptos::html;
use leptos::prelude::*;

/// Height of a row in pixels.
const ROW: f64 = 28.0;
/// Rows kept beyond what is visible.
const SPARE: usize = 10;

/// Head and body of a table in a box that scrolls.
#[component]
pub(crate) fn VirtualTable(
    /// Id of the box.
    id: &'static str,
    /// What the table holds.
    caption: &'static str,
    /// Columns, for the rows that keep the space.
    columns: usize,
    /// Rows.
    #[prop(into)]
    count: Signal<usize>,
    /// Row that is kept in view.
    #[prop(into)]
    selected: Signal<Option<usize>>,
    /// Makes a row.
    row: Callback<usize, AnyView>,
    /// The rows of the head.
    children: Children,
) -> impl IntoView {
    let list = NodeRef::<html::Div>::new();
    let top = RwSignal::new(0.0_f64);
    let measured = move || list.get().map_or(600.0, |list| f64::from(list.client_height()).max(120.0));
    Effect::new(move |_| {
        let (Some(at), Some(list)) = (selected.get(), list.get()) else { return };
        let (y, height) = (at as f64 * ROW, f64::from(list.client_height()) - ROW);
        let now = f64::from(list.scroll_top());
        if y < now {
            list.set_scroll_top(y as i32);
        } else if y + ROW > now + height {
            list.set_scroll_top((y + ROW - height) as i32);
        }
    });
    let spacer = move |rows: usize| {
        (rows > 0).then(|| {
            let height = format!("{}px", rows as f64 * ROW);
            view! { <tr class="spacer" aria-hidden="true"><td colspan=columns.to_string() style:height=height></td></tr> }
        })
    };
    let body = move || {
        let count = count.get();
        let first = ((top.get() / ROW) as usize).saturating_sub(SPARE).min(count);
        let last = (first + (measured() / ROW) as usize + 2 * SPARE + 1).min(count);
        let rows: Vec<AnyView> = (first..last).map(|at| row.run(at)).collect();
        view! { {spacer(first)} {rows} {spacer(count - last)} }
    };
    view! {
        <div class="lst vt" id=id tabindex="0" node_ref=list on:scroll=move |_| {
            if let Some(list) = list.get_untracked() {
                top.set(f64::from(list.scroll_top()));
            }
        }>
            <table aria-rowcount=move || (count.get() + 1).to_string()>
                <caption class="sr">{caption}</caption>
                <thead>{children()}</thead>
                <tbody>{body}</tbody>
            </table>
        </div>
    }
}

/// Class names and `aria-sort` of a head cell that orders rows; a click on it turns the order.
pub(crate) fn sort_head(
    name: &'static str,
    is_number: bool,
    order: Signal<Option<bool>>,
    sort: Callback<()>,
) -> impl IntoView {
    let aria = move || order.get().map(|descending| if descending { "descending" } else { "ascending" });
    let arrow = move || order.get().map(|descending| if descending { " ↓" } else { " ↑" });
    view! {
        <th class=if is_number { "num" } else { "" } aria-sort=aria>
            <button class="sort" on:click=move |_| sort.run(())>{name}{arrow}</button>
        </th>
    }
}
