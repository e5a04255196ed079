//! What a span is: style, protocol, system, role, operation, destination, facets.
//!
//! The first matching row wins; the facet rows are always looked at.
//!
//! | row | matches                                   | style                 | protocol                    |
//! |-----|-------------------------------------------|-----------------------|-----------------------------|
//! | R1  | any messaging key, AWS API of SQS or SNS  | by operation          | messaging, websocket        |
//! | R2  | a cache product                           | sync                  | cache                       |
//! | R3  | any other database product                | sync                  | db                          |
//! | R4  | a language model provider                 | sync                  | genai                       |
//! | R5  | `graphql.*`                               | sync, internal        | graphql                     |
//! | R6  | an RPC system or status                   | sync                  | grpc, rpc, websocket, objectstore, faas, cloudapi |
//! | R7  | a web socket handshake                    | async                 | websocket                   |
//! | R8  | a known path of a service registry        | sync                  | discovery                   |
//! | R9  | a name look-up                            | sync                  | dns                         |
//! | R10 | an HTTP method, URL or route              | sync                  | http, graphql               |
//! | R11 | a function trigger                        | by trigger            | faas                        |
//! | R12 | anything                                  | by kind               | unknown, messaging, internal |
//! | F1  | Envoy as sidecar                          |                       | facet mesh, role proxy      |
//! | F2  | a gateway product, or a service named so  |                       | facet gateway, role gateway |
//! | F3  | `faas.*` on span or resource              |                       | facet faas                  |

use std::borrow::Cow;
use std::sync::Arc;

use model::SpanKind;
use model::semconv::{key, older, vendor};

use super::read::{Attributes, slot, url_host, url_path, url_scheme};
use super::span::Span;
use super::systems;
use super::words::words;

words! {
    /// Does the caller wait?
    Style {
        Sync "sync" "The caller waits for the answer.",
        Async "async" "The sender goes on.",
        Internal "internal" "No communication.",
    }
}

words! {
    /// The family of a communication.
    Protocol {
        Http "http" "HTTP and REST.",
        Graphql "graphql" "GraphQL, over whatever carries it.",
        Grpc "grpc" "gRPC.",
        Rpc "rpc" "Any other RPC.",
        Websocket "websocket" "Web sockets and what runs over them.",
        Messaging "messaging" "Queues and topics.",
        Db "db" "Databases.",
        Cache "cache" "Caches.",
        Genai "genai" "Language models.",
        Objectstore "objectstore" "Object stores.",
        Faas "faas" "Functions as a service.",
        Cloudapi "cloudapi" "Other APIs of a cloud provider.",
        Discovery "discovery" "Service registries.",
        Dns "dns" "Name look-ups.",
        Route "route" "From one queue into another.",
        Unknown "unknown" "A communication of a kind not said.",
        Internal "internal" "No communication.",
    }
}

words! {
    /// The part a span plays in its communication.
    Role {
        Server "server" "Answers.",
        Client "client" "Asks.",
        Producer "producer" "Sends a message.",
        Consumer "consumer" "Receives or processes a message.",
        Gateway "gateway" "Answers by asking others.",
        Proxy "proxy" "Part of the mesh, transparent.",
        Internal "internal" "None.",
    }
}

words! {
    /// What a messaging span does with its message.
    Operation {
        Send "send" "Hands messages to the broker.",
        Create "create" "Makes a message that another span sends.",
        Receive "receive" "Asks the broker for messages.",
        Process "process" "Handles messages.",
        Settle "settle" "Tells the broker how it went.",
        Other "other" "Anything else: declare, subscribe.",
    }
}

/// Marks that do not change what a span is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facets {
    /// A sidecar: transparent.
    pub mesh: bool,
    /// A gateway, ingress or load balancer.
    pub gateway: bool,
    /// A function as a service.
    pub faas: bool,
}

/// What a span is.
#[derive(Clone, Debug, PartialEq)]
pub struct Class {
    /// Does the caller wait?
    pub style: Style,
    /// Family.
    pub protocol: Protocol,
    /// Product or sub-protocol, e.g. `kafka`, `postgresql`, `grpc`.
    pub system: Cow<'static, str>,
    /// Part it plays.
    pub role: Role,
    /// Low-cardinality name of what was asked for.
    pub op: Arc<str>,
    /// Queue or topic, for messaging.
    pub destination: Option<String>,
    /// What is done with the message; `None` when it is no messaging span.
    pub messaging: Option<Operation>,
    /// Further marks.
    pub facets: Facets,
}

/// Classifies one span. `is_gateway_service` says that the name of its service does, `is_faas` that its
/// resource has `faas.*`.
pub(crate) fn classify(span: &Span, attributes: &Attributes<'_>, is_gateway_service: bool, is_faas: bool) -> Class {
    let mut class = first_row(span, attributes);
    if is_proxy(attributes)
        && attributes.text(slot!(vendor::ENVOY_NODE_ID)).is_some_and(|id| id.starts_with("sidecar~"))
    {
        class.facets.mesh = true;
        class.role = Role::Proxy;
    } else if is_gateway_service || is_gateway(span, attributes) {
        class.facets.gateway = true;
        if class.role == Role::Server {
            class.role = Role::Gateway;
        }
    }
    class.facets.faas = is_faas || attributes.families.faas;
    class
}

fn is_proxy(attributes: &Attributes<'_>) -> bool {
    attributes.text(slot!(vendor::COMPONENT)).is_some_and(|component| component == "proxy")
}

fn is_gateway(span: &Span, attributes: &Attributes<'_>) -> bool {
    is_proxy(attributes)
        || span.name == "kong"
        || span.name.starts_with("kong.")
        || attributes.families.gateway
        || attributes.has(slot!(vendor::TRAEFIK_ENTRY_POINT))
}

/// R1 to R12: the first row that says something.
fn first_row(span: &Span, attributes: &Attributes<'_>) -> Class {
    const ROWS: [fn(&Span, &Attributes<'_>) -> Option<Class>; 10] =
        [messaging, database, genai, graphql, rpc, websocket, discovery, dns, http, faas];
    ROWS.iter().find_map(|row| row(span, attributes)).unwrap_or_else(|| by_kind(span))
}

fn role_of(kind: SpanKind) -> Role {
    match kind {
        SpanKind::Server => Role::Server,
        SpanKind::Client => Role::Client,
        SpanKind::Producer => Role::Producer,
        SpanKind::Consumer => Role::Consumer,
        SpanKind::Internal | SpanKind::Unspecified => Role::Internal,
    }
}

fn plain(style: Style, protocol: Protocol, system: impl Into<Cow<'static, str>>, role: Role, op: String) -> Class {
    Class {
        style,
        protocol,
        system: system.into(),
        role,
        op: op.into(),
        destination: None,
        messaging: None,
        facets: Facets::default(),
    }
}

/// R1.
fn messaging(span: &Span, attributes: &Attributes<'_>) -> Option<Class> {
    let aws = aws_messaging(attributes);
    if !attributes.families.messaging && aws.is_none() {
        return None;
    }
    let sent = attributes.text(slot!(key::MESSAGING_SYSTEM));
    let system = match (&sent, aws) {
        (Some(sent), _) => systems::messaging_system(sent),
        (None, Some((system, _))) => system.to_owned(),
        (None, None) => "unknown".to_owned(),
    };
    let operation = messaging_operation(span, attributes, aws);
    let (style, role) = match operation {
        Operation::Send | Operation::Create => (Style::Async, Role::Producer),
        Operation::Receive | Operation::Process => (Style::Async, Role::Consumer),
        Operation::Settle | Operation::Other => (Style::Sync, Role::Client),
    };
    let protocol = if systems::is_socket(&system) { Protocol::Websocket } else { Protocol::Messaging };
    let name = attributes
        .text(slot!(key::MESSAGING_DESTINATION_TEMPLATE))
        .or_else(|| attributes.text(slot!(key::MESSAGING_DESTINATION)));
    let routing_key = attributes.text(slot!(key::MESSAGING_ROUTING_KEY));
    let is_temporary = attributes.is_true(slot!(key::MESSAGING_TEMPORARY));
    let destination = match (&name, &routing_key) {
        (None, None) if is_temporary => Some(systems::TEMPORARY.to_owned()),
        (None, None) => None,
        _ => Some(systems::destination(
            &system,
            name.as_deref().unwrap_or_default(),
            routing_key.as_deref(),
            is_temporary,
        )),
    };
    let mut class = plain(style, protocol, system, role, operation.as_str().to_owned());
    class.destination = destination;
    class.messaging = Some(operation);
    Some(class)
}

/// System and operation of a bare AWS API span of SQS or SNS.
fn aws_messaging(attributes: &Attributes<'_>) -> Option<(&'static str, Operation)> {
    if attributes.text(slot!(key::RPC_SYSTEM))? != "aws-api" {
        return None;
    }
    let service = attributes.text(slot!(key::RPC_SERVICE))?.to_ascii_lowercase();
    let system = match service.strip_prefix("amazon").unwrap_or(&service) {
        "sqs" => "sqs",
        "sns" => "sns",
        _ => return None,
    };
    let operation = match attributes.text(slot!(key::RPC_METHOD)).as_deref() {
        Some("SendMessage" | "SendMessageBatch" | "Publish" | "PublishBatch") => Operation::Send,
        Some("ReceiveMessage") => Operation::Receive,
        Some("DeleteMessage" | "DeleteMessageBatch" | "ChangeMessageVisibility" | "ChangeMessageVisibilityBatch") => {
            Operation::Settle
        }
        _ => Operation::Other,
    };
    Some((system, operation))
}

fn messaging_operation(span: &Span, attributes: &Attributes<'_>, aws: Option<(&'static str, Operation)>) -> Operation {
    if let Some(word) = attributes.text(slot!(key::MESSAGING_OPERATION)) {
        return operation_word(&word).unwrap_or(Operation::Other);
    }
    if let Some((_, operation)) = aws {
        return operation;
    }
    let mut words = span.name.split_whitespace();
    let first = words.next().and_then(operation_word);
    if let Some(operation) = first.or_else(|| words.next_back().and_then(operation_word)) {
        return operation;
    }
    match span.kind {
        SpanKind::Producer => Operation::Send,
        SpanKind::Consumer => Operation::Process,
        _ => Operation::Other,
    }
}

fn operation_word(word: &str) -> Option<Operation> {
    const WORDS: &[(&str, Operation)] = &[
        ("send", Operation::Send),
        ("publish", Operation::Send),
        ("create", Operation::Create),
        ("receive", Operation::Receive),
        ("poll", Operation::Receive),
        ("process", Operation::Process),
        ("deliver", Operation::Process),
        ("settle", Operation::Settle),
        ("ack", Operation::Settle),
        ("nack", Operation::Settle),
        ("reject", Operation::Settle),
        ("commit", Operation::Settle),
    ];
    WORDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(word)).map(|(_, operation)| *operation)
}

/// R2 and R3.
fn database(span: &Span, attributes: &Attributes<'_>) -> Option<Class> {
    let system = systems::db_system(&attributes.text(slot!(key::DB_SYSTEM))?);
    let protocol = if systems::is_cache(&system) { Protocol::Cache } else { Protocol::Db };
    let role = if span.kind == SpanKind::Server { Role::Server } else { Role::Client };
    let operation = || {
        let operation = attributes.text(slot!(key::DB_OPERATION))?;
        Some(match attributes.text(slot!(key::DB_COLLECTION)) {
            Some(collection) => format!("{operation} {collection}"),
            None => operation.into_owned(),
        })
    };
    let first_word = || {
        let statement = attributes.text(slot!(key::DB_QUERY_TEXT))?;
        statement.split_whitespace().next().map(str::to_owned)
    };
    let op = attributes.string(slot!(key::DB_QUERY_SUMMARY)).or_else(operation).or_else(first_word);
    Some(plain(Style::Sync, protocol, system, role, op.unwrap_or_else(|| span.name.clone())))
}

/// R4.
fn genai(span: &Span, attributes: &Attributes<'_>) -> Option<Class> {
    let provider = attributes.string(slot!(key::GEN_AI_SYSTEM))?;
    let op = attributes.string(slot!(key::GEN_AI_OPERATION)).unwrap_or_else(|| span.name.clone());
    Some(plain(Style::Sync, Protocol::Genai, provider, role_of(span.kind), op))
}

/// R5.
fn graphql(span: &Span, attributes: &Attributes<'_>) -> Option<Class> {
    if !attributes.families.graphql && !span.name.starts_with("graphql.") {
        return None;
    }
    let style = match span.kind {
        SpanKind::Server | SpanKind::Client => Style::Sync,
        _ => Style::Internal,
    };
    let kind = attributes.text(slot!(key::GRAPHQL_OPERATION_TYPE));
    let op = match (kind, attributes.text(slot!(key::GRAPHQL_OPERATION))) {
        (Some(kind), Some(name)) => format!("{kind} {name}"),
        (Some(one), None) | (None, Some(one)) => one.into_owned(),
        (None, None) => span.name.clone(),
    };
    Some(plain(style, Protocol::Graphql, "graphql", role_of(span.kind), op))
}

/// R6.
fn rpc(span: &Span, attributes: &Attributes<'_>) -> Option<Class> {
    let sent = attributes.text(slot!(key::RPC_SYSTEM));
    if sent.is_none()
        && !attributes.has(slot!(key::GRPC_STATUS))
        && !attributes.has(slot!(vendor::GRPC_STATUS_CODE))
        && !attributes.has(slot!(vendor::GRPC_PATH))
    {
        return None;
    }
    let system = sent.map_or_else(|| "grpc".to_owned(), |sent| systems::rpc_system(&sent));
    let service = attributes.text(slot!(key::RPC_SERVICE));
    let protocol = match (system.as_str(), service.as_deref()) {
        ("grpc", _) => Protocol::Grpc,
        ("signalr", _) => Protocol::Websocket,
        ("aws-api", Some("S3" | "AmazonS3")) => Protocol::Objectstore,
        ("aws-api", Some("Lambda" | "AWSLambda")) => Protocol::Faas,
        ("aws-api", _) => Protocol::Cloudapi,
        _ => Protocol::Rpc,
    };
    Some(plain(Style::Sync, protocol, system, role_of(span.kind), rpc_method(span, attributes)))
}

/// `package.Service/Method`, whichever attributes hold its parts.
fn rpc_method(span: &Span, attributes: &Attributes<'_>) -> String {
    let method = attributes.exact(key::RPC_METHOD);
    if let Some(method) = method.as_ref().filter(|method| method.contains('/')) {
        return method.trim_start_matches('/').to_owned();
    }
    if let (Some(service), Some(method)) = (attributes.text(slot!(key::RPC_SERVICE)), method) {
        return format!("{service}/{method}");
    }
    let path = attributes.string(slot!(vendor::GRPC_PATH)).unwrap_or_else(|| span.name.clone());
    path.trim_start_matches('/').to_owned()
}

/// R7.
fn websocket(span: &Span, attributes: &Attributes<'_>) -> Option<Class> {
    let is = |slot, word: &str| attributes.text(slot).is_some_and(|text| text.eq_ignore_ascii_case(word));
    let is_socket = attributes.int(slot!(key::HTTP_STATUS)) == Some(101)
        || scheme(attributes).is_some_and(|scheme| scheme == "ws" || scheme == "wss")
        || is(slot!(key::NETWORK_PROTOCOL_NAME), "websocket")
        || is(slot!(key::HTTP_UPGRADE), "websocket");
    let op = || {
        let route = attributes.string(slot!(key::HTTP_ROUTE));
        route.or_else(|| path(attributes).map(|path| systems::template(&path))).unwrap_or_else(|| span.name.clone())
    };
    is_socket.then(|| plain(Style::Async, Protocol::Websocket, "websocket", role_of(span.kind), op()))
}

/// R8.
fn discovery(span: &Span, attributes: &Attributes<'_>) -> Option<Class> {
    if !matches!(span.kind, SpanKind::Client | SpanKind::Server) {
        return None;
    }
    let path = path(attributes);
    let system = match path.as_deref() {
        _ if attributes.families.k8s_client => "kubernetes",
        Some(path) => registry_of(path, || host(attributes, span.kind), attributes.int(slot!(key::SERVER_PORT)))?,
        None => return None,
    };
    let method = attributes.string(slot!(key::HTTP_METHOD)).unwrap_or_default();
    let op = format!("{method} {}", systems::template(&path.unwrap_or_default())).trim().to_owned();
    Some(plain(Style::Sync, Protocol::Discovery, system, role_of(span.kind), op))
}

fn registry_of(path: &str, host: impl Fn() -> Option<String>, port: Option<i64>) -> Option<&'static str> {
    let below =
        |beginning: &str| path.strip_prefix(beginning).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if below("/eureka/apps") || below("/eureka/v2/apps") {
        return Some("eureka");
    }
    if ["/v1/health", "/v1/catalog", "/v1/agent", "/v1/kv"].into_iter().any(below) {
        let is_consul = || host().is_some_and(|host| host.contains("consul"));
        return (matches!(port, Some(8500 | 8501)) || is_consul()).then_some("consul");
    }
    if below("/apis/discovery.k8s.io") {
        return Some("kubernetes");
    }
    if let Some(rest) = path.strip_prefix("/api/v1/") {
        let mut parts = rest.split('/');
        let is_namespaced = parts.next() == Some("namespaces");
        let kind = if is_namespaced { parts.nth(1) } else { rest.split('/').next() };
        let is_kind = matches!(kind, Some("services" | "endpoints" | "endpointslices"));
        let is_api_server = || port == Some(6443) || host().is_some_and(|host| host.starts_with("kubernetes"));
        return (is_kind && (is_namespaced || is_api_server())).then_some("kubernetes");
    }
    (below("/nacos/v1/ns") || below("/nacos/v2/ns")).then_some("nacos")
}

/// R9.
fn dns(span: &Span, attributes: &Attributes<'_>) -> Option<Class> {
    let is_dns = attributes.has(slot!(key::DNS_QUESTION))
        || attributes.has(slot!(vendor::KONG_DNS_DOMAIN))
        || span.name == "kong.dns";
    is_dns.then(|| plain(Style::Sync, Protocol::Dns, "dns", Role::Client, "lookup".to_owned()))
}

/// R10.
fn http(span: &Span, attributes: &Attributes<'_>) -> Option<Class> {
    let method = attributes.text(slot!(key::HTTP_METHOD));
    let is_call = matches!(span.kind, SpanKind::Client | SpanKind::Server);
    let is_http = method.is_some()
        || (is_call && (attributes.has(slot!(key::URL_FULL)) || attributes.has(slot!(key::URL_PATH))))
        || (span.kind == SpanKind::Server && attributes.has(slot!(key::HTTP_ROUTE)))
        || span.name == "kong.balancer";
    if !is_http {
        return None;
    }
    let path = path(attributes);
    let is_graphql =
        method.as_deref() == Some("POST") && path.as_deref().is_some_and(|path| path.ends_with("/graphql"));
    let (protocol, system) = if is_graphql { (Protocol::Graphql, "graphql") } else { (Protocol::Http, "http") };
    let route = attributes.string(slot!(key::HTTP_ROUTE)).or_else(|| path.map(|path| systems::template(&path)));
    let op = match (method, route) {
        (Some(method), Some(route)) => format!("{method} {route}"),
        (Some(one), None) => one.into_owned(),
        (None, Some(one)) => one,
        (None, None) => span.name.clone(),
    };
    Some(plain(Style::Sync, protocol, system, role_of(span.kind), op))
}

/// R11.
fn faas(span: &Span, attributes: &Attributes<'_>) -> Option<Class> {
    let trigger = attributes.text(slot!(key::FAAS_TRIGGER));
    let invoked = attributes.string(slot!(key::FAAS_INVOKED_NAME));
    if trigger.is_none() && invoked.is_none() {
        return None;
    }
    let style = match trigger.as_deref() {
        Some("pubsub" | "timer" | "datasource") => Style::Async,
        _ => Style::Sync,
    };
    Some(plain(style, Protocol::Faas, "faas", role_of(span.kind), invoked.unwrap_or_else(|| span.name.clone())))
}

/// R12.
fn by_kind(span: &Span) -> Class {
    let (style, protocol, system) = match span.kind {
        SpanKind::Client | SpanKind::Server => (Style::Sync, Protocol::Unknown, "unknown"),
        SpanKind::Producer | SpanKind::Consumer => (Style::Async, Protocol::Messaging, "unknown"),
        SpanKind::Internal | SpanKind::Unspecified => (Style::Internal, Protocol::Internal, "internal"),
    };
    let mut class = plain(style, protocol, system, role_of(span.kind), span.name.clone());
    class.messaging = match span.kind {
        SpanKind::Producer => Some(Operation::Send),
        SpanKind::Consumer => Some(Operation::Process),
        _ => None,
    };
    class
}

/// Path of the request without its query.
pub(crate) fn path(attributes: &Attributes<'_>) -> Option<String> {
    attributes.text(slot!(key::URL_PATH)).map(|text| url_path(&text).to_owned())
}

/// Scheme, lower case: said outright, else of the URL.
pub(crate) fn scheme(attributes: &Attributes<'_>) -> Option<String> {
    let said = attributes.text(slot!(key::URL_SCHEME)).map(|scheme| scheme.to_ascii_lowercase());
    said.or_else(|| attributes.text(slot!(key::URL_FULL)).and_then(|url| url_scheme(&url)))
}

/// Name or address of the server, from the side that sent the span.
pub(crate) fn host(attributes: &Attributes<'_>, kind: SpanKind) -> Option<String> {
    let other_side = if kind == SpanKind::Server { older::NET_PEER_NAME } else { older::NET_HOST_NAME };
    let clean = |text: &str| super::node::short_host(super::read::without_port(text)).to_owned();
    if let Some(host) = attributes.exact(key::SERVER_ADDRESS) {
        return Some(clean(&host));
    }
    let url_host = || attributes.text(slot!(key::URL_FULL)).and_then(|url| url_host(&url).map(clean));
    if !attributes.has(slot!(key::SERVER_ADDRESS)) {
        return url_host();
    }
    let convention = model::semconv::find(key::SERVER_ADDRESS)?;
    for name in convention.fallbacks.iter().filter(|name| **name != other_side) {
        if *name == older::HTTP_HOST
            && let Some(host) = url_host()
        {
            return Some(host);
        }
        if let Some(host) = attributes.exact(name) {
            return Some(clean(&host));
        }
    }
    url_host()
}
