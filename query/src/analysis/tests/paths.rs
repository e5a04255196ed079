//! Critical paths and clock skew, drawn. The first eight are the worked examples of the specification.

use super::draw::{BASE, MS, draw, draw_at, trace_id};
use crate::analysis::critical_path::{Segment, response_path, self_nanos};
use crate::analysis::journey::{Journey, journey};
use crate::analysis::span::Span;
use crate::analysis::thresholds::Bounds;
use crate::analysis::{Analysis, Options, analyze};

fn journey_of(spans: Vec<Span>) -> (Analysis, Journey) {
    let analysis = analyze(spans, &Options::default());
    let journey = journey(&analysis, trace_id("one"), None, &Bounds::default()).expect("trace one is drawn");
    (analysis, journey)
}

fn text(analysis: &Analysis, journey: &Journey, path: &[Segment]) -> String {
    let ms = |at: i64| (at - BASE) as f64 / MS as f64;
    let segment = |segment: &Segment| {
        let name = &journey.scene.known(analysis, segment.span).span.name;
        let kind = match segment.kind.as_str() {
            "self" => String::new(),
            kind => format!("{kind} "),
        };
        format!("{name} {kind}{}-{}", ms(segment.start), ms(segment.end))
    };
    path.iter().map(segment).collect::<Vec<_>>().join(", ")
}

#[track_caller]
fn response(scale: i64, drawing: &str, path: &str) {
    let (analysis, journey) = journey_of(draw_at(scale, drawing));
    assert_eq!(text(&analysis, &journey, &journey.response), path);
}

#[track_caller]
fn settled(scale: i64, drawing: &str, path: &str) {
    let (analysis, journey) = journey_of(draw_at(scale, drawing));
    assert_eq!(text(&analysis, &journey, &journey.settled), path);
}

/// Example 1: one after the other. The end of B touches the start of C, and B is still on the path.
#[test]
fn sequential_children_are_all_on_the_path() {
    response(
        10,
        "
        A   |==========
          B | ===
          C |    =====
        ",
        "A 0-10, B 10-40, C 40-90, A 90-100",
    );
}

/// Example 2: C started without B's result.
#[test]
fn overlapped_child_is_free() {
    response(
        10,
        "
        A   |==========
          B | =====
          C |     ====
        ",
        "A 0-50, C 50-90, A 90-100",
    );
}

/// Example 2, within the tolerance of 1 % of A: B is taken and cut at the start of C.
#[test]
fn small_overlap_is_forgiven() {
    let mut spans = draw_at(10, "A   |==========\n  B | ====\n  C |     ====");
    spans[1].end = spans[1].start + (40 * MS + MS / 2);
    let (analysis, journey) = journey_of(spans);
    assert_eq!(text(&analysis, &journey, &journey.response), "A 0-10, B 10-50, C 50-90, A 90-100");
}

/// Example 3: side by side, the slower one counts.
#[test]
fn slower_of_two_parallel_children() {
    response(
        10,
        "
        A   |==========
          B | ========
          C |  =====
        ",
        "A 0-10, B 10-90, A 90-100",
    );
}

/// Example 4: A did not wait for B.
#[test]
fn fire_and_forget_is_not_on_the_path() {
    response(
        10,
        "
        A   |==========
          B |        ==========================================
        ",
        "A 0-100",
    );
}

/// Example 5: the caller waited, then gave up; its server is cut.
#[test]
fn server_is_cut_where_the_client_gave_up() {
    response(
        5,
        "
        A client         |====================
          S @other server | ===========================================================================================
        ",
        "A network 0-5, S 5-100",
    );
}

/// Example 6: over a queue.
#[test]
fn settled_path_goes_over_the_queue() {
    let drawing = "
        A @shop server                      |====================
          P producer kafka:orders           |            =
        K @mail consumer kafka:orders <-P trace:two |                                        ============
        ";
    response(5, drawing, "A 0-60, P 60-65, A 65-100");
    settled(5, drawing, "A 0-60, P 60-65, K queue 65-200, K 200-260");
}

/// Example 7: the server's clock is 150 ms ahead; one pair of spans gives the middle of what it allows.
#[test]
fn skewed_server_is_moved_into_its_client() {
    response(
        10,
        "
        A @shop client      |==========
          S @other server   |                ========
        ",
        "A network 0-10, S 10-90, A network 90-100",
    );
}

/// Example 8: each root has its own path; the earlier one is the journey's.
#[test]
fn second_root_has_its_own_path() {
    let (analysis, journey) = journey_of(draw("A |==========\nB |  ===="));
    assert_eq!(text(&analysis, &journey, &journey.response), "A 0-10");
    let other = journey.scene.top_down[1];
    assert_eq!(text(&analysis, &journey, &response_path(&analysis, &journey.scene, other)), "B 2-6");
}

/// Two children end together: the one that started first is on the path.
#[test]
fn ties_go_to_the_earlier_start() {
    response(
        1,
        "
        A   |==========
          B |   =====
          C |  ======
        ",
        "A 0-2, C 2-8, A 8-10",
    );
}

/// A message that fails waits to be delivered again; the wait before the second attempt is a backoff.
#[test]
fn backoff_and_dead_letter_are_on_the_settled_path() {
    settled(
        1,
        "
        A @shop server                               |====
          P producer rabbitmq:jobs                   | =
            K1 @work consumer rabbitmq:jobs          |    ==!
            K2 @work consumer rabbitmq:jobs          |          ==!
            D @triage consumer rabbitmq:jobs.dlq     |              ==
        ",
        "A 0-1, P 1-2, K1 queue 2-4, K1 4-6, K2 backoff 6-10, K2 10-12, D backoff 12-14, D 14-16",
    );
}

/// A receive span waits: nothing before its end counts as work.
#[test]
fn polling_receive_counts_from_its_end() {
    settled(
        1,
        "
        A @shop server                                |====
          P producer jms:reply                        | =
        R @desk receive jms:reply <-P trace:two       |=========
        ",
        "A 0-1, P 1-2, R queue 2-9",
    );
}

/// An additional root that ends last is passed over: nothing leads from it to the origin.
#[test]
fn unrelated_root_does_not_end_the_settled_path() {
    settled(1, "A @shop server |====\nB internal |  ==========", "A 0-4");
}

/// Time of its own is what no child covers, however children overlap.
#[test]
fn self_time_is_what_children_leave() {
    let (analysis, journey) = journey_of(draw("A |==========\n  B | ===\n  C |  ====\n  D |       =========="));
    assert_eq!(self_nanos(&analysis, &journey.scene, journey.scene.root), 2 * MS);
}

#[track_caller]
fn shifts(scale: i64, drawing: &str, expected: &str) {
    let (_, journey) = journey_of(draw_at(scale, drawing));
    let shifts = journey.skew.processes.iter().map(|(name, shift)| format!("{name} {}", shift / MS));
    assert_eq!(shifts.collect::<Vec<_>>().join(", "), expected, "{:?}", journey.warnings);
}

/// A child that fits may have any offset in between: none is needed.
#[test]
fn fitting_child_is_not_shifted() {
    shifts(1, "A @shop client |==========\n  S @other server |    ====", "");
}

/// Two pairs of the same processes narrow the interval: -24..=-10 and -20..=-4 leave -20..=-10.
#[test]
fn all_pairs_of_two_processes_are_heard() {
    shifts(
        2,
        "
        A @shop server            |========================================
          C1 client               |==========
            S1 @other server      |            ===
          C2 client               |                    ==========
            S2 @other server      |                              ==
        ",
        "other/ -15",
    );
}

/// A child longer than its parent only says that it did not begin before it.
#[test]
fn longer_child_gives_a_lower_bound() {
    shifts(
        10,
        "
        A @shop server          |          ====
          C client              |          ==
            S @other server     |     =======
        ",
        "other/ 50",
    );
}

/// The offset goes on to the processes behind, also when their clocks agree with the wrong one.
#[test]
fn offsets_spread() {
    shifts(
        10,
        "
        A @shop client                 |==========
          S @other server              |               ========
            C client                   |               ======
              T @third server          |                ====
        ",
        "other/ -140, third/ -140",
    );
}

/// Pairs that contradict each other: the median of their middles, and a warning.
#[test]
fn contradicting_pairs_are_named() {
    let (_, journey) = journey_of(draw_at(
        10,
        "
        A @shop server            |========================================
          C1 client               |==
            S1 @other server      |      =
          C2 client               |          ==
            S2 @other server      |                    =
        ",
    ));
    assert_eq!(journey.skew.processes.get("other/"), Some(&(-95 * MS)), "the lower of two middles");
    assert!(journey.warnings.iter().any(|warning| warning.contains("contradict")), "{:?}", journey.warnings);
}

/// A clock ten minutes off is no clock: its times are left as they are.
#[test]
fn shifts_beyond_five_minutes_are_dropped() {
    let mut spans = draw("A @shop client |==========\n  S @other server | ===");
    spans[1].start = spans[1].start + 600_000 * MS;
    spans[1].end = spans[1].end + 600_000 * MS;
    let (_, journey) = journey_of(spans);
    assert!(journey.skew.processes.is_empty());
    assert!(journey.warnings.iter().any(|warning| warning.contains("too far off")), "{:?}", journey.warnings);
}
