//! Sends, deliveries, attempts and joins of messages, drawn.

use super::draw::{MS, attribute, draw};
use crate::analysis::span::Span;
use crate::analysis::{Analysis, Options, analyze};

fn hops(spans: Vec<Span>) -> Vec<String> {
    let analysis = analyze(spans, &Options::default());
    let name = |span: usize| analysis.graph.spans[span].span.name.clone();
    let mut hops: Vec<String> = analysis
        .messages
        .hops
        .iter()
        .map(|hop| {
            let sender = hop.send.map_or("?".into(), name);
            let (lag, joined_by) = (hop.lag / MS, hop.joined_by.as_str());
            format!("{sender} -> {} {joined_by} {lag} {}/{}", name(hop.consumer), hop.attempt, hop.attempts)
        })
        .collect();
    hops.sort();
    hops
}

fn edges(analysis: &Analysis) -> Vec<String> {
    let edges = crate::analysis::edges::edges(&analysis.graph, &analysis.calls, &analysis.messages);
    edges.iter().map(|(key, edge)| format!("{} -> {} {}", key.source, key.target, edge.calls)).collect()
}

/// Each consumer group gets its own copy: no attempts of each other.
#[test]
fn groups_do_not_compete() {
    assert_eq!(
        hops(draw(
            "
            P @shop producer kafka:orders                                            |==
              K1 @mail consumer kafka:orders messaging.consumer.group.name=a         |    ==
              K2 @mail consumer kafka:orders messaging.consumer.group.name=b         |     ==
            "
        )),
        ["P -> K1 parent 2 1/1", "P -> K2 parent 3 1/1"]
    );
}

/// Each group reads at its own pace.
#[test]
fn lags_by_group() {
    let group = |name: &str| format!("@mail consumer kafka:x <-P messaging.consumer.group.name={name}");
    let drawing =
        format!("P @shop producer kafka:x |=\nK1 {} trace:two |  =\nK2 {} trace:three |     =", group("a"), group("b"));
    let analysis = analyze(draw(&drawing), &Options::default());
    let edges = crate::analysis::edges::edges(&analysis.graph, &analysis.calls, &analysis.messages);
    let edge = edges.values().find(|edge| edge.lags.count() == 2).expect("the deliveries");
    let lag = |group: &str| edge.lags_by_group[group].percentile(0.5);
    assert_eq!((lag("a"), lag("b")), (Some(MS), Some(4 * MS)));
}

/// A second delivery is measured from the end of the failed one.
#[test]
fn lag_of_a_repeat_counts_from_the_failure() {
    assert_eq!(
        hops(draw(
            "
            P @shop producer rabbitmq:jobs          |==
              K1 @work consumer rabbitmq:jobs       |    ==!
              K2 @work consumer rabbitmq:jobs       |             ==
            "
        )),
        ["P -> K1 parent 2 1/2", "P -> K2 parent 7 2/2"]
    );
}

/// Asynchronous sends end when the broker acknowledges, which may be later than the delivery.
#[test]
fn delivery_before_the_end_of_the_send_is_an_overlap() {
    let spans = draw("P @shop producer kafka:orders |======\n  K @mail consumer kafka:orders |   ==");
    let analysis = analyze(spans, &Options::default());
    assert!(analysis.messages.hops[0].is_overlap);
    assert_eq!(analysis.messages.hops[0].lag, 0);
}

/// Parent and link to the same producer are one hop.
#[test]
fn parent_and_link_are_both() {
    assert_eq!(
        hops(draw("P @shop producer kafka:orders |=\n  K @mail consumer kafka:orders <-P |  =")),
        ["P -> K both 1 1/1"]
    );
}

/// A receive span is no delivery when its messages are processed below it or beside it.
#[test]
fn one_message_is_counted_once() {
    let below = draw(
        "
        P @shop producer kafka:orders                 |=
        R @mail receive kafka:orders <-P trace:two    |====
          K consumer kafka:orders <-P                 |   ==
        ",
    );
    assert_eq!(hops(below), ["P -> K link 2 1/1"]);
    let beside = draw(
        "
        P @shop producer kafka:orders                 |=
        R @mail receive kafka:orders <-P trace:two    |====
        K @mail consumer kafka:orders <-P trace:three |      ==
        ",
    );
    assert_eq!(hops(beside), ["P -> K link 5 1/1"]);
}

/// Nothing processes these messages: the receive span is the delivery, and it has them at its end.
#[test]
fn lonely_receive_is_a_delivery() {
    assert_eq!(
        hops(draw("P @shop producer kafka:orders |=\nR @mail receive kafka:orders <-P trace:two |======")),
        ["P -> R link 5 1/1"]
    );
}

/// Polling without a message is no delivery, and no broken context.
#[test]
fn empty_poll_is_nothing() {
    let analysis =
        analyze(draw("R @mail receive kafka:orders messaging.batch.message_count=0 |===="), &Options::default());
    assert!(analysis.messages.deliveries.is_empty());
}

/// Create spans carry the messages; the client span that sends them is only transport.
#[test]
fn creates_are_the_sends() {
    let analysis = analyze(
        draw(
            "
            A @shop server                                                          |==========
              C1 producer kafka:orders messaging.operation.type=create              |=
              C2 producer kafka:orders messaging.operation.type=create              | =
              S  client kafka:orders messaging.operation.type=send <-C1 <-C2        |  ===
            ",
        ),
        &Options::default(),
    );
    assert_eq!(edges(&analysis), ["client -> service:shop 1", "service:shop -> queue:kafka/orders 2"]);
}

/// The messages of a batch send share a context: different messages, not attempts.
#[test]
fn batch_send_is_many_messages() {
    let spans = draw(
        "
        P @shop producer sqs:jobs messaging.batch.message_count=3                            |=
        K1 @work consumer sqs:jobs <-P trace:two messaging.message.id=6f1a2c60-0001          |  =
        K2 @work consumer sqs:jobs <-P trace:three messaging.message.id=6f1a2c60-0002        |   =!
        K3 @work consumer sqs:jobs <-P trace:four messaging.message.id=6f1a2c60-0002         |     =
        ",
    );
    assert_eq!(hops(spans.clone()), ["P -> K1 link 1 1/1", "P -> K2 link 2 1/2", "P -> K3 link 1 2/2"]);
    assert!(edges(&analyze(spans, &Options::default())).contains(&"service:shop -> queue:sqs/jobs 3".to_owned()));
    let unnamed = draw(
        "
        P @shop producer sqs:jobs messaging.batch.message_count=2  |=
        K1 @work consumer sqs:jobs <-P trace:two                   |  =
        K2 @work consumer sqs:jobs <-P trace:three                 |   =
        ",
    );
    assert_eq!(hops(unnamed), ["P -> K1 link 1 1/1", "P -> K2 link 2 1/1"]);
}

/// Joined by message id: long enough, no plain number, and only one producer in question.
#[test]
fn message_ids_join_when_they_are_strong() {
    let pair = |id: &str, n_producers: usize| {
        let mut drawing = String::new();
        for at in 0..n_producers {
            drawing += &format!("P{at} @shop producer jms:jobs trace:p{at} messaging.message.id={id} |=\n");
        }
        drawing += &format!("K @work consumer jms:jobs trace:two messaging.message.id={id} |   =");
        hops(draw(&drawing))
    };
    assert_eq!(pair("ID:host-4711", 1), ["P0 -> K message_id 2 1/1"]);
    assert!(pair("ID:host-4711", 2).is_empty(), "ambiguous");
    assert!(pair("ID:1", 1).is_empty(), "too short");
    assert!(pair("12345678", 1).is_empty(), "a counter");
}

/// The place in the log is a name too; a producer that starts more than a second later is another one.
#[test]
fn kafka_joins_by_place_within_a_day() {
    let place = "messaging.destination.partition.id=3 messaging.kafka.offset=4711";
    let drawing =
        format!("P @shop producer kafka:orders {place} |=\nK @mail consumer kafka:orders {place} trace:two |   =");
    assert_eq!(hops(draw(&drawing)), ["P -> K message_id 2 1/1"]);
    let mut late = draw(&drawing);
    late[0].start = late[0].start + 2_000 * MS;
    assert!(hops(late).is_empty());
    let mut early = draw(&drawing);
    early[0].start = early[0].start - 90_000_000 * MS;
    assert!(hops(early).is_empty());
}

/// Broker-timestamped wait is kept beside the lag; an address can be mapped to its broker.
#[test]
fn brokers_speak_for_themselves() {
    let drawing = "
        P @shop producer jms:jobs host:mq-1                              |=
          K @mail consumer jms:jobs host:mq-1 kafka.record.queue_time_ms=20  |  =
        ";
    let options = Options { jms_brokers: [("mq-1".to_owned(), "activemq".to_owned())].into(), ..Options::default() };
    let analysis = analyze(draw(drawing), &options);
    assert_eq!(analysis.messages.hops[0].broker_wait, Some(20 * MS));
    assert_eq!(edges(&analysis), ["queue:activemq/jobs -> service:mail 1", "service:shop -> queue:activemq/jobs 1"]);
}

/// Scenario 05: four systems in a row, each with its own way of naming.
#[test]
fn chain_of_systems() {
    let mut spans = draw(
        "
        gw @things server POST:/readings                                      |=====
          m producer emqx:plant/17/temperature                                | =
        a @bridge consumer mosquitto:plant/18/temperature <-m trace:two       |      ====
          b producer amqp1.0:readings                                         |       =
        c @rules consumer qpid:readings <-b trace:three                       |            ====
          d producer nats:alerts                                              |             =
        e @desk consumer nats:alerts <-d trace:four                           |                  ====
          f client socket.io:room messaging.operation.type=send               |                   =
        ",
    );
    spans[2].attributes.push(attribute("messaging.message.id", "7"));
    assert_eq!(hops(spans.clone()), ["b -> c link 4 1/1", "d -> e link 4 1/1", "m -> a link 4 1/1"]);
    assert_eq!(
        edges(&analyze(spans, &Options::default())),
        [
            "client -> service:things 1",
            "queue:amqp/readings -> service:rules 1",
            "queue:mqtt/plant/{id}/temperature -> service:bridge 1",
            "queue:nats/alerts -> service:desk 1",
            "service:bridge -> queue:amqp/readings 1",
            "service:desk -> queue:socket.io/room 1",
            "service:rules -> queue:nats/alerts 1",
            "service:things -> queue:mqtt/plant/{id}/temperature 1",
        ]
    );
}
