//! Names of protocols and products as people write them.

/// As the API writes it, as people do.
const NAMES: &[(&str, &str)] = &[
    ("activemq", "ActiveMQ"),
    ("amqp", "AMQP"),
    ("aws.dynamodb", "DynamoDB"),
    ("aws_sns", "SNS"),
    ("aws_sqs", "SQS"),
    ("azure.cosmosdb", "Cosmos DB"),
    ("cassandra", "Cassandra"),
    ("clickhouse", "ClickHouse"),
    ("consul", "Consul"),
    ("dynamodb", "DynamoDB"),
    ("elasticsearch", "Elasticsearch"),
    ("etcd", "etcd"),
    ("eureka", "Eureka"),
    ("eventgrid", "Event Grid"),
    ("eventhubs", "Event Hubs"),
    ("gcp_pubsub", "Pub/Sub"),
    ("graphql", "GraphQL"),
    ("grpc", "gRPC"),
    ("http", "HTTP"),
    ("ibmmq", "IBM MQ"),
    ("jms", "JMS"),
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
    ("opensearch", "OpenSearch"),
    ("oracle.db", "Oracle"),
    ("postgresql", "PostgreSQL"),
    ("pulsar", "Pulsar"),
    ("rabbitmq", "RabbitMQ"),
    ("redis", "Redis"),
    ("rocketmq", "RocketMQ"),
    ("rpc", "RPC"),
    ("servicebus", "Service Bus"),
    ("sns", "SNS"),
    ("soap", "SOAP"),
    ("sqlite", "SQLite"),
    ("sqs", "SQS"),
    ("valkey", "Valkey"),
    ("websocket", "WebSocket"),
    ("zookeeper", "ZooKeeper"),
];

/// The product's name, as people write it; an unknown one as it came, cut at 24 letters.
pub(crate) fn spelled(name: &str) -> String {
    let known = NAMES.iter().find(|(written, _)| written.eq_ignore_ascii_case(name));
    known.map_or_else(|| name.chars().take(24).collect(), |(_, spelled)| (*spelled).to_owned())
}

/// What stands in a badge: the product where it says more than the family, `HTTP`, `gRPC`, `Kafka`.
pub(crate) fn badge(protocol: &str, system: &str) -> String {
    match (protocol, system) {
        ("internal" | "", _) => String::new(),
        ("http" | "graphql" | "grpc" | "websocket", _) | (_, "") => spelled(protocol),
        _ => spelled(system),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn badges_name_the_product_or_the_family() {
        assert_eq!(badge("messaging", "kafka"), "Kafka");
        assert_eq!(badge("http", "http"), "HTTP");
        assert_eq!([badge("messaging", "sns"), badge("messaging", "mqtt")], ["SNS", "MQTT"]);
        assert_eq!(badge("rpc", ""), "RPC");
        assert_eq!(badge("internal", "internal"), "");
        assert_eq!(badge("db", "somethingnew"), "somethingnew");
    }
}
