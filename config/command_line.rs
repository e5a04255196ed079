//! What can be typed: `hodoscope` (the collector), `hodoscope demo`, `hodoscope config`, `hodoscope storage`,
//! `hodoscope rules`, `hodoscope keys`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// The whole command line.
#[derive(Debug, Parser)]
#[command(name = "hodoscope", version, about = ABOUT, long_about = LONG_ABOUT, after_long_help = EXAMPLES)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true, max_term_width = 110)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Settings,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the collector; the same as no command at all
    Serve(Settings),
    /// Send the telemetry of a made-up shop to a running collector until told to stop
    Demo(Demo),
    /// Print the configuration in force as a file that --config takes
    Config(Settings),
    /// Look into the data, check it, copy it out, mend its indexes
    #[command(after_long_help = STORAGE_NOTES)]
    Storage(Storage),
    /// Make, list and revoke the keys that peers send
    #[command(after_long_help = KEYS_NOTES)]
    Keys(Keys),
    /// Check rule files and rehearse them, without a collector
    #[command(after_long_help = RULES_NOTES)]
    Rules(Rules),
}

/// What to do with keys.
#[derive(Args, Clone, Debug)]
pub(crate) struct Keys {
    #[command(subcommand)]
    pub(crate) action: KeysAction,
    #[command(flatten)]
    pub(crate) settings: Settings,
}

/// One look at the keys.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum KeysAction {
    /// Make a key and print it; it is shown this once and kept as a hash
    Create(NewKeyArgs),
    /// List the keys: id, tenant, scopes, when they were made and when they end
    List,
    /// Take a key away; a collector that runs refuses it within seconds
    Revoke(RevokeArgs),
}

/// What a new key may do.
#[derive(Args, Clone, Debug)]
pub(crate) struct NewKeyArgs {
    /// What people call it: which program has it, say
    #[arg(long, value_name = "TEXT")]
    pub(crate) name: String,
    /// ingest (send telemetry), read (see it), admin (also change rules, silences, erasures); several with commas
    #[arg(long, value_name = "SCOPE", value_delimiter = ',', required = true)]
    pub(crate) scope: Vec<String>,
    /// Whose data it writes and reads
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub(crate) tenant: String,
    /// Days until it ends; never when not given
    #[arg(long, value_name = "NUMBER")]
    pub(crate) days: Option<u64>,
}

/// Which key.
#[derive(Args, Clone, Debug)]
pub(crate) struct RevokeArgs {
    /// Its id: the 8 letters after hod_
    #[arg(value_name = "ID")]
    pub(crate) id: String,
}

/// What to do with rule files.
#[derive(Args, Clone, Debug)]
pub(crate) struct Rules {
    #[command(subcommand)]
    pub(crate) action: RulesAction,
}

/// One look at rule files.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum RulesAction {
    /// Check rule files as the collector would: names, durations, templates, and every query against the tables
    Check(RuleFiles),
    /// Run test files: rules over rows that the test names, and what must fire when
    Test(RuleFiles),
}

/// Which files.
#[derive(Args, Clone, Debug)]
pub(crate) struct RuleFiles {
    /// Files to read
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

/// What to do with the data.
#[derive(Args, Clone, Debug)]
pub(crate) struct Storage {
    #[command(subcommand)]
    pub(crate) action: StorageAction,
    /// Print JSON for machines instead of text for people
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) settings: Settings,
}

/// One look at the data.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum StorageAction {
    /// List tenants, tables and days with their segments, rows and sizes
    Ls(LsArgs),
    /// Read everything: WAL checksums, table logs, every byte and row of every segment, every index
    Verify,
    /// Copy the segments of a table into a directory, as plain Parquet files
    Export(ExportArgs),
    /// Merge everything that can be merged, now; the collector must be stopped
    Compact(WriteArgs),
    /// Build the indexes that are missing or wrong; the collector must be stopped
    RebuildIndex(WriteArgs),
}

/// How to get the right to write.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct WriteArgs {
    /// Needed for a bucket: a collector that runs on it loses the right to write, and ends
    #[arg(long)]
    pub(crate) take_over: bool,
}

/// What to list.
#[derive(Args, Clone, Debug)]
pub(crate) struct LsArgs {
    /// Also say how many bytes each column takes; reads the end of every segment
    #[arg(long)]
    pub(crate) columns: bool,
}

/// What to copy.
#[derive(Args, Clone, Debug)]
pub(crate) struct ExportArgs {
    /// Table to copy: spans, logs, ...
    #[arg(long, value_name = "NAME")]
    pub(crate) table: String,
    /// Whose rows
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub(crate) tenant: String,
    /// Directory for the files; made when missing, existing files are never overwritten
    #[arg(long, value_name = "DIR")]
    pub(crate) to: PathBuf,
    /// First UTC day, YYYY-MM-DD
    #[arg(long, value_name = "DAY")]
    pub(crate) from_day: Option<String>,
    /// Last UTC day, YYYY-MM-DD
    #[arg(long, value_name = "DAY")]
    pub(crate) to_day: Option<String>,
}

/// Settings that have a flag. The other ones live in the file and in variables.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Settings {
    /// Read settings from this TOML file
    #[arg(long, value_name = "FILE.toml", env = "HODOSCOPE_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Keep everything in this directory, created when missing; or in s3://BUCKET/PREFIX, gs://..., az://... [default: hodoscope-data]
    #[arg(long, value_name = "DIR", help_heading = "Settings")]
    data: Option<String>,
    /// Refuse to start when WAL records or a table log are damaged, instead of going on without them
    #[arg(long, help_heading = "Settings")]
    strict_recovery: bool,
    /// Take OTLP over gRPC here [default: 127.0.0.1:4317]
    #[arg(long, value_name = "ADDR", help_heading = "Settings")]
    otlp_grpc: Option<String>,
    /// Take OTLP over HTTP here, protobuf and JSON [default: 127.0.0.1:4318]
    #[arg(long, value_name = "ADDR", help_heading = "Settings")]
    otlp_http: Option<String>,
    /// Serve the page and the query API here [default: 127.0.0.1:4319]
    #[arg(long, value_name = "ADDR", help_heading = "Settings")]
    http: Option<String>,
    /// Listen on addresses other than loopback although nobody has to sign in
    #[arg(long, help_heading = "Settings")]
    allow_insecure: bool,
    /// Every request needs a key of this file; `hodoscope keys create` makes it
    #[arg(long, global = true, value_name = "FILE", help_heading = "Settings")]
    keys_file: Option<String>,
}

/// What the demo is told.
#[derive(Args, Clone, Debug)]
pub(crate) struct Demo {
    /// Where to send: the address of OTLP over gRPC
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:4317")]
    pub(crate) endpoint: String,
    /// Journeys per second; each has 7 to 36 spans, some fail
    #[arg(long, value_name = "NUMBER", default_value_t = 2.0)]
    pub(crate) rate: f64,
    /// The same number gives the same journeys but for their times; without it every run differs
    #[arg(long, value_name = "NUMBER")]
    pub(crate) seed: Option<u64>,
    /// A key with the scope ingest, for a collector that asks for one; better given as a variable, which other users do not see
    #[arg(long, value_name = "KEY", env = "HODOSCOPE_KEY", hide_env_values = true)]
    pub(crate) key: Option<String>,
}

impl CommandLine {
    /// The command; `serve` when none was typed.
    pub(crate) fn command(self) -> Command {
        self.command.unwrap_or(Command::Serve(self.serve))
    }
}

impl Settings {
    /// The settings that were typed, by name.
    pub(crate) fn given(&self) -> Vec<(&'static str, String)> {
        [
            ("storage.data", self.data.clone()),
            ("storage.strict_recovery", self.strict_recovery.then(|| "true".to_owned())),
            ("door.otlp_grpc", self.otlp_grpc.clone()),
            ("door.otlp_http", self.otlp_http.clone()),
            ("door.http", self.http.clone()),
            ("door.allow_insecure", self.allow_insecure.then(|| "true".to_owned())),
            ("door.keys_file", self.keys_file.clone()),
        ]
        .into_iter()
        .filter_map(|(path, text)| Some((path, text?)))
        .collect()
    }
}

const ABOUT: &str = "Distributed tracing and observability collector: OTLP in, SQL and a page out";

const LONG_ABOUT: &str = "\
Hodoscope takes traces, metrics and logs from OpenTelemetry SDKs and Collectors, keeps them on disk as columns
(what was acknowledged has been synced), answers SQL about them and draws a request in the browser.

One process, three ports, all on loopback unless told otherwise:

  4317   OTLP over gRPC           what most SDKs call OTEL_EXPORTER_OTLP_PROTOCOL=grpc
  4318   OTLP over HTTP           protobuf and JSON, http/protobuf and http/json
  4319   the page and the API     open http://127.0.0.1:4319 in a browser

When it is ready, one line on stdout names the addresses; everything else is on stderr.
The first SIGTERM or Ctrl-C finishes what was begun and leaves with 0, the second leaves at once.";

const KEYS_NOTES: &str = "\
  hodoscope keys --keys-file /etc/hodoscope/keys.json create --name 'collector of the shop' --scope ingest
  hodoscope --keys-file /etc/hodoscope/keys.json --http 0.0.0.0:4319

Senders: OTEL_EXPORTER_OTLP_HEADERS='authorization=Bearer hod_...'. Browsers ask for a password: any name, and the key.";

const RULES_NOTES: &str = "\
Exit codes: 0 all is well; 1 a file cannot be read; 2 something in a file is wrong, or a test failed. Every problem is
one line: the file, its line, and what to do.

  hodoscope rules check rules/*.yml
  hodoscope rules test rules/tests/*.yml";

const STORAGE_NOTES: &str = "\
`ls`, `verify` and `export` need no lock and touch nothing: they work while the collector runs. `compact` and
`rebuild-index` write and say so when a collector holds the directory (a running collector merges by itself).

Exit codes: 0 all is well; 1 the data cannot be looked at or changed; 2 `verify`, `compact` or `rebuild-index` found
problems.

  hodoscope storage --data /var/lib/hodoscope ls
  hodoscope storage --data /var/lib/hodoscope verify --json
  hodoscope storage --data /var/lib/hodoscope export --table spans --from-day 2026-11-20 --to /backup/spans";

const EXAMPLES: &str = "\
Examples:
  hodoscope                                       collect into ./hodoscope-data
  hodoscope --data /var/lib/hodoscope             ... into another directory
  hodoscope --data s3://telemetry/prod            ... into a bucket, no disk needed
  hodoscope --otlp-grpc 127.0.0.1:0               ... on a free port; the ready line says which
  hodoscope demo                                  send a made-up shop's telemetry to it
  hodoscope storage verify                        check everything that is stored
  hodoscope rules check rules.yml                 check alert rules before they are used
  OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318 your-service

Settings come from flags, then variables (HODOSCOPE_DATA, HODOSCOPE_STORAGE_RETENTION_DAYS, ...), then the file,
then the defaults; `hodoscope config` prints them all. HODOSCOPE_LOG=debug says more on stderr
(HODOSCOPE_LOG_FORMAT=json for machines).";
