//! What the benches share: requests encoded before the clock starts, a sender, and a look at the process.
//!
//! | file          | knows                                                                          |
//! |---------------|--------------------------------------------------------------------------------|
//! | `requests.rs` | a request as bytes, and how each send of it is made different                   |
//! | `spans.rs`    | believable spans; `points.rs` number points, `logs.rs` log records              |
//! | `made.rs`     | spans made one by one, where it matters how they hang together                  |
//! | `wire.rs`     | where fields stand in encoded protobuf                                          |
//! | `sender.rs`   | gRPC and HTTP connections that send bytes as they are and time each answer      |
//! | `server.rs`   | the real binary in a folder of its own; its CPU time and memory                 |
//!
//! The generator shares the machine with the collector, so it must cost little: a request is encoded once.
//! For each send it is copied, and ids, times and random values in it are overwritten: 0.1 us a span. Nothing
//! random is sent twice, or the data at rest would be smaller than anybody's real data. Compressed requests are
//! the exception: 256 of them are made before the clock starts, and repeat.

pub mod logs;
pub mod made;
pub mod points;
pub mod requests;
pub mod sender;
pub mod server;
pub mod spans;
mod wire;

/// The value below which `share` of the sorted values lie (nearest rank).
pub fn percentile(sorted: &[f64], share: f64) -> f64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

/// Reads a setting of a bench from the environment, such as `BENCH_SECONDS=60`.
pub fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// User and system time of this process so far, in seconds.
pub fn own_cpu_seconds() -> f64 {
    server::cpu_seconds("self").unwrap_or(f64::NAN)
}

/// Nanoseconds since 1970.
pub fn unix_nanos() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_nanos() as u64)
}
