//! The corpus of the fuzzer and everything it ever found, given to the same targets once more.
//!
//! `make fuzz` looks for more (tests/fuzz/README.md); what it finds becomes a file in `tests/fuzz/corpus/` with the change
//! that mends it.

mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use targets::{TARGETS, Target};

/// Inputs that every target has at least.
const FILES_MIN: usize = 4;
/// Bytes of all inputs of a target: the corpus is for everybody who clones.
const BYTES_MAX: usize = 32 << 10;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus")
}

fn inputs(target: &Target) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = corpus().join(target.name);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let bytes = std::fs::read(&path).expect("a readable file");
        (path, bytes)
    };
    paths.into_iter().map(read).collect()
}

#[track_caller]
fn replay(names: impl Fn(&str) -> bool) {
    let mut failed = Vec::new();
    for target in TARGETS.iter().filter(|target| names(target.name)) {
        let inputs = inputs(target);
        let bytes: usize = inputs.iter().map(|(_, input)| input.len()).sum();
        assert!(inputs.len() >= FILES_MIN, "{}: only {} inputs", target.name, inputs.len());
        assert!(bytes <= BYTES_MAX, "{}: {bytes} bytes of inputs", target.name);
        (target.run)(b"");
        for (path, input) in inputs {
            if catch_unwind(AssertUnwindSafe(|| (target.run)(&input))).is_err() {
                failed.push(path.display().to_string());
            }
        }
    }
    assert!(failed.is_empty(), "these inputs fail, see above why:\n{}", failed.join("\n"));
}

fn needs_a_world(name: &str) -> bool {
    matches!(name, "api" | "sql")
}

#[test]
fn the_corpus_is_replayed() {
    replay(|name| !needs_a_world(name));
}

#[test]
fn the_corpus_of_requests_is_replayed() {
    replay(needs_a_world);
}

/// No folder without a target, so that nothing is replayed by nobody.
#[test]
fn every_corpus_has_its_target() {
    let folders = std::fs::read_dir(corpus()).expect("the corpus");
    for folder in folders.map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned()) {
        assert!(TARGETS.iter().any(|target| target.name == folder), "{folder} has no target");
    }
}
