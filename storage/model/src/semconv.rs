//! THE table of semantic conventions: every attribute key the house knows by name.
//!
//! Asked by storage (which attributes are columns), collector (promotion), query (`attr('http.method')`
//! finds the new name and the column) and ui (labels, help). Nobody else spells a key in a string
//! literal: use the constants of [`key`].
//!
//! Source: OpenTelemetry semantic conventions 1.44 and its schema files; the names in `fallbacks` come
//! from instrumentation libraries of the last years (see docs/attributes.md).
//!
//! `replaces` are pure renames: a sender using the old name fills the same column. `fallbacks` are only
//! looked at when reading, because their meaning depends on the side or needs parsing.

/// Where an attribute stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// On a resource: who sent it.
    Resource,
    /// On a span, log record, event, link or data point.
    Item,
}

/// The type a convention asks for. A value of another type is kept, but not in the column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// Text of low cardinality: dictionary-coded.
    Label,
    /// Text that is often unique.
    Text,
    /// 64-bit integer.
    Int,
}

/// What an attribute tells about a communication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Who: service, version, instance, host, pod, cloud.
    Identity,
    /// What was asked for.
    Operation,
    /// Who was asked.
    Peer,
    /// How it went.
    Outcome,
    /// Which broker, destination, message, group.
    Messaging,
    /// Which data store.
    Database,
    /// For whom.
    User,
}

/// One attribute of the conventions.
#[derive(Clone, Copy, Debug)]
pub struct Convention {
    /// Today's key.
    pub key: &'static str,
    /// Older keys of exactly the same meaning and type.
    pub replaces: &'static [&'static str],
    /// Other keys to look at when reading and none of the above is present, in this order.
    pub fallbacks: &'static [&'static str],
    /// Where it stands.
    pub on: On,
    /// Its type.
    pub value: ValueKind,
    /// Name of the column it is promoted to.
    pub column: Option<&'static str>,
    /// What it is used for.
    pub role: Role,
    /// One line for people.
    pub help: &'static str,
    /// Version of the conventions that brought today's key.
    pub since: &'static str,
}

macro_rules! conventions {
    ($($on:ident $role:ident $value:ident $name:ident = $key:literal $(as $column:literal)? $(replaces [$($old:literal),*])? $(fallbacks [$($other:literal),*])? since $since:literal : $help:literal;)*) => {
        /// Every convention the house knows, resource attributes first.
        pub const CONVENTIONS: &[Convention] = &[$(Convention {
            key: $key,
            replaces: &[$($($old),*)?],
            fallbacks: &[$($($other),*)?],
            on: On::$on,
            value: ValueKind::$value,
            column: conventions!(@column $($column)?),
            role: Role::$role,
            help: $help,
            since: $since,
        },)*];

        /// Today's keys as constants.
        pub mod key {
            $(#[doc = $help] pub const $name: &str = $key;)*
        }
    };
    (@column $column:literal) => { Some($column) };
    (@column) => { None };
}

conventions! {
    Resource Identity Label SERVICE_NAME = "service.name" since "1.0": "Name of the service that sent it.";
    Resource Identity Label SERVICE_NAMESPACE = "service.namespace" as "service_namespace" since "1.0": "Group of services the service belongs to.";
    Resource Identity Label SERVICE_VERSION = "service.version" as "service_version" since "1.0": "Version of the service.";
    Resource Identity Label SERVICE_INSTANCE_ID = "service.instance.id" as "service_instance_id" since "1.0": "One running copy of the service.";
    Resource Identity Label DEPLOYMENT_ENVIRONMENT = "deployment.environment.name" as "deployment_environment" replaces ["deployment.environment"] since "1.27": "Environment such as production or staging.";
    Resource Identity Label HOST_NAME = "host.name" as "host_name" since "1.0": "Host the service runs on.";
    Resource Identity Label HOST_ID = "host.id" since "1.0": "Unique id of the host.";
    Resource Identity Label K8S_NAMESPACE = "k8s.namespace.name" as "k8s_namespace" since "1.0": "Kubernetes namespace.";
    Resource Identity Label K8S_POD = "k8s.pod.name" as "k8s_pod" since "1.0": "Kubernetes pod.";
    Resource Identity Label K8S_POD_UID = "k8s.pod.uid" since "1.0": "Unique id of the Kubernetes pod.";
    Resource Identity Label K8S_DEPLOYMENT = "k8s.deployment.name" since "1.0": "Kubernetes deployment.";
    Resource Identity Label K8S_STATEFULSET = "k8s.statefulset.name" since "1.0": "Kubernetes stateful set.";
    Resource Identity Label K8S_DAEMONSET = "k8s.daemonset.name" since "1.0": "Kubernetes daemon set.";
    Resource Identity Label K8S_CLUSTER = "k8s.cluster.name" as "k8s_cluster" since "1.0": "Kubernetes cluster.";
    Resource Identity Label CONTAINER_NAME = "container.name" since "1.0": "Container.";
    Resource Identity Label FAAS_NAME = "faas.name" since "1.0": "Function as a service.";
    Resource Identity Label CLOUD_REGION = "cloud.region" as "cloud_region" since "1.0": "Region of the cloud provider.";
    Resource Identity Label CLOUD_ZONE = "cloud.availability_zone" since "1.0": "Zone inside the region.";
    Resource Identity Label SDK_LANGUAGE = "telemetry.sdk.language" as "telemetry_sdk_language" since "1.0": "Language of the SDK that sent it.";
    Resource Identity Label SDK_NAME = "telemetry.sdk.name" since "1.0": "SDK that sent it.";
    Resource Identity Label SDK_VERSION = "telemetry.sdk.version" since "1.0": "Version of the SDK that sent it.";

    Item Operation Label HTTP_METHOD = "http.request.method" as "http_request_method" replaces ["http.method"] since "1.21": "HTTP verb of the request.";
    Item Operation Label HTTP_ROUTE = "http.route" as "http_route" fallbacks ["url.template"] since "1.0": "Route template that matched the request.";
    Item Outcome Int HTTP_STATUS = "http.response.status_code" as "http_status_code" replaces ["http.status_code"] since "1.21": "HTTP status of the answer.";
    Item Operation Text URL_FULL = "url.full" as "url_full" replaces ["http.url"] since "1.21": "Whole URL as requested.";
    Item Operation Text URL_PATH = "url.path" as "url_path" fallbacks ["http.target", "url.full", "http.url"] since "1.21": "Path of the URL.";
    Item Operation Label URL_SCHEME = "url.scheme" replaces ["http.scheme"] since "1.21": "Scheme of the URL: http or https.";
    Item Operation Label USER_AGENT = "user_agent.original" replaces ["http.user_agent"] since "1.19": "User agent header.";
    Item Peer Label SERVER_ADDRESS = "server.address" as "server_address" fallbacks ["net.peer.name", "net.host.name", "net.sock.peer.name", "http.host", "network.peer.address", "net.sock.peer.addr", "net.peer.ip", "peer.address"] since "1.21": "Host name or address of the server.";
    Item Peer Int SERVER_PORT = "server.port" as "server_port" fallbacks ["net.peer.port", "net.host.port"] since "1.21": "Port of the server.";
    Item Peer Text CLIENT_ADDRESS = "client.address" as "client_address" replaces ["http.client_ip"] fallbacks ["net.sock.peer.addr"] since "1.21": "Address of the client, behind proxies if known.";
    Item Peer Label PEER_SERVICE = "service.peer.name" as "peer_service" replaces ["peer.service"] since "1.39": "Service at the other end, as configured by the sender.";
    Item Peer Label NETWORK_PROTOCOL_VERSION = "network.protocol.version" replaces ["http.flavor"] fallbacks ["net.protocol.version"] since "1.21": "Version of the protocol on the wire.";
    Item Outcome Int HTTP_RESEND_COUNT = "http.request.resend_count" replaces ["http.resend_count"] fallbacks ["retry.count"] since "1.21": "How often the request was sent again.";

    Item Operation Label RPC_SYSTEM = "rpc.system.name" as "rpc_system" replaces ["rpc.system"] since "1.39": "RPC system such as grpc.";
    Item Operation Label RPC_SERVICE = "rpc.service" as "rpc_service" since "1.0": "RPC service being called.";
    Item Operation Label RPC_METHOD = "rpc.method" as "rpc_method" fallbacks ["grpc.path"] since "1.0": "RPC method being called.";
    Item Outcome Label RPC_STATUS = "rpc.response.status_code" as "rpc_status_code" replaces ["rpc.status_code"] fallbacks ["rpc.grpc.status_code", "grpc.status_code", "rpc.connect_rpc.error_code"] since "1.39": "Status of the RPC answer as text.";
    Item Outcome Int GRPC_STATUS = "rpc.grpc.status_code" as "grpc_status_code" since "1.0": "Status number of the gRPC answer, older name.";

    Item Database Label DB_SYSTEM = "db.system.name" as "db_system" replaces ["db.system"] since "1.30": "Database product.";
    Item Database Label DB_NAMESPACE = "db.namespace" as "db_namespace" replaces ["db.name"] fallbacks ["db.redis.database_index"] since "1.26": "Database inside the server.";
    Item Database Label DB_OPERATION = "db.operation.name" as "db_operation" replaces ["db.operation"] since "1.26": "Database operation.";
    Item Database Label DB_COLLECTION = "db.collection.name" as "db_collection" replaces ["db.sql.table", "db.mongodb.collection", "db.cassandra.table"] since "1.26": "Table or collection.";
    Item Database Text DB_QUERY_TEXT = "db.query.text" as "db_query_text" replaces ["db.statement"] since "1.26": "Query as sent to the database.";
    Item Database Label DB_QUERY_SUMMARY = "db.query.summary" as "db_query_summary" since "1.30": "Short form of the query.";

    Item Messaging Label MESSAGING_SYSTEM = "messaging.system" as "messaging_system" since "1.0": "Message broker product.";
    Item Messaging Label MESSAGING_OPERATION = "messaging.operation.type" as "messaging_operation" replaces ["messaging.operation"] fallbacks ["messaging.operation.name"] since "1.28": "send, create, receive, process or settle.";
    Item Messaging Label MESSAGING_DESTINATION = "messaging.destination.name" as "messaging_destination" replaces ["messaging.destination"] fallbacks ["aws.queue.name", "aws.sqs.queue.url", "aws.queue.url", "messaging.url", "aws.sns.topic.arn", "message.topic", "rabbitmq.queue"] since "1.17": "Queue or topic.";
    Item Messaging Label MESSAGING_DESTINATION_TEMPLATE = "messaging.destination.template" since "1.17": "Queue or topic with variable parts replaced.";
    Item Messaging Label MESSAGING_PARTITION = "messaging.destination.partition.id" as "messaging_partition" fallbacks ["messaging.kafka.destination.partition", "messaging.kafka.partition"] since "1.26": "Partition of the destination.";
    Item Messaging Label MESSAGING_GROUP = "messaging.consumer.group.name" as "messaging_group" replaces ["messaging.kafka.consumer.group", "messaging.kafka.consumer_group"] since "1.27": "Consumer group or subscription.";
    Item Messaging Text MESSAGING_MESSAGE_ID = "messaging.message.id" as "messaging_message_id" replaces ["messaging.message_id", "messaging.id", "nservicebus.message_id", "messaging.masstransit.message_id"] since "1.17": "Id of the message.";
    Item Messaging Text MESSAGING_CONVERSATION_ID = "messaging.message.conversation_id" as "messaging_conversation_id" replaces ["messaging.conversation_id", "nservicebus.conversation_id"] since "1.17": "Id shared by the messages of one conversation.";
    Item Messaging Int MESSAGING_OFFSET = "messaging.kafka.offset" as "messaging_offset" replaces ["messaging.kafka.message.offset"] since "1.26": "Offset inside the partition.";
    Item Messaging Int MESSAGING_BATCH_COUNT = "messaging.batch.message_count" as "messaging_batch_count" since "1.17": "Messages handled by this operation.";
    Item Messaging Int MESSAGING_BODY_SIZE = "messaging.message.body.size" replaces ["messaging.message.payload_size_bytes", "messaging.message_payload_size_bytes"] fallbacks ["messaging.message.envelope.size"] since "1.17": "Size of the message body in bytes.";
    Item Messaging Label MESSAGING_TEMPORARY = "messaging.destination.temporary" fallbacks ["messaging.destination.anonymous"] since "1.17": "The destination lives only for a while or has no name of its own.";
    Item Messaging Int MESSAGING_DELIVERY_COUNT = "messaging.servicebus.message.delivery_count" fallbacks ["messaging.gcp_pubsub.message.delivery_attempt", "messaging.message.delivery_count"] since "1.17": "How often the broker has delivered the message.";
    Item Messaging Label MESSAGING_ROUTING_KEY = "messaging.rabbitmq.destination.routing_key" replaces ["messaging.rabbitmq.routing_key"] since "1.17": "RabbitMQ routing key.";

    Item Outcome Label ERROR_TYPE = "error.type" as "error_type" since "1.21": "What kind of error ended the work.";
    Item Outcome Label EXCEPTION_TYPE = "exception.type" since "1.0": "Class of the exception.";
    Item Outcome Text EXCEPTION_MESSAGE = "exception.message" since "1.0": "Message of the exception.";
    Item Outcome Text EXCEPTION_STACKTRACE = "exception.stacktrace" since "1.0": "Where the exception was thrown.";
    Item User Text USER_ID = "user.id" as "user_id" replaces ["enduser.id"] since "1.30": "Whom the work was done for.";
    Item Operation Label FAAS_TRIGGER = "faas.trigger" since "1.0": "What started the function.";
    Item Operation Label FAAS_INVOKED_NAME = "faas.invoked_name" since "1.0": "Function being called.";
    Item Operation Text FAAS_INVOCATION_ID = "faas.invocation_id" replaces ["faas.execution"] since "1.20": "Id of one run of the function.";
    Item Operation Label GRAPHQL_OPERATION_TYPE = "graphql.operation.type" since "1.10": "query, mutation or subscription.";
    Item Operation Label GEN_AI_OPERATION = "gen_ai.operation.name" since "1.27": "What the language model was asked to do.";
    Item Operation Text DNS_QUESTION = "dns.question.name" since "1.27": "Name being looked up.";
    Item Peer Label AWS_S3_BUCKET = "aws.s3.bucket" since "1.20": "S3 bucket.";
    Item Peer Label NETWORK_PROTOCOL_NAME = "network.protocol.name" fallbacks ["net.protocol.name"] since "1.21": "Protocol on the wire: http, websocket, amqp.";
    Item Operation Int HTTP_REQUEST_SIZE = "http.request.body.size" fallbacks ["http.request.size", "http.request_content_length", "request_size"] since "1.21": "Size of the request in bytes.";
    Item Outcome Int HTTP_RESPONSE_SIZE = "http.response.body.size" fallbacks ["http.response.size", "http.response_content_length", "response_size"] since "1.21": "Size of the answer in bytes.";
    Item Outcome Text HTTP_LOCATION = "http.response.header.location" fallbacks ["http.response.header.operation-location"] since "1.21": "Where to look for the result.";
    Item Outcome Label HTTP_RETRY_AFTER = "http.response.header.retry-after" since "1.21": "When the sender may try again.";
    Item Operation Label HTTP_UPGRADE = "http.request.header.upgrade" since "1.21": "Protocol the client wants to change to.";
    Item Operation Text HTTP_IDEMPOTENCY_KEY = "http.request.header.idempotency-key" fallbacks ["http.request.header.x-idempotency-key"] since "1.21": "Requests with the same key are meant to act once.";
    Item Operation Text HTTP_REQUEST_ID = "http.request.header.x-request-id" fallbacks ["guid:x-request-id"] since "1.21": "Id that proxies give a request.";
    Item Operation Label HTTP_CONTENT_TYPE = "http.response.header.content-type" fallbacks ["http.request.header.content-type"] since "1.21": "Format of the body.";
    Item Operation Label GRAPHQL_OPERATION = "graphql.operation.name" as "graphql_operation" since "1.10": "GraphQL operation.";
    Item Operation Label GEN_AI_SYSTEM = "gen_ai.provider.name" as "gen_ai_provider" replaces ["gen_ai.system"] since "1.37": "Provider of the language model.";
}

/// A key that one product sends and no convention names. Read by analysis, never promoted to a column.
#[derive(Clone, Copy, Debug)]
pub struct VendorKey {
    /// The key.
    pub key: &'static str,
    /// Other spellings, looked at in this order.
    pub also: &'static [&'static str],
    /// Who sends it.
    pub by: &'static str,
    /// One line for people.
    pub help: &'static str,
}

macro_rules! vendor_keys {
    ($($name:ident = $key:literal $(also [$($also:literal),*])? by $by:literal : $help:literal;)*) => {
        /// Every vendor key the house knows.
        pub const VENDOR_KEYS: &[VendorKey] =
            &[$(VendorKey { key: $key, also: &[$($($also),*)?], by: $by, help: $help },)*];

        /// Vendor keys as constants.
        pub mod vendor {
            $(#[doc = $help] pub const $name: &str = $key;)*
        }
    };
}

vendor_keys! {
    COMPONENT = "component" by "Envoy": "`proxy` on every span of an Envoy.";
    ENVOY_NODE_ID = "node_id" by "Envoy": "Starts with `router~` on a gateway and `sidecar~` in a mesh.";
    ENVOY_RESPONSE_FLAGS = "response_flags" by "Envoy": "Why the proxy itself ended the request: UO, UT, URX, UH, RL, UAEX and others.";
    ENVOY_UPSTREAM = "upstream_cluster.name" also ["upstream_cluster"] by "Envoy": "Group of servers the request went to.";
    ISTIO_SERVICE = "istio.canonical_service" by "Istio": "Service the sidecar stands for.";
    GRPC_TIMEOUT = "grpc.timeout" by "Envoy": "Time the caller was willing to wait.";
    GRPC_STATUS_CODE = "grpc.status_code" by "Envoy": "gRPC status, as text.";
    GRPC_PATH = "grpc.path" by "Envoy": "Full gRPC method.";
    TRAEFIK_ENTRY_POINT = "entry_point" by "Traefik": "Port the request came in by.";
    KONG_DNS_DOMAIN = "dns.record.domain" by "Kong": "Name being looked up.";
    KONG_TRY_COUNT = "try_count" by "Kong": "Which try of the balancer this is.";
    HYSTRIX_CIRCUIT_OPEN = "hystrix.circuit_open" by "Hystrix": "True when the breaker refused the call.";
    RECORD_QUEUE_TIME = "kafka.record.queue_time_ms" also ["rabbitmq.record.queue_time_ms"] by "OpenTelemetry Java agent": "Wait in the broker by the broker's own clock, milliseconds.";
    ERROR_FLAG = "error" by "OpenTracing": "True when the work failed.";
}

/// Beginnings of keys that say something whatever follows.
pub mod prefix {
    /// Any messaging convention.
    pub const MESSAGING: &str = "messaging.";
    /// Messages of NServiceBus.
    pub const NSERVICEBUS: &str = "nservicebus.";
    /// GraphQL execution.
    pub const GRAPHQL: &str = "graphql.";
    /// Spans of a Traefik.
    pub const TRAEFIK: &str = "traefik.";
    /// Spans of a Kong.
    pub const KONG: &str = "kong.";
    /// Routes of a Spring Cloud Gateway.
    pub const SPRING_CLOUD_GATEWAY: &str = "spring-cloud-gateway.";
    /// Java's client of the Kubernetes API.
    pub const K8S_CLIENT: &str = "k8s-client.";
    /// Functions as a service.
    pub const FAAS: &str = "faas.";
    /// Transport security.
    pub const TLS: &str = "tls.";
}

/// Older keys whose meaning depends on the side that sent them.
pub mod older {
    /// The other side, as named by a client.
    pub const NET_PEER_NAME: &str = "net.peer.name";
    /// The own side, as named by a server.
    pub const NET_HOST_NAME: &str = "net.host.name";
    /// Host header; the URL's host is looked at first.
    pub const HTTP_HOST: &str = "http.host";
    /// gRPC status as a number.
    pub const RPC_GRPC_STATUS_CODE: &str = "rpc.grpc.status_code";
}

/// The promoted conventions of resources or items, in column order.
pub fn promoted(on: On) -> impl Iterator<Item = &'static Convention> {
    CONVENTIONS.iter().filter(move |convention| convention.on == on && convention.column.is_some())
}

/// The convention with this key, by its new or an older name; `None` for keys the house does not know.
///
/// Cost: linear in the table. Per-row code builds its own map once.
pub fn find(key: &str) -> Option<&'static Convention> {
    let named = |convention: &&Convention| convention.key == key || convention.replaces.contains(&key);
    CONVENTIONS.iter().find(named)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// A key means one thing on each side, and a column belongs to one convention.
    #[test]
    fn keys_and_columns_are_unique() {
        let (mut keys, mut columns) = (HashSet::new(), HashSet::new());
        for convention in CONVENTIONS {
            for key in convention.replaces.iter().chain([&convention.key]) {
                assert!(keys.insert(*key), "{key} stands twice");
            }
            assert!(convention.column.is_none_or(|column| columns.insert(column)), "{:?}", convention.column);
        }
    }

    #[test]
    fn old_names_are_found() {
        assert_eq!(find("http.method").map(|c| c.key), Some(key::HTTP_METHOD));
        assert!(find("order.id").is_none());
    }
}
