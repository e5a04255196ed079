//! What fires, above everything else on Home.

use leptos::prelude::*;

use crate::app::now_nanos;
use crate::client::Fires;
use crate::view::{format, url};

/// Rules that fire, a line each.
const FIRING_MAX: usize = 4;

/// One line for each rule that fires: what, how bad, since when.
pub(super) fn fires(alerts: &[Fires], search: &str) -> Option<impl IntoView + use<>> {
    let mut rules: Vec<(&str, Vec<&Fires>)> = Vec::new();
    for alert in alerts {
        let name = alert.labels.get("alertname").map_or("", String::as_str);
        match rules.iter_mut().find(|(known, _)| *known == name) {
            Some((_, alerts)) => alerts.push(alert),
            None => rules.push((name, vec![alert])),
        }
    }
    let more = rules.len().saturating_sub(FIRING_MAX);
    let now = now_nanos();
    let rows: Vec<_> = rules
        .iter()
        .take(FIRING_MAX)
        .map(|(name, alerts)| {
            let first = alerts[0];
            let said = ["summary", "description"].into_iter().find_map(|key| first.annotations.get(key));
            let said = said.cloned().unwrap_or_else(|| format!("value {}", format::number(first.value)));
            let since = alerts.iter().filter_map(|alert| alert.fired_unix_nano.as_ref()?.parse::<i64>().ok()).min();
            let since = since.map(|since| format!("for {}", format::duration(now.saturating_sub(since).max(0).unsigned_abs())));
            let others = (alerts.len() > 1).then(|| format!("and {} more", alerts.len() - 1));
            let link = format!("/alerts/{}{}", url::encode(name).replace('+', "%20"), url::shared(search));
            view! {
                <li>
                    <span class="bad" aria-hidden="true">"▲"</span> <b>{(*name).to_owned()}</b>
                    <span class="dim ell" title=said.clone()>{said.clone()}</span>
                    <span class="faint n">{others}</span> <span class="faint n">{since}</span>
                    <span class="grow"></span> <a class="acc" href=link aria-label=format!("Open the alert {name}")>"Open"</a>
                </li>
            }
        })
        .collect();
    let all = format!("/alerts{}", url::with_parameters(&url::shared(search), &[("state", Some("firing"))]));
    (!rules.is_empty()).then(|| {
        view! {
            <ul class="firing" aria-label="Firing alerts">
                {rows}
                {(more > 0).then(|| view! { <li><a class="acc" href=all>{format!("{} more fire", format::counted(more as u64, "rule"))}</a></li> })}
            </ul>
        }
    })
}
