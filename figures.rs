//! The rooms' figures in two forms: the answer of `/api/status` and the OpenMetrics text of `/metrics`.
//!
//! Each room counts for itself and says what its numbers mean; here they are only put side by side.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use api::{DigestStatus, IngestStatus, Limits, MaintenanceStatus, QueryStatus, StatusAnswer, StorageStatus};
use collector::metrics::{FAMILIES, Metrics, Snapshot as Ingest};
use model::UnixNanos;
use query::http::Sources;
use query::{Engine, Figured, Kept};
use storage::{Clock as _, Maintainer, Reader, SystemClock};
use tokio_util::sync::CancellationToken;

use crate::config::Config;

/// What the API tells about the rest of the process. Not ready as soon as it is told to stop.
pub(crate) fn sources(
    config: &Config,
    (otlp_grpc, otlp_http): (SocketAddr, SocketAddr),
    ingest: Arc<Metrics>,
    storage: Reader,
    (digest, engine): (Figured, &Engine),
    (maintainer, kept): (Maintainer, Arc<Kept>),
    stop: CancellationToken,
) -> Sources {
    let fixed = Fixed { config: config.clone(), otlp_grpc, otlp_http, started: SystemClock.now() };
    let (counts, reader, digested) = (Arc::clone(&ingest), storage.clone(), digest.clone());
    let (asked, engine) = (engine.clone(), engine.clone());
    Sources {
        status: Arc::new(move || {
            status(&fixed, &counts.snapshot(), reader.status(), (digested.status(), asked.load()))
        }),
        metrics: Arc::new(move || {
            open_metrics(&ingest.snapshot(), &storage.status(), &digest.status(), &engine.load())
        }),
        maintainer,
        alerts: None,
        kept,
        ready: Arc::new(move || if stop.is_cancelled() { Err("the collector is stopping".to_owned()) } else { Ok(()) }),
    }
}

/// What does not change while the process runs.
struct Fixed {
    config: Config,
    otlp_grpc: SocketAddr,
    otlp_http: SocketAddr,
    started: UnixNanos,
}

/// The answer of `/api/status`.
fn status(
    fixed: &Fixed,
    ingest: &Ingest,
    storage: storage::Status,
    (digest, queries): (DigestStatus, QueryStatus),
) -> StatusAnswer {
    let config = &fixed.config;
    StatusAnswer {
        is_reduced: false,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_unix_nano: fixed.started.0.to_string(),
        otlp_grpc: fixed.otlp_grpc.to_string(),
        otlp_http: fixed.otlp_http.to_string(),
        durability: "sync".to_owned(),
        ingest: IngestStatus {
            accepted: ingest.accepted.iter().map(|(signal, n)| (signal.as_str().to_owned(), *n)).collect(),
            rejected: pairs(ingest.rejected.iter().map(|(signal, reason, n)| (signal.as_str(), reason.as_str(), *n))),
            repaired: pairs(ingest.repaired.iter().map(|(signal, repair, n)| (signal.as_str(), *repair, *n))),
            requests: pairs(ingest.requests.iter().map(|(by, answer, n)| (by.as_str(), answer.as_str(), *n))),
            redaction: config.collector.redaction.in_words(),
        },
        storage: StorageStatus {
            data: config.storage.data.display().to_string(),
            append_queue_bytes: storage.append_queue_bytes,
            buffer_bytes: storage.buffer_bytes,
            buffer_rows: storage.buffer_rows,
            wal_bytes: storage.wal_bytes,
            segments: storage.segments,
            segment_bytes: storage.segment_bytes,
            segment_rows: storage.segment_rows,
            disk_free_bytes: storage.disk_free_bytes,
            disk_days_left: storage.disk_days_left,
            refusing: storage.refusing,
            replaying: storage.replaying,
            retention_days: config.storage.retention_days,
            segments_by_level: storage.segments_by_level,
            maintenance: MaintenanceStatus {
                merge_backlog_segments: storage.maintenance.merge_backlog_segments,
                merges_waiting: storage.maintenance.merges_waiting,
                merges: storage.counts.merges,
                merges_refused: storage.counts.merges_refused,
                last_merge_unix_nano: storage.maintenance.last_merge.map(|moment| moment.0.to_string()),
                last_retention_unix_nano: storage.maintenance.last_retention.map(|moment| moment.0.to_string()),
                expired_segments: storage.counts.expired_segments,
                last_vacuum_unix_nano: storage.maintenance.last_vacuum.map(|moment| moment.0.to_string()),
                vacuumed_files: storage.counts.vacuumed_files,
                erasures: storage.maintenance.erasures,
                erased_rows: storage.counts.erased_rows,
            },
        },
        digest,
        queries,
        limits: Limits {
            otlp_request_bytes: config.collector.request_bytes_max,
            otlp_in_flight_bytes: config.collector.in_flight_bytes_max,
            tenant_bytes_per_second: config.collector.tenant_bytes_per_s,
            tenant_items_per_second: config.collector.tenant_items_per_s,
            tenant_series: config.collector.tenant_series_max,
            query_seconds: config.query.seconds_max,
            query_memory_bytes: config.query.memory_bytes_max,
            query_rows: config.query.rows_max,
        },
    }
}

/// Counts by `first/second`.
fn pairs<'a>(counts: impl Iterator<Item = (&'a str, &'a str, u64)>) -> BTreeMap<String, u64> {
    counts.map(|(first, second, n)| (format!("{first}/{second}"), n)).collect()
}

/// The text of `/metrics`, in OpenMetrics 1.0. Labels come from closed sets of the rooms.
fn open_metrics(ingest: &Ingest, storage: &storage::Status, digest: &DigestStatus, queries: &QueryStatus) -> String {
    let mut page = Page::default();
    for family in FAMILIES {
        page.family(family.name, if family.is_counter { "counter" } else { "gauge" }, family.help);
        for sample in ingest.samples().iter().filter(|sample| sample.family == *family) {
            page.sample(family.name, if family.is_counter { "_total" } else { "" }, &sample.labels, sample.value);
        }
    }
    for (name, help, n) in storage.counts.named() {
        let name = name.trim_end_matches("_total");
        page.family(name, "counter", help);
        page.sample(name, "_total", &[], n);
    }
    for (name, help, n) in [
        ("digest_batches", "Batches of settled traces written.", digest.batches),
        ("digest_traces", "Traces written at rest.", digest.traces),
        ("digest_spans", "Spans of those traces.", digest.spans),
        ("digest_late_traces", "Traces written again because more of their spans came.", digest.late_traces),
        ("digest_early_traces", "Traces written before they had settled.", digest.early_traces),
        ("digest_unchecked_traces", "Traces taken for new ones unchecked.", digest.unchecked_traces),
        ("digest_left_out_spans", "Spans of too large traces that were not looked at.", digest.left_out_spans),
        ("digest_gaps", "Times that spans were read again because they came too fast.", digest.gaps),
        ("digest_failures", "Attempts that failed and were repeated.", digest.failures),
    ] {
        page.family(name, "counter", help);
        page.sample(name, "_total", &[], n);
    }
    for (name, help, n) in [
        (
            "digest_behind_milliseconds",
            "How much later than settled spans are at rest.",
            (digest.behind_seconds * 1e3) as u64,
        ),
        ("digest_open_traces", "Traces that have not settled.", digest.open_traces),
        ("digest_open_spans", "Spans of those traces.", digest.open_spans),
        ("digest_memory_bytes", "Memory of those traces.", digest.memory_bytes),
        ("queries_running", "Questions being answered.", queries.running),
        ("queries_waiting", "Questions that wait for a place.", queries.waiting),
        ("query_memory_bytes", "Memory of sorts, joins and groups of questions.", queries.memory_bytes),
        ("storage_append_queue_bytes", "Bytes waiting to be written to the WAL.", storage.append_queue_bytes),
        ("storage_buffer_bytes", "Bytes in the write buffer.", storage.buffer_bytes),
        ("storage_buffer_rows", "Rows in the write buffer.", storage.buffer_rows),
        ("storage_wal_bytes", "Bytes in WAL files.", storage.wal_bytes),
        ("storage_segments", "Live segments.", storage.segments),
        ("storage_segment_bytes", "Bytes of live segments.", storage.segment_bytes),
        ("storage_segment_rows", "Rows of live segments.", storage.segment_rows),
        ("storage_refusing", "1 while writes are refused.", u64::from(storage.refusing.is_some())),
        ("storage_replaying", "1 while old WAL files are being replayed.", u64::from(storage.replaying)),
    ] {
        page.family(name, "gauge", help);
        page.sample(name, "", &[], n);
    }
    page.family("storage_segments_of_level", "gauge", "Live segments by how often their rows were merged.");
    for (level, n) in ["0", "1", "2"].into_iter().zip(storage.segments_by_level) {
        page.sample("storage_segments_of_level", "", &[("level", level)], n);
    }
    let maintenance = &storage.maintenance;
    let seconds = |moment: Option<UnixNanos>| {
        moment.map(|moment| u64::try_from(moment.0.div_euclid(UnixNanos::SECOND)).unwrap_or_default())
    };
    for (name, help, n) in [
        ("storage_merge_backlog_segments", "Segments that wait to be merged.", maintenance.merge_backlog_segments),
        ("storage_merges_waiting", "1 while due merges are not made.", u64::from(maintenance.merges_waiting.is_some())),
        ("storage_erasures", "Erasures that are hidden and not rewritten yet.", maintenance.erasures),
    ] {
        page.family(name, "gauge", help);
        page.sample(name, "", &[], n);
    }
    for (name, help, n) in [
        (
            "storage_last_merge_seconds",
            "When the last merge was committed, since 1970.",
            seconds(maintenance.last_merge),
        ),
        (
            "storage_last_retention_seconds",
            "When retention last looked, since 1970.",
            seconds(maintenance.last_retention),
        ),
        ("storage_last_vacuum_seconds", "When vacuum last looked, since 1970.", seconds(maintenance.last_vacuum)),
        ("storage_disk_free_bytes", "Free bytes on the disk of the data directory.", storage.disk_free_bytes),
        ("process_resident_memory_bytes", "Memory of the process.", resident_memory_bytes()),
    ] {
        if let Some(n) = n {
            page.family(name, "gauge", help);
            page.sample(name, "", &[], n);
        }
    }
    page.text.push_str("# EOF\n");
    page.text
}

#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.text, "# TYPE hodoscope_{name} {kind}\n# HELP hodoscope_{name} {help}");
    }

    fn sample(&mut self, name: &str, suffix: &str, labels: &[(&str, &str)], value: u64) {
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.text, "hodoscope_{name}{suffix}{labels} {value}");
    }
}

/// Memory of this process that is in RAM, as Linux tells it; `None` elsewhere.
fn resident_memory_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// OpenMetrics 1.0: a family is declared once, before its samples; a counter's samples end in `_total`; the text
    /// ends with its mark.
    #[test]
    fn metrics_are_open_metrics() {
        let (ingest, digest) = (Metrics::default().snapshot(), DigestStatus::default());
        let text = open_metrics(&ingest, &storage::Status::default(), &digest, &QueryStatus::default());
        let (mut declared, mut family, mut kind) = (HashSet::new(), String::new(), String::new());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.last(), Some(&"# EOF"));
        for line in &lines[..lines.len() - 1] {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, of) = rest.split_once(' ').expect("a name and a type");
                assert!(declared.insert(name.to_owned()), "{name} is declared twice");
                assert!(name.starts_with("hodoscope_") && !name.ends_with("_total"), "{name}");
                (family, kind) = (name.to_owned(), of.to_owned());
            } else if let Some(rest) = line.strip_prefix("# HELP ") {
                assert!(rest.starts_with(&family), "{line}");
            } else {
                let (series, value) = line.rsplit_once(' ').expect("a series and its value");
                let suffix = series.split('{').next().and_then(|name| name.strip_prefix(&family));
                assert_eq!(suffix, Some(if kind == "counter" { "_total" } else { "" }), "{line}");
                value.parse::<u64>().expect("a number");
            }
        }
        assert!(declared.contains("hodoscope_otlp_accepted_items") && declared.contains("hodoscope_storage_wal_syncs"));
    }

    /// What was counted stands under `signal/reason`, as the API promises.
    #[test]
    fn counts_are_named_by_two_words() {
        let counts = pairs([("traces", "too_old", 2), ("logs", "too_old", 1)].into_iter());
        assert_eq!(
            counts.into_iter().collect::<Vec<_>>(),
            [("logs/too_old".to_owned(), 1), ("traces/too_old".to_owned(), 2)]
        );
    }
}
