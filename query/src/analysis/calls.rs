//! Calls: who asked whom and waited for the answer.
//!
//! ```text
//! order     client |==================|          a paired call: client and server span
//! payment     server |==============|
//! order     client |==================|          a virtual call: to a database, a host outside
//! payment     server |==============|            a call without client: its caller was never received
//! ```
//!
//! Mesh spans are looked through. A client span inside a client span of the same service is its transport
//! or one of its attempts, never a call of its own. Web socket handshakes count as calls: they are the
//! connection edge.
//!
//! Where the specification leaves room: when a call reaches several servers (its client span covers all
//! attempts) the one that starts first is its server, the others are its attempts, and the client's
//! judgement alone says whether the call failed.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;
use model::SpanKind;

use super::classify::{Protocol, Style};
use super::graph::{Graph, SpanIndex};
use super::node::Node;

/// Which half of a call is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Missing {
    /// None: both spans are there.
    Nothing,
    /// The server: something that sends no spans, or not yet.
    Server,
    /// The client span; the server's parent names the caller's service.
    Client,
    /// The caller: a parent id was sent, its span was not.
    Caller,
    /// There is no caller: the request came from outside.
    Entry,
}

/// One synchronous step.
#[derive(Clone, Debug)]
pub struct Call {
    /// Caller's span.
    pub client: Option<SpanIndex>,
    /// Callee's span.
    pub server: Option<SpanIndex>,
    /// Nearest server, consumer or first span of the caller's service; `None` when no caller is known.
    pub entry: Option<SpanIndex>,
    /// Real parent of the first of the two spans.
    pub parent: Option<SpanIndex>,
    /// Caller.
    pub source: Node,
    /// Callee.
    pub target: Node,
    /// Does the caller wait?
    pub style: Style,
    /// Family.
    pub protocol: Protocol,
    /// Product or sub-protocol.
    pub system: Cow<'static, str>,
    /// What was asked for, in the callee's words if there are any.
    pub op: Arc<str>,
    /// Start of the client, else of the server, by its own clock.
    pub start: i64,
    /// End of the same span.
    pub end: i64,
    /// Nanoseconds at the server; `None` without one.
    pub server_nanos: Option<i64>,
    /// Client minus server: network, queues in front of the server, and retries.
    pub network_nanos: Option<i64>,
    /// Either side failed.
    pub is_error: bool,
    /// Either side failed and was not merely refused.
    pub is_fault: bool,
    /// The caller ran out of time.
    pub is_timeout: bool,
    /// The two sides do not agree about the format.
    pub is_contract_failure: bool,
    /// RPC status or HTTP status as text.
    pub status: Option<String>,
    /// How often the request was sent before.
    pub resend_count: i64,
    /// Spans on the wire for this call: 1, or more when the client span covers several attempts.
    pub attempts: usize,
    /// Scheme of the request, lower case.
    pub scheme: Option<String>,
    /// Protected on the way; `None` when nothing tells.
    pub is_secure: Option<bool>,
    /// A sidecar stands between.
    pub is_through_mesh: bool,
    /// Version of the caller.
    pub client_version: Option<Arc<str>>,
    /// Version of the callee.
    pub server_version: Option<Arc<str>>,
    /// Bytes of the request.
    pub request_bytes: Option<i64>,
    /// Bytes of the answer.
    pub response_bytes: Option<i64>,
    /// What proxies say about the end.
    pub proxy_flags: Option<String>,
    /// Which half is missing.
    pub missing: Missing,
    /// The callee was found by its address, not by a span.
    pub is_inferred: bool,
    /// Calls of the source it stands for.
    pub weight: f64,
}

impl Call {
    /// Nanoseconds the caller perceived.
    pub fn duration(&self) -> i64 {
        self.end - self.start
    }

    /// The span that stands for the call: the client's, else the server's.
    pub fn span(&self) -> SpanIndex {
        self.client.or(self.server).expect("a call has a client or a server")
    }

    /// Where it runs, such as production: as the callee says, else the caller.
    pub fn environment<'a>(&self, graph: &'a Graph) -> Option<&'a Arc<str>> {
        [self.server, self.client].into_iter().flatten().find_map(|span| graph.spans[span].environment.as_ref())
    }

    /// The caller's service and the callee's are both known services.
    pub fn is_between_services(&self) -> bool {
        self.source.family() == "service" && self.target.family() == "service"
    }
}

/// Hosts that are known to be a service of ours: see [`learn_aliases`].
pub type Aliases = BTreeMap<String, String>;

/// All calls of a set of spans, in the order of their spans. `aliases` resolve hosts of calls without a
/// server span.
///
/// Cost: linear.
pub fn calls(graph: &Graph, aliases: &Aliases) -> Vec<Call> {
    let mut calls = Vec::new();
    let mut is_claimed = vec![false; graph.spans.len()];
    let mut services: HashMap<Arc<str>, Node> = HashMap::new();
    let mut pending = Vec::new();
    for client in 0..graph.spans.len() {
        if !starts_call(graph, client) {
            continue;
        }
        let reached = reach(graph, client, &mut pending);
        for &server in &reached.servers {
            is_claimed[server] = true;
        }
        calls.push(call_from_client(graph, client, &reached, aliases, &mut services));
    }
    for (server, is_claimed) in is_claimed.into_iter().enumerate() {
        let caller = graph.real_parent[server];
        let is_own = caller.is_some_and(|caller| graph.spans[caller].service == graph.spans[server].service);
        if graph.spans[server].is_server() && !is_claimed && !is_own {
            calls.push(call_without_client(graph, server, &mut services));
        }
    }
    calls.sort_by_key(Call::span);
    calls
}

/// Client spans and database spans of any kind, unless they are the inside of another call.
fn starts_call(graph: &Graph, at: SpanIndex) -> bool {
    is_call_span(graph, at)
        && !graph.spans[at].is_mesh()
        && !graph.real_parent[at]
            .is_some_and(|parent| is_call_span(graph, parent) && graph.spans[parent].service == graph.spans[at].service)
}

fn is_call_span(graph: &Graph, at: SpanIndex) -> bool {
    let known = &graph.spans[at];
    let is_store = matches!(known.class.protocol, Protocol::Db | Protocol::Cache);
    known.is_waiting_client() && known.class.messaging.is_none() || (known.span.kind == SpanKind::Internal && is_store)
}

/// What lies below a client span before the next service's work begins.
#[derive(Default)]
struct Reached {
    /// Server spans by start.
    servers: Vec<SpanIndex>,
    /// Client spans of the same service: transport, attempts.
    inner: Vec<SpanIndex>,
    is_through_mesh: bool,
}

fn reach(graph: &Graph, client: SpanIndex, pending: &mut Vec<SpanIndex>) -> Reached {
    let mut reached = Reached::default();
    pending.clear();
    pending.extend_from_slice(graph.children(client));
    while let Some(at) = pending.pop() {
        let known = &graph.spans[at];
        if known.is_mesh() {
            reached.is_through_mesh = true;
            pending.extend_from_slice(graph.children(at));
        } else if known.is_server() {
            reached.servers.push(at);
        } else if is_call_span(graph, at) && known.service == graph.spans[client].service {
            reached.inner.push(at);
            pending.extend_from_slice(graph.children(at));
        }
    }
    reached.servers.sort_unstable();
    reached.inner.sort_unstable();
    reached
}

fn service_node(services: &mut HashMap<Arc<str>, Node>, service: &Arc<str>) -> Node {
    services.entry(Arc::clone(service)).or_insert_with(|| Node::service(service)).clone()
}

fn call_from_client(
    graph: &Graph,
    client: SpanIndex,
    reached: &Reached,
    aliases: &Aliases,
    services: &mut HashMap<Arc<str>, Node>,
) -> Call {
    let known = &graph.spans[client];
    let server = reached.servers.first().copied();
    let answer = server.map(|server| &graph.spans[server]);
    let inner = || reached.inner.iter().map(|inner| &graph.spans[*inner]);
    let (target, is_inferred) = match answer {
        Some(answer) => (service_node(services, &answer.service), false),
        None => virtual_target(graph, client, reached, aliases),
    };
    let attempts = reached.servers.len().max(1);
    let (protocol, system) = protocol_of(graph, client, server);
    let scheme = known.facts.scheme.clone().or_else(|| inner().find_map(|inner| inner.facts.scheme.clone()));
    let has_tls = known.facts.has_tls || inner().any(|inner| inner.facts.has_tls);
    let server_nanos = answer.map(super::graph::Known::duration);
    let counts = |of: fn(&super::graph::Known) -> bool| of(known) || (attempts == 1 && answer.is_some_and(of));
    let answered = |of: fn(&super::facts::Facts) -> Option<i64>| {
        of(&known.facts).or_else(|| answer.and_then(|answer| of(&answer.facts)))
    };
    Call {
        client: Some(client),
        server,
        entry: Some(graph.entry[client]),
        parent: graph.real_parent[client],
        source: service_node(services, &known.service),
        target,
        style: known.class.style,
        protocol,
        system,
        op: Arc::clone(&answer.unwrap_or(known).class.op),
        start: known.start(),
        end: known.end(),
        server_nanos,
        network_nanos: server_nanos.map(|server| known.duration() - server),
        is_error: counts(|known| known.is_error),
        is_fault: counts(|known| known.is_fault),
        is_timeout: known.facts.is_timeout && known.is_error,
        is_contract_failure: known.is_error && known.facts.is_contract_failure
            || answer.is_some_and(|answer| answer.is_error && answer.facts.is_contract_failure),
        status: known.facts.status_text().or_else(|| answer.and_then(|answer| answer.facts.status_text())),
        resend_count: known.facts.resend_count,
        attempts,
        is_secure: security(scheme.as_deref(), has_tls, reached.is_through_mesh),
        scheme,
        is_through_mesh: reached.is_through_mesh,
        client_version: known.version.clone(),
        server_version: answer.and_then(|answer| answer.version.clone()),
        request_bytes: answered(|facts| facts.request_bytes),
        response_bytes: answered(|facts| facts.response_bytes),
        proxy_flags: known
            .facts
            .proxy_flags
            .clone()
            .or_else(|| answer.and_then(|answer| answer.facts.proxy_flags.clone())),
        missing: if server.is_some() { Missing::Nothing } else { Missing::Server },
        is_inferred,
        weight: known.weight,
    }
}

fn call_without_client(graph: &Graph, server: SpanIndex, services: &mut HashMap<Arc<str>, Node>) -> Call {
    let known = &graph.spans[server];
    let caller = graph.real_parent[server];
    let (source, missing) = match caller {
        Some(caller) => (service_node(services, &graph.spans[caller].service), Missing::Client),
        None if is_cut_off(graph, server) => (Node::unknown(), Missing::Caller),
        None => (Node::client(), Missing::Entry),
    };
    let (protocol, system) = protocol_of(graph, server, Some(server));
    let is_through_mesh = graph.parent[server].is_some_and(|parent| graph.spans[parent].is_mesh());
    Call {
        client: None,
        server: Some(server),
        entry: caller.map(|caller| graph.entry[caller]),
        parent: caller,
        source,
        target: service_node(services, &known.service),
        style: known.class.style,
        protocol,
        system,
        op: Arc::clone(&known.class.op),
        start: known.start(),
        end: known.end(),
        server_nanos: Some(known.duration()),
        network_nanos: None,
        is_error: known.is_error,
        is_fault: known.is_fault,
        is_timeout: known.facts.is_timeout && known.is_error,
        is_contract_failure: known.is_error && known.facts.is_contract_failure,
        status: known.facts.status_text(),
        resend_count: known.facts.resend_count,
        attempts: 1,
        is_secure: security(known.facts.scheme.as_deref(), known.facts.has_tls, is_through_mesh),
        scheme: known.facts.scheme.clone(),
        is_through_mesh,
        client_version: caller.and_then(|caller| graph.spans[caller].version.clone()),
        server_version: known.version.clone(),
        request_bytes: known.facts.request_bytes,
        response_bytes: known.facts.response_bytes,
        proxy_flags: known.facts.proxy_flags.clone(),
        missing,
        is_inferred: false,
        weight: known.weight,
    }
}

/// True when the chain of sidecars above (or the span itself) names a parent that was never received.
fn is_cut_off(graph: &Graph, at: SpanIndex) -> bool {
    let mut top = at;
    while let Some(parent) = graph.parent[top] {
        top = parent;
    }
    graph.is_orphan[top]
}

/// The caller's protocol; GraphQL when the server runs a GraphQL execution span.
fn protocol_of(graph: &Graph, at: SpanIndex, server: Option<SpanIndex>) -> (Protocol, Cow<'static, str>) {
    let runs_graphql = server.is_some_and(|server| {
        graph.children(server).iter().any(|child| {
            let child = &graph.spans[*child];
            child.class.protocol == Protocol::Graphql
                && matches!(child.span.kind, SpanKind::Internal | SpanKind::Server)
                && child.service == graph.spans[server].service
        })
    });
    let class = &graph.spans[at].class;
    if runs_graphql {
        (Protocol::Graphql, Protocol::Graphql.as_str().into())
    } else {
        (class.protocol, class.system.clone())
    }
}

fn security(scheme: Option<&str>, has_tls: bool, is_through_mesh: bool) -> Option<bool> {
    match scheme {
        _ if has_tls || is_through_mesh => Some(true),
        Some("https" | "wss") => Some(true),
        Some("http" | "ws") => Some(false),
        _ => None,
    }
}

/// Where a call went whose server sent no span.
fn virtual_target(graph: &Graph, client: SpanIndex, reached: &Reached, aliases: &Aliases) -> (Node, bool) {
    const NOWHERE: &str = "unknown";
    let known = &graph.spans[client];
    let inner_host = || reached.inner.iter().find_map(|inner| graph.spans[*inner].facts.host.as_deref());
    let host = known.facts.host.as_deref().or_else(inner_host);
    let peer = known.facts.peer.as_deref();
    let namespace = known.facts.namespace.as_deref();
    let system = known.class.system.as_ref();
    let place = host.or(peer).unwrap_or(NOWHERE);
    let node = match known.class.protocol {
        Protocol::Db => Node::other("db", &format!("{system}/{}", namespace.unwrap_or(place))),
        Protocol::Cache => {
            Node::other("cache", &format!("{system}/{}", host.or(peer).or(namespace).unwrap_or(NOWHERE)))
        }
        Protocol::Objectstore => Node::other("store", &format!("s3/{}", namespace.unwrap_or(place))),
        Protocol::Discovery => Node::other("discovery", system),
        Protocol::Genai => Node::other("genai", system),
        Protocol::Dns => Node::dns(),
        _ => match (peer, host.and_then(|host| aliases.get(host)), host.or(namespace)) {
            (Some(peer), _, _) => Node::service(peer),
            (None, Some(service), _) => return (Node::service(service), true),
            (None, None, Some(place)) => Node::external(place),
            (None, None, None) => Node::external(NOWHERE),
        },
    };
    (node, false)
}

/// Hosts that were the target of paired calls to exactly one service: input for later windows.
pub fn learn_aliases(graph: &Graph, calls: &[Call]) -> Aliases {
    let mut targets: BTreeMap<&str, Option<&str>> = BTreeMap::new();
    for call in calls {
        let (Some(client), Some(server)) = (call.client, call.server) else { continue };
        let Some(host) = graph.spans[client].facts.host.as_deref() else { continue };
        let service = &*graph.spans[server].service;
        let known = targets.entry(host).or_insert(Some(service));
        if *known != Some(service) {
            *known = None;
        }
    }
    let single = |(host, service): (&str, Option<&str>)| Some((host.to_owned(), service?.to_owned()));
    targets.into_iter().filter_map(single).collect()
}

/// Pairs of a call without server and an entry call to the same address and path inside its time: trace
/// context was probably lost between them. Only when exactly one entry call fits.
pub fn lost_contexts(graph: &Graph, calls: &[Call]) -> Vec<(SpanIndex, SpanIndex)> {
    let place = |span: SpanIndex| {
        let facts = &graph.spans[span].facts;
        Some((facts.host.as_deref()?, facts.path.as_deref()?))
    };
    let mut entries: HashMap<(&str, &str), Vec<&Call>> = HashMap::new();
    for call in calls.iter().filter(|call| call.missing == Missing::Entry) {
        if let Some(place) = place(call.span()) {
            entries.entry(place).or_default().push(call);
        }
    }
    entries.values_mut().for_each(|calls| calls.sort_by_key(|call| (call.start, call.span())));
    let mut lost = Vec::new();
    for call in calls.iter().filter(|call| call.missing == Missing::Server) {
        let Some(entries) = place(call.span()).and_then(|place| entries.get(&place)) else { continue };
        let after = entries.partition_point(|entry| entry.start < call.start);
        // Two that begin inside are already too many, wherever they end.
        let begun = entries[after..].iter().take_while(|entry| entry.start < call.end).take(2);
        let inside: Vec<_> = begun.filter(|entry| entry.end <= call.end).collect();
        if let [entry] = inside[..] {
            lost.push((call.span(), entry.span()));
        }
    }
    lost
}
