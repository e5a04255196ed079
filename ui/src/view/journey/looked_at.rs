//! What stands where findings would, when there are none: what was looked at, and what was seen all the same.

use api::JourneyAnswer;

use crate::view::format::{count, counted};

/// Two sentences. The first names what was looked at; the second what a reader sees in the picture although no finding
/// names it (a request that was sent again, a call that failed): it is not there when there is nothing of the kind.
pub(crate) fn looked_at(answer: &JourneyAnswer) -> String {
    let calls = || counted(answer.calls.len() as u64, "call");
    let deliveries = || match answer.hops.len() {
        1 => "1 delivery".to_owned(),
        n => format!("{} deliveries", count(n as u64)),
    };
    let scope = match (answer.calls.is_empty(), answer.hops.is_empty()) {
        (true, true) => counted(answer.spans.len() as u64, "span"),
        (false, true) => calls(),
        (true, false) => deliveries(),
        (false, false) => format!("{} and {}", calls(), deliveries()),
    };
    let again = |call: &&api::JourneyCall| call.resend > 0 || call.attempts > 1;
    let seen = [
        (answer.calls.iter().filter(again).count(), "request that was sent again", "requests that were sent again"),
        (answer.calls.iter().filter(|call| call.error).count(), "call that failed", "calls that failed"),
        (
            answer.hops.iter().filter(|hop| hop.attempt > 1).count(),
            "message that came again",
            "messages that came again",
        ),
        (answer.hops.iter().filter(|hop| hop.error).count(), "delivery that failed", "deliveries that failed"),
    ];
    let seen: Vec<String> = seen
        .into_iter()
        .filter(|(n, ..)| *n > 0)
        .map(|(n, one, many)| format!("{n} {}", if n == 1 { one } else { many }))
        .collect();
    let seen = if seen.is_empty() {
        String::new()
    } else {
        format!(" Seen, and not enough for a finding: {}.", seen.join(", "))
    };
    format!("None of the known problems was found in {scope}.{seen}")
}
