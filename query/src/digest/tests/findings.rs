//! The SQL of findings and of the specification's sketches, over what shows each of them.

use model::UnixNanos;

use super::world::{SECOND, World, fixtures, sorted};
use crate::analysis::findings::FindingName;
use crate::analysis::span::Span;
use crate::analysis::{draw, draw_at, drawn_trace};

/// The SQL that finds the like of a finding, and the sketches of the specification of journeys (section 6), in the form
/// that runs here: `end` is quoted, `avg` of a flag is cast, moments are plain nanoseconds.
#[tokio::test]
async fn sketches_run() {
    let mut world = World::new().await;
    let spans: Vec<Span> = fixtures().into_iter().flat_map(|(_, spans)| spans).collect();
    let (first, second) = spans.split_at(spans.len() / 2);
    world.arrive(first).await;
    world.pass(100 * SECOND).await;
    world.arrive(second).await;
    for name in FindingName::ALL {
        world.sql(name.sql()).await;
    }
    for (sketch, n_rows_min) in [
        (
            "select span, sum(\"end\"-start) x from segments where path='response' group by span order by x desc limit 1",
            1,
        ),
        ("select entry_span,dst,op,count(*) from calls group by 1,2,3 having count(*)>=5", 1),
        (
            "select parent_span, start - lag(\"end\") over (partition by parent_span order by start) as gap from calls",
            10,
        ),
        ("select entry_span,dst,op,count(*) from calls where error or resend>0 group by 1,2,3 having count(*)>=3", 1),
        ("select * from calls where timeout and srv_end>\"end\"+5e6", 1),
        (
            "select * from spans where error_type ~ 'CallNotPermitted|BrokenCircuit|Circuit(Breaker)?Open|ErrOpenState'",
            0,
        ),
        ("select * from hops where attempt=1 and lag>=1e9 and lag>=3*(finished-received)", 0),
        ("select message,dst,grp from hops group by message,dst,grp having count(*)>=3 and bool_and(error)", 1),
        ("select message,dst,grp from hops group by message,dst,grp having count(*) filter (where not error)>=2", 0),
        ("select * from calls where status in ('429','RESOURCE_EXHAUSTED')", 1),
        ("select * from calls where status in ('401','403','UNAUTHENTICATED','PERMISSION_DENIED')", 1),
        ("select * from calls where scheme in ('http','ws') and not loopback and not mesh", 1),
        ("select src,dst,op,server_ver,avg(contract_fail::int) from calls group by 1,2,3,4", 5),
        ("select * from journeys where settled-response>5e9", 0),
        (
            "select sum(\"end\"-start) filter (where protocol in ('discovery','dns')) from segments where path='response'",
            1,
        ),
        (
            "select src, dst, minute, count, avg(count) over (partition by src, dst, op order by minute \
             rows between 12 preceding and 1 preceding) as before, p95 from edge_minutes",
            5,
        ),
        (
            "select a.parent_span from calls a join calls b on a.parent_span = b.parent_span and a.trace = b.trace \
             where a.protocol = 'cache' and b.protocol = 'db' and b.start between a.\"end\" and a.\"end\" + 50000000",
            0,
        ),
        ("select id, severity, count(*) from findings group by id, severity", 10),
    ] {
        let rows = world.sql(sketch).await;
        assert!(rows.len() >= n_rows_min, "{sketch}: {} rows", rows.len());
    }
}

/// What shows each finding that no fixture holds: one character is so many milliseconds.
fn drawings() -> Vec<(FindingName, Vec<Span>)> {
    let lines = |n: usize, line: &dyn Fn(usize) -> String| (0..n).map(line).collect::<String>();
    let fan = lines(10, &|at| format!("K{at} @s{at} consumer kafka:x <-P trace:c{at} |     ==\n"));
    let reads = lines(20, &|at| {
        format!("A{at} @shop server trace:r{at} |=====\n  R{at} client redis |=\n  D{at} sql:items client |  =\n")
    });
    let versions = lines(6, &|at| {
        let (at, version, end) = (" ".repeat(4 * at), 1 + at / 3, if at < 3 { "" } else { " 422 error.type=422" });
        let n = at.len();
        format!("C{n} @shop client GET:/x trace:v{n} |{at}===\n  S{n} @stock v:{version} server GET:/x{end} |{at} =\n")
    });
    vec![
        (
            FindingName::CyclicDependency,
            draw(
                "
                A @order server GET:/a             |==========
                  C client GET:/b                  | =======
                    B @stock server GET:/b         |  =====
                      D client GET:/c              |   ===
                        E @order server GET:/c     |    =
                ",
            ),
        ),
        (
            FindingName::FailFast,
            draw(
                "
                A @shop server GET:/ 503                    |=============!
                  B internal throws:BrokenCircuitException  | ==!
                ",
            ),
        ),
        (
            FindingName::QueueWait,
            draw_at(
                100,
                "
                A @shop server GET:/ |====================
                  P producer kafka:x |=
                  B client sql:x     |======
                K @m consumer kafka:x <-P trace:two |           ===
                ",
            ),
        ),
        (
            FindingName::FanoutAmplification,
            draw(&format!("A @shop server GET:/ |====\n  P producer kafka:x |=\n{fan}")),
        ),
        (
            FindingName::DeepSyncChain,
            draw(
                "
                A @a server GET:/             | ================
                  B @b server GET:/           |  ==============
                    C @c server GET:/         |   ============
                      D @d server GET:/       |    ==========
                        E @e server GET:/     |     ========
                ",
            ),
        ),
        (
            FindingName::GatewayOverhead,
            draw_at(
                100,
                "
                G @api-gateway server GET:/       |=====
                  C client GET:/orders host:order |  ==
                    A @order server GET:/orders   |  ==
                ",
            ),
        ),
        (
            FindingName::SlowConsistency,
            draw_at(
                1_000,
                "
                A @order server GET:/orders                   |=
                  P producer kafka:orders                     |=
                K @mail consumer kafka:orders <-P trace:two   |       =
                ",
            ),
        ),
        (
            FindingName::DiscoveryOnPath,
            draw_at(
                10,
                "
                A @shop server GET:/                 |==========
                  D client dns.question.name=pay.shop | ==
                  C client GET:/pay host:pay         |     ==
                ",
            ),
        ),
        (
            FindingName::DuplicateProcessing,
            draw(
                "
                A @shop server GET:/ |==========
                  B1 @pay server POST:/charge http.request.header.idempotency-key=k1 | ==
                  B2 @pay server POST:/charge http.request.header.idempotency-key=k1 |    ==
                ",
            ),
        ),
        (FindingName::CacheIneffective, draw(&reads)),
        (FindingName::ContractDrift, draw(&versions)),
        (FindingName::TrafficSpike, spike()),
    ]
}

/// Two requests a minute of 10 ms each for twelve minutes, then eight of 40 ms.
pub(super) fn spike() -> Vec<Span> {
    let mut spans = Vec::new();
    for minute in 0..13_i64 {
        let (n, ms) = if minute < 12 { (2, 10) } else { (8, 40) };
        for at in 0..n {
            let mut span = draw(&format!("A @shop server GET:/x trace:m{minute}-{at} |=")).swap_remove(0);
            span.start = UnixNanos(span.start.0 + minute * 60 * SECOND + at * SECOND);
            span.end = UnixNanos(span.start.0 + ms * 1_000_000);
            spans.push(span);
        }
    }
    spans
}

/// The SQL of findings that no fixture shows finds what the finding was told about, on demand and at rest; findings of
/// one journey stand in the relation too.
#[tokio::test]
async fn the_sql_of_drawn_findings_finds_their_like() {
    let over_a_window = [FindingName::CacheIneffective, FindingName::ContractDrift, FindingName::TrafficSpike];
    for (name, spans) in drawings() {
        let mut world = World::new().await;
        world.arrive(&spans).await;
        for place in ["on demand", "at rest"] {
            let rows = sorted(&world.sql(name.sql()).await);
            let wanted = match over_a_window.contains(&name) {
                true => "service:shop".to_owned(),
                false => drawn_trace("one").to_hex(),
            };
            assert!(rows.iter().any(|row| row.contains(&wanted)), "{name} {place}: {rows:#?}");
            if !over_a_window.contains(&name) {
                let told = world.sql(&format!("SELECT summary FROM findings WHERE id = '{name}'")).await;
                assert_eq!(told.len(), 1, "{name} {place}");
            }
            world.pass(200 * SECOND).await;
        }
    }
    // A request without any problem is found by none of them.
    let mut world = World::new().await;
    world.arrive(&draw("A @shop server GET:/ |=")).await;
    for name in FindingName::ALL {
        let rows = world.sql(name.sql()).await;
        assert!(rows.is_empty(), "{name} of a request without any problem: {rows:?}");
    }
}
