//! Gives libFuzzer's inputs to one target, named by `HODOSCOPE_FUZZ_TARGET`. `make fuzz` builds and runs it.
//!
//! A panic ends the run, and so do an input that takes longer than ten seconds and one that takes more memory than
//! 64 MiB and 16 times its length.
#![no_main]
#![allow(unreachable_pub, reason = "the targets are shared with the tests")]

mod targets;

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use peak_alloc::PeakAlloc;

use targets::{TARGETS, Target};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Memory that every input may take, in bytes.
const BYTES_FREE: usize = 64 << 20;
/// And what queries may take beyond it: the least that can be set, and what planning takes.
const BYTES_FREE_OF_QUERIES: usize = 192 << 20;
/// Memory that an input may take for each of its bytes.
const BYTES_PER_BYTE: usize = 16;

fn chosen() -> &'static Target {
    static CHOSEN: OnceLock<&'static Target> = OnceLock::new();
    CHOSEN.get_or_init(|| {
        let name = std::env::var("HODOSCOPE_FUZZ_TARGET").unwrap_or_default();
        let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
        let found = TARGETS.iter().find(|target| target.name == name);
        found.unwrap_or_else(|| panic!("HODOSCOPE_FUZZ_TARGET is one of {}, not {name:?}", names.join(" ")))
    })
}

fuzz_target!(
    init: {
        // What is made once (schemas, a server) is not the input's doing.
        (chosen().run)(b"");
        MEMORY.reset_peak_usage();
    },
    |input: &[u8]| {
        let before = MEMORY.current_usage();
        (chosen().run)(input);
        let taken = MEMORY.peak_usage().saturating_sub(before);
        let free = if matches!(chosen().name, "api" | "sql") { BYTES_FREE_OF_QUERIES } else { BYTES_FREE };
        assert!(taken <= free + BYTES_PER_BYTE * input.len(), "{taken} bytes for an input of {}", input.len());
        MEMORY.reset_peak_usage();
    }
);
