//! The collector as a process: started on free ports in a folder of its own, killed when dropped.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Once, mpsc};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a start may take in a debug build on a busy machine.
const READY_LIMIT: Duration = Duration::from_secs(180);

/// How to start a collector.
#[derive(Debug, Default)]
pub struct Collector {
    /// TOML of the configuration file; empty for none.
    pub config: String,
    /// Further arguments.
    pub args: Vec<String>,
    /// Further environment.
    pub env: Vec<(String, String)>,
    /// Command in front of the executable, such as `unshare -Urm`; empty for none.
    pub wrapper: Vec<String>,
}

/// A running collector. Dropping it kills the process and removes its folder.
#[derive(Debug)]
pub struct Server {
    child: Child,
    how: Collector,
    folder: TempDir,
    /// Where OTLP/gRPC is taken.
    pub otlp_grpc: String,
    /// Where OTLP/HTTP is taken.
    pub otlp_http: String,
    /// Where the API and the page are.
    pub http: String,
    /// From the start of the process to the `ready` line.
    pub ready_after: Duration,
}

/// A process that ended by itself.
#[derive(Debug)]
pub struct Ended {
    /// How.
    pub status: ExitStatus,
    /// What it said on stderr.
    pub stderr: String,
}

/// The executable: the one built with the tests, or another build of it, to see the figures of a release.
pub fn binary() -> String {
    let built = env!("CARGO_BIN_EXE_hodoscope").to_owned();
    std::env::var("HODOSCOPE_TEST_BINARY").unwrap_or(built)
}

/// From now on a test that fails says so at once; what it printed comes when all others have ended.
fn say_failures_at_once() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let test = std::thread::current().name().unwrap_or("a thread").to_owned();
            // Written past what keeps the output of tests until their end.
            let _ = writeln!(std::io::stderr(), "test {test} fails: {panic}");
            usual(panic);
        }));
    });
}

impl Collector {
    /// A collector whose buffer becomes segments every second, which are merged and vacuumed at once, so that a short
    /// test sees commits, merges and replays.
    pub fn with_fast_flush() -> Self {
        let config = "[storage]\nbuffer_age_max_s = 1\nwal_file_bytes = 1048576\ncompaction_wait_s = 1\n\
                      maintenance_every_s = 1\nvacuum_grace_s = 2\n";
        Self { config: config.to_owned(), ..Self::default() }
    }

    /// Starts it in a new folder and waits until it is ready.
    pub fn start(self) -> Server {
        let folder = tempfile::Builder::new().prefix("hodoscope-test-").tempdir().expect("a temporary folder");
        self.start_in(folder)
    }

    /// Starts it in `folder`, whose subfolder `data` holds the data, and waits until it is ready.
    ///
    /// # Panics
    /// When it ends or says nothing in time; the message holds its stderr.
    pub fn start_in(self, folder: TempDir) -> Server {
        match self.try_start_in(folder) {
            Ok(server) => server,
            Err(stopped) => panic!("the collector is not ready:\n{}", read_stderr(stopped.folder.path())),
        }
    }

    /// As [`Self::start_in`], for a start that may not live to be ready.
    pub fn try_start_in(self, folder: TempDir) -> Result<Server, Stopped> {
        say_failures_at_once();
        let begun = Instant::now();
        let mut child = self.spawn(folder.path());
        let stdout = child.stdout.take().expect("stdout is piped");
        let (tell, told) = mpsc::channel();
        // Reads to the end, so that the process never waits for a full pipe; ends with the process.
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if line.starts_with("ready ") {
                    let _ = tell.send(line);
                }
            }
        });
        let Ok(line) = told.recv_timeout(READY_LIMIT) else {
            let _ = child.kill();
            let _ = child.wait();
            return Err(Stopped { how: self, folder });
        };
        let ready_after = begun.elapsed();
        let address = |name: &str| {
            let found = line.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
            found.unwrap_or_else(|| panic!("no {name} in {line:?}")).to_owned()
        };
        Ok(Server {
            otlp_grpc: address("otlp_grpc"),
            otlp_http: address("otlp_http"),
            http: address("http"),
            child,
            how: self,
            folder,
            ready_after,
        })
    }

    /// Starts it and waits until it ends by itself, for starts that cannot work.
    ///
    /// # Panics
    /// When it still runs after the limit.
    pub fn run_to_end(&self, folder: &Path, limit: Duration) -> Ended {
        let begun = Instant::now();
        let mut child = self.spawn(folder);
        loop {
            if let Some(status) = child.try_wait().expect("the child can be waited for") {
                return Ended { status, stderr: read_stderr(folder) };
            }
            if begun.elapsed() > limit {
                let _ = child.kill();
                let _ = child.wait();
                panic!("still running after {limit:?}, it should have ended:\n{}", read_stderr(folder));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn spawn(&self, folder: &Path) -> Child {
        let mut words = self.wrapper.iter().cloned().chain([binary()]);
        let mut command = Command::new(words.next().expect("at least the executable"));
        command.args(words);
        let has = |flag: &str| self.args.iter().any(|arg| arg == flag);
        for flag in ["--otlp-grpc", "--otlp-http", "--http"] {
            if !has(flag) {
                command.args([flag, "127.0.0.1:0"]);
            }
        }
        if !has("--data") {
            command.arg("--data").arg(folder.join("data"));
        }
        if !self.config.is_empty() {
            let path = folder.join("config.toml");
            std::fs::write(&path, &self.config).expect("the configuration can be written");
            command.arg("--config").arg(path);
        }
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("HODOSCOPE_")) {
            command.env_remove(name);
        }
        let stderr = File::options().create(true).append(true).open(folder.join("stderr.txt"));
        command
            .args(&self.args)
            .envs(self.env.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr.expect("the folder can be written to"))
            .spawn()
            .expect("the executable can be started")
    }
}

impl Server {
    /// Starts a collector with default settings.
    pub fn start() -> Self {
        Collector::default().start()
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The collector behind a wrapper that runs it as its child, such as `strace`; `None` when it has ended.
    pub fn wrapped_pid(&self) -> Option<u32> {
        let pid = self.pid();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
        children.split_whitespace().next()?.parse().ok()
    }

    /// Kills the collector behind such a wrapper and waits until both have ended. The folder stays.
    pub fn kill_wrapped(mut self) -> Stopped {
        if let Some(pid) = self.wrapped_pid() {
            let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
        }
        self.child.wait().expect("the wrapper ends with it");
        self.into_stopped()
    }

    /// Where its data is.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// URL of an API path such as `/api/sql`.
    pub fn api(&self, path: &str) -> String {
        format!("http://{}{path}", self.http)
    }

    /// What it said on stderr so far, over all restarts.
    pub fn stderr(&self) -> String {
        read_stderr(self.folder.path())
    }

    /// Kills it at once (SIGKILL). The folder stays for [`Stopped::start`].
    pub fn kill(mut self) -> Stopped {
        self.child.kill().expect("the process can be killed");
        self.child.wait().expect("the process can be waited for");
        self.into_stopped()
    }

    /// Asks it to stop (SIGTERM) and waits until it has.
    pub fn stop(mut self, limit: Duration) -> (ExitStatus, Stopped) {
        let asked = Command::new("kill").args(["-TERM", &self.pid().to_string()]).status().expect("kill runs");
        assert!(asked.success(), "the process had already ended:\n{}", self.stderr());
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("the child can be waited for") {
                break status;
            }
            assert!(begun.elapsed() < limit, "not stopped after {limit:?}:\n{}", self.stderr());
            std::thread::sleep(Duration::from_millis(20));
        };
        (status, self.into_stopped())
    }

    /// Waits for a process that is about to end by itself.
    pub fn ended(mut self) -> (ExitStatus, Stopped) {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("the child can be waited for") {
                break status;
            }
            assert!(begun.elapsed() < READY_LIMIT, "it still runs:\n{}", self.stderr());
            std::thread::sleep(Duration::from_millis(20));
        };
        (status, self.into_stopped())
    }

    /// Fails with its stderr when the process has ended.
    #[track_caller]
    pub fn assert_alive(&mut self) {
        let ended = self.child.try_wait().expect("the child can be waited for");
        assert!(ended.is_none(), "the collector ended with {ended:?}:\n{}", self.stderr());
    }

    fn into_stopped(mut self) -> Stopped {
        let how = std::mem::take(&mut self.how);
        let empty = tempfile::tempdir().expect("a temporary folder");
        Stopped { how, folder: std::mem::replace(&mut self.folder, empty) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let said = self.stderr();
            let lines: Vec<_> = said.lines().rev().take(40).collect();
            let tail: Vec<_> = lines.into_iter().rev().collect();
            eprintln!("--- the collector's last words\n{}\n---", tail.join("\n"));
        }
    }
}

/// A collector that was stopped; its data is kept until this is dropped.
#[derive(Debug)]
pub struct Stopped {
    how: Collector,
    folder: TempDir,
}

impl Stopped {
    /// Starts it again on the same data.
    pub fn start(self) -> Server {
        self.how.start_in(self.folder)
    }

    /// Starts it again on the same data in another way.
    pub fn start_as(self, how: Collector) -> Server {
        how.start_in(self.folder)
    }

    /// As [`Self::start_as`], for a start that may not live to be ready.
    pub fn try_start_as(self, how: Collector) -> Result<Server, Self> {
        how.try_start_in(self.folder)
    }

    /// Where its data is.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }
}

fn read_stderr(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("stderr.txt")).unwrap_or_default()
}
