//! Findings: communication problems by name, each with the spans and numbers it was computed from.
//!
//! | file            | finds                                                                        |
//! |-----------------|------------------------------------------------------------------------------|
//! | `slow.rs`       | slowest_hop, gateway_overhead, discovery_on_path, slow_consistency           |
//! | `chatty.rs`     | chatty_calls, sequential_calls                                               |
//! | `retries.rs`    | retried, retry_storm, deadline_wasted                                        |
//! | `breakers.rs`   | circuit_open, fail_fast                                                      |
//! | `failures.rs`   | cascading_failure, contained_failure                                         |
//! | `queues.rs`     | queue_wait, redelivery, poison_message, fanout_amplification                 |
//! | `duplicates.rs` | duplicate_processing                                                         |
//! | `structure.rs`  | deep_sync_chain, cyclic_dependency                                           |
//! | `security.rs`   | rate_limited, auth_failure, insecure_transport                               |
//! | `polling.rs`    | async_http_polling                                                           |
//! | `context.rs`    | broken_context, clock_skew                                                   |
//! | `drift.rs`      | contract_drift, over a window                                                |
//! | `spikes.rs`     | traffic_spike, over the map                                                  |
//! | `caches.rs`     | cache_ineffective, over a window                                             |
//!
//! A finding never claims intent: candidates say so. Without evidence there is no finding.
//!
//! Where the fixtures narrow the text of the specification:
//! - a look-up is on the path (discovery_on_path) when the same parent makes a call after it; look-ups that
//!   lead to no call delayed none, and registry traffic makes no claim about transport (fixture 14);
//! - gateway_overhead needs an upstream call: a rejection is the gateway's own answer (fixture 10);
//! - receive spans, which wait for messages, are never the slowest hop (fixture 03);
//! - a delivery that nothing leads to is told whether or not its producers are traced (fixture 12);
//! - contained_failure looks at calls, not at deliveries, which have findings of their own (fixture 02).

mod breakers;
mod caches;
mod chatty;
mod context;
mod drift;
mod duplicates;
mod failures;
mod polling;
mod queues;
mod retries;
mod security;
mod slow;
mod spikes;
mod structure;

pub use breakers::OpenBreaker;
pub use spikes::{MinuteOfEdge, traffic_spikes};

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value as Json, json};

use super::Analysis;
use super::calls::Call;
use super::graph::SpanIndex;
use super::journey::{Journey, Place, Scene};
use super::node::Node;
use super::thresholds::Thresholds;
use super::words::words;

words! {
    /// How bad it is. The order is by weight.
    Severity {
        Information "information" "Worth knowing.",
        Warning "warning" "Worth changing.",
        Error "error" "Worth acting on.",
    }
}

macro_rules! findings {
    ($($name:ident $text:literal $severity:ident $sql:literal $help:literal,)*) => {
        words! {
            /// Names of findings.
            FindingName { $($name $text $help,)* }
        }

        impl FindingName {
            /// Every name.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// How bad it usually is.
            pub const fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)* }
            }

            /// SQL that finds its like over a time range.
            pub const fn sql(self) -> &'static str {
                match self { $(Self::$name => $sql,)* }
            }

            /// What it means, for people.
            pub const fn help(self) -> &'static str {
                match self { $(Self::$name => $help,)* }
            }
        }
    };
}

findings! {
    CascadingFailure "cascading_failure" Error "select c.journey, p.src, c.src as via, c.dst, c.op from calls c join calls p on p.trace = c.trace and p.server_span = c.entry_span where c.fault and p.fault and p.src like 'service:%' and c.dst like 'service:%'" "One fault brought down at least three services up to the entry.",
    PoisonMessage "poison_message" Error "select journey, message, dst, grp, count(*) as deliveries from hops group by journey, message, dst, grp having count(*) >= 3 and bool_and(error)" "A message failed at every delivery.",
    DuplicateProcessing "duplicate_processing" Error "select journey, dst, message as what from hops group by journey, dst, grp, message having count(*) filter (where not error) >= 2 union all select a.journey, a.dst, a.op as what from calls a join calls b on b.trace = a.trace and b.entry_span = a.entry_span and b.dst = a.dst and b.op = a.op where a.timeout and a.srv_end > a.\"end\" and b.start >= a.\"end\" and not b.error union all select trace_id, service_name, key from (select trace_id, service_name, attr('http.request.header.idempotency-key') as key from spans where kind = 2 and status_code <> 2) where key is not null group by trace_id, service_name, key having count(*) >= 2" "The same work was done twice, both times with success.",
    CyclicDependency "cyclic_dependency" Error "select a.journey, a.src, a.dst from calls a join calls b on b.trace = a.trace and b.entry_span = a.server_span left join calls c on c.trace = b.trace and c.entry_span = b.server_span where a.src like 'service:%' and a.src <> a.dst and (b.dst = a.src or c.dst = a.src)" "A service waits for itself through another service.",
    InsecureTransport "insecure_transport" Error "select journey, trace, client_span, src, dst from calls where scheme in ('http', 'ws') and not loopback and not mesh and not coalesce(secure, false) and protocol not in ('discovery', 'dns')" "A call went in clear text.",
    RetryStorm "retry_storm" Warning "select journey, entry_span, dst, op, count(*) as calls, max(resend) as resent from (select *, lag(error) over (partition by trace, entry_span, dst, op order by start) and start >= lag(\"end\") over (partition by trace, entry_span, dst, op order by start) as again from calls where entry_span is not null) group by journey, trace, entry_span, dst, op having sum(again::int) >= 2 or max(resend) >= 2 or bool_or(coalesce(flags, '') like '%URX%')" "A call was tried many times.",
    DeadlineWasted "deadline_wasted" Warning "select journey, trace, client_span, server_span, dst, op, srv_end - \"end\" as wasted from calls where timeout and srv_end > \"end\" + 5000000" "The callee went on after its caller gave up.",
    CircuitOpen "circuit_open" Warning "select trace_id, span_id, service_name, error_type from spans where error_type ~ 'CallNotPermitted|BrokenCircuit|Circuit(Breaker)?Open|ErrOpenState' union all select trace_id, span_id, service_name, event_attr(attributes, 'exception.type') from events where event_attr(attributes, 'exception.type') ~ 'CallNotPermitted|BrokenCircuit|Circuit(Breaker)?Open|ErrOpenState'" "A circuit breaker refused a call.",
    FailFast "fail_fast" Warning "select s.trace_id, s.span_id, s.service_name, p.name from (select trace_id, span_id from spans where error_type ~ 'CallNotPermitted|BrokenCircuit|Circuit(Breaker)?Open|ErrOpenState' union select trace_id, span_id from events where event_attr(attributes, 'exception.type') ~ 'CallNotPermitted|BrokenCircuit|Circuit(Breaker)?Open|ErrOpenState') b join spans s on s.trace_id = b.trace_id and s.span_id = b.span_id join spans p on p.trace_id = s.trace_id and p.span_id = s.parent_span_id where p.service_name = s.service_name and arrow_cast(p.end_time, 'Int64') - arrow_cast(s.end_time, 'Int64') between 0 and 10000000" "The caller answered at once after the breaker refused.",
    QueueWait "queue_wait" Warning "select journey, queue, dst, lag, finished - received as handling from hops where attempt = 1 and lag >= 1000000000 and lag >= 3 * (finished - received) union all select s.journey, s.node, j.service, sum(s.\"end\" - s.start), j.settled from segments s join journeys j on j.journey = s.journey where s.path = 'settled' and s.kind = 'queue' group by s.journey, s.node, j.service, j.settled having sum(s.\"end\" - s.start) >= 1000000000 and 2 * sum(s.\"end\" - s.start) >= j.settled" "Messages waited much longer than they took to handle.",
    Redelivery "redelivery" Warning "select journey, message, dst, grp, count(*) as deliveries from hops group by journey, message, dst, grp having count(*) >= 2 and bool_or(error)" "A message failed and was delivered again.",
    FanoutAmplification "fanout_amplification" Warning "select journey, count(*) as n from hops group by journey having count(*) >= 10 union all select journey, count(*) from calls where entry_span is not null group by journey, trace, entry_span having count(*) >= 20" "Few messages or one request led to many.",
    DeepSyncChain "deep_sync_chain" Warning "select d.journey, a.src, b.src as second, c.src as third, d.src as fourth, d.dst from calls a join calls b on b.trace = a.trace and b.entry_span = a.server_span join calls c on c.trace = b.trace and c.entry_span = b.server_span join calls d on d.trace = c.trace and d.entry_span = c.server_span where a.src like 'service:%' and d.dst like 'service:%'" "Many services wait for each other in a row.",
    RateLimited "rate_limited" Warning "select journey, trace, client_span, server_span, src, dst, op from calls where status in ('429', 'RESOURCE_EXHAUSTED') or flags like '%RL%'" "A limit refused the request.",
    AuthFailure "auth_failure" Warning "select journey, trace, client_span, server_span, src, dst, op, status from calls where status in ('401', '403', 'UNAUTHENTICATED', 'PERMISSION_DENIED') or flags like '%UAEX%'" "A request was refused for who sent it.",
    ChattyCalls "chatty_calls" Warning "select journey, entry_span, dst, op, count(*) as calls from (select *, start >= lag(\"end\") over (partition by trace, entry_span, dst, op order by start) as after from calls where entry_span is not null) group by journey, trace, entry_span, dst, op having count(*) >= 5 and sum(after::int) >= 4 and avg(error::int) <= 0.2" "The same call again and again, one after another.",
    SequentialCalls "sequential_calls" Warning "select journey, parent_span, count(*) as calls, sum(dur) - max(dur) as saved from calls where not error and protocol not in ('db', 'cache', 'dns', 'discovery') group by journey, trace, parent_span having count(distinct dst) >= 2 and sum(dur) - max(dur) >= 50000000" "Calls in a row that could be candidates for parallel ones; whether one needs the other's answer is not known.",
    GatewayOverhead "gateway_overhead" Warning "select g.journey, g.server_span, g.dst, g.srv_dur - sum(u.dur) as own from calls g join calls u on u.trace = g.trace and u.entry_span = g.server_span where g.dst ~ 'gateway|api-gw|apigw|ingress|edge|kong|traefik|envoy|nginx|apisix|haproxy|tyk|zuul|krakend' group by g.journey, g.trace, g.server_span, g.dst, g.srv_dur having g.srv_dur - sum(u.dur) >= greatest(20000000, g.srv_dur / 5)" "The gateway itself took a good part of the time.",
    ContractDrift "contract_drift" Warning "select src, dst, op, server_ver as version, count(*) as calls, avg(contract_fail::int) as failing from calls where server_ver is not null group by src, dst, op, server_ver having sum(contract_fail::int) >= 3 union all select queue, dst, op, producer_ver, count(*), avg(contract_fail::int) from hops where producer_ver is not null group by queue, dst, op, producer_ver having sum(contract_fail::int) >= 3" "A new version no longer understands what is sent.",
    BrokenContext "broken_context" Warning "select c.trace_id, c.span_id, c.service_name, c.name from spans c left join spans p on p.trace_id = c.trace_id and p.span_id = c.parent_span_id where p.span_id is null and c.parent_span_id is not null and c.kind in (2, 5) union all select trace, consumer_span, dst, queue from hops where joined_by = 'message_id' union all select trace_id, span_id, service_name, name from spans where kind = 5 and parent_span_id is null and link_count = 0 union all select b.trace, b.server_span, b.dst, b.op from calls a join calls b on b.op = a.op where a.missing = 'server' and b.missing = 'entry' and b.start between a.start and a.\"end\"" "Trace context was lost on the way.",
    ClockSkew "clock_skew" Warning "select journey, service, summary, numbers from findings where id = 'clock_skew'" "A clock is off; times are shown shifted.",
    SlowConsistency "slow_consistency" Warning "select journey, service, name, settled - response as later from journeys where settled - response > 5000000000" "The last effect came long after the answer.",
    TrafficSpike "traffic_spike" Warning "select * from (select time, src, dst, op, environment, count, p95, avg(count) over (partition by src, dst, protocol, op, environment order by minute range between 12 preceding and 1 preceding) as usual_count, avg(p95) over (partition by src, dst, protocol, op, environment order by minute range between 12 preceding and 1 preceding) as usual_p95 from edge_minutes) where count >= 3 * usual_count and p95 >= 2 * usual_p95" "Far more calls than before, and slower ones.",
    DiscoveryOnPath "discovery_on_path" Warning "select s.journey, sum(s.\"end\" - s.start) as nanos from segments s join journeys j on j.journey = s.journey where s.path = 'response' and s.protocol in ('discovery', 'dns') group by s.journey, j.response having sum(s.\"end\" - s.start) >= greatest(10000000, j.response / 10)" "Looking up addresses held up the answer.",
    CacheIneffective "cache_ineffective" Warning "select src, dst, count(*) as reads, avg(followed) as share from (select a.src, a.dst, a.trace, a.client_span, max(case when b.start is null then 0 else 1 end) as followed from calls a left join calls b on b.trace = a.trace and b.parent_span = a.parent_span and b.protocol = 'db' and b.start between a.\"end\" and a.\"end\" + 50000000 where a.protocol = 'cache' group by a.src, a.dst, a.trace, a.client_span) group by src, dst having count(*) >= 20 and avg(followed) >= 0.8" "Nearly every read of a cache is followed by the database.",
    SlowestHop "slowest_hop" Information "select s.journey, s.span, sum(s.\"end\" - s.start) as nanos from segments s join journeys j on j.journey = s.journey where s.path = 'response' group by s.journey, s.span, j.response having sum(s.\"end\" - s.start) >= greatest(50000000, 0.3 * j.response)" "Where most of the answer's time went.",
    Retried "retried" Information "select journey, entry_span, dst, op, count(*) as calls, max(resend) as resent from (select *, lag(error) over (partition by trace, entry_span, dst, op order by start) and start >= lag(\"end\") over (partition by trace, entry_span, dst, op order by start) as again from calls where entry_span is not null) group by journey, trace, entry_span, dst, op having bool_or(again) or max(resend) >= 1" "A call was tried again.",
    ContainedFailure "contained_failure" Information "select c.trace, coalesce(c.client_span, c.server_span) as span, c.src, c.op from calls c left join calls p on p.trace = c.trace and p.server_span = c.entry_span where c.fault and not coalesce(p.fault, false) and not exists (select 1 from calls r where r.trace = c.trace and r.entry_span = c.entry_span and r.dst = c.dst and r.op = c.op and r.start >= c.\"end\" and not r.error) union all select c.trace_id, c.span_id, c.service_name, c.name from spans c join spans p on p.trace_id = c.trace_id and p.span_id = c.parent_span_id where c.status_code = 2 and c.kind = 1 and p.status_code <> 2" "A fault that its caller absorbed.",
    AsyncHttpPolling "async_http_polling" Information "select a.journey, a.client_span, a.dst, count(*) as polls from calls a join calls b on b.journey = a.journey and b.src = a.src and b.dst = a.dst where a.status = '202' and b.start >= a.\"end\" and b.op like 'GET %' group by a.journey, a.trace, a.client_span, a.dst having count(*) >= 2" "A result was asked for again and again.",
}

/// What a finding speaks about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// One journey.
    Journey,
    /// Many journeys in a time range.
    Window,
}

/// A number (or word) a finding was computed from. Keys of durations end in `_nanos`.
#[derive(Clone, Debug, PartialEq)]
pub enum Number {
    /// How many.
    Count(u64),
    /// Nanoseconds, possibly negative.
    Nanos(i64),
    /// Between 0 and 1, or a factor.
    Share(f64),
    /// Yes or no.
    Flag(bool),
    /// A name.
    Text(String),
    /// Names.
    Texts(Vec<String>),
}

impl Number {
    /// As in answers.
    pub fn to_json(&self) -> Json {
        match self {
            Self::Count(n) => json!(n),
            Self::Nanos(nanos) => json!(nanos),
            Self::Share(share) => json!(share),
            Self::Flag(flag) => json!(flag),
            Self::Text(text) => json!(text),
            Self::Texts(texts) => json!(texts),
        }
    }
}

/// A communication problem with its evidence.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// What it is called.
    pub name: FindingName,
    /// How bad it is here.
    pub severity: Severity,
    /// What it speaks about.
    pub scope: Scope,
    /// The spans it rests on, as positions in the whole set.
    pub spans: Vec<SpanIndex>,
    /// The numbers it was computed from.
    pub numbers: BTreeMap<&'static str, Number>,
    /// One sentence for people.
    pub summary: String,
}

impl Finding {
    fn new(name: FindingName, spans: Vec<SpanIndex>, summary: String) -> Self {
        let (severity, numbers) = (name.severity(), BTreeMap::new());
        Self { name, severity, scope: Scope::Journey, spans, numbers, summary }
    }

    fn with(mut self, key: &'static str, number: Number) -> Self {
        self.numbers.insert(key, number);
        self
    }

    fn count(self, key: &'static str, n: usize) -> Self {
        self.with(key, Number::Count(n as u64))
    }

    fn nanos(self, key: &'static str, nanos: i64) -> Self {
        self.with(key, Number::Nanos(nanos))
    }

    fn share(self, key: &'static str, share: f64) -> Self {
        self.with(key, Number::Share(share))
    }

    fn text(self, key: &'static str, text: impl Into<String>) -> Self {
        self.with(key, Number::Text(text.into()))
    }

    /// SQL that finds its like.
    pub fn sql(&self) -> &'static str {
        self.name.sql()
    }
}

/// Everything worth telling about a journey, worst first.
///
/// `breakers` are open circuit breakers known from metrics; empty when there are none.
/// Cost: O(n log n).
pub fn findings(
    analysis: &Analysis,
    journey: &Journey,
    thresholds: &Thresholds,
    breakers: &[OpenBreaker],
) -> Vec<Finding> {
    if journey.scene.is_empty() {
        return Vec::new();
    }
    let view = View::new(analysis, journey, thresholds);
    let mut found = Vec::new();
    slow::find(&view, &mut found);
    chatty::find(&view, &mut found);
    retries::find(&view, &mut found);
    breakers::find(&view, breakers, &mut found);
    failures::find(&view, &mut found);
    queues::find(&view, &mut found);
    duplicates::find(&view, &mut found);
    structure::find(&view, &mut found);
    security::find(&view, &mut found);
    polling::find(&view, &mut found);
    context::find(&view, &mut found);
    sort(&mut found);
    found
}

/// Everything that only many journeys together show, but for [`traffic_spikes`].
pub fn window_findings(analysis: &Analysis, thresholds: &Thresholds) -> Vec<Finding> {
    let mut found = Vec::new();
    drift::find(analysis, thresholds, &mut found);
    caches::find(analysis, thresholds, &mut found);
    structure::find_cycles(analysis, &mut found);
    found.iter_mut().for_each(|finding| finding.scope = Scope::Window);
    sort(&mut found);
    found
}

fn sort(found: &mut [Finding]) {
    found.sort_by(|a, b| {
        (b.severity, a.name, &a.spans).cmp(&(a.severity, b.name, &b.spans)).then_with(|| a.summary.cmp(&b.summary))
    });
}

/// What groups repeated calls: who asks, whom, what.
type CallKey<'a> = (SpanIndex, &'a Node, &'a str);

/// A journey made ready for all finders.
struct View<'a> {
    analysis: &'a Analysis,
    journey: &'a Journey,
    scene: &'a Scene,
    thresholds: &'a Thresholds,
    /// Calls with a known caller by who asks, whom, what; each list by start.
    groups: BTreeMap<CallKey<'a>, Vec<usize>>,
    /// Calls that repeat a failed one: two or more, by start.
    runs: Vec<Vec<usize>>,
    /// Run of each call in one, and its position there.
    run_of: HashMap<usize, (usize, usize)>,
}

impl<'a> View<'a> {
    fn new(analysis: &'a Analysis, journey: &'a Journey, thresholds: &'a Thresholds) -> Self {
        let mut groups: BTreeMap<CallKey<'a>, Vec<usize>> = BTreeMap::new();
        for &at in &journey.calls {
            let call = &analysis.calls[at];
            if let Some(entry) = call.entry {
                groups.entry((entry, &call.target, &call.op)).or_default().push(at);
            }
        }
        let mut runs: Vec<Vec<usize>> = Vec::new();
        for group in groups.values() {
            let repeats = |before: &usize, after: &usize| {
                let (before, after) = (&analysis.calls[*before], &analysis.calls[*after]);
                before.is_error && after.start >= before.end
            };
            runs.extend(group.chunk_by(repeats).filter(|run| run.len() > 1).map(<[usize]>::to_vec));
        }
        runs.sort_by_key(|run| (analysis.calls[run[0]].start, run[0]));
        let positions = runs
            .iter()
            .enumerate()
            .flat_map(|(at, run)| run.iter().enumerate().map(move |(position, call)| (*call, (at, position))));
        let run_of = positions.collect();
        Self { analysis, journey, scene: &journey.scene, thresholds, groups, runs, run_of }
    }

    fn call(&self, at: usize) -> &'a Call {
        &self.analysis.calls[at]
    }

    fn known(&self, at: Place) -> &'a super::graph::Known {
        self.scene.known(self.analysis, at)
    }

    fn place(&self, span: SpanIndex) -> Option<Place> {
        self.scene.place(span)
    }

    /// Spans that stand for calls.
    fn spans_of(&self, calls: &[usize]) -> Vec<SpanIndex> {
        calls.iter().map(|call| self.call(*call).span()).collect()
    }

    /// A 401 that the next, successful attempt answered: a challenge, no failure.
    fn is_solved_challenge(&self, run: &[usize]) -> bool {
        run.len() == 2 && self.call(run[0]).status.as_deref() == Some("401") && !self.call(run[1]).is_error
    }

    /// Places in order of shifted start.
    fn by_start(&self, mut places: Vec<Place>) -> Vec<SpanIndex> {
        places.sort_by_key(|at| (self.scene.start[*at], self.known(*at).span.span_id, *at));
        places.into_iter().map(|at| self.scene.spans[at]).collect()
    }

    /// A consumer under the span that sent the message: no part of the producer's own work.
    fn is_delivery_below(&self, at: Place) -> bool {
        self.known(at).class.role == super::classify::Role::Consumer
            && self.scene.parent[at].is_some_and(|parent| self.known(parent).is_producer())
    }
}

/// Milliseconds for people.
fn ms(nanos: i64) -> String {
    format!("{} ms", (nanos as f64 / 1e5).round() / 10.0)
}
