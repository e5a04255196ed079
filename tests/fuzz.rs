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

/// A name that is no target is not a finding, and what a target's world leaves in the temporary folder goes with the run, whichever it is.
#[test]
fn the_script_tells_findings_from_mistakes_and_cleans_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let (target, cache, temporary) =
        (folder.path().join("target"), folder.path().join("cache"), folder.path().join("tmp"));
    std::fs::create_dir(&temporary).expect("a folder");
    // Instead of the compiler: a fuzzer that leaves something where it is told to put it, and ends as it is told.
    let cargo = folder.path().join("cargo");
    let script = "#!/bin/sh\nmkdir -p \"$CARGO_TARGET_DIR/release/examples\"\ncat >\"$CARGO_TARGET_DIR/release/examples/fuzz\" <<'END'\n\
                  #!/bin/sh\nmkdir \"$TMPDIR/left\"\necho 'stat::number_of_executed_units: 7' >&2\nexit \"$ENDS_WITH\"\nEND\n\
                  chmod +x \"$CARGO_TARGET_DIR/release/examples/fuzz\"\n";
    crate::harness::tools::make_script(&cargo, script);
    let run = |name: &str, mode: &str, ends_with: &str| {
        let mut command = std::process::Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/run.sh"));
        command.arg(name).env("HODOSCOPE_FUZZ_MODE", mode).env("ENDS_WITH", ends_with);
        command.env("CARGO_TARGET_DIR", &target).env("HODOSCOPE_CACHE", &cache).env("TMPDIR", &temporary);
        let output = command.env("HODOSCOPE_CARGO", &cargo).output().expect("it can be started");
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.code(), said)
    };
    let (code, said) = run("nonsense", "fuzz", "0");
    assert!(code == Some(2) && said.contains("no target nonsense") && !said.contains("FOUND"), "{code:?} {said}");
    let (code, said) = run("wal", "fuzz", "0");
    assert!(code == Some(0) && said.contains("wal: 7 executions"), "{code:?} {said}");
    let (code, said) = run("wal", "fuzz", "77");
    assert!(code == Some(1) && said.contains("FOUND") && said.contains("14 executions so far"), "{code:?} {said}");
    run("wal", "minimize", "0");
    let left = |entry: std::io::Result<std::fs::DirEntry>| entry.expect("readable").path().join("left").exists();
    assert!(!std::fs::read_dir(&temporary).expect("readable").any(left), "worlds are left behind");
}
