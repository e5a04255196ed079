//! Protocol badge and short detail of a span: pure functions of its semantic conventions.

use model::SpanKind;

use crate::analysis::systems;

/// What a span says about its communication; empty text when not said.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Facts<'a> {
    pub(crate) kind: i32,
    pub(crate) is_error: bool,
    pub(crate) http_method: &'a str,
    pub(crate) http_route: &'a str,
    pub(crate) http_status: Option<i64>,
    pub(crate) url_path: &'a str,
    pub(crate) server_address: &'a str,
    pub(crate) peer_service: &'a str,
    pub(crate) rpc_system: &'a str,
    pub(crate) rpc_method: &'a str,
    pub(crate) rpc_status: &'a str,
    pub(crate) grpc_status: Option<i64>,
    pub(crate) db_system: &'a str,
    pub(crate) db_namespace: &'a str,
    pub(crate) db_operation: &'a str,
    pub(crate) db_collection: &'a str,
    pub(crate) messaging_system: &'a str,
    pub(crate) messaging_destination: &'a str,
    pub(crate) messaging_partition: &'a str,
    pub(crate) error_type: &'a str,
    pub(crate) graphql_operation: &'a str,
    pub(crate) gen_ai_provider: &'a str,
}

/// The badge: what the span speaks, such as `HTTP`, `gRPC`, `Kafka`, `PostgreSQL`; empty when unknown.
pub(crate) fn badge(facts: &Facts<'_>) -> String {
    let name = if !facts.messaging_system.is_empty() {
        Some((facts.messaging_system, systems::messaging_system(&facts.messaging_system.to_ascii_lowercase())))
    } else if !facts.db_system.is_empty() {
        Some((facts.db_system, systems::db_system(&facts.db_system.to_ascii_lowercase())))
    } else if !facts.rpc_system.is_empty() {
        Some((facts.rpc_system, systems::rpc_system(&facts.rpc_system.to_ascii_lowercase())))
    } else {
        None
    };
    if !facts.graphql_operation.is_empty() {
        "GraphQL".to_owned()
    } else if let Some((sent, name)) = name {
        systems::title(&name).map_or_else(|| sent.chars().take(24).collect(), str::to_owned)
    } else if !facts.http_method.is_empty() || facts.http_status.is_some() {
        "HTTP".to_owned()
    } else if !facts.gen_ai_provider.is_empty() {
        "GenAI".to_owned()
    } else {
        String::new()
    }
}

/// A short addition to the name: what the name does not say already, at most three parts.
pub(crate) fn detail(facts: &Facts<'_>, name: &str) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut add = |text: &str| {
        if !text.is_empty() && !name.contains(text) && !parts.iter().any(|part| part == text) {
            parts.push(text.chars().take(80).collect());
        }
    };
    if !facts.messaging_system.is_empty() {
        add(facts.messaging_destination);
        if !facts.messaging_partition.is_empty() {
            add(&format!("partition {}", facts.messaging_partition));
        }
    } else if !facts.db_system.is_empty() {
        add(facts.db_operation);
        add(if facts.db_collection.is_empty() { facts.db_namespace } else { facts.db_collection });
    } else if !facts.rpc_system.is_empty() {
        add(facts.rpc_method);
        add(peer(facts));
    } else if !facts.http_method.is_empty() {
        add(if facts.http_route.is_empty() { facts.url_path } else { facts.http_route });
        add(peer(facts));
    } else {
        add(facts.graphql_operation);
        add(facts.gen_ai_provider);
        add(peer(facts));
    }
    add(&result(facts));
    parts.truncate(3);
    parts.join(" · ")
}

/// Who was asked; a server does not name itself.
fn peer<'a>(facts: &Facts<'a>) -> &'a str {
    if facts.kind == SpanKind::Server.code() {
        ""
    } else if facts.peer_service.is_empty() {
        facts.server_address
    } else {
        facts.peer_service
    }
}

/// How it went: HTTP status, RPC status, error type; empty when there is nothing to say.
pub(crate) fn result(facts: &Facts<'_>) -> String {
    if let Some(status) = facts.http_status {
        return status.to_string();
    }
    if !facts.rpc_status.is_empty() && facts.rpc_status != "0" && !facts.rpc_status.eq_ignore_ascii_case("ok") {
        return facts.rpc_status.to_owned();
    }
    if let Some(status) = facts.grpc_status.filter(|status| *status != 0) {
        return systems::grpc_status(&status.to_string());
    }
    if facts.is_error { facts.error_type.to_owned() } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(facts: Facts<'_>, name: &str, expected: (&str, &str)) {
        assert_eq!((badge(&facts).as_str(), detail(&facts, name).as_str()), expected);
    }

    #[test]
    fn protocols_are_recognised() {
        let client = SpanKind::Client.code();
        let http = Facts {
            kind: client,
            http_method: "GET",
            http_status: Some(503),
            server_address: "cart",
            ..Facts::default()
        };
        check(http, "GET", ("HTTP", "cart · 503"));
        let grpc =
            Facts { kind: client, rpc_system: "grpc", rpc_method: "Charge", grpc_status: Some(14), ..Facts::default() };
        check(grpc, "pay.Payment/Charge", ("gRPC", "UNAVAILABLE"));
        let kafka = Facts {
            messaging_system: "kafka",
            messaging_destination: "orders",
            messaging_partition: "3",
            ..Facts::default()
        };
        check(kafka, "orders publish", ("Kafka", "partition 3"));
        let sql = Facts {
            kind: client,
            db_system: "postgresql",
            db_operation: "SELECT",
            db_collection: "stock",
            ..Facts::default()
        };
        check(sql, "SELECT", ("PostgreSQL", "stock"));
        check(Facts { messaging_system: "aws_sqs", ..Facts::default() }, "x", ("SQS", ""));
        check(Facts { db_system: "mydb", ..Facts::default() }, "x", ("mydb", ""));
        check(Facts { is_error: true, error_type: "Timeout", ..Facts::default() }, "x", ("", "Timeout"));
        check(Facts::default(), "x", ("", ""));
    }
}
