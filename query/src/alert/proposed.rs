//! Starter rules, proposed from what was seen in the last day. Each is an ordinary rule as text: `POST /api/alert-rules/proposed/{id}`
//! keeps it as it is, `PUT /api/alert-rules/{id}` takes a changed one.
//!
//! | id          | seen                                              | fires when                                      |
//! |-------------|---------------------------------------------------|-------------------------------------------------|
//! | `errors-`   | one of the busiest edges                          | its share of faults is three times the usual    |
//! | `slow-`     | the same                                          | its p95 is twice the usual                      |
//! | `wait-`     | a queue with messages                             | messages wait in it three times the usual       |
//! | `lag-`      | a metric of consumer lag or queue size            | it is three times the usual                     |
//! | `finding-`  | poison messages, broken contexts, retry storms... | three journeys within five minutes have it      |
//! | `refusals`  | telemetry that was rejected                       | more than usual is                              |
//! | `telemetry-stops` | always                                      | a service that sent spans sends none any more   |

use api::{ProposedRule, ProposedRulesAnswer};
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Float64Type;
use model::{TenantId, TimeRange, UnixNanos};

use super::own::REJECTED_ITEMS;
use super::transition::hash;
use crate::engine::Engine;
use crate::engine::session::Session;
use crate::error::Result;
use crate::rows::{Ints, Texts};

/// Edges that get rules.
const EDGES_MAX: u64 = 5;
/// Queues and findings that get rules.
const OTHERS_MAX: u64 = 5;
/// An edge with fewer calls in a day is not worth a rule.
const CALLS_MIN: i64 = 50;

/// How many ten minutes a day has.
const TEN_MINUTES_OF_A_DAY: f64 = 144.0;

/// Proposals for a tenant.
///
/// # Errors
/// When what was seen cannot be read.
pub(crate) async fn propose(engine: &Engine, tenant: &TenantId) -> Result<ProposedRulesAnswer> {
    let now = engine.now();
    engine
        .run(tenant, move |session| async move {
            let range = TimeRange::new(now - UnixNanos::DAY, now);
            let mut rules = Vec::new();
            edges(&session, range, &mut rules).await?;
            queues(&session, range, &mut rules).await?;
            lags(&session, range, &mut rules).await?;
            findings(&session, range, &mut rules).await?;
            refusals(&session, range, &mut rules).await?;
            rules.push(silence());
            Ok(ProposedRulesAnswer { rules })
        })
        .await
}

async fn rows(session: &Session, sql: &str, range: TimeRange, most: u64) -> Result<Vec<RecordBatch>> {
    let frame = session.query(sql, range).await?;
    Ok(session.collect(frame, most).await?.batches)
}

fn doubles(batch: &RecordBatch, name: &str) -> impl Fn(usize) -> f64 {
    let column = batch.column_by_name(name).and_then(|column| column.as_primitive_opt::<Float64Type>()).cloned();
    move |row| column.as_ref().map_or(0.0, |column| column.value(row))
}

/// Error rate and slowness of the busiest edges.
async fn edges(session: &Session, range: TimeRange, rules: &mut Vec<ProposedRule>) -> Result<()> {
    let sql = "SELECT src, dst, sum(count) AS calls, CAST(sum(faults) AS DOUBLE) / sum(count) AS faulty, \
               CAST(approx_percentile_cont(p95, 0.9) AS DOUBLE) AS usual \
               FROM edge_minutes WHERE time >= $from AND time < $to AND src <> 'unknown' AND src NOT LIKE 'queue:%' \
               AND dst NOT LIKE 'queue:%' GROUP BY src, dst ORDER BY calls DESC, src, dst";
    for batch in rows(session, sql, range, EDGES_MAX).await? {
        let (src, dst, calls) = (Texts::of(&batch, "src"), Texts::of(&batch, "dst"), Ints::of(&batch, "calls"));
        let (faulty, usual) = (doubles(&batch, "faulty"), doubles(&batch, "usual"));
        for row in 0..batch.num_rows() {
            let (src, dst, calls) = (src.text(row), dst.text(row), calls.int(row));
            if calls < CALLS_MIN {
                continue;
            }
            let limit = (faulty(row) * 3.0).clamp(0.02, 0.5);
            let seen = format!("{calls} calls in the last day");
            rules.push(ProposedRule {
                id: id("errors", &[src, dst]),
                title: format!("{src} to {dst} fails more than usual"),
                why: format!("{seen}, {:.2} % of them faulty", faulty(row) * 100.0),
                rule: edge_rule("EdgeErrors", src, dst, &Edge {
                    value: "CAST(sum(faults) AS DOUBLE) / sum(count)",
                    having: format!("sum(count) >= 20 AND CAST(sum(faults) AS DOUBLE) / sum(count) > {limit:.4}"),
                    example: "max(failed_journey)",
                    summary: "{{ $value | humanizePercentage }} of the calls from {{ $labels.src }} to {{ $labels.dst }} fail",
                }),
            });
            let slow = (usual(row) * 2.0).max(10_000_000.0);
            rules.push(ProposedRule {
                id: id("slow", &[src, dst]),
                title: format!("{src} to {dst} is slower than usual"),
                why: format!("{seen}; the 95th percentile of its minutes is usually below {:.0} ms", usual(row) / 1e6),
                rule: edge_rule("EdgeSlow", src, dst, &Edge {
                    value: "CAST(max(p95) AS DOUBLE) / 1e9",
                    having: format!("sum(count) >= 20 AND approx_percentile_cont(p95, 0.5) > {slow:.0}"),
                    example: "max(slowest_journey)",
                    summary: "calls from {{ $labels.src }} to {{ $labels.dst }} take up to {{ $value | humanizeDuration }} (95th percentile)",
                }),
            });
        }
    }
    Ok(())
}

struct Edge {
    value: &'static str,
    having: String,
    example: &'static str,
    summary: &'static str,
}

fn edge_rule(alert: &str, src: &str, dst: &str, edge: &Edge) -> String {
    let Edge { value, having, example, summary } = edge;
    let (src, dst) = (quoted(src), quoted(dst));
    format!(
        "alert: {alert}\ninterval: 1m\nsql: |\n  SELECT src, dst, {value} AS value, {example} AS trace_id\n  FROM edge_minutes\n  \
         WHERE time >= $from AND time < $to AND src = {src} AND dst = {dst}\n  GROUP BY src, dst\n  HAVING {having}\n\
         range: 10m\nfor: 2m\nkeep_firing_for: 5m\nlabels:\n  severity: warning\nannotations:\n  summary: '{summary}'\n"
    )
}

/// Wait in the broker.
async fn queues(session: &Session, range: TimeRange, rules: &mut Vec<ProposedRule>) -> Result<()> {
    let sql = "SELECT queue, dst, count(*) AS messages, CAST(approx_percentile_cont(lag, 0.95) AS DOUBLE) AS usual FROM hops \
               WHERE time >= $from AND time < $to GROUP BY queue, dst ORDER BY messages DESC, queue, dst";
    for batch in rows(session, sql, range, OTHERS_MAX).await? {
        let (queue, dst, messages) =
            (Texts::of(&batch, "queue"), Texts::of(&batch, "dst"), Ints::of(&batch, "messages"));
        let usual = doubles(&batch, "usual");
        for row in 0..batch.num_rows() {
            let (queue, dst, messages) = (queue.text(row), dst.text(row), messages.int(row));
            if messages < CALLS_MIN {
                continue;
            }
            let limit = (usual(row) * 3.0).max(1e9);
            let rule = format!(
                "alert: QueueWait\ninterval: 1m\nsql: |\n  SELECT queue, dst, CAST(max(lag) AS DOUBLE) / 1e9 AS value, max(journey) AS trace_id\n  \
                 FROM hops\n  WHERE time >= $from AND time < $to AND queue = {} AND dst = {}\n  GROUP BY queue, dst\n  \
                 HAVING count(*) >= 5 AND approx_percentile_cont(lag, 0.95) > {limit:.0}\n\
                 range: 5m\nfor: 2m\nlabels:\n  severity: warning\nannotations:\n  \
                 summary: 'messages wait up to {{{{ $value | humanizeDuration }}}} in {{{{ $labels.queue }}}} for {{{{ $labels.dst }}}}'\n",
                quoted(queue),
                quoted(dst)
            );
            rules.push(ProposedRule {
                id: id("wait", &[queue, dst]),
                title: format!("{dst} lags behind {queue}"),
                why: format!("{messages} messages in the last day; 95 % waited less than {:.0} ms", usual(row) / 1e6),
                rule,
            });
        }
    }
    Ok(())
}

/// Problems that were seen and are always worth an alert.
async fn findings(session: &Session, range: TimeRange, rules: &mut Vec<ProposedRule>) -> Result<()> {
    let sql = "SELECT id, count(*) AS seen FROM findings WHERE time >= $from AND time < $to \
               AND id IN ('poison_message', 'broken_context', 'retry_storm', 'cascading_failure', 'circuit_open') \
               GROUP BY id ORDER BY seen DESC, id";
    for batch in rows(session, sql, range, OTHERS_MAX).await? {
        let (ids, seen) = (Texts::of(&batch, "id"), Ints::of(&batch, "seen"));
        for row in 0..batch.num_rows() {
            let name = ids.text(row);
            let help =
                crate::analysis::findings::FindingName::from_word(name).map(|name| name.help()).unwrap_or_default();
            rules.push(ProposedRule {
                id: format!("finding-{name}"),
                title: help.trim_end_matches('.').to_owned(),
                why: format!("found {} times in the last day", seen.int(row)),
                rule: format!(
                    "alert: {}\ninterval: 1m\nfinding:\n  id: {name}\n  at_least: 3\n  within: 5m\nkeep_firing_for: 5m\nlabels:\n  \
                     severity: warning\nannotations:\n  summary: '{{{{ $labels.service }}}}: {{{{ $value }}}} times within 5 minutes'\n",
                    camel(name)
                ),
            });
        }
    }
    Ok(())
}

/// Metrics that say how far consumers are behind; there is no convention, these are what the usual senders call them.
const LAG_METRICS: &str = "'kafka.consumer_group.lag', 'kafka.consumer.records_lag', 'kafka.consumer.records_lag_max', 'activemq.message.queue.size'";

/// Consumers that fall behind, as brokers and clients count it.
async fn lags(session: &Session, range: TimeRange, rules: &mut Vec<ProposedRule>) -> Result<()> {
    let sql = format!(
        "SELECT metric_name, service_name, count(*) AS points, CAST(approx_percentile_cont(value, 0.95) AS DOUBLE) AS usual \
         FROM metrics WHERE time >= $from AND time < $to AND metric_name IN ({LAG_METRICS}) \
         GROUP BY metric_name, service_name ORDER BY points DESC, metric_name, service_name"
    );
    for batch in rows(session, &sql, range, OTHERS_MAX).await? {
        let (metric, service) = (Texts::of(&batch, "metric_name"), Texts::of(&batch, "service_name"));
        let (points, usual) = (Ints::of(&batch, "points"), doubles(&batch, "usual"));
        for row in 0..batch.num_rows() {
            let (metric, service) = (metric.text(row), service.text(row));
            let limit = (usual(row) * 3.0).max(100.0);
            rules.push(ProposedRule {
                id: id("lag", &[metric, service]),
                title: format!("Consumers fall behind: {metric} of {service}"),
                why: format!("{} points in the last day; 95 % of them below {:.0}", points.int(row), usual(row)),
                rule: format!(
                    "alert: ConsumerLag\ninterval: 1m\nsql: |\n  SELECT service_name AS service, coalesce(attr('topic'), \
                     attr('messaging.destination.name'), attr('destination')) AS queue,\n         coalesce(attr('group'), \
                     attr('messaging.consumer.group.name')) AS consumers, max(value) AS value\n  FROM metrics\n  \
                     WHERE time >= $from AND time < $to AND metric_name = {} AND service_name = {}\n  \
                     GROUP BY 1, 2, 3 HAVING avg(value) > {limit:.0}\nrange: 5m\nfor: 5m\nlabels:\n  severity: warning\n\
                     annotations:\n  summary: '{{{{ $value | humanize }}}} messages wait for {{{{ $labels.consumers }}}} in {{{{ $labels.queue }}}}'\n",
                    quoted(metric),
                    quoted(service)
                ),
            });
        }
    }
    Ok(())
}

/// More telemetry is rejected than usual; the built-in rule fires at the first item.
async fn refusals(session: &Session, range: TimeRange, rules: &mut Vec<ProposedRule>) -> Result<()> {
    let sql = format!(
        "SELECT CAST(sum(value) AS DOUBLE) AS items FROM metrics WHERE time >= $from AND time < $to AND \
         metric_name = '{REJECTED_ITEMS}' HAVING count(*) > 0"
    );
    for batch in rows(session, &sql, range, 1).await? {
        let items = doubles(&batch, "items");
        for row in 0..batch.num_rows() {
            let limit = (items(row) / TEN_MINUTES_OF_A_DAY * 3.0).max(10.0);
            rules.push(ProposedRule {
                id: "refusals".to_owned(),
                title: "More telemetry is rejected than usual".to_owned(),
                why: format!("{} items were rejected in the last day", items(row)),
                rule: format!(
                    "alert: IngestRefusals\ninterval: 1m\nsql: |\n  SELECT attr('signal') AS signal, attr('reason') AS reason, \
                     sum(value) AS value\n  FROM metrics\n  WHERE time >= $from AND time < $to AND metric_name = '{REJECTED_ITEMS}'\n  \
                     GROUP BY 1, 2 HAVING sum(value) > {limit:.0}\nrange: 10m\nkeep_firing_for: 5m\nlabels:\n  severity: warning\n\
                     annotations:\n  summary: '{{{{ $value }}}} items of {{{{ $labels.signal }}}} were rejected in ten minutes: {{{{ $labels.reason }}}}'\n"
                ),
            });
        }
    }
    Ok(())
}

/// Telemetry that stops coming.
fn silence() -> ProposedRule {
    ProposedRule {
        id: "telemetry-stops".to_owned(),
        title: "A service that sent spans sends none any more".to_owned(),
        why: "a service that is silent looks healthy on every other rule".to_owned(),
        rule: "alert: TelemetryStops\ninterval: 1m\nsql: |\n  SELECT service_name,\n         \
               CAST(to_unixtime(now()) - to_unixtime(max(start_time)) AS DOUBLE) AS value\n  FROM spans\n  \
               WHERE start_time >= $from AND start_time < $to\n  GROUP BY service_name\n  \
               HAVING count(*) >= 100 AND max(start_time) < now() - INTERVAL '10 minutes'\nrange: 1h\nlabels:\n  severity: warning\n\
               annotations:\n  summary: '{{ $labels.service_name }} has sent no spans for {{ $value | humanizeDuration }}'\n"
            .to_owned(),
    }
}

/// A name that is the same for the same things.
fn id(what: &str, of: &[&str]) -> String {
    format!("{what}-{:012x}", hash(&of.join("\n")) >> 16)
}

/// A text of SQL.
fn quoted(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("'{}'", line.replace('\'', "''"))
}

/// `poison_message` as `PoisonMessage`.
fn camel(name: &str) -> String {
    let word = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
    };
    name.split('_').map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::rule::read_single;

    /// What is proposed can be kept, whatever services are called.
    #[test]
    fn proposals_are_rules() {
        let edge =
            Edge { value: "1.0", having: "true".to_owned(), example: "max(failed_journey)", summary: "{{ $value }}" };
        let odd = "service:o'brien\n- x: {{";
        for text in [edge_rule("A", odd, "db:postgresql/orders", &edge), silence().rule] {
            read_single(&text, "x").unwrap_or_else(|wrong| panic!("{wrong}\n{text}"));
        }
        assert_eq!((camel("poison_message"), quoted("a'b")), ("PoisonMessage".to_owned(), "'a''b'".to_owned()));
        assert_eq!(id("slow", &["a", "b"]), id("slow", &["a", "b"]));
    }
}
