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
    CascadingFailure "cascading_failure" Error "select journey, trace, op, dst from calls where fault order by journey, start desc" "One fault brought down at least three services up to the entry.",
    PoisonMessage "poison_message" Error "select message, dst, grp, count(*) from hops group by message, dst, grp having count(*) >= 3 and bool_and(error)" "A message failed at every delivery.",
    DuplicateProcessing "duplicate_processing" Error "select message, dst, grp from hops group by message, dst, grp having count(*) filter (where not error) >= 2" "The same work was done twice, both times with success.",
    CyclicDependency "cyclic_dependency" Error "select a.src, a.dst from calls a join calls b on a.src = b.dst and a.dst = b.src and a.journey = b.journey" "A service waits for itself through another service.",
    InsecureTransport "insecure_transport" Error "select src, dst, count(*) from calls where scheme in ('http', 'ws') group by src, dst" "A call went in clear text.",
    RetryStorm "retry_storm" Warning "select entry_span, dst, op, count(*) from calls where error or resend > 0 group by entry_span, dst, op having count(*) >= 3" "A call was tried many times.",
    DeadlineWasted "deadline_wasted" Warning "select * from calls where timeout and srv_end > \"end\" + 5000000" "The callee went on after its caller gave up.",
    CircuitOpen "circuit_open" Warning "select * from spans where error_type ~ 'CallNotPermitted|BrokenCircuit|Circuit(Breaker)?Open|ErrOpenState'" "A circuit breaker refused a call.",
    FailFast "fail_fast" Warning "select * from spans where error_type ~ 'CallNotPermitted|BrokenCircuit|Circuit(Breaker)?Open|ErrOpenState'" "The caller answered at once after the breaker refused.",
    QueueWait "queue_wait" Warning "select * from hops where attempt = 1 and lag >= 1000000000 and lag >= 3 * (finished - received)" "Messages waited much longer than they took to handle.",
    Redelivery "redelivery" Warning "select message, dst, grp, count(*) from hops group by message, dst, grp having count(*) >= 2 and bool_or(error)" "A message failed and was delivered again.",
    FanoutAmplification "fanout_amplification" Warning "select journey, count(*) from hops group by journey having count(*) >= 10" "Few messages or one request led to many.",
    DeepSyncChain "deep_sync_chain" Warning "select journey, count(distinct dst) from calls where src like 'service:%' and dst like 'service:%' group by journey having count(distinct dst) >= 4" "Many services wait for each other in a row.",
    RateLimited "rate_limited" Warning "select * from calls where status in ('429', 'RESOURCE_EXHAUSTED')" "A limit refused the request.",
    AuthFailure "auth_failure" Warning "select * from calls where status in ('401', '403', 'UNAUTHENTICATED', 'PERMISSION_DENIED')" "A request was refused for who sent it.",
    ChattyCalls "chatty_calls" Warning "select entry_span, dst, op, count(*) from calls group by entry_span, dst, op having count(*) >= 5" "The same call again and again, one after another.",
    SequentialCalls "sequential_calls" Warning "select parent_span, count(*), sum(dur) - max(dur) from calls group by parent_span having count(distinct dst) >= 2 and sum(dur) - max(dur) >= 50000000" "Calls in a row that could be candidates for parallel ones; whether one needs the other's answer is not known.",
    GatewayOverhead "gateway_overhead" Warning "select node, sum(\"end\" - start) from segments where path = 'response' and kind = 'self' group by node order by 2 desc" "The gateway itself took a good part of the time.",
    ContractDrift "contract_drift" Warning "select src, dst, op, server_ver, avg(contract_fail::int) from calls group by src, dst, op, server_ver" "A new version no longer understands what is sent.",
    BrokenContext "broken_context" Warning "select c.* from spans c left join spans p on c.parent_span_id = p.span_id and c.trace_id = p.trace_id where p.span_id is null and c.parent_span_id <> ''" "Trace context was lost on the way.",
    ClockSkew "clock_skew" Warning "select * from findings where id = 'clock_skew'" "A clock is off; times are shown shifted.",
    SlowConsistency "slow_consistency" Warning "select * from journeys where settled - response > 5000000000" "The last effect came long after the answer.",
    TrafficSpike "traffic_spike" Warning "select * from edge_minutes order by src, dst, minute" "Far more calls than before, and slower ones.",
    DiscoveryOnPath "discovery_on_path" Warning "select journey, sum(\"end\" - start) from segments where path = 'response' and (node = 'dns' or node like 'discovery:%') group by journey" "Looking up addresses held up the answer.",
    CacheIneffective "cache_ineffective" Warning "select src, dst, count(*) from calls where protocol = 'cache' group by src, dst having count(*) >= 20" "Nearly every read of a cache is followed by the database.",
    SlowestHop "slowest_hop" Information "select span, sum(\"end\" - start) x from segments where path = 'response' group by span order by x desc limit 1" "Where most of the answer's time went.",
    Retried "retried" Information "select entry_span, dst, op, count(*) from calls where error or resend > 0 group by entry_span, dst, op having count(*) >= 2" "A call was tried again.",
    ContainedFailure "contained_failure" Information "select * from calls where fault" "A fault that its caller absorbed.",
    AsyncHttpPolling "async_http_polling" Information "select * from findings where id = 'async_http_polling'" "A result was asked for again and again.",
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
