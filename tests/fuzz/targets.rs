//! Every way in for bytes of strangers (and of broken disks): one function each. None may panic, whatever it is given.
//!
//! | file      | holds                                                          |
//! |-----------|----------------------------------------------------------------|
//! | `otlp.rs` | telemetry: three signals, two encodings, compression, redaction |
//! | `disk.rs` | what is read back: WAL, indexes, table logs                    |
//! | `text.rs` | what people and tools write: filters, times, rules, tokens      |
//! | `api.rs`  | requests to the API, statements of SQL                         |
//!
//! Shared by the fuzzer (`driver.rs`) and by the test that replays the corpus (`tests/fuzz.rs`).

mod api;
mod disk;
mod otlp;
mod text;

/// One way in.
#[derive(Debug)]
pub struct Target {
    /// Its name, and that of its folder in `corpus/`.
    pub name: &'static str,
    /// Takes an input; panics when something is wrong with what it meets.
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "traces_protobuf", run: otlp::traces_protobuf },
    Target { name: "metrics_protobuf", run: otlp::metrics_protobuf },
    Target { name: "logs_protobuf", run: otlp::logs_protobuf },
    Target { name: "traces_json", run: otlp::traces_json },
    Target { name: "metrics_json", run: otlp::metrics_json },
    Target { name: "logs_json", run: otlp::logs_json },
    Target { name: "compression", run: otlp::compression },
    Target { name: "redaction", run: otlp::redaction },
    Target { name: "wal", run: disk::wal },
    Target { name: "index", run: disk::index },
    Target { name: "table_log", run: disk::table_log },
    Target { name: "filter", run: text::filter },
    Target { name: "times", run: text::times },
    Target { name: "statement", run: text::statement },
    Target { name: "rules", run: text::rules },
    Target { name: "template", run: text::template },
    Target { name: "token", run: text::token },
    Target { name: "model", run: text::model },
    Target { name: "api", run: api::api },
    Target { name: "sql", run: api::sql },
];
