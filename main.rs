//! Reads the configuration, opens the rooms in order, closes them in order. No logic of its own.

mod config;
mod figures;
mod keys_command;
mod page;
mod rules_command;
mod storage_command;

use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use axum::middleware::{from_fn, map_response};
use clap::Parser as _;
use collector::Collector;
use collector::demo::{DemoConfig, SecretKey};
use door::{Access, Listener, Needs};
use model::Scope;
use query::{Engine, Kept};
use storage::{Storage, SystemClock};
use tokio_util::sync::CancellationToken;

use config::Config;
use config::command_line::{Command, CommandLine, Demo, Settings};

/// Gives memory back after a burst, also when nothing happens after it: `.cargo/config.toml`, docs/decisions/44-memory-of-requests.md.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    // Two TLS providers are in the tree; whoever asks first must find this one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    start_log();
    let done = match CommandLine::parse().command() {
        Command::Serve(settings) => load(&settings).and_then(|config| block_on(serve(config))),
        Command::Demo(told) => block_on(demo(told)),
        Command::Config(settings) => load(&settings).and_then(|config| say(&config.to_toml())),
        Command::Keys(told) => load(&told.settings).and_then(|config| {
            let said = keys_command::run(&told.action, &config.door.keys_file)?;
            say(&said)
        }),
        Command::Rules(told) => return rules_command::run(&told.action),
        Command::Storage(told) => match load(&told.settings) {
            Ok(config) => return storage_command::run(&told, &config.storage),
            Err(error) => Err(error),
        },
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<GaveUp>() => {
            let _ = writeln!(std::io::stderr(), "hodoscope: {error}");
            ExitCode::from(GaveUp::CODE)
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "hodoscope: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The disk takes no writes any more, and only another process or a person can help (D5).
#[derive(Debug, thiserror::Error)]
#[error("{0}; look at the disk, then start again")]
struct GaveUp(String);

impl GaveUp {
    /// `EX_TEMPFAIL` of sysexits.h: whoever watches the process may start it again.
    const CODE: u8 = 75;
}

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// Runs the collector until it is told to stop.
async fn serve(config: Config) -> Outcome {
    let stop = stop_on_signal()?;
    let (clock, retention) = (Arc::new(SystemClock), config.storage.retention());

    let storage = Storage::open(config.storage.clone(), Arc::<SystemClock>::clone(&clock)).await?;
    let engine = Engine::new(config.query.clone(), storage.reader(), Arc::<SystemClock>::clone(&clock))?;
    let digest = engine.start_digest(storage.reader(), storage.derived_writer())?;
    let footers = engine.keep_footers(storage.reader());
    let mut collector = Collector::new(config.collector.clone(), retention, storage.appender(), clock)?;
    let own_traces = collector.start_own_traces();

    let (access, ingest) = (Access::load(&config.door)?, Needs::All(Scope::Ingest));
    let grpc = door::open(&config.door, Listener::OtlpGrpc, collector.grpc_routes(), &access, ingest).await?;
    let http = door::open(&config.door, Listener::OtlpHttp, collector.http_routes(), &access, ingest).await?;
    let (ingest, reader) = (collector.metrics(), storage.reader());
    let kept = (storage.maintainer(), Arc::new(Kept::new(storage.documents())));
    let addresses = (grpc.local_addr(), http.local_addr());
    let mut sources =
        figures::sources(&config, addresses, ingest, reader, (digest.figures(), &engine), kept, stop.clone());
    let status = Arc::clone(&sources.status);
    let alerts = engine.start_alerts(storage.reader(), storage.derived_writer(), storage.documents(), status)?;
    sources.alerts = alerts.alerting();
    let routes = query::http::router(&engine, sources).merge(door::session_routes(&access));
    let routes = collector.traced(routes.fallback(page::serve));
    let routes = routes.layer(from_fn(page::or_own_metrics)).layer(map_response(page::guard));
    let needs = Needs::ByRoute(query::http::scope);
    let desk = door::open(&config.door, Listener::Http, routes, &access, needs).await?;

    say(&format!(
        "ready otlp_grpc={} otlp_http={} http={} data={}\n",
        grpc.local_addr(),
        http.local_addr(),
        desk.local_addr(),
        config.storage.data.display(),
    ))?;
    let failing = storage.reader();
    let mut ended: Option<Box<dyn Error>> = None;
    tokio::select! {
        () = stop.cancelled() => tracing::info!("stopping: requests finish, the buffer goes to disk"),
        why = storage.taken_over() => ended = Some(why.into()),
        why = failing.failed() => ended = Some(GaveUp(why).into()),
    }
    stop.cancel();

    // Along the flow, so that whatever was accepted is kept. Readers outlive the writer.
    collector.close();
    tokio::join!(grpc.close(), http.close());
    digest.close().await;
    drop(footers);
    alerts.close().await;
    own_traces.close().await;
    let closed = storage.close().await;
    desk.close().await;
    if let Some(why) = ended {
        return Err(why);
    }
    closed?;
    tracing::info!("stopped");
    Ok(())
}

/// Sends the made-up shop's telemetry until it is told to stop.
async fn demo(told: Demo) -> Outcome {
    let config =
        DemoConfig { endpoint: told.endpoint, rate: told.rate, seed: told.seed, key: told.key.map(SecretKey::new) };
    let print = |line: &str| drop(say(&format!("{line}\n")));
    Ok(collector::demo::run(config, stop_on_signal()?, print).await?)
}

fn load(settings: &Settings) -> Outcome<Config> {
    let environment =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    Ok(Config::load(settings.config.as_deref(), environment, &settings.given())?)
}

fn block_on(work: impl Future<Output = Outcome>) -> Outcome {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}

/// Cancelled by the first SIGTERM or Ctrl-C; the second one ends the process at once.
fn stop_on_signal() -> Outcome<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut term, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stop = CancellationToken::new();
    let told = stop.clone();
    tokio::spawn(async move {
        for _ in 0..2 {
            tokio::select! { _ = term.recv() => {}, _ = interrupt.recv() => {} }
            if told.is_cancelled() {
                std::process::exit(130);
            }
            told.cancel();
        }
    });
    Ok(stop)
}

/// Everything that is not an answer goes to stderr. `HODOSCOPE_LOG` is a level for our own rooms, or a whole filter.
fn start_log() {
    use tracing_subscriber::EnvFilter;
    let wanted = std::env::var("HODOSCOPE_LOG").unwrap_or_else(|_| "info".to_owned());
    let filter = match wanted.parse::<tracing::Level>() {
        Ok(level) => ["hodoscope", "collector", "door", "storage", "query"]
            .iter()
            .fold("warn".to_owned(), |filter, room| format!("{filter},{room}={level}")),
        Err(_) => wanted,
    };
    let log = tracing_subscriber::fmt().with_env_filter(EnvFilter::new(filter)).with_writer(std::io::stderr);
    match std::env::var("HODOSCOPE_LOG_FORMAT").as_deref() {
        Ok("json") => log.json().init(),
        _ => log.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init(),
    }
}

/// Prints an answer to stdout. A reader that has gone away is no error.
fn say(text: &str) -> Outcome {
    let mut out = std::io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
