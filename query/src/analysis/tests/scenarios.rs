//! What no fixture covers: joins, partial data and findings, each with its nearest "not quite".

use super::draw::{BASE, MS, attribute, draw, draw_at, trace_id};
use crate::analysis::findings::{
    Finding, FindingName, MinuteOfEdge, Number, OpenBreaker, findings, traffic_spikes, window_findings,
};
use crate::analysis::joins::Confidence;
use crate::analysis::journey::{Journey, journey};
use crate::analysis::span::Span;
use crate::analysis::thresholds::{Bounds, Thresholds};
use crate::analysis::{Analysis, Options, analyze};

fn journey_of(spans: Vec<Span>) -> (Analysis, Journey) {
    let analysis = analyze(spans, &Options::default());
    let journey = journey(&analysis, trace_id("one"), None, &Bounds::default()).expect("trace one is drawn");
    (analysis, journey)
}

fn names(analysis: &Analysis, finding: &Finding) -> String {
    let name = |span: &usize| analysis.graph.spans[*span].span.name.as_str();
    format!("{} {}", finding.name, finding.spans.iter().map(name).collect::<Vec<_>>().join(" "))
}

/// All findings of one journey but those of other families.
fn found(spans: Vec<Span>, wanted: &[FindingName]) -> Vec<String> {
    let (analysis, journey) = journey_of(spans);
    let found = findings(&analysis, &journey, &Thresholds::default(), &[]);
    found.iter().filter(|finding| wanted.contains(&finding.name)).map(|finding| names(&analysis, finding)).collect()
}

#[track_caller]
fn check(scale: i64, drawing: &str, wanted: FindingName, expected: &[&str]) {
    assert_eq!(found(draw_at(scale, drawing), &[wanted]), expected);
}

fn window(spans: Vec<Span>) -> (Analysis, Vec<Finding>) {
    let analysis = analyze(spans, &Options::default());
    let found = window_findings(&analysis, &Thresholds::default());
    (analysis, found)
}

/// Long conversation ids join when the operator wants it, with low confidence; short ones never.
#[test]
fn conversations_join_when_enabled() {
    let journey_by = |id: &str, join_by_keys: bool| {
        let drawing = format!(
            "P @shop producer jms:jobs messaging.message.conversation_id={id} |=\n\
             K @work consumer jms:jobs messaging.message.conversation_id={id} trace:two |   ="
        );
        let analysis = analyze(draw(&drawing), &Options { join_by_keys, ..Options::default() });
        journey(&analysis, trace_id("two"), None, &Bounds::default()).expect("trace two is drawn")
    };
    let joined = journey_by("conversation-0001", true);
    assert_eq!((joined.origin, joined.members.len(), joined.confidence), (trace_id("one"), 2, Confidence::Low));
    assert_eq!(journey_by("conversation-0001", false).members.len(), 1);
    assert_eq!(journey_by("conversation-01", true).members.len(), 1, "15 characters are too few");
}

/// A key shared by more than 50 traces says nothing.
#[test]
fn crowded_keys_are_ignored() {
    let members = |n: usize| {
        let line =
            |at: usize| format!("s{at} @shop server http.request.header.x-request-id=same-everywhere trace:k{at} |=\n");
        let analysis =
            analyze(draw(&(0..n).map(line).collect::<String>()), &Options { join_by_keys: true, ..Options::default() });
        journey(&analysis, trace_id("k0"), None, &Bounds::default()).expect("trace k0 is drawn").members.len()
    };
    assert_eq!((members(50), members(51)), (50, 1));
}

/// Two causes: the seed is its own origin, unless a span picks one of them.
#[test]
fn a_span_picks_the_cause() {
    let analysis = analyze(
        draw(
            "
            P1 @shop producer kafka:a                    |=
            P2 @shop producer kafka:a trace:other        |=
            K1 @mail consumer kafka:a <-P1 trace:two     |  ==
            K2 @mail consumer kafka:a <-P2 trace:two     |   ===
              W internal                                 |    =
            ",
        ),
        &Options::default(),
    );
    let origin = |span: Option<usize>| {
        let span = span.map(|number| super::draw::span_id(number as u64));
        let journey = journey(&analysis, trace_id("two"), span, &Bounds::default()).expect("trace two is drawn");
        (journey.origin, journey.candidates.len())
    };
    assert_eq!(origin(None), (trace_id("two"), 2));
    assert_eq!(origin(Some(3)), (trace_id("one"), 0));
    assert_eq!(origin(Some(5)), (trace_id("other"), 0), "the delivery above the span");
}

/// An orphan whose parent was in its own process hangs under the smallest span around it.
#[test]
fn local_orphans_are_adopted() {
    let (analysis, journey) = journey_of(draw(
        "
        A @shop server                    |====================
          B internal                      |  ==========
        X @shop internal lost:local       |    ===
        Y @shop client lost               |     =
        Z @other internal lost:local      |     ==
        ",
    ));
    let parent = |name: &str| {
        let at = (0..journey.scene.len()).find(|at| journey.scene.known(&analysis, *at).span.name == name);
        let at = at.expect("drawn");
        let parent = journey.scene.parent[at].map(|parent| journey.scene.known(&analysis, parent).span.name.as_str());
        (parent, journey.scene.is_adopted[at])
    };
    assert_eq!(parent("X"), (Some("B"), true));
    assert_eq!(parent("Y"), (None, false), "its parent was remote: another service is missing");
    assert_eq!(parent("Z"), (None, false), "nothing of its process is around it");
}

/// Steps tell causes before effects even when a clock says otherwise.
#[test]
fn steps_are_in_causal_order() {
    let (_, journey) = journey_of(draw(
        "
        A @shop server GET:/                         |   ==========
          P producer kafka:a                         |     =
        K @mail consumer kafka:a <-P trace:two       |==
        ",
    ));
    let steps: Vec<_> = journey.steps.iter().map(|step| format!("{} {}>{}", step.kind, step.from, step.to)).collect();
    assert_eq!(
        steps,
        [
            "call client>service:shop",
            "send service:shop>queue:kafka/a",
            "deliver queue:kafka/a>service:mail",
            "return service:shop>client",
        ]
    );
    let lanes: Vec<_> = journey.lanes.iter().map(|lane| lane.node.as_str()).collect();
    assert_eq!(lanes, ["client", "service:shop", "queue:kafka/a", "service:mail"]);
}

/// The breaker refuses, and the answer goes out within 10 ms; at 11 ms it was no fast failure.
#[test]
fn fail_fast_is_within_ten_milliseconds() {
    let drawing = |tail: &str| {
        format!(
            "A @shop server GET:/ 503                          |==={tail}!\n  \
               B internal throws:BrokenCircuitException        | ==!"
        )
    };
    let fast = [FindingName::CircuitOpen, FindingName::FailFast];
    assert_eq!(found(draw(&drawing("==========")), &fast), ["circuit_open B", "fail_fast B"]);
    assert_eq!(found(draw(&drawing("===========")), &fast), ["circuit_open B"]);
}

/// The exception is seen on every span it passes; the deepest one is where the call was refused.
#[test]
fn breaker_is_told_once() {
    check(
        1,
        "
        A @shop server throws:CallNotPermittedException      |=========================!
          B internal throws:CallNotPermittedException        | ==!
        ",
        FindingName::CircuitOpen,
        &["circuit_open B"],
    );
}

/// A proxy flag is enough, and so is a metric when the service failed meanwhile.
#[test]
fn breakers_by_flag_and_by_metric() {
    check(1, "A @shop server GET:/ 503 response_flags=UO |==", FindingName::CircuitOpen, &["circuit_open A"]);
    let by_metric = |drawing: &str, from: i64| {
        let (analysis, journey) = journey_of(draw(drawing));
        let breaker =
            OpenBreaker { service: "shop".into(), name: "bank".into(), from: BASE + from * MS, until: BASE + 100 * MS };
        let found = findings(&analysis, &journey, &Thresholds::default(), &[breaker]);
        found.iter().filter(|finding| finding.name == FindingName::CircuitOpen).count()
    };
    assert_eq!(by_metric("A @shop server GET:/ 503 |==", 0), 1);
    assert_eq!(by_metric("A @shop server GET:/ 200 |==", 0), 0, "it worked");
    assert_eq!(by_metric("A @shop server GET:/ 503 |==", 5), 0, "it opened later");
}

/// Flags of a proxy name retries, limits and refusals by themselves.
#[test]
fn proxy_flags_are_evidence() {
    check(1, "A @shop server GET:/ 503 response_flags=URX |==", FindingName::RetryStorm, &["retry_storm A"]);
    check(1, "A @shop server GET:/ 503 response_flags=RL |==", FindingName::RateLimited, &["rate_limited A"]);
    check(1, "A @shop server GET:/ 200 response_flags=UAEX |==", FindingName::AuthFailure, &["auth_failure A"]);
}

/// Two times two attempts are four: retries inside retries.
#[test]
fn nested_retries_multiply() {
    let drawing = "
        A @shop server GET:/                      |====================
          C1 client GET:/pay host:pay             | =======!
            S1 @pay server GET:/pay 503           |  =====!
              B1 client GET:/bank host:bank       |   =!
              B2 client GET:/bank host:bank       |     =!
          C2 client GET:/pay host:pay             |         =======
            S2 @pay server GET:/pay 200           |          =====
              B3 client GET:/bank host:bank       |           =!
              B4 client GET:/bank host:bank       |             =
        ";
    let retries = [FindingName::Retried, FindingName::RetryStorm];
    assert_eq!(found(draw(drawing), &retries), ["retry_storm C1 C2 B1 B2 B3 B4"]);
    let (analysis, journey) = journey_of(draw(drawing));
    let found = findings(&analysis, &journey, &Thresholds::default(), &[]);
    let storm = found.iter().find(|finding| finding.name == FindingName::RetryStorm).expect("a storm");
    assert_eq!(storm.numbers["attempts"], Number::Count(4));
}

/// A retry before `retry-after` has passed is noted; one after it is not.
#[test]
fn early_retries_are_noted() {
    let is_early = |pause: usize| {
        let pause = " ".repeat(pause);
        let drawing = format!(
            "A @shop server GET:/                                                            |==============================\n  \
               C1 client GET:/fx host:fx 429 http.response.header.retry-after=1              |=!\n  \
               C2 client GET:/fx host:fx 200                                                 | {pause}="
        );
        let (analysis, journey) = journey_of(draw_at(100, &drawing));
        let found = findings(&analysis, &journey, &Thresholds::default(), &[]);
        found.iter().find(|f| f.name == FindingName::RateLimited).expect("limited").numbers["early_retry"].clone()
    };
    assert_eq!((is_early(9), is_early(10)), (Number::Flag(true), Number::Flag(false)));
}

/// Look-ups that a later call of the same parent waited for; 14 has look-ups that led to no call.
#[test]
fn discovery_on_path_leads_to_a_call() {
    let drawing = |call: &str| {
        format!(
            "A @shop server GET:/                              |==========\n  \
               D client dns.question.name=pay.shop             | ==\n  \
               E client GET:/eureka/apps/PAY host:eureka       |   =\n{call}"
        )
    };
    let call = "  C client GET:/pay host:pay                        |     ==";
    check(10, &drawing(call), FindingName::DiscoveryOnPath, &["discovery_on_path D E"]);
    check(10, &drawing(""), FindingName::DiscoveryOnPath, &[]);
    check(1, &drawing(call), FindingName::DiscoveryOnPath, &[]);
}

/// One idempotency key, two successes at one operation; another key or a failure is no double.
#[test]
fn idempotency_keys_find_doubles() {
    let drawing = |second: &str| {
        format!(
            "A @shop server GET:/ |==========\n  \
               B1 @pay server POST:/charge http.request.header.idempotency-key=k1 | ==\n  \
               B2 @pay server POST:/charge {second} |    =="
        )
    };
    let key = "http.request.header.idempotency-key";
    check(1, &drawing(&format!("{key}=k1")), FindingName::DuplicateProcessing, &["duplicate_processing B1 B2"]);
    check(1, &drawing(&format!("{key}=k2")), FindingName::DuplicateProcessing, &[]);
    check(1, &drawing(&format!("{key}=k1 500")), FindingName::DuplicateProcessing, &[]);
}

/// One message handled twice with success by one service and group (scenario 15: a rebalance); two groups
/// may both handle it.
#[test]
fn messages_handled_twice() {
    let drawing = |group: &str| {
        format!(
            "P @shop producer kafka:orders                                          |=\n  \
               K1 @mail consumer kafka:orders messaging.consumer.group.name=a       |  ==\n  \
               K2 @mail consumer kafka:orders messaging.consumer.group.name={group} |     =="
        )
    };
    check(1, &drawing("a"), FindingName::DuplicateProcessing, &["duplicate_processing K1 K2"]);
    check(1, &drawing("b"), FindingName::DuplicateProcessing, &[]);
}

/// The broker's own count tells of deliveries nobody traced.
#[test]
fn delivery_counts_tell_of_untraced_attempts() {
    let drawing = |count: i64, mark: &str| {
        format!(
            "P @shop producer servicebus:jobs |=\n  \
               K @work consumer servicebus:jobs messaging.servicebus.message.delivery_count={count} |   =={mark}"
        )
    };
    let both = [FindingName::PoisonMessage, FindingName::Redelivery];
    assert_eq!(found(draw(&drawing(3, "!")), &both), ["poison_message K"]);
    assert_eq!(found(draw(&drawing(3, "")), &both), ["redelivery K"]);
    assert!(found(draw(&drawing(2, "!")), &both).is_empty());
}

/// Trace context lost between two HTTP spans: same address, same path, inside the call's time, and no other.
#[test]
fn lost_http_context_is_found() {
    let drawing = |more: &str| {
        format!(
            "A @shop server GET:/                                  |==========\n  \
               C client GET:/stock host:stock.shop                 | =======\n\
             S @stock server GET:/stock host:stock.shop trace:two  |   ===\n{more}"
        )
    };
    check(1, &drawing(""), FindingName::BrokenContext, &["broken_context C S"]);
    let other = "T @stock server GET:/stock host:stock.shop trace:three |    ==";
    check(1, &drawing(other), FindingName::BrokenContext, &[]);
    let elsewhere = drawing("").replace("GET:/stock host:stock.shop trace", "GET:/other host:stock.shop trace");
    check(1, &elsewhere, FindingName::BrokenContext, &[]);
}

/// Scenario 13: a chain of five services, gateways not counted; a queue begins anew.
#[test]
fn deep_chains_count_services() {
    let chain = |drawing: &str| found(draw(drawing), &[FindingName::DeepSyncChain]);
    let five = "
        G @api-gateway server GET:/     |==================
          A @a server GET:/             | ================
            B @b server GET:/           |  ==============
              C @c server GET:/         |   ============
                D @d server GET:/       |    ==========
                  E @e server GET:/     |     ========
        ";
    assert_eq!(chain(five), ["deep_sync_chain A B C D E"]);
    assert!(
        chain(&five.replace("                  E @e server GET:/     |     ========\n", "")).is_empty(),
        "three steps"
    );
    let queue = five
        .replace("C @c server GET:/         |", "C @c consumer kafka:x     |")
        .replace("B @b server GET:/           |", "B @b producer kafka:x       |");
    assert!(chain(&queue).is_empty());
}

/// Scenario 13: a service that waits for itself through another one; calling itself directly is none.
#[test]
fn cycles_go_through_another_service() {
    let cycle = |drawing: &str| found(draw(drawing), &[FindingName::CyclicDependency]);
    let drawing = "
        A @order server GET:/a             |==========
          C client GET:/b                  | =======
            B @stock server GET:/b         |  =====
              D client GET:/c              |   ===
                E @order server GET:/c     |    =
        ";
    assert_eq!(cycle(drawing), ["cyclic_dependency A E"]);
    assert!(cycle(&drawing.replace("@stock", "@order")).is_empty());
    let over_queue = drawing
        .replace("D client GET:/c ", "D producer kafka:x ")
        .replace("E @order server GET:/c ", "E @order consumer kafka:x ");
    assert!(cycle(&over_queue).is_empty());
}

/// Over a window: two services call each other, in different traces.
#[test]
fn cycles_over_a_window() {
    let (analysis, found) = window(draw(
        "
        A @order client GET:/b |====
          B @stock server GET:/b | ==
        C @stock client GET:/a trace:two |====
          D @order server GET:/a | ==
        E @stock client GET:/c trace:three |====
          F @price server GET:/c | ==
        ",
    ));
    let cycles: Vec<_> =
        found.iter().filter(|f| f.name == FindingName::CyclicDependency).map(|f| names(&analysis, f)).collect();
    assert_eq!(cycles.len(), 1);
    assert_eq!(found[0].numbers["services"], Number::Texts(vec!["order".into(), "stock".into()]));
}

/// Scenario 13: one event, ten deliveries; nine are not enough, nor are ten of two events.
#[test]
fn fan_out_is_ten_per_message() {
    let fan = |n: usize, sends: &str| {
        let consumer = |at: usize| format!("K{at} @s{at} consumer kafka:x <-P trace:c{at} |     ==\n");
        let drawing = format!(
            "A @shop server GET:/ |====\n  P producer kafka:x |=\n{sends}{}",
            (0..n).map(consumer).collect::<String>()
        );
        found(draw(&drawing), &[FindingName::FanoutAmplification])
    };
    assert_eq!(fan(10, ""), ["fanout_amplification P"]);
    assert!(fan(9, "").is_empty());
    assert!(fan(10, "  Q producer kafka:x | =\n").is_empty());
    let call = |at: usize| format!("  C{at} client GET:/{at}/x |{}=\n", " ".repeat(at));
    let wide =
        |n: usize| format!("A @shop server GET:/ |========================\n{}", (0..n).map(call).collect::<String>());
    assert_eq!(found(draw(&wide(20)), &[FindingName::FanoutAmplification]), ["fanout_amplification A"]);
    assert!(found(draw(&wide(19)), &[FindingName::FanoutAmplification]).is_empty());
}

/// Scenario 15: a slow gateway, and eight seconds of backlog behind a quick answer.
#[test]
fn backlog_behind_a_slow_gateway() {
    let drawing = "
        G @api-gateway server GET:/                   |=====
          C client GET:/orders host:order             |  ==
            A @order server GET:/orders               |  ==
              P producer kafka:orders                 |   =
        K @mail consumer kafka:orders <-P trace:two   |                                                                                    ====
        ";
    let all = [FindingName::GatewayOverhead, FindingName::QueueWait, FindingName::SlowConsistency];
    assert_eq!(found(draw_at(100, drawing), &all), ["queue_wait K", "gateway_overhead G", "slow_consistency G"]);
    assert_eq!(found(draw_at(1, drawing), &all), Vec::<String>::new());
}

/// A wait of one second counts when it is three times the work.
#[test]
fn queue_wait_is_measured_against_the_work() {
    let drawing = |work: &str| {
        format!(
            "A @shop server GET:/ |====================\n  P producer kafka:x |=\n  B client sql:x |======\nK @m consumer kafka:x <-P trace:two |           {work}"
        )
    };
    check(100, &drawing("==="), FindingName::QueueWait, &["queue_wait K"]);
    check(100, &drawing("===="), FindingName::QueueWait, &[]);
}

/// Clear text to another machine; loopback, a mesh and an unknown scheme make no claim.
#[test]
fn clear_text_needs_evidence() {
    let call = |words: &str| {
        found(
            draw(&format!("A @shop server |====\n  C client http.request.method=GET {words} | ==")),
            &[FindingName::InsecureTransport],
        )
    };
    assert_eq!(call("url.full=http://crm:8080/x"), ["insecure_transport C"]);
    for fine in [
        "url.full=https://crm/x",
        "url.full=http://localhost:80/x",
        "url.full=http://127.0.0.1/x",
        "server.address=crm",
        "url.full=http://crm/x tls.protocol.name=tls",
    ] {
        assert!(call(fine).is_empty(), "{fine}");
    }
}

/// Ten looks make polling a warning, and so do looks in quick succession.
#[test]
fn polling_too_often_is_a_warning() {
    let severity = |scale: i64, n: usize| {
        let poll = |at: usize| format!("  G{at} client GET:/jobs/1 host:api |{}=\n", " ".repeat(3 + 2 * at));
        let drawing = format!(
            "A @ui internal |==============================\n  C client POST:/jobs host:api 202 http.response.header.location=/jobs/1 |=\n{}",
            (0..n).map(poll).collect::<String>()
        );
        let (analysis, journey) = journey_of(draw_at(scale, &drawing));
        let found = findings(&analysis, &journey, &Thresholds::default(), &[]);
        found.iter().find(|f| f.name == FindingName::AsyncHttpPolling).map(|f| f.severity.as_str())
    };
    assert_eq!(severity(100, 2), Some("information"));
    assert_eq!(severity(100, 10), Some("warning"));
    assert_eq!(severity(90, 2), Some("warning"), "every 180 ms");
    assert_eq!(severity(100, 1), None);
}

/// A cache whose reads are followed by the database: 16 of 20 are enough, 15 are not.
#[test]
fn cache_that_never_hits() {
    let reads = |n_followed: usize| {
        let one = |at: usize| {
            let database = if at < n_followed {
                "  D sql:items client |  =\n".replace('D', &format!("D{at}"))
            } else {
                String::new()
            };
            format!("A{at} @shop server trace:r{at} |=====\n  R{at} client redis |=\n{database}")
        };
        let (_, found) = window(draw(&(0..20).map(one).collect::<String>()));
        found.iter().filter(|f| f.name == FindingName::CacheIneffective).count()
    };
    assert_eq!((reads(16), reads(15)), (1, 0));
}

/// Calls of two versions; what each answers differs in shape.
fn versions(old: &str, new: &str) -> Vec<(String, Vec<String>)> {
    let call = |at: usize, version: &str, words: &str| {
        format!(
            "C{at} @shop client GET:/x trace:v{at} |{0}===\n  S{at} @stock v:{version} server {words} |{0} =\n",
            " ".repeat(4 * at)
        )
    };
    let old = (0..3).map(|at| call(at, "1", old));
    let new = (3..6).map(|at| call(at, "2", new));
    let (_, found) = window(draw(&old.chain(new).collect::<String>()));
    let text = |number: &Number| match number {
        Number::Text(text) => text.clone(),
        other => panic!("{other:?} is no text"),
    };
    let names = |finding: &Finding| match finding.numbers.get("names") {
        Some(Number::Texts(names)) => names.clone(),
        _ => Vec::new(),
    };
    let drift = found.iter().filter(|finding| finding.name == FindingName::ContractDrift);
    drift.map(|finding| (text(&finding.numbers["kind"]), names(finding))).collect()
}

/// Shape changes are information: keys, sizes, routes that come and go with a version.
#[test]
fn shapes_change_with_a_version() {
    let kinds = |old: &str, new: &str| {
        versions(old, new).into_iter().map(|(kind, names)| format!("{kind} {}", names.join(" "))).collect::<Vec<_>>()
    };
    assert_eq!(kinds("GET:/x", "GET:/x app.tier=gold"), ["attributes +app.tier"]);
    assert_eq!(kinds("GET:/x http.response.body.size=100", "GET:/x http.response.body.size=150"), ["size 100 150"]);
    assert!(kinds("GET:/x http.response.body.size=100", "GET:/x http.response.body.size=149").is_empty());
    assert_eq!(kinds("GET:/x", "GET:/y"), ["routes +GET /y -GET /x"]);
    assert!(kinds("GET:/x", "GET:/x").is_empty());
    assert_eq!(kinds("GET:/x", "GET:/x 422 error.type=422"), ["failures "]);
}

/// Three times the calls and twice the p95 of the twelve minutes before; the queue that grew is named.
#[test]
fn traffic_spikes_name_the_queue() {
    let minute = |minute: i64, edge: &str, calls: u64, p95: i64, lag_p95: Option<i64>| MinuteOfEdge {
        minute,
        edge: edge.into(),
        calls,
        p95,
        lag_p95,
    };
    let spike = |calls: u64, p95: i64, from: i64| {
        let mut minutes: Vec<_> = (from..12).map(|at| minute(at, "client -> order", 100, 10, None)).collect();
        minutes.extend((from..12).map(|at| minute(at, "queue:orders -> mail", 100, 5, Some(7))));
        minutes.push(minute(12, "client -> order", calls, p95, None));
        minutes.push(minute(12, "queue:orders -> mail", 100, 5, Some(9_000)));
        minutes.reverse();
        traffic_spikes(&minutes, &Thresholds::default())
    };
    let found = spike(300, 20, 0);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].numbers["absorbed_by"], Number::Text("queue:orders -> mail".into()));
    assert!(spike(299, 20, 0).is_empty() && spike(300, 19, 0).is_empty());
    assert!(spike(300, 20, 3).is_empty(), "too little is known about before");
}

/// A fault that the caller absorbed is told, unless a later attempt worked.
#[test]
fn contained_faults_are_those_not_repaired() {
    let contained = |last: &str| {
        found(
            draw(&format!(
                "A @shop server GET:/ 200           |==========\n  \
                   C1 client GET:/ads host:ads      | ==!\n  \
                   C2 client GET:/ads host:ads      |     =={last}"
            )),
            &[FindingName::ContainedFailure],
        )
    };
    assert_eq!(contained("!"), ["contained_failure C2"]);
    assert!(contained("").is_empty());
}

/// No scheme, no status, no names: nothing is claimed.
#[test]
fn bare_spans_make_no_findings() {
    let (analysis, journey) = journey_of(draw("A |====\n  B client | =\n  C server |  ="));
    assert!(findings(&analysis, &journey, &Thresholds::default(), &[]).is_empty());
}

/// Every finding has a name of its own, SQL and help.
#[test]
fn findings_explain_themselves() {
    let names: std::collections::BTreeSet<_> = FindingName::ALL.iter().map(|name| name.as_str()).collect();
    assert_eq!(names.len(), FindingName::ALL.len());
    assert!(FindingName::ALL.iter().all(|name| name.sql().starts_with("select") && name.help().ends_with('.')));
}

/// Attribute values come as numbers too: a status sent as text decides all the same.
#[test]
fn text_numbers_count() {
    let mut spans = draw("A @shop server GET:/ |==");
    spans[0].attributes.push(attribute("http.response.status_code", "429"));
    assert_eq!(found(spans, &[FindingName::RateLimited]), ["rate_limited A"]);
}

/// Each segment has a node: the queue waited in, the peer without spans, else the own service.
#[test]
fn segments_know_their_node() {
    let (analysis, journey) = journey_of(draw(
        "
        A @shop server GET:/                              |====
          D client sql:orders                             | =
          P producer kafka:x                              |   =
        K @mail consumer kafka:x <-P trace:two            |      ==
        ",
    ));
    let nodes: Vec<_> = journey.settled.iter().map(|segment| journey.node_of(&analysis, segment).to_string()).collect();
    assert_eq!(
        nodes,
        ["service:shop", "db:postgresql/orders", "service:shop", "service:shop", "queue:kafka/x", "service:mail"]
    );
}
