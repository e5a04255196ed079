//! A believable shop that sends telemetry to a running collector until it is told to stop.
//!
//! | file           | knows                                                                           |
//! |----------------|---------------------------------------------------------------------------------|
//! | `scenarios.rs` | the journeys of tests/fixtures/journeys, how often each happens                 |
//! | `journey.rs`   | one fresh copy of a scenario: new ids, new times, the same story                |
//! | `signals.rs`   | logs and metrics that belong to the spans of a journey                          |
//!
//! It is a client like any other: spans, logs and metrics travel over OTLP/gRPC. A batch that cannot be
//! sent is dropped, said, and the next one is tried after a pause.

mod journey;
mod scenarios;
mod signals;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio_util::sync::CancellationToken;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};

use scenarios::Scenario;
use signals::Shop;

/// Journeys sent at once, so that the page has something to show: spread over [`BACKLOG_SPAN`].
const BACKLOG_JOURNEYS: u32 = 48;
const BACKLOG_SPAN: Duration = Duration::from_secs(600);
/// Journeys are gathered this long before they are sent together.
const GATHER: Duration = Duration::from_millis(100);
/// How often metrics are sent, and how often a line is printed.
const METRICS_EVERY: Duration = Duration::from_secs(5);
const REPORT_EVERY: Duration = Duration::from_secs(10);
/// Pause after a failure.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// How long one export may take.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);

/// A key of the collector; never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretKey(String);

impl SecretKey {
    /// From its text.
    pub const fn new(text: String) -> Self {
        Self(text)
    }
}

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretKey(...)")
    }
}

/// Settings of the demo.
#[derive(Clone, Debug, PartialEq)]
pub struct DemoConfig {
    /// Where to send: the address of OTLP/gRPC, such as `http://127.0.0.1:4317`.
    pub endpoint: String,
    /// Journeys per second; each has 7 to 36 spans.
    pub rate: f64,
    /// The same seed gives the same journeys but for their times. By default every run differs.
    pub seed: Option<u64>,
    /// Key with the scope `ingest`, for a collector that asks for one.
    pub key: Option<SecretKey>,
}

impl Default for DemoConfig {
    fn default() -> Self {
        Self { endpoint: "http://127.0.0.1:4317".to_owned(), rate: 2.0, seed: None, key: None }
    }
}

/// Why the demo cannot run at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DemoError {
    /// The endpoint is no address.
    #[error("cannot send to {endpoint:?}: it must look like http://127.0.0.1:4317")]
    Endpoint {
        /// What was asked for.
        endpoint: String,
    },
    /// The rate is no rate.
    #[error("the rate must be more than 0 and at most 10000 journeys per second, not {rate}")]
    Rate {
        /// What was asked for.
        rate: f64,
    },
    /// The key cannot be sent.
    #[error("the key holds characters that no header can carry: a key begins with hod_ and has no spaces")]
    Key,
    /// A scenario cannot be read: the program was built from damaged files.
    #[error("scenario {name} cannot be read: {detail}")]
    Scenario {
        /// Which.
        name: &'static str,
        /// What is wrong.
        detail: String,
    },
}

/// What was sent since the last report.
#[derive(Debug, Default)]
struct Sent {
    journeys: u64,
    spans: u64,
    log_records: u64,
    data_points: u64,
    failed: u64,
}

/// Sends journeys until stopped. `say` gets a line at the start, every ten seconds, and when something fails.
///
/// The first request carries journeys of the last ten minutes; it is sent again until it is taken.
///
/// # Errors
/// [`DemoError`] when it cannot begin. A collector that is not there is no error: it is said, and tried again.
pub async fn run(config: DemoConfig, stop: CancellationToken, mut say: impl FnMut(&str)) -> Result<(), DemoError> {
    if !(config.rate > 0.0 && config.rate <= 10_000.0) {
        return Err(DemoError::Rate { rate: config.rate });
    }
    let scenarios = scenarios::all()?;
    let mut client = Client::new(&config.endpoint, config.key.as_ref())?;
    let mut rng = config.seed.map_or_else(StdRng::from_os_rng, StdRng::seed_from_u64);
    let mut shop = Shop::new(now_unix_nanos());
    let mut sent = Sent::default();

    let mut gather = tokio::time::interval(GATHER.max(Duration::from_secs_f64(1.0 / config.rate)));
    gather.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    // After the first journeys, which they are about.
    let mut metrics = tokio::time::interval_at(tokio::time::Instant::now() + GATHER, METRICS_EVERY);
    metrics.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut report = tokio::time::interval_at(tokio::time::Instant::now() + REPORT_EVERY, REPORT_EVERY);
    let mut due = 0.0;
    let mut ends_before_now = backlog(&scenarios);
    let names: Vec<&str> = scenarios.iter().map(|scenario| scenario.name).collect();
    say(&format!("sending {} journeys per second to {}: {}", config.rate, config.endpoint, names.join(", ")));
    loop {
        if stop.is_cancelled() {
            return Ok(());
        }
        // Whoever is due has the same chance: where a batch takes longer than the pause between two, journeys are always due.
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = report.tick() => say(&sent.take_line()),
            _ = gather.tick() => {
                due += config.rate * gather.period().as_secs_f64();
                // A pause (a suspended laptop) does not become a flood.
                due = due.min(config.rate.max(1.0) + 1.0);
                let now = now_unix_nanos();
                let ends: Vec<(usize, Duration)> = if ends_before_now.is_empty() {
                    let n_due = due as usize;
                    due -= n_due as f64;
                    (0..n_due).map(|_| (scenarios::pick(&scenarios, &mut rng), Duration::ZERO)).collect()
                } else {
                    ends_before_now.clone()
                };
                let mut request = ExportTraceServiceRequest::default();
                for (scenario, before_now) in &ends {
                    let end = now.saturating_sub(before_now.as_nanos() as u64);
                    request.resource_spans.extend(journey::fresh(&scenarios[*scenario], end, &mut rng));
                }
                let result = send_journeys(&mut client, &mut shop, request, &mut sent).await;
                if result.is_ok() {
                    sent.journeys += ends.len() as u64;
                    ends_before_now.clear();
                }
                settle(result, &config.endpoint, &mut sent, &mut say, &stop).await;
            }
            _ = metrics.tick() => {
                let request = shop.metrics(now_unix_nanos(), &mut rng);
                let n_points = signals::n_points(&request);
                let result = client.metrics.export(request).await.map(|_| sent.data_points += n_points);
                settle(result, &config.endpoint, &mut sent, &mut say, &stop).await;
            }
        }
    }
}

/// Which scenarios are sent at once, and how long before now each of them ended: as often as they happen later, in turns, so that
/// what is usual at the beginning is so afterwards; every one at least once.
fn backlog(scenarios: &[Scenario]) -> Vec<(usize, Duration)> {
    let total: i64 = scenarios.iter().map(|scenario| i64::from(scenario.weight)).sum();
    // Each turn all earn their weight, and the richest pays for all.
    let mut earned = vec![0i64; scenarios.len()];
    let mut next = || {
        earned.iter_mut().zip(scenarios).for_each(|(earned, scenario)| *earned += i64::from(scenario.weight));
        let richest = (0..earned.len()).rev().max_by_key(|index| earned[*index]).unwrap_or(0);
        if let Some(earned) = earned.get_mut(richest) {
            *earned -= total;
        }
        richest
    };
    (0..BACKLOG_JOURNEYS).map(|n| (next(), BACKLOG_SPAN * n / BACKLOG_JOURNEYS)).collect()
}

/// Sends spans, then the logs that belong to them.
async fn send_journeys(
    client: &mut Client,
    shop: &mut Shop,
    request: ExportTraceServiceRequest,
    sent: &mut Sent,
) -> Result<(), tonic::Status> {
    if request.resource_spans.is_empty() {
        return Ok(());
    }
    let n_spans = journey::spans(&request).count() as u64;
    let logs = shop.observe(&request);
    let n_records = signals::n_records(&logs);
    client.traces.export(request).await?;
    sent.spans += n_spans;
    client.logs.export(logs).await?;
    sent.log_records += n_records;
    Ok(())
}

/// Says what failed and waits a little.
async fn settle(
    result: Result<(), tonic::Status>,
    endpoint: &str,
    sent: &mut Sent,
    say: &mut impl FnMut(&str),
    stop: &CancellationToken,
) {
    let Err(status) = result else { return };
    sent.failed += 1;
    let advice = match status.code() {
        tonic::Code::Unavailable if std::error::Error::source(&status).is_some() => {
            "is the collector running? Start it with `hodoscope`, or name its OTLP/gRPC address with --endpoint"
        }
        tonic::Code::Unauthenticated | tonic::Code::PermissionDenied => {
            "give it a key of the scope ingest with --key or HODOSCOPE_KEY; `hodoscope keys create` makes one"
        }
        _ => "the collector refused the batch",
    };
    say(&format!(
        "cannot send to {endpoint}: {} ({advice}); trying again in {} s",
        cause(&status),
        RETRY_AFTER.as_secs()
    ));
    tokio::select! {
        () = stop.cancelled() => {}
        () = tokio::time::sleep(RETRY_AFTER) => {}
    }
}

/// The innermost reason, which is the one that helps: "Connection refused".
fn cause(status: &tonic::Status) -> String {
    let mut error: &dyn std::error::Error = status;
    while let Some(source) = error.source() {
        error = source;
    }
    if std::ptr::addr_eq(error, status) { status.message().to_owned() } else { error.to_string() }
}

impl Sent {
    /// The line for people; counting starts over.
    fn take_line(&mut self) -> String {
        let Self { journeys, spans, log_records, data_points, failed } = std::mem::take(self);
        let failed = if failed == 0 { String::new() } else { format!(", {failed} batches failed") };
        format!(
            "sent in {} s: {journeys} journeys, {spans} spans, {log_records} log records, {data_points} data points{failed}",
            REPORT_EVERY.as_secs()
        )
    }
}

/// One connection for all signals; it connects when first used, and again whenever it broke.
#[derive(Debug)]
struct Client {
    traces: TraceServiceClient<Keyed>,
    logs: LogsServiceClient<Keyed>,
    metrics: MetricsServiceClient<Keyed>,
}

type Keyed = InterceptedService<Channel, Bearer>;

/// Puts the key into each request, when there is one.
#[derive(Clone, Debug)]
struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: tonic::Request<()>) -> Result<tonic::Request<()>, tonic::Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

impl Bearer {
    fn new(key: Option<&SecretKey>) -> Result<Self, DemoError> {
        let Some(SecretKey(key)) = key else { return Ok(Self(None)) };
        let mut value: MetadataValue<Ascii> = format!("Bearer {}", key.trim()).parse().map_err(|_| DemoError::Key)?;
        value.set_sensitive(true);
        Ok(Self(Some(value)))
    }
}

impl Client {
    fn new(endpoint: &str, key: Option<&SecretKey>) -> Result<Self, DemoError> {
        let no_address = || DemoError::Endpoint { endpoint: endpoint.to_owned() };
        let address = Endpoint::from_shared(endpoint.to_owned()).map_err(|_| no_address())?;
        if address.uri().scheme_str() != Some("http") || address.uri().port_u16().is_none() {
            return Err(no_address());
        }
        let channel = address.timeout(EXPORT_TIMEOUT).connect_timeout(EXPORT_TIMEOUT).connect_lazy();
        let key = Bearer::new(key)?;
        Ok(Self {
            traces: TraceServiceClient::with_interceptor(channel.clone(), key.clone()),
            logs: LogsServiceClient::with_interceptor(channel.clone(), key.clone()),
            metrics: MetricsServiceClient::with_interceptor(channel, key),
        })
    }
}

#[expect(clippy::disallowed_methods, reason = "a client lives in the world's time, as any SDK does")]
fn now_unix_nanos() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
