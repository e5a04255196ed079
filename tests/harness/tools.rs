//! What `tests/setup.sh` installed, and what to do when it is missing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use rand::Rng as _;

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
    stands(&cache(), path).or_else(|| skip(what, "run tests/setup.sh"))
}

/// A file or folder of a part (the first name of its path) that was installed to its end: the list of versions is written last, so a
/// part that was begun and given up is not taken for one that is there.
fn stands(cache: &Path, path: &str) -> Option<PathBuf> {
    let part = Path::new(path).components().next()?;
    let path = cache.join(path);
    (cache.join(part).join("installed-from").is_file() && path.exists()).then_some(path)
}

/// As [`installed`], for what the gate can do without: only long runs need it.
///
/// # Panics
/// When it is not there, `HODOSCOPE_REQUIRE_ALL=1` and `HODOSCOPE_LONG=1`.
pub fn welcome(what: &str, path: &str) -> Option<PathBuf> {
    if std::env::var_os("HODOSCOPE_LONG").is_some() {
        return installed(what, path);
    }
    stands(&cache(), path).or_else(|| cannot(what, "it is not installed: run tests/setup.sh"))
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

/// A port for a program that must be told one. From below those that the system gives to whoever asks for any (32,768 and above), so that no
/// other socket takes it before the program does, or while the program is started anew; and never the same one twice.
pub fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    for _ in 0..1_000 {
        let port = rand::rng().random_range(15_000..32_000);
        let is_free = std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
        if is_free && GIVEN.lock().unwrap_or_else(PoisonError::into_inner).insert(port) {
            return port;
        }
    }
    panic!("no port is free");
}

/// Makes a script that can be run. Another process writes it: one that a parallel test starts from here would inherit our open file for a
/// moment, and a file that is open for writing cannot be run.
pub fn make_script(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let draft = path.with_extension("draft");
    std::fs::write(&draft, text).expect("written");
    std::fs::set_permissions(&draft, std::fs::Permissions::from_mode(0o755)).expect("executable");
    let copied = Command::new("cp").args([&draft, path]).status().expect("cp runs");
    assert!(copied.success(), "{copied}");
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

/// What the set-up began and gave up is not there: the tests that need it say so, and do not fail halfway.
#[test]
fn half_installed_parts_are_missing() {
    let cache = tempfile::tempdir().expect("a folder");
    std::fs::create_dir_all(cache.path().join("java/classes")).expect("a folder");
    assert_eq!(stands(cache.path(), "java/classes"), None);
    std::fs::write(cache.path().join("java/installed-from"), "versions").expect("written");
    assert!(stands(cache.path(), "java/classes").is_some());
    assert_eq!(stands(cache.path(), "java/jars"), None);
}

/// A second try at the Rust SDK goes on from what the first one compiled, and one that fails leaves nothing that looks installed.
#[test]
fn a_set_up_goes_on_where_it_stopped() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().expect("a folder");
    let (tools, cache) = (folder.path().join("tools"), folder.path().join("cache"));
    std::fs::create_dir(&tools).expect("a folder");
    for name in
        ["sh", "cat", "cmp", "cp", "dirname", "env", "find", "id", "mkdir", "mv", "rm", "sort", "timeout", "xargs"]
    {
        let found = ["/usr/bin", "/bin"].iter().map(|place| Path::new(place).join(name)).find(|path| path.exists());
        let Some(found) = found else { return cannot(name, "it is not where Linux has it").unwrap_or_default() };
        symlink(found, tools.join(name)).expect("linked");
    }
    // No other tool is there; this compiler is stopped at its first try and ends at its second.
    let cargo = "#!/bin/sh\n[ -e \"$CARGO_TARGET_DIR/begun\" ] || { mkdir -p \"$CARGO_TARGET_DIR/debug\"; : >\"$CARGO_TARGET_DIR/begun\"; exit 1; }\n\
                 : >\"$CARGO_TARGET_DIR/debug/send\"\n";
    make_script(&tools.join("cargo"), cargo);
    let set_up = || {
        let mut command = Command::new(source("tests/setup.sh"));
        command.env("PATH", &tools).env("HODOSCOPE_CACHE", &cache).env_remove("HODOSCOPE_LONG");
        let output = command.output().expect("it can be started");
        assert!(!output.status.success(), "python and others are missing");
        stands(&cache.join("tests"), "rust/send")
    };
    assert_eq!(set_up(), None);
    assert!(set_up().is_some(), "the second try begins where the first one stopped");
    assert!(!cache.join("tests/rust/target").exists(), "what is not needed any more is gone");
}
