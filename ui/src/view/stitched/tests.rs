//! Traces as one list: what stands where.

use api::SpanRef;

use super::*;

fn trace(number: u8) -> TraceId {
    TraceId::from_bytes(&[number; 16]).expect("not zero")
}

fn span(number: u8) -> SpanId {
    SpanId::from_bytes(&[number; 8]).expect("not zero")
}

/// A trace that begins at a second, of spans `number, depth, start, duration`; all of one service.
fn part(number: u8, second: i64, rows: &[(u8, u32, u64, u64)]) -> Timeline {
    let mut spans = TimelineSpans::default();
    let mut path: Vec<i32> = Vec::new();
    for (at, (id, depth, start, duration)) in rows.iter().enumerate() {
        path.truncate(*depth as usize);
        spans.span_id.push(span(*id));
        spans.parent.push(path.last().copied().unwrap_or(-1));
        path.push(at as i32);
        spans.depth.push(*depth);
        spans.start_nanos.push(*start);
        spans.duration_nanos.push(*duration);
        spans.service.push(0);
        spans.name.push(1);
        spans.badge.push(0);
        spans.detail.push(0);
        spans.kind.push(1);
        spans.flags.push(0);
    }
    let end = rows.iter().map(|(.., start, duration)| start + duration).max().unwrap_or_default();
    Timeline {
        trace_id: trace(number),
        start_unix_nano: (second * 1_000_000_000).to_string(),
        duration_nanos: end,
        services: vec![format!("service {number}")],
        texts: vec![String::new(), format!("work {number}")],
        spans,
        spans_total: rows.len() as u64,
        warnings: Vec::new(),
        incomplete: false,
        incomplete_reason: None,
    }
}

fn hop(from: (u8, u8), to: (u8, u8)) -> JourneyHop {
    JourneyHop {
        send_trace_id: trace(from.0),
        send_span_id: Some(span(from.1)),
        consumer_trace_id: trace(to.0),
        consumer_span_id: span(to.1),
        source: None,
        target: "service:b".to_owned(),
        queue: "queue:kafka/orders".to_owned(),
        sent_to: None,
        system: "kafka".to_owned(),
        group: Some("mail".to_owned()),
        message: String::new(),
        joined_by: "link".to_owned(),
        sent_unix_nano: None,
        received_unix_nano: String::new(),
        finished_unix_nano: String::new(),
        lag_nanos: 7,
        overlap: false,
        broker_wait_nanos: None,
        attempt: 1,
        attempts: 1,
        prev_span_id: None,
        error: false,
        producer_ver: None,
    }
}

/// One line a row: depth as indentation, name, start and duration.
fn show(all: &Stitched) -> String {
    let spans = &all.timeline.spans;
    (0..spans.span_id.len())
        .map(|at| {
            let name = &all.timeline.texts[spans.name[at] as usize];
            format!(
                "{}{name} {}+{}\n",
                "  ".repeat(spans.depth[at] as usize),
                spans.start_nanos[at],
                spans.duration_nanos[at]
            )
        })
        .collect()
}

/// Trace 1 sends from its second span; trace 2 receives a second later in its root; its clock is right.
#[test]
fn a_crossing_stands_between_two_traces() {
    let sender = part(1, 10, &[(1, 0, 0, 900), (2, 1, 100, 200)]);
    let receiver = part(2, 11, &[(3, 0, 0, 50), (4, 1, 10, 20)]);
    let all = Stitched::new(trace(2), vec![sender, receiver], &[hop((1, 2), (2, 3))], &[]);
    assert_eq!(
        show(&all),
        "work 1 0+900\n  work 1 100+200\norders 300+999999700\nwork 2 1000000000+50\n  work 2 1000000010+20\n"
    );
    assert_eq!(all.timeline.duration_nanos, 1_000_000_050);
    assert_eq!(all.timeline.spans.parent, [-1, 0, -1, -1, 3]);
    assert_eq!(all.trace_of, [0, 0, 1, 1, 1]);
    assert_eq!(all.timeline.services, ["service 1", "service 2"]);
    let crossing = &all.crossings[&2];
    assert_eq!((crossing.about.as_str(), crossing.waited), ("Kafka, group mail", 7));
    assert_eq!(crossing.sender, Some((trace(1), span(2))));
}

/// Clocks that disagree, a sender that was never received, several messages for one span: a row each time, and none of them breaks.
#[test]
fn odd_messages_are_rows_too() {
    let early = part(2, 9, &[(3, 0, 0, 50)]);
    let all = Stitched::new(trace(1), vec![part(1, 10, &[(1, 0, 0, 900)]), early], &[hop((1, 1), (2, 3))], &[]);
    assert_eq!(show(&all), "orders 0+0\nwork 2 0+50\nwork 1 1000000000+900\n");
    let lost = JourneyHop { send_span_id: None, ..hop((9, 9), (2, 3)) };
    let parts = || vec![part(1, 10, &[(1, 0, 0, 900)]), part(2, 11, &[(3, 0, 5, 50)])];
    let all = Stitched::new(trace(1), parts(), &[lost.clone(), lost], &[]);
    assert_eq!(show(&all), "work 1 0+900\norders 1000000005+0\nwork 2 1000000005+50\n");
    assert!(all.crossings[&1].about.ends_with("and 1 more message"), "{:?}", all.crossings);
    // A message inside a trace stays inside it.
    let inside = Stitched::new(trace(1), parts(), &[hop((1, 1), (1, 1))], &[]);
    assert!(inside.crossings.is_empty());
    assert!(Stitched::new(trace(1), Vec::new(), &[], &[]).timeline.spans.span_id.is_empty());
}

/// One root, below which two spans receive a message each: both are rows. Of very many the last row tells how many more there are.
#[test]
fn each_receiver_has_its_message() {
    let reader = part(2, 11, &[(3, 0, 0, 50), (4, 1, 10, 20), (5, 1, 30, 20)]);
    let hops = [hop((1, 1), (2, 4)), hop((1, 1), (2, 5))];
    let all = Stitched::new(trace(1), vec![part(1, 10, &[(1, 0, 0, 900)]), reader], &hops, &[]);
    let receivers: Vec<_> = [1, 2].iter().map(|row| all.crossings[row].receiver).collect();
    assert_eq!(receivers, [Some((trace(2), span(4))), Some((trace(2), span(5)))]);
    let rows: Vec<_> = (0..40).map(|at| (at + 3, u32::from(at > 0), u64::from(at), 1)).collect();
    let hops: Vec<_> = (0..40).map(|at| hop((1, 1), (2, at + 3))).collect();
    let all = Stitched::new(trace(1), vec![part(1, 10, &[(1, 0, 0, 900)]), part(2, 11, &rows)], &hops, &[]);
    assert_eq!(all.crossings.len(), CROSSINGS_MAX);
    assert!(all.crossings[&CROSSINGS_MAX].about.ends_with("and 24 more messages"), "{:?}", all.crossings);
}

/// Pieces of the path go to their rows: waits to the crossing, work to the span.
#[test]
fn the_path_runs_over_crossings() {
    let sender = part(1, 10, &[(1, 0, 0, 900)]);
    let all = Stitched::new(trace(1), vec![sender, part(2, 11, &[(3, 0, 0, 50)])], &[hop((1, 1), (2, 3))], &[]);
    let piece = |kind: &str, from: i64, to: i64| PathSegment {
        trace_id: trace(2),
        span_id: span(3),
        node: String::new(),
        kind: kind.to_owned(),
        start_unix_nano: (10_000_000_000 + from).to_string(),
        end_unix_nano: (10_000_000_000 + to).to_string(),
    };
    let trace = |index: usize| all.traces.get(usize::from(all.trace_of[index])).copied();
    let pieces = [piece("queue", 900, 1_000), piece("self", 1_000, 1_050), piece("self", 7, 7)];
    let path = path(10_000_000_000, &all.timeline.spans, trace, &pieces);
    assert_eq!(path, HashMap::from([(1, vec![(900, 1_000)]), (2, vec![(1_000, 1_050)])]));
}

proptest::proptest! {
    /// Whatever is stitched: every span is there once, parents stand before their children, in their own trace.
    #[test]
    fn nothing_is_lost(parts in proptest::collection::vec((0i64..5, proptest::collection::vec((0u32..3, 0u64..9), 1..6)), 0..5), hops in proptest::collection::vec((1u8..6, 1u8..6, 1u8..6, 1u8..6), 0..6)) {
        let mut n = 0;
        let parts: Vec<Timeline> = parts.iter().enumerate().map(|(number, (second, rows))| {
            let mut deepest = 0;
            let rows: Vec<_> = rows.iter().enumerate().map(|(at, (depth, start))| {
                let depth = if at == 0 { 0 } else { (*depth).min(deepest + 1) };
                deepest = depth;
                n += 1;
                (at as u8 + 1, depth, *start, 3)
            }).collect();
            part(number as u8 + 1, *second, &rows)
        }).collect();
        let hops: Vec<_> = hops.iter().map(|(a, b, c, d)| hop((*a, *b), (*c, *d))).collect();
        let all = Stitched::new(trace(1), parts, &hops, &[]);
        let spans = &all.timeline.spans;
        proptest::prop_assert_eq!(spans.kind.iter().filter(|kind| **kind != CROSSING).count(), n);
        for (at, parent) in spans.parent.iter().enumerate() {
            proptest::prop_assert!(*parent < at as i32);
            if *parent >= 0 {
                proptest::prop_assert_eq!(all.trace_of[at], all.trace_of[*parent as usize]);
                proptest::prop_assert!(spans.kind[*parent as usize] != CROSSING);
            }
        }
    }
}

/// A call that is tried three times: a row for each pause, before the attempt it led to; below the caller, with its spans moved down.
#[test]
fn pauses_stand_between_attempts() {
    let rows = [(1, 0, 0, 900), (2, 1, 100, 50), (5, 2, 110, 10), (3, 1, 200, 50), (4, 1, 250, 50), (6, 1, 400, 10)];
    let of = |id: &str, spans: &[u8]| Finding {
        id: id.to_owned(),
        evidence: spans.iter().map(|number| SpanRef { trace_id: trace(1), span_id: span(*number) }).collect(),
    };
    let all =
        Stitched::new(trace(1), vec![part(1, 10, &rows)], &[], &[of("retried", &[3, 6, 2, 4]), of("chatty", &[5, 6])]);
    assert_eq!(
        show(&all),
        "work 1 0+900\n  work 1 100+50\n    work 1 110+10\n  back-off before try 2 150+50\n  work 1 200+50\n  work 1 250+50\n  back-off before try 4 300+100\n  work 1 400+10\n"
    );
    assert_eq!(all.timeline.spans.parent, [-1, 0, 1, 0, 0, 0, 0, 0]);
    assert_eq!(all.pauses[&3].between, [(trace(1), span(2)), (trace(1), span(3))]);
    // Attempts that are one row of the list stay that; what is not here makes no row.
    let rows: Vec<_> = (0..7).map(|at| (at + 1, u32::from(at > 0), u64::from(at) * 100, 10)).collect();
    let many = Stitched::new(trace(1), vec![part(1, 10, &rows)], &[], &[of("retry_storm", &[2, 3, 4, 5, 6, 7, 9])]);
    assert!(many.pauses.is_empty());
}

/// Stretches in which nothing runs are found across traces; a message that waits does not fill them.
#[test]
fn waits_between_traces_are_quiet() {
    let receiver = part(2, 11, &[(3, 0, 0, 500_000_000), (4, 1, 10, 20)]);
    let all = Stitched::new(trace(1), vec![part(1, 10, &[(1, 0, 0, 900)]), receiver], &[hop((1, 1), (2, 3))], &[]);
    let length = all.timeline.duration_nanos;
    let tree = crate::view::span_tree::SpanTree::new(all.timeline.spans);
    assert_eq!(tree.quiet(length), [(900.0, 1e9)]);
}
