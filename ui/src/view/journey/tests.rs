//! Journeys as the server answered them for the fixtures of `tests/fixtures/journeys`, drawn as text.
//!
//! `=` a bar, `!` one that failed, `-` one of somebody who sends no spans, `/` a message waiting, `x` one waiting for
//! redelivery, `~` a folded stretch, `*` where the critical path runs along.

use api::JourneyAnswer;

use super::breakdown::breakdown;
use super::facts::Facts;
use super::flame::{Flame, Width};
use super::hops::{Part, Verdict, follow, hops, verdict};
use super::layout::{Layout, fold_lanes};
use super::listing::{Group, Key, csv, field, lines};
use super::looked_at::looked_at;
use super::not_sent::not_sent;
use super::picture::{Anchor, Picture};
use super::scale::{Scale, quiet};
use crate::view::format;
use crate::view::timeline::Window;

fn answer(number: &str) -> JourneyAnswer {
    let path = format!("{}/../tests/fixtures/answers/journey-{number}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).expect("the fixture is there");
    serde_json::from_str(&text).expect("the fixture is an answer")
}

fn facts(number: &str) -> Facts {
    Facts::read(&answer(number), false)
}

/// Columns of a drawing.
const WIDTH: usize = 60;

fn draw(facts: &Facts) -> String {
    let picture = Picture::new(facts);
    let folds: Vec<_> =
        quiet(&mut picture.busy(), facts.length).into_iter().enumerate().map(|(at, (a, b))| (at, a, b)).collect();
    let window = Window { start: 0.0, end: facts.length };
    let scale = Scale::new(window, &folds, 0.0, WIDTH as f64 * 12.0);
    let column = |moment: f64| ((scale.x(moment) / 12.0) as usize).min(WIDTH - 1);
    let mut text = String::new();
    for (at, lane) in picture.lanes.iter().enumerate() {
        for row in 0..lane.rows {
            let mut cells = [' '; WIDTH];
            for piece in scale.pieces().iter().filter(|piece| piece.fold.is_some()) {
                cells[column(piece.from)..=column(piece.to)].fill('~');
            }
            for bar in picture.bars.iter().filter(|bar| (bar.lane, bar.row) == (at, row)) {
                let letter = match (bar.failed, bar.is_outside) {
                    (true, _) => '!',
                    (false, true) => '-',
                    (false, false) => '=',
                };
                cells[column(bar.start)..=column(bar.end)].fill(letter);
            }
            for dwell in picture.dwells.iter().filter(|dwell| (dwell.lane, dwell.row) == (at, row)) {
                cells[column(dwell.start)..=column(dwell.end)].fill(if dwell.is_redelivery { 'x' } else { '/' });
            }
            let name = if row == 0 { facts.label(lane.node) } else { "" };
            text.push_str(format!("{name:22}|{}", cells.iter().collect::<String>()).trim_end());
            text.push('\n');
        }
    }
    text
}

/// From, to, via, what it took; plain spaces.
fn table(facts: &Facts) -> String {
    let mut text = String::new();
    for row in hops(facts) {
        let (from, to) = (facts.label(row.from), facts.label(row.to));
        let parts: Vec<String> =
            row.parts.iter().map(|(part, nanos)| format!("{part:?} {}", format::duration(*nanos as u64))).collect();
        let line = format!("{from} > {to}, {}, {}, tries {}\n", row.badge, parts.join(" + "), row.tries);
        text.push_str(&line.replace(['\u{a0}', '\u{202f}'], " "));
    }
    text
}

const SHOP: &str = "\
api-gateway           |========================================
order                 |=======================================
inventory             | ========
payment               |         ====================
api.bank.example      |          -----------------
order-created         |                                  ///////////////
                      |                                  //////
                      |                                  ///
notification          |                                    ==========
mail.example          |                                    ----------
analytics             |                                      ====
                      |                                       ===
loyalty               |                                                ============
";

const SHOP_HOPS: &str = "\
api-gateway > order, HTTP, Wire 4 ms, tries 1
order > inventory, GraphQL, Wire 4 ms, tries 1
order > payment, gRPC, Wire 8 ms, tries 1
payment > api.bank.example, HTTP, Remote 140 ms, tries 1
order > notification, Kafka, Wait 15 ms, tries 1
order > analytics, Kafka, Wait 40 ms, tries 1
order > loyalty, Kafka, Wait 120 ms, tries 1
notification > mail.example, HTTP, Remote 70 ms, tries 1
";

const MAIL: &str = "\
order                 |=======          ~~~~~              ~~~~~~
shop:email.send       |  /////////// xxxxxxxxxxxxx     xxxxxxxxxxxxxx
                      |            xxxxxxxxxxxxx           ~~~~~~
mailer                |    !!!!!!!!!!!  ~~~~~  !!!!!!!!!   ~~~~~~   !!!!!!!!!
                      |                 ~~~~~    =====     ~~~~~~
shop.dlx:email.dead   |                 ~~~~~              ~~~~~~           xxx
mail-triage           |                 ~~~~~              ~~~~~~             =====
";

const MAIL_HOPS: &str = "\
order > mailer, RabbitMQ, Wait 6 ms + Failed 40 ms + Backoff 1 s + Failed 40 ms + Backoff 1.96 s, tries 3
order > mailer, RabbitMQ, Wait 44 ms + Failed 6 ms + Backoff 1 s, tries 2
order > mail-triage, RabbitMQ, Backoff 10 ms, tries 1
";

#[test]
fn a_message_has_a_row_for_each_consumer_and_services_keep_one_lane() {
    let facts = facts("01");
    assert_eq!(draw(&facts), SHOP);
    assert_eq!(table(&facts), SHOP_HOPS);
}

#[test]
fn redeliveries_wait_in_the_brokers_lane_and_long_waits_fold() {
    let facts = facts("02");
    assert_eq!(draw(&facts), MAIL);
    assert_eq!(table(&facts), MAIL_HOPS);
}

/// Nothing failed, and one service got the message again and again: copies that waited side by side, whose waits do not add up.
#[test]
fn copies_of_a_message_wait_side_by_side() {
    let mut facts = facts("02");
    let again: Vec<usize> = (0..facts.hops.len()).filter(|hop| facts.hops[*hop].attempt > 1).collect();
    assert!(!again.is_empty());
    let n_rows = hops(&facts).len();
    again.iter().for_each(|hop| facts.hops[*hop].prev = None);
    let rows = hops(&facts);
    let copied = rows.iter().find(|row| row.times > 1).expect("a message was delivered again");
    assert_eq!((rows.len(), copied.times as usize, copied.tries), (n_rows, copied.messages.len(), 1));
    let longest = copied.messages.iter().map(|message| facts.hops[*message].wait).fold(0.0, f64::max);
    assert_eq!((copied.between, copied.took), (longest, longest));
}

#[test]
fn attempts_of_a_call_are_one_hop_with_their_waits() {
    let facts = facts("07");
    let rows = hops(&facts);
    let retried = rows.iter().find(|row| row.tries > 1).expect("a call was tried again");
    assert_eq!(retried.tries, 3);
    assert_eq!(retried.parts.iter().filter(|(part, _)| *part == Part::Backoff).count(), 2);
    assert!(Picture::new(&facts).marks.iter().filter(|mark| mark.tone == super::picture::Tone::Backoff).count() == 2);
}

/// The lines of the breakdown are the length of the settled path, whatever happened.
#[test]
fn the_breakdown_adds_up() {
    for number in ["01", "02", "07", "12"] {
        let facts = facts(number);
        let parts = breakdown(&facts, &Picture::new(&facts));
        let sum: f64 = parts.iter().map(|(_, nanos)| nanos).sum();
        assert!((sum - facts.settled_nanos).abs() < 1.0, "{number}: {sum} of {}", facts.settled_nanos);
    }
}

/// The track begins where the journey does, ends with its last effect, and never leaves a hole.
#[test]
fn the_track_runs_from_start_to_last_effect() {
    for number in ["01", "02", "07"] {
        let facts = facts(number);
        let picture = Picture::new(&facts);
        let (first, last) = (picture.track.first().expect("one"), picture.track.last().expect("one"));
        assert!(first.start.abs() < 1.0, "{number}: {first:?}");
        assert!((last.end - facts.settled_nanos).abs() < 1.0, "{number}: {last:?}");
        for pair in picture.track.windows(2) {
            // Only time on the wire lies between two stretches: that is the line that leads over.
            assert!(pair[1].start >= pair[0].end - 1.0 && pair[1].start - pair[0].end < 20e6, "{number}: {pair:?}");
        }
    }
}

/// Raw times by default; aligned ones move the lane, not the stored times.
#[test]
fn clocks_are_aligned_on_demand() {
    let answer = answer("12");
    let bar = |aligned: bool| {
        let facts = Facts::read(&answer, aligned);
        let picture = Picture::new(&facts);
        let lane = picture.lanes.iter().position(|lane| facts.label(lane.node) == "order").expect("a lane");
        let bar = picture.bars.iter().find(|bar| bar.lane == lane).expect("a bar");
        ((bar.start / 1e6) as i64, picture.lanes[lane].shift / 1_000_000)
    };
    assert_eq!(bar(false), (160, -150));
    assert_eq!(bar(true), (10, -150));
}

#[test]
fn without_a_usual_the_longest_hop_is_named_and_nothing_more_is_claimed() {
    let facts = facts("02");
    let mut rows = hops(&facts);
    assert_eq!(verdict(&rows, facts.settled_nanos), Verdict::Longest(0));
    rows[0].usual = Some(rows[0].took / 4.0);
    rows[0].took = facts.settled_nanos;
    assert_eq!(verdict(&rows, facts.settled_nanos), Verdict::Bottleneck(0));
    rows[0].usual = Some(rows[0].took / 2.0);
    assert_eq!(verdict(&rows, facts.settled_nanos), Verdict::Nothing);
}

#[test]
fn a_message_can_be_followed_both_ways() {
    let facts = facts("01");
    let rows = hops(&facts);
    let named = |from: &str, to: &str| {
        rows.iter().position(|row| (facts.label(row.from), facts.label(row.to)) == (from, to)).expect("a hop")
    };
    let (call, message) = (named("api-gateway", "order"), named("order", "loyalty"));
    assert_eq!(follow(&rows, &facts, message, true), Some(call));
    assert!(follow(&rows, &facts, call, false).is_some_and(|at| rows[at].is_async()));
}

/// No text stands on a bar or on another text of its row.
#[test]
fn texts_never_run_over_a_neighbour() {
    for (number, width) in [("01", 700.0), ("01", 300.0), ("02", 900.0), ("02", 320.0), ("07", 500.0), ("12", 240.0)] {
        let facts = facts(number);
        let picture = Picture::new(&facts);
        let scale = Scale::new(Window { start: 0.0, end: facts.length }, &[], 170.0, width);
        let layout = Layout::new(&picture, &scale, &fold_lanes(&picture, (0..picture.lanes.len()).collect()));
        let labels: Vec<(f64, f64, f64)> = layout
            .labels
            .iter()
            .map(|label| {
                let wide = label.text.chars().count() as f64 * 5.7;
                let left = if label.align == super::layout::Align::End { label.x - wide } else { label.x };
                (left, left + wide, label.y)
            })
            .collect();
        for (at, label) in labels.iter().enumerate() {
            for shape in layout.bars.iter().chain(&layout.dwells) {
                let is_row = shape.y <= label.2 && label.2 <= shape.y + shape.height;
                let is_apart = label.1 <= shape.x + 0.1 || label.0 >= shape.x + shape.width - 0.1;
                assert!(!is_row || is_apart, "{number} at {width}: {:?} on {shape:?}", layout.labels[at]);
            }
            for other in &labels[..at] {
                let is_apart = label.1 <= other.0 + 0.1 || label.0 >= other.1 - 0.1;
                assert!((label.2 - other.2).abs() > 1.0 || is_apart, "{number} at {width}: {:?}", layout.labels[at]);
            }
        }
    }
}

/// Ten thousand spans are no ten thousand shapes.
#[test]
fn shapes_are_bounded_by_pixels() {
    let mut answer = answer("01");
    let template = answer.spans.iter().find(|span| span.kind == "server").expect("a server span").clone();
    let start: i64 = template.start_unix_nano.parse().expect("a number");
    for at in 0..10_000_u64 {
        let mut span = template.clone();
        span.span_id = model::SpanId::from_bytes(&(at + 1).to_be_bytes()).expect("not zero");
        (span.parent_span_id, span.shown_under) = (None, None);
        span.start_unix_nano = (start + at as i64 * 30_000).to_string();
        span.duration_nanos = 20_000;
        answer.spans.push(span);
    }
    let facts = Facts::read(&answer, false);
    let picture = Picture::new(&facts);
    assert!(picture.bars.len() > 10_000);
    let scale = Scale::new(Window { start: 0.0, end: facts.length }, &[], 170.0, 900.0);
    let layout = Layout::new(&picture, &scale, &fold_lanes(&picture, (0..picture.lanes.len()).collect()));
    assert!(layout.bars.len() < 1_500, "{}", layout.bars.len());
    assert!(layout.labels.len() < 1_500, "{}", layout.labels.len());
}

/// An answer that names what it does not hold draws less and never panics.
#[test]
fn broken_answers_are_drawn_as_far_as_they_go() {
    for number in ["01", "02", "07", "12"] {
        let whole = answer(number);
        for keep in 0..whole.spans.len() {
            let mut answer = whole.clone();
            answer.spans.truncate(keep);
            let facts = Facts::read(&answer, keep % 2 == 0);
            let picture = Picture::new(&facts);
            let rows = hops(&facts);
            let _ = (breakdown(&facts, &picture), verdict(&rows, facts.settled_nanos));
            let scale = Scale::new(Window { start: 0.0, end: facts.length }, &[], 0.0, 100.0);
            let _ = Layout::new(&picture, &scale, &fold_lanes(&picture, (0..picture.lanes.len()).collect()));
            assert!(
                picture
                    .track
                    .iter()
                    .all(|piece| !matches!(piece.anchor, Anchor::Bar(bar) if bar >= picture.bars.len()))
            );
        }
    }
}

/// One flame for all traces of a journey: a delivery stands under what sent it, and no span is lost.
#[test]
fn a_flame_holds_every_span_once() {
    for number in ["01", "02", "07", "12"] {
        let facts = facts(number);
        let flame = Flame::new(&facts);
        let mut spans: Vec<usize> = flame.frames.iter().flat_map(|frame| frame.spans.clone()).collect();
        spans.sort_unstable();
        assert_eq!(spans, (0..facts.spans.len()).collect::<Vec<_>>(), "journey {number}");
        let own: f64 = facts.spans.iter().map(|span| span.own).sum();
        let slabs = flame.layout(None, Width::Own, own.max(1.0), 0.0);
        let roots: f64 = slabs.iter().filter(|slab| slab.depth == 0).map(|slab| slab.width).sum();
        assert!((roots - own).abs() < 1.0, "journey {number}: {roots} of {own}");
        for measure in [Width::Own, Width::Total] {
            for slab in flame.layout(None, measure, 900.0, 0.5) {
                assert!(slab.x >= -0.001 && slab.x + slab.width <= 900.001, "{slab:?}");
            }
        }
    }
    let facts = facts("01");
    let flame = Flame::new(&facts);
    let under = flame.frames.iter().filter(|frame| frame.name.contains("order-created") && frame.parent.is_some());
    assert!(under.count() >= 3, "sending has a cause, and deliveries stand under it");
    assert_eq!(flame.step(flame.roots[0], "ArrowUp"), None);
    assert!(flame.step(flame.roots[0], "ArrowDown").is_some());
}

/// Whatever rows stand for, they hold the same spans and the same time.
#[test]
fn rows_add_up_however_they_are_grouped() {
    let facts = facts("01");
    let sums = Group::ALL.map(|(group, ..)| {
        let rows = lines(&facts, group, Key::Total, true, "");
        assert!(rows.windows(2).all(|pair| pair[0].total >= pair[1].total));
        (rows.iter().map(|row| row.count).sum::<u64>(), rows.iter().map(|row| row.share).sum::<f64>().round())
    });
    assert_eq!(sums[0], sums[1]);
    assert_eq!(sums[1], sums[2]);
    assert_eq!(sums[0].0, facts.spans.len() as u64);
    let found = lines(&facts, Group::Span, Key::Start, false, "PAYMENT");
    assert!(!found.is_empty() && found.len() < facts.spans.len());
    assert_eq!(csv(&facts, &found).lines().count(), found.len() + 1);
    assert_eq!((field("a\"b,c"), field("=1+1")), ("\"a\"\"b,c\"".to_owned(), "'=1+1".to_owned()));
}

/// Found by a reader: a request answered with 401 was sent again, and the page said "no retries" beside the picture of it.
#[test]
fn without_a_finding_resends_are_still_counted() {
    assert_eq!(looked_at(&answer("01")), "None of the known problems was found in 12 calls and 3 deliveries.");
    let text = looked_at(&answer("07"));
    let seen = "2 requests that were sent again, 8 calls that failed";
    assert_eq!(
        text,
        format!("None of the known problems was found in 8 calls. Seen, and not enough for a finding: {seen}.")
    );
}

/// What nobody sent is said with the setting that would bring it, and only then.
#[test]
fn what_is_missing_is_explained() {
    let said = |answer: &JourneyAnswer| not_sent(answer).into_iter().map(|gap| gap.what).collect::<Vec<_>>().join(" ");
    let whole = answer("01");
    assert_eq!(said(&whole), "", "everything of this journey was sent");
    // The same without the deliveries: consumers are not instrumented.
    let mut deaf = whole.clone();
    deaf.hops.clear();
    assert!(said(&deaf).contains("that nobody was seen to take"), "{}", said(&deaf));
    let mut open = deaf.clone();
    open.settled = false;
    assert_eq!(said(&open), "", "they may still come");
    // Consumers without their sender, and joined by a guess.
    let mut late = whole.clone();
    for hop in &mut late.hops {
        (hop.send_span_id, hop.prev_span_id) = (None, None);
        hop.joined_by = "message_id".to_owned();
    }
    let text = said(&late);
    assert!(text.contains("without the span that sent") && text.contains("joined by the message's id only"), "{text}");
    // One service alone, and one whose spans were left out by sampling.
    let mut alone = whole.clone();
    (alone.calls, alone.hops, alone.orphans) = (Vec::new(), Vec::new(), 2);
    alone.spans.retain(|span| span.service == "order" && span.kind != "producer");
    assert_eq!(said(&alone), "2 parent spans were named and never came. Only one service sent spans.");
    let how: String = not_sent(&alone).into_iter().map(|gap| gap.how).collect();
    assert!(how.contains("OTEL_TRACES_SAMPLER") && how.contains("OTEL_EXPORTER_OTLP_ENDPOINT"), "{how}");
}
