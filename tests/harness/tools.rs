//! What `tests/setup.sh` installed, and what to do when it is missing.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the set-up puts things.
pub fn cache() -> PathBuf {
    let cache = std::env::var_os("HODOSCOPE_CACHE").map(PathBuf::from).or_else(|| {
        let home = std::env::var_os("HOME").map(PathBuf::from)?;
        Some(home.join(".cache/hodoscope"))
    });
    cache.expect("HOME or HODOSCOPE_CACHE is set").join("tests")
}

/// A file or folder of the set-up; `None` (after saying so) when it is not there.
///
/// # Panics
/// When it is not there and `HODOSCOPE_REQUIRE_ALL=1`.
pub fn installed(what: &str, path: &str) -> Option<PathBuf> {
    let path = cache().join(path);
    if path.exists() { Some(path) } else { skip(what, "run tests/setup.sh") }
}

/// As [`installed`], for what the gate can do without: only long runs need it.
///
/// # Panics
/// When it is not there, `HODOSCOPE_REQUIRE_ALL=1` and `HODOSCOPE_LONG=1`.
pub fn welcome(what: &str, path: &str) -> Option<PathBuf> {
    if std::env::var_os("HODOSCOPE_LONG").is_some() {
        return installed(what, path);
    }
    let path = cache().join(path);
    if path.exists() { Some(path) } else { cannot(what, "it is not installed: run tests/setup.sh") }
}

/// A file of the clone.
pub fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A program on the path; `None` (after saying so) when it cannot be run.
pub fn program(name: &str, argument: &str) -> Option<String> {
    let works = Command::new(name).arg(argument).output().is_ok_and(|output| output.status.success());
    if works { Some(name.to_owned()) } else { skip(name, "install it, or run tests/setup.sh") }
}

/// Says that a test is skipped.
///
/// # Panics
/// With `HODOSCOPE_REQUIRE_ALL=1`, because then nothing may be skipped.
pub fn skip<T>(what: &str, cure: &str) -> Option<T> {
    let is_required = std::env::var("HODOSCOPE_REQUIRE_ALL").is_ok_and(|value| value == "1");
    assert!(!is_required, "{what} is missing and HODOSCOPE_REQUIRE_ALL=1: {cure}");
    println!("skipped: {what} is missing: {cure}");
    None
}

/// Says that a test cannot run on this machine, whatever is installed: never a failure.
pub fn cannot<T>(what: &str, why: &str) -> Option<T> {
    println!("skipped: {what}: {why}");
    None
}
