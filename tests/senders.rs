//! Nothing is lost on the way from real senders, gzip on and off, while the collector is started anew.
//!
//! | sender                         | what happens                                                                       |
//! |--------------------------------|------------------------------------------------------------------------------------|
//! | SDKs of Go, Rust and Java      | half is sent, the collector stops and starts, the rest is sent; no complaint        |
//! | telemetrygen                   | all three signals over both transports, counted and looked at                       |
//! | rotel, an OpenTelemetry Collector | take everything while we are down and deliver when we are back                    |
//!
//! rotel and the Collector, which takes minutes to build, are only in long runs (`make test-long`). What the SDKs send is looked
//! up field by field, by the ledger they print (`sdks.rs`). What cannot be installed is skipped, in the gate too: only long runs
//! need all of it.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value as Json;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::harness::way::Way;
use crate::harness::{Server, sql, tools, wait_for};
use crate::sdks::{self, FOREIGN, Protocol};

/// How long a sender may take for anything, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// A script that has sent half.
struct Sending {
    service: String,
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Sending {
    /// Starts a script of `tests/clients` and waits until it has sent half.
    async fn half(mut command: Command, arguments: [&str; 4]) -> Self {
        let service = arguments[2].to_owned();
        for variable in FOREIGN {
            command.env_remove(variable);
        }
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("the script can be started");
        let mut lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        let line = timeout(PATIENCE, lines.next_line()).await;
        let mut sending = Self { service, child, lines };
        match line {
            Ok(Ok(Some(line))) if line == "half" => sending,
            other => {
                let complaints = sending.complaints().await;
                panic!("{}: {other:?} instead of half: {complaints}", sending.service)
            }
        }
    }

    /// Lets it send the rest; answers its ledger.
    async fn rest(mut self) -> (String, Json) {
        let mut stdin = self.child.stdin.take().expect("stdin is piped");
        stdin.write_all(b"\n").await.expect("it waits for a line");
        drop(stdin);
        let line = timeout(PATIENCE, self.lines.next_line()).await;
        let complaints = self.complaints().await;
        let Ok(Ok(Some(line))) = line else { panic!("{}: {line:?} instead of a ledger: {complaints}", self.service) };
        let status = timeout(PATIENCE, self.child.wait()).await.expect("it ends").expect("it can be waited for");
        assert!(status.success(), "{}: {status}: {complaints}", self.service);
        assert_eq!(complaints, "", "{}: the SDK complained", self.service);
        (self.service, serde_json::from_str(&line).expect("the script prints its ledger"))
    }

    /// Everything on its stderr, to its end.
    async fn complaints(&mut self) -> String {
        let mut text = String::new();
        if let Some(stderr) = &mut self.child.stderr {
            let _ = timeout(PATIENCE, stderr.read_to_string(&mut text)).await;
        }
        text
    }
}

/// Sends with an SDK over each transport, compressed and plain, with a restart of the collector in the middle.
async fn over_a_restart(language: &str, protocols: &[Protocol], command: impl Fn() -> Command) {
    let server = Server::start();
    let (grpc, http) = (Way::to(&server.otlp_grpc).await, Way::to(&server.otlp_http).await);
    let mut sending = Vec::new();
    for protocol in protocols {
        let address = if matches!(protocol, Protocol::Grpc) { grpc.address } else { http.address };
        for compression in ["gzip", "plain"] {
            let service = format!("{language}-{}-{compression}", protocol.name());
            let arguments = [protocol.name(), &format!("http://{address}"), &service, compression];
            sending.push(Sending::half(command(), arguments).await);
        }
    }
    let (status, stopped) = server.stop(PATIENCE);
    assert!(status.success(), "{status}");
    let mut server = stopped.start();
    grpc.turn(&server.otlp_grpc);
    http.turn(&server.otlp_http);
    for sending in sending {
        let (service, ledger) = sending.rest().await;
        sdks::check(&server, &service, &ledger).await;
    }
    server.assert_alive();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_go_sdk() {
    let Some(send) = tools::welcome("the Go SDK", "go/send") else { return };
    over_a_restart("go", &[Protocol::Grpc, Protocol::HttpProtobuf], || Command::new(&send)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rust_sdk() {
    let Some(send) = tools::welcome("the Rust SDK", "rust/send") else { return };
    let protocols = [Protocol::Grpc, Protocol::HttpProtobuf, Protocol::HttpJson];
    over_a_restart("rust", &protocols, || Command::new(&send)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_java_sdk() {
    let Some(classes) = tools::welcome("the Java SDK", "java/classes") else { return };
    let Some(java) = tools::program("java", "-version") else { return };
    let class_path = format!("{}:{}/*", classes.display(), classes.with_file_name("jars").display());
    over_a_restart("java", &[Protocol::Grpc, Protocol::HttpProtobuf], || {
        let mut command = Command::new(&java);
        command.args(["-cp", &class_path, "Send"]);
        command
    })
    .await;
}

/// What `telemetrygen` is asked to make of each signal.
const N_TRACES: i64 = 30;
const N_CHILDREN: i64 = 3;
const N_RECORDS: i64 = 40;

#[tokio::test]
async fn telemetrygen() {
    let Some(program) = tools::welcome("telemetrygen", "go/telemetrygen") else { return };
    let mut server = Server::start();
    for transport in ["grpc", "http"] {
        let service = format!("telemetrygen-{transport}");
        let endpoint = if transport == "grpc" { &server.otlp_grpc } else { &server.otlp_http };
        let (traces, children, records) = (N_TRACES.to_string(), N_CHILDREN.to_string(), N_RECORDS.to_string());
        for arguments in [
            &["traces", "--traces", &traces, "--child-spans", &children, "--span-links", "1", "--status-code", "Error"]
                [..],
            &["metrics", "--metrics", &records, "--metric-type", "Sum", "--otlp-metric-name", "made.sum"],
            &["metrics", "--metrics", &records, "--metric-type", "Histogram", "--otlp-metric-name", "made.histogram"],
            &["logs", "--logs", &records, "--body", "äpfel <b>", "--severity-text", "Warn", "--severity-number", "13"],
        ] {
            let mut command = Command::new(&program);
            command.args(arguments).args(["--otlp-insecure", "--otlp-endpoint", endpoint, "--service", &service]);
            command.args(["--workers", "1", "--rate", "0", "--telemetry-attributes", r#"made.by="telemetrygen""#]);
            if transport == "http" {
                command.arg("--otlp-http");
            }
            for variable in FOREIGN {
                command.env_remove(variable);
            }
            let output = timeout(PATIENCE, command.output()).await.expect("it ends").expect("it can be started");
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{service} {arguments:?}: {said}");
            let complains = said.lines().any(|line| line.contains("\tERROR\t") || line.contains("\tWARN\t"));
            assert!(!complains, "{service} {arguments:?}: {said}");
        }
        check_made(&server, &service).await;
    }
    server.assert_alive();
}

async fn check_made(server: &Server, service: &str) {
    let text = format!(
        "SELECT count(*) AS spans, count(DISTINCT trace_id) AS traces, count(parent_span_id) AS children, \
         sum(CASE WHEN status_code = 2 THEN 1 ELSE 0 END) AS failed, sum(link_count) AS links, \
         sum(CASE WHEN attr('made.by') = 'telemetrygen' THEN 1 ELSE 0 END) AS marked FROM spans WHERE service_name = '{service}'"
    );
    let rows = sql::query(server, &text).await;
    let n_spans = N_TRACES * (N_CHILDREN + 1);
    let found = ["spans", "traces", "children", "failed", "links", "marked"].map(|column| rows.int(0, column));
    assert_eq!(found[..4], [n_spans, N_TRACES, N_TRACES * N_CHILDREN, n_spans], "{service}");
    assert!(found[4] > 0 && found[5] == n_spans, "{service}: {found:?}");
    let text = format!(
        "SELECT count(*) AS records, min(body) AS body, min(severity_number) AS severity, min(severity_text) AS word \
         FROM logs WHERE service_name = '{service}' AND attr('made.by') = 'telemetrygen'"
    );
    let rows = sql::query(server, &text).await;
    assert_eq!((rows.int(0, "records"), rows.int(0, "severity")), (N_RECORDS, 13), "{service}");
    assert_eq!((rows.text(0, "body"), rows.text(0, "word")), ("äpfel <b>", "Warn"), "{service}");
    for (table, name) in [("metrics", "made.sum"), ("histogram_points", "made.histogram")] {
        let text = format!(
            "SELECT count(*) AS points FROM {table} WHERE service_name = '{service}' AND metric_name = '{name}'"
        );
        assert_eq!(sql::query(server, &text).await.int(0, "points"), N_RECORDS, "{service}: {name}");
    }
    println!("telemetrygen: {service}: {n_spans} spans, {N_RECORDS} records and points of two kinds found");
}

/// Something that takes OTLP and gives it on, and what it says.
struct Forwarder {
    child: Child,
    log: PathBuf,
    grpc: String,
    http: String,
    _folder: TempDir,
}

impl Forwarder {
    /// Starts one that listens where it is told; tries other ports when somebody took those meanwhile.
    async fn start(what: &str, command: impl Fn(&str, &str, &TempDir) -> Command) -> Self {
        for _ in 0..5 {
            let folder = tempfile::tempdir().expect("a folder");
            let [grpc, http] = [tools::free_port(), tools::free_port()].map(|port| format!("127.0.0.1:{port}"));
            let log = folder.path().join("log.txt");
            let out = std::fs::File::create(&log).expect("the folder can be written to");
            let mut command = command(&grpc, &http, &folder);
            for variable in FOREIGN {
                command.env_remove(variable);
            }
            command.stdin(Stdio::null()).stdout(out.try_clone().expect("a handle")).stderr(out).kill_on_drop(true);
            let child = command.spawn().expect("the program can be started");
            let mut forwarder = Self { child, log, grpc, http, _folder: folder };
            if forwarder.listens().await {
                return forwarder;
            }
            println!("{what} ended, once more: {}", forwarder.said());
        }
        panic!("{what} does not start");
    }

    /// Waits until both of its ports are open; false when it has ended.
    async fn listens(&mut self) -> bool {
        for address in [&self.grpc, &self.http] {
            let begun = std::time::Instant::now();
            while TcpStream::connect(address).await.is_err() {
                if self.child.try_wait().expect("it can be waited for").is_some() {
                    return false;
                }
                assert!(begun.elapsed() < PATIENCE, "nobody listens on {address}: {}", self.said());
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        true
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

/// Everything that a forwarder took while the collector was down arrives when it is back, field by field.
async fn arrives(what: &str, forwarder: impl AsyncFn(&Way, &Way) -> Forwarder) {
    let Some(python) = tools::installed("the Python SDK", "python/bin/python") else { return };
    let server = Server::start();
    let (mut grpc, mut http) = (Way::to(&server.otlp_grpc).await, Way::to(&server.otlp_http).await);
    let forwarder = forwarder(&grpc, &http).await;
    let (status, stopped) = server.stop(PATIENCE);
    assert!(status.success(), "{status}");
    grpc.shut().await;
    http.shut().await;
    let mut sent = Vec::new();
    for (protocol, address) in [(Protocol::Grpc, &forwarder.grpc), (Protocol::HttpProtobuf, &forwarder.http)] {
        let mut command = std::process::Command::new(&python);
        command.arg(sdks::script("python/send.py"));
        let ledger = sdks::run(command, what, protocol, &format!("http://{address}"));
        sent.push((format!("{what}-{}", protocol.name()), ledger));
    }
    let mut server = stopped.start();
    grpc.open(&server.otlp_grpc).await;
    http.open(&server.otlp_http).await;
    for (service, ledger) in sent {
        let about = format!("everything of {service}; {what} said:\n{}", forwarder.said());
        wait_for(&about, PATIENCE, || arrived(&server, &service)).await;
        sdks::check(&server, &service, &ledger).await;
    }
    server.assert_alive();
}

/// Says when as many items are there as the script sends.
async fn arrived(server: &Server, service: &str) -> Option<()> {
    let text = format!(
        "SELECT (SELECT count(*) FROM spans WHERE service_name = '{service}') AS spans, \
         (SELECT count(*) FROM logs WHERE service_name = '{service}') AS logs, \
         (SELECT count(DISTINCT metric_name) FROM metrics WHERE service_name = '{service}') AS numbers, \
         (SELECT count(*) FROM histogram_points WHERE service_name = '{service}') AS histograms"
    );
    let rows = sql::query(server, &text).await;
    let found = ["spans", "logs", "numbers", "histograms"].map(|column| rows.int(0, column));
    (found[..3] == [40, 20, 2] && found[3] > 0).then_some(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotel_delivers_what_it_took_while_we_were_down() {
    if std::env::var_os("HODOSCOPE_LONG").is_none() {
        return;
    }
    let Some(python) = tools::welcome("rotel", "rotel/bin/python") else { return };
    let found = std::process::Command::new(python).args(["-c", "import rotel; print(rotel.__path__[0])"]).output();
    let folder = String::from_utf8(found.expect("python runs").stdout).expect("a path");
    let program = PathBuf::from(folder.trim()).join("rotel-agent");
    for (protocol, compression) in [("grpc", "gzip"), ("http", "none")] {
        let what = format!("rotel-{protocol}");
        arrives(&what, async |grpc: &Way, http: &Way| {
            let to = if protocol == "grpc" { grpc.address } else { http.address };
            Forwarder::start(&what, |grpc, http, _| {
                let mut command = Command::new(&program);
                command.args([
                    "start",
                    "--otlp-grpc-endpoint",
                    grpc,
                    "--otlp-http-endpoint",
                    http,
                    "--exporter",
                    "otlp",
                ]);
                command.args([
                    "--otlp-exporter-endpoint",
                    &format!("http://{to}"),
                    "--otlp-exporter-protocol",
                    protocol,
                ]);
                command.args(["--otlp-exporter-compression", compression, "--batch-timeout", "200ms"]);
                command.args(["--otlp-exporter-retry-initial-backoff", "200ms"]);
                command.args(["--otlp-exporter-retry-max-backoff", "1s"]);
                command.args(["--otlp-exporter-retry-max-elapsed-time", "300s"]);
                command
            })
            .await
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_delivers_what_it_took_while_we_were_down() {
    if std::env::var_os("HODOSCOPE_LONG").is_none() {
        return;
    }
    let Some(program) = tools::welcome("the OpenTelemetry Collector", "otelcol/otelcol") else { return };
    for (exporter, options) in [
        ("otlp", "tls: { insecure: true }, compression: gzip"),
        ("otlp", "tls: { insecure: true }, compression: none"),
        ("otlphttp", "compression: gzip"),
        ("otlphttp", "compression: none, encoding: json"),
    ] {
        let what = format!("otelcol-{exporter}-{}", options.len());
        arrives(&what, async |grpc: &Way, http: &Way| {
            let to = if exporter == "otlp" { grpc.address } else { http.address };
            Forwarder::start(&what, |grpc, http, folder| {
                let config = folder.path().join("config.yaml");
                std::fs::write(&config, collector_config(grpc, http, exporter, &format!("http://{to}"), options))
                    .expect("the folder can be written to");
                let mut command = Command::new(&program);
                command.arg("--config").arg(format!("file:{}", config.display()));
                command
            })
            .await
        })
        .await;
    }
}

/// Takes OTLP, makes batches, and tries for five minutes.
fn collector_config(grpc: &str, http: &str, exporter: &str, to: &str, options: &str) -> String {
    let to = if exporter == "otlp" { to.trim_start_matches("http://") } else { to };
    format!(
        "receivers: {{ otlp: {{ protocols: {{ grpc: {{ endpoint: '{grpc}' }}, http: {{ endpoint: '{http}' }} }} }} }}\n\
         processors: {{ batch: {{ timeout: 200ms }} }}\n\
         exporters: {{ {exporter}: {{ endpoint: '{to}', {options}, retry_on_failure: {{ initial_interval: 200ms, \
         max_interval: 1s, max_elapsed_time: 300s }} }} }}\n\
         service:\n  telemetry: {{ metrics: {{ level: none }} }}\n  pipelines:\n    \
         traces: {{ receivers: [otlp], processors: [batch], exporters: [{exporter}] }}\n    \
         metrics: {{ receivers: [otlp], processors: [batch], exporters: [{exporter}] }}\n    \
         logs: {{ receivers: [otlp], processors: [batch], exporters: [{exporter}] }}\n"
    )
}
