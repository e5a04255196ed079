//! Classification, calls and services row by row.

use std::sync::Arc;

use model::{Attribute, AttributeValue, SpanKind, StatusCode};

use super::draw::{attribute, draw, resource};
use crate::analysis::calls::{Missing, learn_aliases};
use crate::analysis::span::{Resource, Span};
use crate::analysis::{Options, analyze};

/// Style, protocol, system, role and operation of a single span drawn in words.
#[track_caller]
fn class(words: &str, expected: &str) {
    let analysis = analyze(draw(&format!("{words} |=")), &Options::default());
    let class = &analysis.graph.spans[0].class;
    let found = format!("{} {} {} {} {}", class.style, class.protocol, class.system, class.role, class.op);
    assert_eq!(found, expected, "{words}");
}

#[test]
fn r1_messaging_by_operation() {
    class("x producer kafka:orders", "async messaging kafka producer send");
    class("x client kafka:orders messaging.operation=publish", "async messaging kafka producer send");
    class("x consumer kafka:orders messaging.operation.type=receive", "async messaging kafka consumer receive");
    class("x client rabbitmq:orders messaging.operation.name=ack", "sync messaging rabbitmq client settle");
    class("x client rabbitmq:orders", "sync messaging rabbitmq client other");
    class("x consumer nservicebus.message_id=abc", "async messaging unknown consumer process");
    class("x client socket.io:room messaging.operation=publish", "async websocket socket.io producer send");
    class(
        "x client rpc.system=aws-api rpc.service=SQS rpc.method=ReceiveMessage",
        "async messaging sqs consumer receive",
    );
    class("x client rpc.system=aws-api rpc.service=Sqs rpc.method=DeleteMessage", "sync messaging sqs client settle");
    class("x client rpc.system=aws-api rpc.service=SNS rpc.method=Publish", "async messaging sns producer send");
    class("x client messaging.system=artemis messaging.operation=receive", "async messaging activemq consumer receive");
}

#[test]
fn r2_r3_stores() {
    class("x client redis", "sync cache redis client GET");
    class("x internal db.system=caffeine db.operation=get", "sync cache caffeine client get");
    class(
        "x client db.system=mssql db.operation=SELECT db.sql.table=orders",
        "sync db microsoft.sql_server client SELECT orders",
    );
    class("x client db.system=elasticsearch http.method=POST", "sync db elasticsearch client x");
    class("x client db.system=postgresql db.statement=VACUUM", "sync db postgresql client VACUUM");
}

#[test]
fn r4_r5_r6_models_graphs_and_calls() {
    class("x client gen_ai.system=openai gen_ai.operation.name=chat", "sync genai openai client chat");
    class("graphql.execute internal", "internal graphql graphql internal graphql.execute");
    class(
        "x server graphql.operation.type=query graphql.operation.name=stock",
        "sync graphql graphql server query stock",
    );
    class("x client grpc:shop.Pay/Charge", "sync grpc grpc client shop.Pay/Charge");
    class("x server grpc.path=/shop.Pay/Charge grpc.status_code=0", "sync grpc grpc server shop.Pay/Charge");
    class("x client rpc.system=connect_rpc rpc.service=a.B rpc.method=c", "sync rpc connectrpc client a.B/c");
    class("x client rpc.system=aws-api rpc.service=Lambda rpc.method=Invoke", "sync faas aws-api client Lambda/Invoke");
    class("x client rpc.system=aws-api rpc.service=KMS rpc.method=Sign", "sync cloudapi aws-api client KMS/Sign");
}

#[test]
fn r7_r8_r9_sockets_registries_and_names() {
    class("x server GET:/chat 101", "async websocket websocket server /chat");
    class("x client url.full=wss://chat.example/live", "async websocket websocket client /live");
    class("x client GET:/eureka/apps/ITEMS", "sync discovery eureka client GET /eureka/apps/ITEMS");
    class("x client GET:/v1/kv/flags server.port=8500", "sync discovery consul client GET /v1/kv/flags");
    class("x client GET:/v1/health host:shop", "sync http http client GET /v1/health");
    class(
        "x client GET:/api/v1/namespaces/shop/endpoints",
        "sync discovery kubernetes client GET /api/v1/namespaces/shop/endpoints",
    );
    class("x client GET:/api/v1/services", "sync http http client GET /api/v1/services");
    class("x client GET:/nacos/v1/ns/instance", "sync discovery nacos client GET /nacos/v1/ns/instance");
    class("x internal dns.question.name=pay.shop", "sync dns dns client lookup");
}

#[test]
fn r10_r11_r12_http_functions_and_the_rest() {
    class("x server http.route=/items/{id}", "sync http http server /items/{id}");
    class("x client GET:/orders/17", "sync http http client GET /orders/{id}");
    class("x client POST:/graphql", "sync graphql graphql client POST /graphql");
    class("x internal http.route=/rule", "internal internal internal internal x");
    class("x server faas.trigger=timer", "async faas faas server x");
    class("x client faas.invoked_name=resize", "sync faas faas client resize");
    class("x client", "sync unknown unknown client x");
    class("x producer", "async messaging unknown producer x");
    class("x internal", "internal internal internal internal x");
}

#[test]
fn facets_of_proxies_and_functions() {
    class("x @shop server GET:/ component=proxy node_id=sidecar~10.0.0.1", "sync http http proxy GET /");
    class("x @shop server GET:/ component=proxy node_id=router~10.0.0.1", "sync http http gateway GET /");
    class("x @shop server GET:/ traefik.router.name=items", "sync http http gateway GET /");
    class("x @api-gateway client GET:/", "sync http http client GET /");
    class("x @knowledge server GET:/", "sync http http server GET /");
    let analysis = analyze(draw("x server faas.coldstart=1 |="), &Options::default());
    assert!(analysis.graph.spans[0].class.facets.faas);
}

/// Status decides, then error marks, then the rule of the protocol; refusals are no faults.
#[test]
fn errors_and_faults() {
    let judge = |words: &str, status: StatusCode| {
        let mut spans = draw(&format!("{words} |="));
        spans[0].status = status;
        let analysis = analyze(spans, &Options::default());
        (analysis.graph.spans[0].is_error, analysis.graph.spans[0].is_fault)
    };
    for (words, status, expected) in [
        ("x server GET:/ 500", StatusCode::Ok, (false, false)),
        ("x server GET:/ 500", StatusCode::Unset, (true, true)),
        ("x server GET:/ 404", StatusCode::Unset, (false, false)),
        ("x client GET:/ 404", StatusCode::Unset, (true, false)),
        ("x client GET:/ 408", StatusCode::Unset, (true, true)),
        ("x client grpc:a.B/c NOT_FOUND", StatusCode::Unset, (true, false)),
        ("x server grpc:a.B/c rpc.grpc.status_code=5", StatusCode::Unset, (false, false)),
        ("x server grpc:a.B/c rpc.grpc.status_code=14", StatusCode::Unset, (true, true)),
        ("x internal error=true", StatusCode::Unset, (true, true)),
        ("x internal error.type=boom", StatusCode::Unset, (true, true)),
        ("x internal", StatusCode::Error, (true, true)),
    ] {
        assert_eq!(judge(words, status), expected, "{words} {status:?}");
    }
}

/// `service.name` unless it says nothing; then the sidecar's word, the workload, the function, ...
#[test]
fn services_and_processes() {
    let service = |pairs: &[(&str, &str)], extra: Option<Attribute>| {
        let text = |(key, value): &(&str, &str)| Attribute {
            key: (*key).into(),
            value: AttributeValue::String((*value).into()),
        };
        let mut spans = draw("x server |=");
        spans[0].resource = Arc::new(Resource { attributes: pairs.iter().map(text).collect() });
        spans[0].attributes.extend(extra);
        let analysis = analyze(spans, &Options::default());
        let known = &analysis.graph.spans[0];
        (known.service.to_string(), known.process.to_string())
    };
    let expect = |service: &str, process: &str| (service.to_owned(), process.to_owned());
    assert_eq!(service(&[("service.name", "order"), ("host.name", "n1")], None), expect("order", "order/n1"));
    let pod = [("service.name", "unknown_service:java"), ("k8s.deployment.name", "order"), ("k8s.pod.name", "order-7")];
    assert_eq!(service(&pod, None), expect("order", "order/"));
    let sidecar = attribute("istio.canonical_service", "items");
    assert_eq!(service(&pod, Some(sidecar)), expect("items", "items/"));
    assert_eq!(service(&[], None), expect("unknown_service", "unknown_service/"));
}

fn calls(spans: Vec<Span>, options: &Options) -> Vec<String> {
    let analysis = analyze(spans, options);
    let text = |call: &crate::analysis::calls::Call| {
        let mark = if call.is_inferred { " inferred" } else { "" };
        format!("{} -> {} {} x{}{mark}", call.source, call.target, call.op, call.attempts)
    };
    analysis.calls.iter().map(text).collect()
}

/// The client span inside is the transport of the call outside.
#[test]
fn inner_client_is_no_call_of_its_own() {
    let drawing = "
        A @shop server                     |==========
          C client grpc:a.B/c              | ========
            H client POST:/a.B/c           |  ======
              S @other server grpc:a.B/c   |   ====
        ";
    assert_eq!(
        calls(draw(drawing), &Options::default()),
        ["client -> service:shop A x1", "service:shop -> service:other a.B/c x1"]
    );
}

/// An RPC client span covers its attempts; what it says about the end counts.
#[test]
fn attempts_inside_one_call() {
    let spans = draw(
        "
        A @shop server                                |==========
          C client grpc:a.B/c OK                      | ========
            S1 @other server grpc:a.B/c UNAVAILABLE   |  ==
            S2 @other server grpc:a.B/c OK            |      ==
        ",
    );
    assert_eq!(
        calls(spans.clone(), &Options::default()),
        ["client -> service:shop A x1", "service:shop -> service:other a.B/c x2"]
    );
    let analysis = analyze(spans, &Options::default());
    assert!(!analysis.calls[1].is_error && analysis.calls[1].network_nanos == Some(6_000_000));
}

/// Named peer, then an address that was seen before, then the host itself.
#[test]
fn virtual_calls_go_to_the_best_name() {
    let one = |words: &str, options: &Options| calls(draw(&format!("x @shop client {words} |=")), options).remove(0);
    let plain = Options::default();
    assert_eq!(one("GET:/ host:tax.svc.cluster.local", &plain), "service:shop -> ext:tax GET / x1");
    assert_eq!(one("GET:/ host:10.0.0.7 peer.service=tax", &plain), "service:shop -> service:tax GET / x1");
    assert_eq!(one("sql:orders", &plain), "service:shop -> db:postgresql/orders SELECT x1");
    assert_eq!(one("db.system=mysql host:db1", &plain), "service:shop -> db:mysql/db1 x x1");
    assert_eq!(one("gen_ai.system=openai", &plain), "service:shop -> genai:openai x x1");
    let learned = draw("C @shop client GET:/ host:10.0.0.7 |====\n  S @tax server GET:/ | ==");
    let analysis = analyze(learned, &plain);
    let options = Options { aliases: learn_aliases(&analysis.graph, &analysis.calls), ..plain };
    assert_eq!(one("GET:/ host:10.0.0.7", &options), "service:shop -> service:tax GET / x1 inferred");
}

/// One address behind two services tells nothing.
#[test]
fn shared_address_is_no_alias() {
    let drawing = "
        A @shop client GET:/a host:10.0.0.7 |====
          S @tax server GET:/a              | ==
        B @shop client GET:/b host:10.0.0.7 |====
          T @stock server GET:/b            | ==
        ";
    let analysis = analyze(draw(drawing), &Options::default());
    assert!(learn_aliases(&analysis.graph, &analysis.calls).is_empty());
}

/// What is missing is said: the caller's span, the caller, or nothing because the request came in here.
#[test]
fn missing_halves_are_named() {
    let analysis = analyze(
        draw(
            "
            A @shop server            |==========
              B @stock server         | ===
            C @pay server lost        |   ===
            D @shop client            |      ==
            ",
        ),
        &Options::default(),
    );
    let mut found: Vec<_> = analysis.calls.iter().map(|call| (call.source.as_str(), call.missing)).collect();
    found.sort_by_key(|(source, _)| *source);
    assert_eq!(
        found,
        [
            ("client", Missing::Entry),
            ("service:shop", Missing::Client),
            ("service:shop", Missing::Server),
            ("unknown", Missing::Caller),
        ]
    );
}

/// A span that stands for four counts four times.
#[test]
fn sampling_weights() {
    let mut spans = draw("x @shop server GET:/ |=");
    for (state, weight) in
        [("ot=th:c", 4.0), ("vendor=1,ot=rv:2;th:8", 2.0), ("ot=th:0", 1.0), ("ot=th:zz", 1.0), ("", 1.0)]
    {
        spans[0].trace_state = state.into();
        let analysis = analyze(spans.clone(), &Options::default());
        let edges = crate::analysis::edges::edges(&analysis.graph, &analysis.calls, &analysis.messages);
        let edge = edges.values().next().expect("an edge");
        assert_eq!((edge.calls, edge.weight), (1, weight), "{state}");
    }
}

/// A span that came twice with other content keeps the copy that ends last, whichever came first.
#[test]
fn colliding_ids_keep_the_later_end() {
    let long = draw("x @shop server |=====").remove(0);
    let mut short = draw("y @shop client |==").remove(0);
    short.kind = SpanKind::Client;
    short.resource = resource("other", None, None);
    for spans in [vec![long.clone(), short.clone()], vec![short, long]] {
        let analysis = analyze(spans, &Options::default());
        assert_eq!(analysis.graph.spans.len(), 1);
        assert_eq!(analysis.graph.spans[0].span.name, "x");
        assert_eq!(analysis.graph.warnings.len(), 1);
    }
}

/// Every kind of communication that the seed articles name (specification of journeys, section 9) is recognised, and
/// leads to a node of its own.
#[test]
fn every_named_communication_is_recognised() {
    let node = |analysis: &crate::analysis::Analysis| {
        let call = analysis.calls.first().map(|call| call.target.to_string());
        let send = || analysis.messages.sends.first().map(|send| send.queue.to_string());
        let delivery = || analysis.messages.deliveries.first().map(|delivery| delivery.queue.to_string());
        call.or_else(send).or_else(delivery).unwrap_or_default()
    };
    for (named, words, class, leads_to) in [
        ("HTTP/REST", "client GET:/orders host:orders.shop", "sync http http", "ext:orders.shop"),
        ("gRPC", "client grpc:shop.Pay/Charge host:payment", "sync grpc grpc", "ext:payment"),
        ("GraphQL", "client POST:/graphql host:api.shop", "sync graphql graphql", "ext:api.shop"),
        ("WebSocket upgrade", "server GET:/chat 101", "async websocket websocket", "service:shop"),
        (
            "socket.io",
            "producer messaging.system=socket.io messaging.destination.name=room",
            "async websocket socket.io",
            "queue:socket.io/room",
        ),
        ("RabbitMQ", "producer rabbitmq:jobs", "async messaging rabbitmq", "queue:rabbitmq/jobs"),
        (
            "ActiveMQ",
            "producer messaging.system=artemis messaging.destination.name=queue://jobs",
            "async messaging activemq",
            "queue:activemq/jobs",
        ),
        (
            "JMS",
            "producer messaging.system=jms messaging.destination=topic://jobs",
            "async messaging jms",
            "queue:jms/jobs",
        ),
        (
            "AMQP",
            "producer messaging.system=amqp1.0 messaging.destination.name=jobs",
            "async messaging amqp",
            "queue:amqp/jobs",
        ),
        (
            "MQSeries",
            "producer messaging.system=MQSeries messaging.destination.name=JOBS",
            "async messaging ibmmq",
            "queue:ibmmq/JOBS",
        ),
        (
            "MSMQ",
            "producer messaging.system=msmq messaging.destination.name=jobs",
            "async messaging msmq",
            "queue:msmq/jobs",
        ),
        (
            "MassTransit",
            "producer messaging.system=rabbitmq messaging.destination.name=jobs messaging.masstransit.message_id=a1b2c3d4",
            "async messaging rabbitmq",
            "queue:rabbitmq/jobs",
        ),
        (
            "Amazon SQS",
            "producer messaging.system=AmazonSQS aws.sqs.queue.url=https://sqs.eu-west-1.amazonaws.com/1/jobs",
            "async messaging sqs",
            "queue:sqs/jobs",
        ),
        (
            "Amazon SNS",
            "producer messaging.system=aws_sns aws.sns.topic.arn=arn:aws:sns:eu-west-1:1:events",
            "async messaging sns",
            "queue:sns/events",
        ),
        ("Apache Kafka", "producer kafka:orders", "async messaging kafka", "queue:kafka/orders"),
        (
            "MQTT",
            "producer messaging.system=mqtt messaging.destination.name=doors/17/state",
            "async messaging mqtt",
            "queue:mqtt/doors/{id}/state",
        ),
        (
            "NATS",
            "producer messaging.system=nats messaging.destination.name=jobs",
            "async messaging nats",
            "queue:nats/jobs",
        ),
        (
            "Pulsar",
            "producer messaging.system=pulsar messaging.destination.name=jobs",
            "async messaging pulsar",
            "queue:pulsar/jobs",
        ),
        (
            "Service Bus",
            "producer messaging.system=servicebus messaging.destination.name=jobs",
            "async messaging servicebus",
            "queue:servicebus/jobs",
        ),
        (
            "Pub/Sub",
            "producer messaging.system=gcp_pubsub messaging.destination.name=jobs",
            "async messaging gcp_pubsub",
            "queue:gcp_pubsub/jobs",
        ),
        ("Eureka", "client GET:/eureka/apps/ITEMS", "sync discovery eureka", "discovery:eureka"),
        ("Consul", "client GET:/v1/health/service/pay server.port=8500", "sync discovery consul", "discovery:consul"),
        (
            "Kubernetes",
            "client GET:/api/v1/namespaces/shop/endpoints",
            "sync discovery kubernetes",
            "discovery:kubernetes",
        ),
        ("DNS", "client dns.question.name=pay.shop", "sync dns dns", "dns"),
        ("database", "client db.system=mysql db.name=orders", "sync db mysql", "db:mysql/orders"),
        ("cache", "client db.system=memcached host:cache.shop", "sync cache memcached", "cache:memcached/cache.shop"),
        (
            "file storage",
            "client rpc.system=aws-api rpc.service=S3 rpc.method=PutObject aws.s3.bucket=invoices",
            "sync objectstore aws-api",
            "store:s3/invoices",
        ),
        ("language model", "client gen_ai.system=openai", "sync genai openai", "genai:openai"),
        ("external service", "client GET:/pay host:api.bank.example", "sync http http", "ext:api.bank.example"),
        ("function", "server faas.trigger=http", "sync faas faas", "service:shop"),
    ] {
        let analysis = analyze(draw(&format!("x {words} |=")), &Options::default());
        let found = &analysis.graph.spans[0].class;
        assert_eq!(format!("{} {} {}", found.style, found.protocol, found.system), class, "{named}");
        assert_eq!(node(&analysis), leads_to, "{named}");
    }
    for gateway in ["kong", "traefik", "nginx", "haproxy", "envoy-edge", "api-gateway"] {
        let analysis = analyze(draw(&format!("x @{gateway} server GET:/ |=")), &Options::default());
        assert_eq!(analysis.graph.spans[0].class.role.as_str(), "gateway", "{gateway}");
    }
}
