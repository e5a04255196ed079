//! What the benches share: requests encoded before the clock starts, a sender, and a look at the process.
//!
//! | file          | knows                                                                  |
//! |---------------|------------------------------------------------------------------------|
//! | `requests.rs` | believable trace requests as bytes, given fresh ids for each send      |
//! | `sender.rs`   | gRPC connections that send bytes as they are and time each answer      |
//! | `server.rs`   | the real binary in a folder of its own; its CPU time and memory        |
//!
//! The generator shares the machine with the collector, so it must cost little: a request is encoded once
//! and only its ids are overwritten (20 us for 512 spans).

pub mod requests;
pub mod sender;
pub mod server;

/// The value below which `share` of the sorted values lie (nearest rank).
pub fn percentile(sorted: &[f64], share: f64) -> f64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

/// Reads a setting of a bench from the environment, such as `BENCH_SECONDS=60`.
pub fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}
