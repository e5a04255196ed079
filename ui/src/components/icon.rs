//! Line icons, 18 units wide, drawn with the colour of the text around them.

use leptos::prelude::*;

/// An icon and its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Icon {
    Search,
    Services,
    Sql,
    System,
    Theme,
    Clock,
    Share,
    Filter,
    Close,
    Up,
    Down,
    Copy,
    Again,
    Track,
    Fold,
    Compare,
    Map,
    Home,
    Bell,
    Plus,
    Metrics,
    SignOut,
}

impl Icon {
    const fn path(self) -> &'static str {
        match self {
            Self::Search => "M3.4 8a4.6 4.6 0 1 0 9.2 0a4.6 4.6 0 1 0-9.2 0m8.1 3.5 3.6 3.6",
            Self::Services => "M3 5.2h12M3 9h12M3 12.8h12M5.4 3.6v3.2M11.8 7.4v3.2M7.6 11.2v3.2",
            Self::Sql => "m4.2 5.4 3.6 3.6-3.6 3.6M9.6 13h4.8",
            Self::System => {
                "M4 3.6h10a1 1 0 0 1 1 1v2.4a1 1 0 0 1-1 1H4a1 1 0 0 1-1-1V4.6a1 1 0 0 1 1-1zM4 10h10a1 1 0 0 1 1 1v2.4a1 1 0 0 1-1 1H4a1 1 0 0 1-1-1V11a1 1 0 0 1 1-1zM5.6 5.8h.01M5.6 12.2h.01"
            }
            Self::Theme => "M3.6 9a5.4 5.4 0 1 0 10.8 0a5.4 5.4 0 1 0-10.8 0",
            Self::Clock => "M3.4 9a5.6 5.6 0 1 0 11.2 0a5.6 5.6 0 1 0-11.2 0M9 5.8V9l2.2 1.6",
            Self::Share => "M7 5H4v9h9v-3M9.6 3.6h4.8v4.8M14.2 3.8 8.4 9.6",
            Self::Filter => "M3.4 4.6h11.2L10.4 9.6v4.2l-2.8-1.4V9.6z",
            Self::Close => "m5.4 5.4 7.2 7.2M12.6 5.4l-7.2 7.2",
            Self::Up => "m5 11 4-4 4 4",
            Self::Down => "m5 7 4 4 4-4",
            Self::Again => "M14 9a5 5 0 1 1-1.6-3.7M14.2 3v3h-3",
            Self::Track => "M3 13.4c4 0 3-9 7-9 2.6 0 2.6 4 5 4",
            Self::Fold => "M3 9h3l1.4-3 3.2 6L12 9h3",
            Self::Compare => "M4 4h3.6v10H4zM10.4 4H14v10h-3.6z",
            Self::Map => {
                "M2.1 9a1.9 1.9 0 1 0 3.8 0a1.9 1.9 0 1 0-3.8 0M11.9 4.4a1.9 1.9 0 1 0 3.8 0a1.9 1.9 0 1 0-3.8 0M11.9 13.6a1.9 1.9 0 1 0 3.8 0a1.9 1.9 0 1 0-3.8 0M5.8 8.2l6.2-3M5.8 9.8l6.2 3"
            }
            Self::Bell => "M5 12V8.2a4 4 0 0 1 8 0V12l1.2 1.6H3.8zM7.8 15.6h2.4",
            Self::Metrics => "M3 3v12h12M5.5 11.5l3-4 2.5 2L15 4.6",
            Self::SignOut => "M9.4 3.6H4.2v10.8h5.2M8 9h7m-2.6-2.6L15 9l-2.6 2.6",
            Self::Plus => "M9 4v10M4 9h10",
            Self::Home => "M3 8.2 9 3.4l6 4.8V15H3zM7.2 15v-4.2h3.6V15",
            Self::Copy => {
                "M7.4 6.4H13a1 1 0 0 1 1 1V13a1 1 0 0 1-1 1H7.4a1 1 0 0 1-1-1V7.4a1 1 0 0 1 1-1zM4 11.4V4h7.4"
            }
        }
    }
}

/// An icon of the rail's size; `small` for buttons and inputs.
pub(crate) fn icon(icon: Icon, small: bool) -> impl IntoView {
    let class = if small { "ico s" } else { "ico" };
    let filled = (icon == Icon::Theme).then(|| view! { <path class="fill" d="M9 3.6a5.4 5.4 0 0 1 0 10.8z"/> });
    view! { <svg class=class viewBox="0 0 18 18" aria-hidden="true"><path d=icon.path()/>{filled}</svg> }
}
