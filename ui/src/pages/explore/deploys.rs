//! Marks in the picture of one service's hits: a version was first seen there.

use api::SqlRequest;
use leptos::prelude::*;
use serde_json::Value as Json;

use crate::asking::ask_newest_after;
use crate::client;
use crate::view::heatmap::Plane;
use crate::view::url::ExploreState;
use crate::view::{behind, clock, condition};

/// Marks drawn at most, the latest.
const MARKS_MAX: usize = 12;
/// Milliseconds that a view must stand before it is asked for: the hits come first.
const PAUSE_MS: u32 = 300;

/// A version and when it was first seen.
#[derive(Clone, Debug, PartialEq)]
struct Deploy {
    version: String,
    at: i64,
}

/// The only service that a filter lets through, when it names one.
fn service(filter: &str) -> Option<String> {
    let mut named = condition::conditions(filter).into_iter().filter(|one| one.key == "service" && one.operator == "=");
    match (named.next(), named.next()) {
        (Some(one), None) => Some(one.value),
        _ => None,
    }
}

/// Rows `version, nanoseconds`, the earliest first. The first one was there before, for all that is known.
fn deploys(rows: &[Vec<Json>]) -> Vec<Deploy> {
    let one = |row: &Vec<Json>| match row.as_slice() {
        [Json::String(version), Json::String(at)] => Some(Deploy { version: version.clone(), at: at.parse().ok()? }),
        _ => None,
    };
    let all: Vec<Deploy> = rows.iter().filter_map(one).skip(1).collect();
    all[all.len().saturating_sub(MARKS_MAX)..].to_vec()
}

/// The marks; nothing while no service or several are asked for.
#[component]
pub(super) fn Deploys(state: Memo<ExploreState>, plane: Memo<Option<Plane>>) -> impl IntoView {
    let found = RwSignal::new(Vec::<Deploy>::new());
    let of = Memo::new(move |_| state.with(|state| Some((service(&state.filter)?, state.range.clone()))));
    Effect::new(move |_| {
        of.track();
        found.set(Vec::new());
    });
    ask_newest_after(
        PAUSE_MS,
        move || {
            let (service, range) = of.get()?;
            let moment = |text: String| Some(Json::String(text));
            let sql = behind::deploys(&service);
            Some(SqlRequest { sql, from: moment(range.from), to: moment(range.to), ..SqlRequest::default() })
        },
        |request| async move { client::sql(&request).await },
        move |answer| found.set(answer.map(|answer| deploys(&answer.rows)).unwrap_or_default()),
    );
    move || {
        let plane = plane.get()?;
        let all = found.get().into_iter().filter(|deploy| (plane.from..plane.to).contains(&deploy.at));
        let marks = all.map(|Deploy { version, at }| {
            let x = format!("{:.1}px", plane.x(at));
            let title = format!("Version {version}, first seen {}", clock::day_and_time(at));
            view! { <span class="deploy" style:left=x title=title><b class="ell">{version}</b></span> }
        });
        Some(marks.collect_view())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_service_has_deploys() {
        assert_eq!(service("service=order error=true").as_deref(), Some("order"));
        assert_eq!(service("service=\"my order\"").as_deref(), Some("my order"));
        for none in ["", "service!=order", "service=a service=b", "service=a or service=b", "name=order"] {
            assert_eq!(service(none), None, "{none}");
        }
    }

    /// What was there from the start is no deploy; odd rows are none.
    #[test]
    fn later_versions_are_marks() {
        let rows = [vec![json!("1.0"), json!("5")], vec![json!("1.1"), json!("9")], vec![json!(null), json!("9")]];
        assert_eq!(deploys(&rows), [Deploy { version: "1.1".to_owned(), at: 9 }]);
        assert_eq!(deploys(&rows[..1]), []);
        let many: Vec<_> = (0..40).map(|at| vec![json!(format!("{at}")), json!(format!("{at}"))]).collect();
        assert_eq!(deploys(&many).len(), MARKS_MAX);
    }
}
