//! Requests to the API of a collector that holds a few journeys: any answer but one of a bug.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::Body;
use collector::{Encoding, Signal, to_batches};
use http::{Request, StatusCode, header};
use http_body_util::BodyExt as _;
use model::{Identity, TenantId, UnixNanos};
use query::{Engine, Kept};
use storage::{Clock, Storage};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tower::ServiceExt as _;

/// Time stands still.
#[derive(Debug)]
struct Still(UnixNanos);

impl Clock for Still {
    fn now(&self) -> UnixNanos {
        self.0
    }
}

/// A collector without sockets.
struct World {
    runtime: Runtime,
    routes: Router,
    _storage: Storage,
    _folder: TempDir,
}

/// A second after the end of the first journey: 2026-01-15T10:00:02Z.
const NOW: UnixNanos = UnixNanos(1_768_471_202_000_000_000);

fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("threads");
        let folder = tempfile::Builder::new().prefix("hodoscope-fuzz-").tempdir().expect("a folder");
        let (storage, routes) = runtime.block_on(open(folder.path()));
        World { runtime, routes, _storage: storage, _folder: folder }
    })
}

async fn open(folder: &Path) -> (Storage, Router) {
    let clock = Arc::new(Still(NOW));
    let config = storage::Config { data: folder.to_owned(), ..storage::Config::default() };
    let storage = Storage::open(config, Arc::<Still>::clone(&clock)).await.expect("a new directory");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = folder.join(if folder.ends_with("fuzz") { "../fixtures" } else { "tests/fixtures" });
    for (signal, name) in [
        (Signal::Traces, "journeys/01_checkout_happy.otlp.json"),
        (Signal::Traces, "journeys/02_rabbitmq_poison.otlp.json"),
        (Signal::Metrics, "made/every-metric.otlp.json"),
    ] {
        let text = std::fs::read(folder.join(name)).expect(name);
        let (batches, _) = to_batches(signal, Encoding::Json, &text, NOW, UnixNanos(0)).expect(name);
        storage.appender().append(&TenantId::default_tenant(), batches).await.expect("stored");
    }
    let config = query::Config { threads: 1, seconds_max: 4, memory_bytes_max: 64 << 20, ..query::Config::default() };
    let engine = Engine::new(config, storage.reader(), clock).expect("threads");
    let sources = query::http::Sources {
        status: Arc::new(api::StatusAnswer::default),
        metrics: Arc::new(|| "# EOF\n".to_owned()),
        ready: Arc::new(|| Ok(())),
        maintainer: storage.maintainer(),
        alerts: None,
        kept: Arc::new(Kept::new(storage.documents())),
    };
    let routes = query::http::router(&engine, sources);
    (storage, routes)
}

/// Reads anything and changes nothing: what is kept would make one input depend on the one before.
const CHANGES: [&str; 4] = ["/api/erasures", "/api/silences", "/api/colors", "/api/alert-rules/proposed"];

/// Method, target, headers, an empty line and a body.
pub fn api(input: &[u8]) {
    let world = world();
    let at = input.windows(2).position(|pair| pair == b"\n\n").unwrap_or(input.len());
    let (head, body) = input.split_at(at);
    let Ok(head) = std::str::from_utf8(head) else { return };
    let mut lines = head.lines();
    let Some((method, target)) = lines.next().and_then(|line| line.split_once(' ')) else { return };
    if !matches!(method, "GET" | "HEAD" | "POST" | "OPTIONS") || CHANGES.iter().any(|path| target.starts_with(path)) {
        return;
    }
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        request = request.header(name, value);
    }
    let body = body.get(2..).unwrap_or_default().to_vec();
    if let Ok(request) = request.body(Body::from(body)) {
        ask(world, request);
    }
}

/// A statement, planned and run. Parameters are absent.
pub fn sql(input: &[u8]) {
    let world = world();
    let Ok(text) = std::str::from_utf8(input) else { return };
    let body = serde_json::to_vec(&BTreeMap::from([("sql", text)])).expect("a map of text");
    let request = Request::post("/api/sql").header(header::CONTENT_TYPE, "application/json").body(Body::from(body));
    ask(world, request.expect("a request"));
}

fn ask(world: &World, mut request: Request<Body>) {
    let about = format!("{} {}", request.method(), request.uri());
    request.extensions_mut().insert(Identity { tenant: TenantId::default_tenant(), is_admin: true });
    world.runtime.block_on(async {
        let answer = world.routes.clone().oneshot(request).await.expect("routes always answer");
        let (head, body) = answer.into_parts();
        let kind = head.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        // A stream of events goes on until its reader leaves.
        if kind.starts_with("text/event-stream") {
            return;
        }
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        assert_ne!(head.status, StatusCode::INTERNAL_SERVER_ERROR, "{about}: {}", String::from_utf8_lossy(&body));
        let is_plain = !head.headers.contains_key(header::CONTENT_ENCODING) && !body.is_empty();
        if is_plain && (kind == "application/json" || kind == "application/problem+json") {
            let read = serde_json::from_slice::<&serde_json::value::RawValue>(&body);
            assert!(read.is_ok(), "{about}: {kind}, but {read:?}");
        }
    });
}
