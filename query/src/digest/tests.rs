//! The digest as a reader notices it: whatever order, batching, repetition, delay or restart, the relations say the
//! same as one analysis of everything.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use api::SqlRequest;
use arrow::array::{ArrayRef, BinaryArray, Int32Array, Int64Array, StringArray};
use model::semconv::{self, On, ValueKind};
use model::{Attribute, AttributeValue, TimeRange, TraceId, UnixNanos, attributes_to_json};
use serde_json::Value as Json;
use storage::table::SPANS;
use storage::{Batch, Clock, Storage};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::run::{Desk, Figures, Task};
use crate::analysis::findings::FindingName;
use crate::analysis::span::Span;
use crate::analysis::{draw, draw_at, drawn_trace, otlp_fixture};
use crate::config::Config;
use crate::engine::Engine;
use crate::testing::{attribute_list, labels, list, tenant};

const SECOND: i64 = UnixNanos::SECOND;
/// When the first span arrives.
const BEGIN: i64 = 1_768_471_200 * SECOND;

#[derive(Debug)]
struct MovedClock(AtomicI64);

impl Clock for MovedClock {
    fn now(&self) -> UnixNanos {
        UnixNanos(self.0.load(Ordering::Relaxed))
    }
}

/// Spans as the collector stores them, all arrived at one moment.
fn stored(spans: &[Span], arrival: i64) -> Batch {
    let ids = |of: &dyn Fn(&Span) -> Option<Vec<u8>>| -> ArrayRef {
        let bytes: Vec<_> = spans.iter().map(of).collect();
        Arc::new(bytes.iter().map(Option::as_deref).collect::<BinaryArray>())
    };
    let ints =
        |of: &dyn Fn(&Span) -> Option<i64>| -> ArrayRef { Arc::new(spans.iter().map(of).collect::<Int64Array>()) };
    let shorts =
        |of: &dyn Fn(&Span) -> i32| -> ArrayRef { Arc::new(spans.iter().map(|s| Some(of(s))).collect::<Int32Array>()) };
    let texts = |of: &dyn Fn(&Span) -> Option<String>| labels(spans.iter().map(of).collect());
    let json = |attributes: &[Attribute]| attributes_to_json(attributes);

    // Attributes with a column of their own go there.
    let mut promoted: Vec<(&'static str, ArrayRef)> = Vec::new();
    let mut moved: Vec<&'static str> = Vec::new();
    for convention in semconv::promoted(On::Item) {
        let Some(column) = convention.column.filter(|column| SPANS.column(column).is_some()) else { continue };
        let value = |span: &Span| {
            let found = span.attributes.iter().find(|attribute| attribute.key == convention.key)?;
            Some(found.value.clone())
        };
        let fits = |value: &AttributeValue| match convention.value {
            ValueKind::Int => matches!(value, AttributeValue::Int(_)),
            ValueKind::Label | ValueKind::Text => matches!(value, AttributeValue::String(_)),
        };
        let values: Vec<_> = spans.iter().map(value).collect();
        if values.iter().flatten().count() == 0 || !values.iter().flatten().all(fits) {
            continue;
        }
        let text = |value: &Option<AttributeValue>| value.as_ref().and_then(|value| value.as_str().map(str::to_owned));
        let array: ArrayRef = match convention.value {
            ValueKind::Int => Arc::new(
                values
                    .iter()
                    .map(|value| if let Some(AttributeValue::Int(value)) = value { Some(*value) } else { None })
                    .collect::<Int64Array>(),
            ),
            ValueKind::Label => labels(values.iter().map(text).collect()),
            ValueKind::Text => Arc::new(values.iter().map(text).collect::<StringArray>()),
        };
        promoted.push((column, array));
        moved.push(convention.key);
    }
    let left: Vec<Vec<(String, AttributeValue)>> = spans
        .iter()
        .map(|span| {
            let kept = span.attributes.iter().filter(|attribute| !moved.contains(&attribute.key.as_str()));
            kept.map(|attribute| (attribute.key.clone(), attribute.value.clone())).collect()
        })
        .collect();

    let events: Vec<_> = spans.iter().flat_map(|span| &span.events).collect();
    let event_columns: Vec<ArrayRef> = vec![
        Arc::new(events.iter().map(|event| Some(event.time.0)).collect::<Int64Array>()),
        Arc::new(events.iter().map(|event| Some(event.name.clone())).collect::<StringArray>()),
        Arc::new(events.iter().map(|event| Some(json(&event.attributes))).collect::<StringArray>()),
        Arc::new(events.iter().map(|_| Some(0)).collect::<Int64Array>()),
    ];
    let links: Vec<_> = spans.iter().flat_map(|span| &span.links).collect();
    let link_columns: Vec<ArrayRef> = vec![
        Arc::new(links.iter().map(|link| Some(link.trace_id.as_bytes().to_vec())).collect::<BinaryArray>()),
        Arc::new(links.iter().map(|link| Some(link.span_id.as_bytes().to_vec())).collect::<BinaryArray>()),
        Arc::new(links.iter().map(|_| Some("")).collect::<StringArray>()),
        Arc::new(links.iter().map(|link| Some(json(&link.attributes))).collect::<StringArray>()),
        Arc::new(links.iter().map(|_| Some(0)).collect::<Int64Array>()),
        Arc::new(links.iter().map(|_| Some(0)).collect::<Int64Array>()),
    ];
    let mut columns: Vec<(&'static str, ArrayRef)> = vec![
        ("trace_id", ids(&|span| Some(span.trace_id.as_bytes().to_vec()))),
        ("span_id", ids(&|span| Some(span.span_id.as_bytes().to_vec()))),
        ("parent_span_id", ids(&|span| span.parent_span_id.map(|id| id.as_bytes().to_vec()))),
        ("name", texts(&|span| Some(span.name.clone()))),
        ("service_name", texts(&|_| Some("shop".to_owned()))),
        ("kind", shorts(&|span| span.kind.code())),
        ("start_time", ints(&|span| Some(span.start.0))),
        ("duration_nanos", ints(&|span| Some(span.end.0 - span.start.0))),
        ("arrival_time", ints(&|_| Some(arrival))),
        ("status_code", shorts(&|span| span.status.code())),
        ("trace_state", texts(&|span| Some(span.trace_state.clone()))),
        ("flags", ints(&|span| Some(i64::from(span.flags)))),
        ("dropped_attributes_count", ints(&|_| Some(0))),
        ("dropped_events_count", ints(&|_| Some(0))),
        ("dropped_links_count", ints(&|_| Some(0))),
        ("event_count", shorts(&|span| span.events.len() as i32)),
        ("link_count", shorts(&|span| span.links.len() as i32)),
        ("attributes", attribute_list(&left)),
        ("events", list(storage::table::events_fields(), event_columns, spans.iter().map(|span| span.events.len()))),
        ("links", list(storage::table::links_fields(), link_columns, spans.iter().map(|span| span.links.len()))),
        ("resource", texts(&|span| Some(format!("{{\"attributes\":{}}}", json(&span.resource.attributes))))),
        ("scope_name", texts(&|span| Some(span.scope.clone()))),
        ("scope", texts(&|_| Some("{}".to_owned()))),
        ("repairs", shorts(&|_| 0)),
    ];
    // Which attributes stand in columns, in sent order, then the others.
    let order = |span: &Span| {
        let moved: Vec<&str> =
            span.attributes.iter().map(|attribute| attribute.key.as_str()).filter(|key| moved.contains(key)).collect();
        (!moved.is_empty()).then(|| format!("{},*", moved.join(",")))
    };
    columns.push(("attribute_order", texts(&order)));
    columns.extend(promoted);
    Batch::from_columns(&SPANS, spans.len(), columns).expect("a batch of spans")
}

/// Storage, engine and digest that only move when told to.
struct World {
    clock: Arc<MovedClock>,
    storage: Storage,
    task: Task,
    desk: Desk,
    _data: TempDir,
}

impl World {
    async fn new() -> Self {
        let data = tempfile::tempdir().expect("a folder");
        let clock = Arc::new(MovedClock(AtomicI64::new(BEGIN)));
        let config = storage::Config { data: data.path().to_owned(), ..storage::Config::default() };
        let storage = Storage::open(config, Arc::<MovedClock>::clone(&clock)).await.expect("a storage");
        let config = Config { threads: 1, ..Config::default() };
        let engine = Engine::new(config, storage.reader(), Arc::<MovedClock>::clone(&clock)).expect("an engine");
        let task = Task {
            engine,
            reader: storage.reader(),
            writer: storage.derived_writer(),
            stop: CancellationToken::new(),
            figures: Arc::new(Figures::default()),
            memory_bytes_max: 64 << 20,
            settle_nanos: 30 * SECOND,
        };
        let desk = task.catch_up(&tenant()).await.expect("nothing is there yet");
        Self { clock, storage, task, desk, _data: data }
    }

    /// Spans arrive; the digest is handed them.
    async fn arrive(&mut self, spans: &[Span]) {
        let batch = stored(spans, self.clock.now().0);
        let records = batch.records().clone();
        self.storage.appender().append(&tenant(), vec![batch]).await.expect("accepted");
        self.desk.read(&records);
        self.desk.taken_until = self.clock.now().0;
    }

    /// Time passes, and the digest looks at what has settled.
    async fn pass(&mut self, nanos: i64) {
        self.clock.0.fetch_add(nanos, Ordering::Relaxed);
        while self.task.step(&mut self.desk, self.clock.now().0, 64 << 20).await.expect("a batch") {}
    }

    /// Everything in memory is lost.
    async fn restart(&mut self) {
        self.desk = self.task.catch_up(&tenant()).await.expect("it finds its place");
    }

    async fn sql(&self, sql: &str) -> Vec<Vec<Json>> {
        let request = SqlRequest { sql: sql.to_owned(), ..SqlRequest::default() };
        let body = self.task.engine.sql(&tenant(), request, crate::Format::Json).await;
        let body = body.unwrap_or_else(|error| panic!("{sql}: {error}"));
        let (document, _) = body.collect().await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        let answer: api::SqlAnswer = serde_json::from_slice(&document).expect("JSON");
        assert!(!answer.incomplete, "{sql}: {:?}", answer.incomplete_reason);
        answer
            .rows
            .iter()
            .map(|row| serde_json::to_value(row).expect("JSON"))
            .map(|row| row.as_array().cloned().expect("a row"))
            .collect()
    }

    /// All relations as sorted text, without what counts looks.
    async fn relations(&self) -> BTreeMap<&'static str, Vec<String>> {
        let mut relations = BTreeMap::new();
        for table in [
            &storage::table::CALLS,
            &storage::table::HOPS,
            &storage::table::SEGMENTS,
            &storage::table::JOURNEYS,
            &storage::table::FINDINGS,
        ] {
            let columns: Vec<String> = table
                .columns()
                .iter()
                .filter(|column| !matches!(column.name, "revision" | "early"))
                .map(|column| format!("\"{}\"", column.name))
                .collect();
            let rows = self.sql(&format!("SELECT {} FROM {}", columns.join(", "), table.name)).await;
            relations.insert(table.name, sorted(&rows));
        }
        // Exemplars and moments are not taken away by corrections.
        let sums = "SELECT time, src, dst, protocol, system, op, count, errors, faults, p50, p95, p99, network_p50, lag_p95, \
                    request_bytes, response_bytes FROM edge_minutes";
        relations.insert("edge_minutes", sorted(&self.sql(sums).await));
        relations
    }

    async fn at_rest(&self) -> String {
        let rows = self.sql("SELECT count(DISTINCT trace_id) FROM digest_traces").await;
        rows[0][0].as_str().unwrap_or_default().to_owned()
    }
}

fn sorted(rows: &[Vec<Json>]) -> Vec<String> {
    let mut rows: Vec<String> = rows.iter().map(|row| Json::Array(row.clone()).to_string()).collect();
    rows.sort();
    rows
}

fn fixtures() -> Vec<(String, Vec<Span>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/journeys");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&folder).expect("the fixtures").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".otlp.json") {
            let text = std::fs::read_to_string(entry.path()).expect("a fixture");
            found.push((name, otlp_fixture(&text)));
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(found.len() >= 12, "{} fixtures", found.len());
    found
}

fn difference(name: &str, told: &BTreeMap<&'static str, Vec<String>>, expected: &BTreeMap<&'static str, Vec<String>>) {
    for (relation, rows) in expected {
        let missing: Vec<_> = rows.iter().filter(|row| !told[relation].contains(row)).collect();
        let extra: Vec<_> = told[relation].iter().filter(|row| !rows.contains(row)).collect();
        assert!(
            missing.is_empty() && extra.is_empty() && told[relation].len() == rows.len(),
            "{name}: {relation}: {} rows instead of {}\nmissing {missing:#?}\nextra {extra:#?}",
            told[relation].len(),
            rows.len()
        );
    }
}

/// What is computed on demand, what is at rest, and both together half-way are the same.
#[tokio::test]
async fn at_rest_is_what_was_told_on_demand() {
    for (name, spans) in fixtures() {
        let mut world = World::new().await;
        world.arrive(&spans).await;
        let on_demand = world.relations().await;
        assert!(!on_demand["calls"].is_empty() && !on_demand["journeys"].is_empty(), "{name}");
        world.pass(29 * SECOND).await;
        assert_eq!(world.at_rest().await, "0", "{name}: nothing has settled");
        world.pass(90 * SECOND).await;
        let traces: std::collections::BTreeSet<TraceId> = spans.iter().map(|span| span.trace_id).collect();
        assert_eq!(world.at_rest().await, traces.len().to_string(), "{name}: all has settled");
        difference(&name, &world.relations().await, &on_demand);
        world.restart().await;
        world.pass(90 * SECOND).await;
        difference(&name, &world.relations().await, &on_demand);
    }
}

/// Any order, any batches, spans sent twice, spans that come late, restarts at any point: the same relations.
#[tokio::test]
async fn arrival_makes_no_difference() {
    let mut state: u64 = 0x9E37_79B9_7F4A_7C15;
    // Xorshift: any sequence does, as long as a failure comes again.
    let mut random = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    for (name, spans) in fixtures() {
        let mut reference = World::new().await;
        reference.arrive(&spans).await;
        let expected = reference.relations().await;
        for round in 0..2 {
            let mut world = World::new().await;
            let mut order = spans.clone();
            for at in (1..order.len()).rev() {
                order.swap(at, random(at as u64 + 1) as usize);
            }
            let twice: Vec<Span> = order.iter().filter(|_| random(8) == 0).cloned().collect();
            order.extend(twice);
            let mut history = Vec::new();
            while !order.is_empty() {
                let n = (random(order.len() as u64) as usize + 1).min(order.len());
                let batch: Vec<Span> = order.drain(..n).collect();
                world.arrive(&batch).await;
                // Joins by message name and status address are remembered for a while only, and in memory.
                let by_name = name.starts_with("04") || name.starts_with("06");
                let seconds = [0, 1, 20, 45, 100][random(if by_name { 3 } else { 5 }) as usize];
                world.pass(seconds * SECOND + 1).await;
                history.push(format!("{n} spans, {seconds} s"));
                if random(3) == 0 && !by_name {
                    world.restart().await;
                    history.push("restart".to_owned());
                }
            }
            world.pass(200 * SECOND).await;
            difference(&format!("{name}, round {round}: {history:?}"), &world.relations().await, &expected);
        }
    }
}

/// A consumer whose sender is heard of only after it came to rest, and after a restart: the delivery is corrected.
#[tokio::test]
async fn causes_may_come_after_a_restart() {
    let mut n_joined = 0;
    for (name, spans) in fixtures() {
        // Joins by message name and status address are remembered for a while only, and in memory.
        if name.starts_with("04") || name.starts_with("06") {
            continue;
        }
        let mut traces: BTreeMap<TraceId, (i64, Vec<Span>)> = BTreeMap::new();
        for span in &spans {
            let (start, of_trace) = traces.entry(span.trace_id).or_insert((i64::MAX, Vec::new()));
            *start = span.start.0.min(*start);
            of_trace.push(span.clone());
        }
        let mut latest_first: Vec<(i64, Vec<Span>)> = traces.into_values().collect();
        latest_first.sort_by_key(|(start, _)| std::cmp::Reverse(*start));
        n_joined += latest_first.len() - 1;
        let mut reference = World::new().await;
        reference.arrive(&spans).await;
        let mut world = World::new().await;
        for (_, spans) in latest_first {
            world.arrive(&spans).await;
            world.pass(100 * SECOND).await;
            world.restart().await;
        }
        world.pass(200 * SECOND).await;
        difference(&name, &world.relations().await, &reference.relations().await);
    }
    assert!(n_joined > 3, "some scenarios have several traces");
}

/// The map says the same on demand, half-way and at rest, from memory and read anew: nothing is counted twice, and late
/// spans correct what is remembered.
#[tokio::test]
async fn the_map_is_the_same_wherever_its_sums_come_from() {
    let range = TimeRange::new(UnixNanos(BEGIN - 3_600 * SECOND), UnixNanos(BEGIN + 3_600 * SECOND));
    for (name, spans) in fixtures() {
        let mut reference = World::new().await;
        reference.arrive(&spans).await;
        let expected = edges(&reference.task.engine, range).await;
        assert!(!expected.is_empty(), "{name}");
        reference.pass(200 * SECOND).await;
        assert_eq!(edges(&reference.task.engine, range).await, expected, "{name} at rest");

        let mut world = World::new().await;
        let (early, late) = spans.split_at(spans.len() / 2);
        world.arrive(early).await;
        world.pass(200 * SECOND).await;
        assert!(!edges(&world.task.engine, range).await.is_empty(), "{name} is remembered half");
        world.arrive(late).await;
        world.pass(200 * SECOND).await;
        let remembering = edges(&world.task.engine, range).await;
        let anew = Engine::new(
            world.task.engine.config().clone(),
            world.storage.reader(),
            Arc::<MovedClock>::clone(&world.clock),
        );
        assert_eq!(remembering, edges(&anew.expect("an engine"), range).await, "{name} read anew");
        // Exemplars and moments are not taken away by corrections.
        let figures = |edges: &[api::MapEdge]| -> Vec<String> {
            let figures =
                |edge: &api::MapEdge| format!("{} {} {} {:?}", edge.source, edge.target, edge.protocol, edge.now);
            edges.iter().map(figures).collect()
        };
        assert_eq!(figures(&remembering), figures(&expected), "{name} corrected");
        // The ends of a range that are no half hours are read as they stand.
        let inner = TimeRange::new(UnixNanos(BEGIN - 2_460 * SECOND), UnixNanos(BEGIN + 2_460 * SECOND));
        assert_eq!(figures(&edges(&world.task.engine, inner).await).len(), figures(&expected).len(), "{name}, ends");
    }
}

async fn edges(engine: &Engine, range: TimeRange) -> Vec<api::MapEdge> {
    let answer = engine.map(&tenant(), range, None).await.expect("a map");
    assert!(!answer.incomplete, "{:?}", answer.incomplete_reason);
    // Rates are per minute of the range.
    let without_rate = |mut edge: api::MapEdge| {
        edge.now.per_minute = 0.0;
        edge
    };
    answer.edges.into_iter().map(without_rate).collect()
}

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
fn spike() -> Vec<Span> {
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

/// A range of time asks for no more than what lies in it, and says the same as a filter over everything.
#[tokio::test]
async fn a_range_is_a_filter() {
    let mut world = World::new().await;
    let (_, spans) = fixtures().swap_remove(0);
    world.arrive(&spans).await;
    for settled in [false, true] {
        let all = world.sql("SELECT time, op FROM calls ORDER BY time, op").await;
        let moment = all[all.len() / 2][0].as_str().expect("a moment").to_owned();
        let ranged = world.sql(&format!("SELECT time, op FROM calls WHERE time >= '{moment}' ORDER BY time, op")).await;
        let expected: Vec<_> = all.iter().filter(|row| row[0].as_str() >= Some(&*moment)).cloned().collect();
        assert_eq!(ranged, expected, "settled: {settled}");
        assert!(ranged.len() < all.len() && !ranged.is_empty());
        let count = world.sql("SELECT count(*) FROM calls").await;
        assert_eq!(count[0][0].as_str(), Some(&*all.len().to_string()));
        world.pass(100 * SECOND).await;
    }
}
