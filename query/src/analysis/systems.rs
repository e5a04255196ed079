//! Names of systems, destinations and paths, brought to one spelling.
//!
//! | table            | from                        | to                          |
//! |------------------|-----------------------------|-----------------------------|
//! | `MESSAGING`      | `AmazonSQS`, `aws_sqs`      | `sqs`                       |
//! | `DATABASES`      | `mssql`                     | `microsoft.sql_server`      |
//! | `CACHES`         | which databases are caches  |                             |
//! | `SOCKETS`        | which messaging systems are web sockets |                 |
//! | [`title`]        | `sqs`, `microsoft.sql_server` | `SQS`, `SQL Server`       |
//! | `GATEWAY_WORDS`  | service names that say "gateway" |                        |
//! | [`template`]     | `/orders/17`, `ord_17`      | `/orders/{id}`, `{id}`      |
//! | [`destination`]  | `arn:aws:sns:...:events`    | `events`                    |

/// Messaging systems by our name and what senders call them; compared in lower case, with every run of
/// other characters as `_`.
const MESSAGING: &[(&str, &[&str])] = &[
    ("kafka", &["apache_kafka", "confluent", "msk"]),
    ("rabbitmq", &[]),
    ("activemq", &["artemis", "activemq_artemis"]),
    ("sqs", &["aws_sqs", "amazonsqs", "amazon_sqs"]),
    ("sns", &["aws_sns", "amazonsns", "amazon_sns"]),
    ("jms", &[]),
    ("ibmmq", &["ibm_mq", "mqseries", "wmq"]),
    ("msmq", &[]),
    ("mqtt", &["hivemq", "emqx", "mosquitto", "vernemq", "paho"]),
    ("amqp", &["amqp1_0", "qpid"]),
    ("nats", &[]),
    ("pulsar", &["apache_pulsar"]),
    ("rocketmq", &["apache_rocketmq"]),
    ("servicebus", &["azure_servicebus", "azureservicebus"]),
    ("eventhubs", &["azure_eventhubs", "azureeventhubs"]),
    ("eventgrid", &["azure_eventgrid", "azureeventgrid"]),
    ("gcp_pubsub", &["google_pubsub", "pubsub"]),
    ("kinesis", &["aws_kinesis", "amazonkinesis"]),
];

const DATABASES: &[(&str, &str)] = &[
    ("mssql", "microsoft.sql_server"),
    ("oracle", "oracle.db"),
    ("dynamodb", "aws.dynamodb"),
    ("cosmosdb", "azure.cosmosdb"),
    ("db2", "ibm.db2"),
    ("h2", "h2database"),
    ("spanner", "gcp.spanner"),
    ("redshift", "aws.redshift"),
    ("hanadb", "sap.hana"),
];

const CACHES: &[&str] = &["redis", "memcached", "valkey", "hazelcast", "infinispan", "ehcache", "caffeine", "ignite"];

/// Messaging systems that are really web sockets.
const SOCKETS: &[&str] = &["socket.io", "stomp", "sockjs", "signalr"];

const RPC: &[(&str, &str)] = &[("apache_dubbo", "dubbo"), ("connect_rpc", "connectrpc")];

/// Names of products as people write them, by our name.
const TITLES: &[(&str, &str)] = &[
    ("activemq", "ActiveMQ"),
    ("amqp", "AMQP"),
    ("aws-api", "AWS"),
    ("aws.dynamodb", "DynamoDB"),
    ("aws.redshift", "Redshift"),
    ("azure.cosmosdb", "Cosmos DB"),
    ("cassandra", "Cassandra"),
    ("clickhouse", "ClickHouse"),
    ("connectrpc", "Connect"),
    ("couchbase", "Couchbase"),
    ("dotnet_wcf", "WCF"),
    ("dubbo", "Dubbo"),
    ("elasticsearch", "Elasticsearch"),
    ("eventgrid", "Event Grid"),
    ("eventhubs", "Event Hubs"),
    ("gcp.spanner", "Spanner"),
    ("gcp_pubsub", "Pub/Sub"),
    ("grpc", "gRPC"),
    ("hazelcast", "Hazelcast"),
    ("ibm.db2", "Db2"),
    ("ibmmq", "IBM MQ"),
    ("java_rmi", "RMI"),
    ("jms", "JMS"),
    ("jsonrpc", "JSON-RPC"),
    ("kafka", "Kafka"),
    ("kinesis", "Kinesis"),
    ("mariadb", "MariaDB"),
    ("memcached", "Memcached"),
    ("microsoft.sql_server", "SQL Server"),
    ("mongodb", "MongoDB"),
    ("mqtt", "MQTT"),
    ("msmq", "MSMQ"),
    ("mysql", "MySQL"),
    ("nats", "NATS"),
    ("onc_rpc", "ONC RPC"),
    ("opensearch", "OpenSearch"),
    ("oracle.db", "Oracle"),
    ("postgresql", "PostgreSQL"),
    ("pulsar", "Pulsar"),
    ("rabbitmq", "RabbitMQ"),
    ("redis", "Redis"),
    ("rocketmq", "RocketMQ"),
    ("sap.hana", "HANA"),
    ("servicebus", "Service Bus"),
    ("signalr", "SignalR"),
    ("sns", "SNS"),
    ("socket.io", "Socket.IO"),
    ("sqlite", "SQLite"),
    ("sqs", "SQS"),
    ("valkey", "Valkey"),
];

/// A service whose name holds one of these as a whole word is a gateway.
const GATEWAY_WORDS: &[&str] = &[
    "gateway", "api-gw", "apigw", "ingress", "edge", "kong", "traefik", "envoy", "nginx", "apisix", "haproxy", "tyk",
    "zuul", "krakend",
];

/// gRPC status names by number.
const GRPC_STATUS: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// Our name of a messaging system; unknown names stay as sent.
pub fn messaging_system(sent: &str) -> String {
    if MESSAGING.iter().any(|(name, _)| *name == sent) {
        return sent.to_owned();
    }
    let mut plain = String::with_capacity(sent.len());
    for letter in sent.trim().chars() {
        if letter.is_ascii_alphanumeric() {
            plain.push(letter.to_ascii_lowercase());
        } else if !plain.ends_with('_') {
            plain.push('_');
        }
    }
    let known = MESSAGING.iter().find(|(name, aliases)| *name == plain || aliases.contains(&plain.as_str()));
    known.map_or_else(|| sent.to_owned(), |(name, _)| (*name).to_owned())
}

/// Today's name of a database product; unknown names stay as sent.
pub fn db_system(sent: &str) -> String {
    renamed(DATABASES, sent)
}

/// Our name of an RPC system; unknown names stay as sent.
pub fn rpc_system(sent: &str) -> String {
    renamed(RPC, sent)
}

/// A product as people write it, by our name; `None` for unknown ones.
pub fn title(system: &str) -> Option<&'static str> {
    TITLES.iter().find(|(name, _)| *name == system).map(|(_, title)| *title)
}

/// True when a database product is a cache.
pub fn is_cache(system: &str) -> bool {
    CACHES.contains(&system)
}

/// True when a messaging system is really a web socket.
pub fn is_socket(system: &str) -> bool {
    SOCKETS.contains(&system)
}

/// True when the name says that the service is a gateway: `api-gateway`, `nginx-edge`, not `knowledge`.
pub fn is_gateway_name(service: &str) -> bool {
    let service = service.to_ascii_lowercase();
    let is_edge = |letter: Option<char>| letter.is_none_or(|letter| !letter.is_alphanumeric());
    GATEWAY_WORDS.iter().any(|word| {
        service.match_indices(word).any(|(at, _)| {
            is_edge(service[..at].chars().next_back()) && is_edge(service[at + word.len()..].chars().next())
        })
    })
}

/// A gRPC status as its name: numbers 0 to 16 become names, names become upper case.
pub fn grpc_status(sent: &str) -> String {
    match sent.trim().parse::<usize>().ok().and_then(|number| GRPC_STATUS.get(number)) {
        Some(name) => (*name).to_owned(),
        None => sent.trim().to_ascii_uppercase(),
    }
}

fn renamed(table: &[(&str, &str)], sent: &str) -> String {
    table.iter().find(|(old, _)| *old == sent).map_or(sent, |(_, new)| new).to_owned()
}

/// Replaces the variable segments of a path by `{id}`: all digits, hex of 8 or more, a UUID, or letters,
/// a dash or underscore, and digits (`ord_17`).
pub fn template(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for (at, segment) in path.split('/').enumerate() {
        if at > 0 {
            out.push('/');
        }
        out.push_str(if is_variable(segment) { "{id}" } else { segment });
    }
    out
}

fn is_variable(segment: &str) -> bool {
    let bytes = segment.as_bytes();
    if bytes.is_empty() {
        return false;
    }
    if bytes.iter().all(u8::is_ascii_digit) || (bytes.len() >= 8 && bytes.iter().all(u8::is_ascii_hexdigit)) {
        return true;
    }
    let groups = segment.split('-').map(str::len);
    if bytes.len() == 36 && groups.eq([8, 4, 4, 4, 12]) && bytes.iter().all(|b| *b == b'-' || b.is_ascii_hexdigit()) {
        return true;
    }
    segment.split_once(['-', '_']).is_some_and(|(letters, digits)| {
        !letters.is_empty()
            && !digits.is_empty()
            && letters.bytes().all(|b| b.is_ascii_alphabetic())
            && digits.bytes().all(|b| b.is_ascii_digit())
    })
}

/// What the place of destinations without a lasting name is called.
pub const TEMPORARY: &str = "(temporary)";

/// One name for a queue or topic, whichever way the two sides spell it.
///
/// ```text
/// sqs       https://sqs.eu-west-1.amazonaws.com/1234/invoices   invoices
/// sns       arn:aws:sns:eu-west-1:1234:order-events             order-events
/// jms       queue://billing                                     billing
/// rabbitmq  shop + key email.send                               shop:email.send
/// rabbitmq  shop:email.send:worker                              shop:email.send
/// rabbitmq  <default> + key pdf-jobs                            pdf-jobs
/// mqtt      plant/17/temperature                                plant/{id}/temperature
/// any       amq.gen-x81, temp-queue://1                         (temporary)
/// ```
pub fn destination(system: &str, name: &str, routing_key: Option<&str>, is_temporary: bool) -> String {
    let plain = ["queue://", "topic://"].iter().find_map(|scheme| name.strip_prefix(scheme)).unwrap_or(name);
    if is_temporary || is_temporary_name(plain) {
        return TEMPORARY.to_owned();
    }
    match system {
        "sqs" => plain.rsplit(['/', ':']).next().unwrap_or(plain).to_owned(),
        "sns" => plain.rsplit(':').next().unwrap_or(plain).to_owned(),
        "rabbitmq" => rabbit_destination(plain, routing_key),
        "mqtt" => template(plain),
        _ => plain.to_owned(),
    }
}

fn is_temporary_name(name: &str) -> bool {
    const BEGINNINGS: &[&str] =
        &["amq.gen", "amq.rabbitmq.reply-to", "reply-to", "temp-queue://", "temp-topic://", "_INBOX."];
    name == TEMPORARY || BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
}

fn rabbit_destination(name: &str, routing_key: Option<&str>) -> String {
    let mut parts = name.split(':');
    let exchange = parts.next().unwrap_or_default();
    let key = parts.next().filter(|key| !key.is_empty()).or(routing_key.filter(|key| !key.is_empty()));
    let is_nameless = matches!(exchange, "" | "<default>" | "amq.default" | "(default)");
    match key {
        Some(key) if is_temporary_name(key) => TEMPORARY.to_owned(),
        Some(key) if is_nameless => key.to_owned(),
        Some(key) if key == exchange => key.to_owned(),
        Some(key) => format!("{exchange}:{key}"),
        None => exchange.to_owned(),
    }
}

/// True for a destination where messages end up that nobody could handle: a name part starting with
/// dlq, dlt, dlx or dead.
pub fn is_dead_letter(destination: &str) -> bool {
    destination.split(|letter: char| !letter.is_alphanumeric()).any(|part| {
        let part = part.to_ascii_lowercase();
        ["dlq", "dlt", "dlx", "dead"].iter().any(|beginning| part.starts_with(beginning))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messaging_names_meet() {
        for (sent, ours) in [
            ("AmazonSQS", "sqs"),
            ("aws.sqs", "sqs"),
            ("aws_sns", "sns"),
            ("ibm_mq", "ibmmq"),
            ("AMQP1.0", "amqp"),
            ("emqx", "mqtt"),
            ("kafka", "kafka"),
            ("MyBus 2", "MyBus 2"),
        ] {
            assert_eq!(messaging_system(sent), ours);
        }
    }

    #[test]
    fn variable_parts_become_id() {
        for (path, templated) in [
            ("/orders/17", "/orders/{id}"),
            ("/reports/jobs/7f3a9c21", "/reports/jobs/{id}"),
            ("/v1/ord_1001/items", "/v1/{id}/items"),
            ("/u/6ba7b810-9dad-11d1-80b4-00c04fd430c8", "/u/{id}"),
            ("/v1/apply", "/v1/apply"),
            ("/", "/"),
        ] {
            assert_eq!(template(path), templated);
        }
    }

    #[test]
    fn destinations_meet() {
        for (system, name, key, ours) in [
            ("sqs", "https://sqs.eu-west-1.amazonaws.com/123456789012/invoice-queue", None, "invoice-queue"),
            ("sqs", "arn:aws:sqs:eu-west-1:1:raw", None, "raw"),
            ("sns", "arn:aws:sns:eu-west-1:1:order-events", None, "order-events"),
            ("jms", "queue://billing.invoices", None, "billing.invoices"),
            ("activemq", "topic://stock", None, "stock"),
            ("rabbitmq", "shop", Some("email.send"), "shop:email.send"),
            ("rabbitmq", "shop:email.send", Some("email.send"), "shop:email.send"),
            ("rabbitmq", "shop:email.send:email-work", None, "shop:email.send"),
            ("rabbitmq", "<default>", Some("pdf-jobs"), "pdf-jobs"),
            ("rabbitmq", "pdf-jobs", None, "pdf-jobs"),
            ("rabbitmq", "amq.gen-17", None, TEMPORARY),
            ("mqtt", "plant/17/temperature", None, "plant/{id}/temperature"),
            ("jms", "temp-queue://17", None, TEMPORARY),
            ("kafka", "order-created", None, "order-created"),
        ] {
            assert_eq!(destination(system, name, key, false), ours, "{system} {name}");
        }
    }

    #[test]
    fn gateways_and_dead_letters_by_whole_words() {
        for name in ["api-gateway", "nginx-edge", "shop_api-gw", "Envoy"] {
            assert!(is_gateway_name(name), "{name}");
        }
        for name in ["knowledge", "order", "edges", "gatewayless"] {
            assert!(!is_gateway_name(name), "{name}");
        }
        assert!(is_dead_letter("shop.dlx:email.dead") && is_dead_letter("orders-DLQ") && is_dead_letter("dlq2"));
        assert!(!is_dead_letter("orders") && !is_dead_letter("undead.letters"));
    }
}
