//! What a journey cannot show because nobody sent it, and the setting that would bring it.

use std::collections::{BTreeSet, HashSet};

use api::JourneyAnswer;

use crate::view::format::counted;

/// Names told before the others are only counted.
const NAMED: usize = 3;

/// Something that is not here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NotSent {
    /// What, as a sentence.
    pub(crate) what: String,
    /// What would bring it.
    pub(crate) how: &'static str,
}

fn named(nodes: &BTreeSet<&str>) -> String {
    let names: Vec<&str> =
        nodes.iter().take(NAMED).map(|node| super::facts::label(node)).filter(|name| !name.is_empty()).collect();
    let more = nodes.len().saturating_sub(names.len());
    match more {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}

/// Everything that is missing, the widest gap first; empty when nothing is.
pub(crate) fn not_sent(answer: &JourneyAnswer) -> Vec<NotSent> {
    let mut all = Vec::new();
    let mut add = |what: String, how: &'static str| all.push(NotSent { what, how });
    if answer.orphans > 0 {
        let (parents, verb) =
            (counted(answer.orphans, "parent span"), if answer.orphans == 1 { "was" } else { "were" });
        add(
            format!("{parents} {verb} named and never came."),
            "Each service decided for itself what to keep, or something was lost on the way. OTEL_TRACES_SAMPLER=parentbased_traceidratio in every service keeps a trace whole; System tells what was refused.",
        );
    }
    let services: HashSet<&str> = answer.spans.iter().map(|span| span.service.as_str()).collect();
    if services.len() == 1
        && answer.calls.iter().all(|call| call.client_span.is_none() || call.server_span.is_none())
        && answer.hops.is_empty()
    {
        add(
            "Only one service sent spans.".to_owned(),
            "Others appear when they send here (OTEL_EXPORTER_OTLP_ENDPOINT) and calls carry the context: OTEL_PROPAGATORS=tracecontext,baggage, with the instrumentation of the HTTP, RPC or messaging library switched on.",
        );
    }
    let taken: HashSet<_> = answer.hops.iter().filter_map(|hop| hop.send_span_id).collect();
    let sent = answer.spans.iter().filter(|span| span.kind == "producer" && !taken.contains(&span.span_id)).count();
    if sent > 0 && answer.settled {
        let messages = counted(sent as u64, "sending span");
        add(
            format!("{messages} of messages that nobody was seen to take."),
            "Consumers send spans of kind consumer, as children of the sender or with a link to it, when their messaging library is instrumented; for the Java agent OTEL_INSTRUMENTATION_MESSAGING_EXPERIMENTAL_RECEIVE_TELEMETRY_ENABLED=true adds receiving with links.",
        );
    }
    let unknown = answer.hops.iter().filter(|hop| hop.send_span_id.is_none() && hop.prev_span_id.is_none()).count();
    if unknown > 0 {
        add(
            format!(
                "{} without the span that sent the message: its wait is not known.",
                counted(unknown as u64, "delivery")
            ),
            "The sender's messaging library writes spans of kind producer and puts the context into the message's headers when it is instrumented.",
        );
    }
    let guessed = answer.hops.iter().filter(|hop| hop.joined_by == "message_id").count();
    if guessed > 0 {
        add(
            format!("{} joined by the message's id only.", counted(guessed as u64, "delivery")),
            "A link makes it certain: let the sender put traceparent into the message's headers, and the consumer's instrumentation make a link of it.",
        );
    }
    let silent: BTreeSet<&str> = answer
        .calls
        .iter()
        .filter(|call| call.missing.as_deref() == Some("server") && call.dst.starts_with("service:"))
        .map(|call| call.dst.as_str())
        .collect();
    if !silent.is_empty() {
        add(
            format!("No spans of what {} did.", named(&silent)),
            "Its server spans were not sent or not kept: set OTEL_EXPORTER_OTLP_ENDPOINT there, and a sampler that follows the parent's decision.",
        );
    }
    all
}
