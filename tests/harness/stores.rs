//! Servers of object stores (installed by `tests/setup.sh`) and, in front of each, a proxy that makes faults by script.
//!
//! | store                | answered by                                                                               |
//! |----------------------|-------------------------------------------------------------------------------------------|
//! | S3                   | moto                                                                                      |
//! | Google Cloud Storage | moto as well: its XML API is S3's with other names of headers, which the proxy translates  |
//! | Azure Blob Storage   | Azurite, which comes from Azure's makers                                                  |
//!
//! No server of Google's XML API that keeps preconditions can be installed from a registry: fake-gcs-server (1.56) has
//! neither `x-goog-if-generation-match` nor multipart uploads there. What stands here proves our client's half: which requests
//! it makes, and that it goes by their answers.
//!
//! moto was chosen over the Rust crates `s3s` and `s3s-fs`: it answers `If-None-Match: *` with 412, knows multipart,
//! ranges, list-type=2 and bulk deletes, and 320 racing conditional PUTs had one winner each; the crates would bring
//! 140,000 generated lines into every build of the tests. It keeps objects in memory and checks no signatures: refused
//! credentials and clocks come from the proxy.

use std::collections::VecDeque;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::tools;

/// Bucket of the tests.
pub const BUCKET: &str = "telemetry";

/// Whose interface a store speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `s3://`
    S3,
    /// `gs://`
    Google,
    /// `az://`
    Azure,
}

/// What the proxy does to a request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Answers this status with an S3 error code; the request does not arrive.
    Status(u16, &'static str),
    /// Forwards the request and cuts the connection instead of answering.
    AnswerLost,
    /// Cuts the connection in the middle of the request's body; what arrived so far does not arrive.
    RequestCut,
    /// Cuts the connection in the middle of the answer.
    AnswerCut,
    /// Waits, then goes on.
    Delay(Duration),
}

/// Which requests a rule is about, and what happens to them.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Part of the request line, such as `PUT /telemetry/p/_wal/`; empty for all.
    pub to: String,
    /// The fault.
    pub fault: Fault,
    /// One in so many requests; 1 for every one.
    pub one_in: u32,
    /// How often at most; `u32::MAX` for without end.
    pub times: u32,
}

/// Rules and what the proxy has seen.
#[derive(Debug, Default)]
struct Script {
    rules: VecDeque<Rule>,
    /// Requests are Google's.
    is_google: bool,
    seen: u32,
    faults: u32,
    put_millis: Vec<f64>,
    /// Objects that were to be created and were there already.
    refused_creations: u32,
    /// Bytes of each answer to a GET of a segment.
    segment_reads: Vec<usize>,
}

/// A server with a proxy before it. Ends when dropped.
#[derive(Debug)]
pub struct Store {
    kind: Kind,
    server: Child,
    script: Arc<Mutex<Script>>,
    /// Where the proxy listens.
    pub endpoint: String,
    proxy: tokio::task::JoinHandle<()>,
}

impl Drop for Store {
    fn drop(&mut self) {
        self.proxy.abort();
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Store {
    /// Starts both and makes [`BUCKET`]; `None` when the server is not installed.
    pub async fn start(kind: Kind) -> Option<Self> {
        let port = tools::free_port();
        let mut command = match kind {
            Kind::S3 | Kind::Google => {
                let mut command = Command::new(tools::installed("an S3 server", "s3/bin/moto_server")?);
                command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
                command
            }
            Kind::Azure => {
                let modules = tools::welcome("Azurite, a server of Azure Blob Storage", "azure/node_modules/azurite")?;
                let mut command = Command::new("node");
                command.arg(tools::source("tests/clients/azure/serve.js")).args([&port.to_string(), BUCKET]);
                command.env("NODE_PATH", modules.parent().expect("it lies in node_modules"));
                command
            }
        };
        let null = (Stdio::null(), Stdio::null(), Stdio::null());
        let server = command.stdin(null.0).stdout(null.1).stderr(null.2).spawn().expect("the server starts");
        let upstream = format!("127.0.0.1:{port}");
        let script = Script { is_google: kind == Kind::Google, ..Script::default() };
        let script = Arc::new(Mutex::new(script));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("bound"));
        let proxy = tokio::spawn(serve(listener, upstream, Arc::clone(&script)));
        let store = Self { kind, server, script, endpoint, proxy };
        super::wait_for("the server of the store", Duration::from_secs(180), async || {
            let client = reqwest::Client::new();
            let asked = match kind {
                Kind::S3 | Kind::Google => client.put(format!("{}/{BUCKET}", store.endpoint)),
                // It makes its container itself, before it says that everything may be read there: requests want to be signed.
                Kind::Azure => {
                    client.get(format!("{}/devstoreaccount1/{BUCKET}?restype=container&comp=list", store.endpoint))
                }
            };
            asked.send().await.ok()?.status().is_success().then_some(())
        })
        .await;
        Some(store)
    }

    /// What `--data` takes for a prefix of [`BUCKET`].
    pub fn url(&self, prefix: &str) -> String {
        let scheme = match self.kind {
            Kind::S3 => "s3",
            Kind::Google => "gs",
            Kind::Azure => "az",
        };
        format!("{scheme}://{BUCKET}/{prefix}")
    }

    /// Environment of a collector that uses it; the endpoint comes first.
    pub fn environment(&self) -> Vec<(String, String)> {
        let endpoint = self.endpoint.as_str();
        let variables = match self.kind {
            Kind::S3 => vec![
                ("AWS_ENDPOINT_URL", endpoint),
                ("AWS_ACCESS_KEY_ID", "test"),
                ("AWS_SECRET_ACCESS_KEY", "test"),
                ("AWS_REGION", "us-east-1"),
            ],
            Kind::Google => vec![
                ("GOOGLE_BASE_URL", endpoint),
                (
                    "GOOGLE_SERVICE_ACCOUNT_KEY",
                    r#"{"private_key":"","private_key_id":"","client_email":"","disable_oauth":true}"#,
                ),
            ],
            Kind::Azure => vec![("AZURITE_BLOB_STORAGE_URL", endpoint), ("AZURE_STORAGE_USE_EMULATOR", "true")],
        };
        variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// Adds a rule; the first that fits a request applies.
    pub fn rule(&self, to: &str, fault: Fault, one_in: u32, times: u32) {
        self.script().rules.push_back(Rule { to: to.to_owned(), fault, one_in, times });
    }

    /// Takes all rules away; answers how many faults there were.
    pub fn heal(&self) -> u32 {
        let mut script = self.script();
        script.rules.clear();
        std::mem::take(&mut script.faults)
    }

    /// How often something was to be created that was there already, since the start.
    pub fn refused_creations(&self) -> u32 {
        self.script().refused_creations
    }

    /// Faults since they were last counted by [`Self::heal`].
    pub fn faults(&self) -> u32 {
        self.script().faults
    }

    /// How long the PUTs of WAL objects took at the server since the last call, in milliseconds.
    pub fn put_millis(&self) -> Vec<f64> {
        std::mem::take(&mut self.script().put_millis)
    }

    /// Bytes of each answer to a GET of a segment since the last call.
    pub fn segment_reads(&self) -> Vec<usize> {
        std::mem::take(&mut self.script().segment_reads)
    }

    /// Names in the bucket that begin with this.
    pub async fn names(&self, prefix: &str) -> Vec<String> {
        let url = format!("{}/{BUCKET}?list-type=2&max-keys=1000&prefix={prefix}", self.endpoint);
        let text = reqwest::get(url).await.expect("an answer").text().await.expect("a body");
        text.split("<Key>").skip(1).filter_map(|rest| Some(rest.split_once("</Key>")?.0.to_owned())).collect()
    }

    fn script(&self) -> std::sync::MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Script {
    /// What happens to this request.
    fn fault(&mut self, request: &str) -> Option<Fault> {
        self.seen = self.seen.wrapping_add(1);
        let seen = self.seen;
        let fits = |rule: &&mut Rule| rule.times > 0 && request.contains(&rule.to) && seen.is_multiple_of(rule.one_in);
        let rule = self.rules.iter_mut().find(fits)?;
        if rule.times != u32::MAX {
            rule.times -= 1;
        }
        self.faults += 1;
        Some(rule.fault.clone())
    }
}

async fn serve(listener: TcpListener, upstream: String, script: Arc<Mutex<Script>>) {
    while let Ok((peer, _)) = listener.accept().await {
        let (upstream, script) = (upstream.clone(), Arc::clone(&script));
        tokio::spawn(async move {
            // A connection that breaks is the point of it.
            let _ = one_request(peer, &upstream, &script).await;
        });
    }
}

/// One request per connection, in both directions: simple, and each fault meets one request.
async fn one_request(mut peer: TcpStream, upstream: &str, script: &Mutex<Script>) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if peer.read_buf(&mut bytes).await? == 0 {
            return Ok(());
        }
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]).into_owned();
    let request_line = head.lines().next().unwrap_or_default().to_owned();
    let header = |name: &str| {
        head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    };
    let n_body: usize = header("content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
    let fault = script.lock().unwrap_or_else(PoisonError::into_inner).fault(&request_line);
    if let Some(Fault::RequestCut) = fault {
        while bytes.len() < head_end + n_body / 2 && peer.read_buf(&mut bytes).await? > 0 {}
        return Ok(());
    }
    if header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
        peer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    while bytes.len() < head_end + n_body {
        if peer.read_buf(&mut bytes).await? == 0 {
            return Ok(());
        }
    }
    match fault {
        Some(Fault::Status(status, code)) => {
            let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>by script</Message></Error>");
            let body = if request_line.starts_with("HEAD") { String::new() } else { body };
            let answer = format!(
                "HTTP/1.1 {status} X\r\ncontent-type: application/xml\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            peer.write_all(answer.as_bytes()).await?;
            return peer.shutdown().await;
        }
        Some(Fault::Delay(pause)) => tokio::time::sleep(pause).await,
        _ => {}
    }
    let begun = std::time::Instant::now();
    let mut server = TcpStream::connect(upstream).await?;
    // The server is to close the connection after its answer, so that its end is the answer's end.
    let (first, rest) = head.split_once("\r\n").unwrap_or((&head, ""));
    let is_kept = |line: &&str| !line.is_empty() && !["connection:", "expect:"].iter().any(|name| begins(line, name));
    let translate = |line| if begins(line, "x-goog-if-generation-match: 0") { "if-none-match: *" } else { line };
    let mut rest: Vec<&str> = rest.split("\r\n").filter(is_kept).map(translate).collect();
    if script.lock().unwrap_or_else(PoisonError::into_inner).is_google {
        // Whoever does not sign may not do much, and how Google's users sign moto does not know.
        rest.retain(|line| !begins(line, "authorization:"));
        rest.push("authorization: AWS test:test");
    }
    let asked = format!("{first}\r\n{}\r\nconnection: close\r\n\r\n", rest.join("\r\n"));
    server.write_all(asked.as_bytes()).await?;
    server.write_all(&bytes[head_end..]).await?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).await?;
    let is_refused = [&b"HTTP/1.1 412"[..], b"HTTP/1.1 409"].iter().any(|status| answer.starts_with(status));
    if is_refused && rest.iter().any(|line| line.eq_ignore_ascii_case("if-none-match: *")) {
        script.lock().unwrap_or_else(PoisonError::into_inner).refused_creations += 1;
    }
    if first.starts_with("PUT") && first.contains("/_wal/") {
        let millis = begun.elapsed().as_secs_f64() * 1e3;
        script.lock().unwrap_or_else(PoisonError::into_inner).put_millis.push(millis);
    }
    if first.starts_with("GET") && first.contains(".parquet") {
        script.lock().unwrap_or_else(PoisonError::into_inner).segment_reads.push(answer.len());
    }
    match fault {
        Some(Fault::AnswerLost) => return Ok(()),
        Some(Fault::AnswerCut) => {
            peer.write_all(&answer[..answer.len() / 2]).await?;
            return Ok(());
        }
        _ => {}
    }
    peer.write_all(&answer).await?;
    peer.shutdown().await
}

/// Whether a line of a head begins so, in whatever case.
fn begins(line: &str, with: &str) -> bool {
    line.get(..with.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(with))
}
