//! The walls of docs/ARCHITECTURE.md, section 2, read from the manifests and the source itself.
//!
//! A wall is a row of [`ROOMS`]. When one of these tests fails, the question is not how to make it pass but
//! which room the new fact belongs to.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A room and what it must not know.
struct Room {
    /// Folder.
    folder: &'static str,
    /// Rooms of ours it may depend on.
    rooms: &'static [&'static str],
    /// Crates it must not depend on, by the beginning of their names.
    no_crates: &'static [&'static str],
    /// Paths that must not be written in its source.
    no_paths: &'static [&'static str],
}

const ROOMS: &[Room] = &[
    Room {
        folder: "storage/model",
        rooms: &[],
        no_crates: &["arrow", "tokio", "prost", "tonic", "opentelemetry", "object_store", "rand", "time"],
        no_paths: &["std::fs", "std::net", "SystemTime", "Instant"],
    },
    Room {
        folder: "storage",
        rooms: &["model"],
        no_crates: &["prost", "tonic", "axum", "opentelemetry", "datafusion", "leptos"],
        no_paths: &[],
    },
    Room {
        folder: "collector/door",
        rooms: &["model"],
        no_crates: &["opentelemetry", "prost", "arrow", "parquet", "datafusion", "deltalake", "leptos"],
        no_paths: &[],
    },
    Room {
        folder: "collector",
        rooms: &["model", "storage"],
        no_crates: &["parquet", "datafusion", "deltalake", "object_store", "leptos"],
        no_paths: &["storage::Reader", "storage::Snapshot"],
    },
    Room {
        folder: "query/api",
        rooms: &["model"],
        no_crates: &["arrow", "tokio", "axum", "datafusion", "prost", "tonic"],
        no_paths: &["std::fs", "std::net"],
    },
    Room {
        folder: "query",
        rooms: &["model", "api", "storage"],
        no_crates: &["opentelemetry", "deltalake", "leptos", "door"],
        no_paths: &["storage::Appender"],
    },
    Room {
        folder: "ui",
        rooms: &["model", "api"],
        no_crates: &["arrow", "tokio", "datafusion", "axum", "storage"],
        no_paths: &["inner_html"],
    },
];

/// Names of our own crates.
const OURS: &[&str] = &["model", "storage", "door", "collector", "api", "query", "ui"];

/// Source outside the rooms that is held to the same manners.
const OUTSIDE: &[&str] = &["main.rs", "config.rs", "build.rs"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every `.rs` file of a folder, nested ones too, without `target` and the folders of other rooms.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for path in entries.map(|entry| entry.expect("a readable folder").path()) {
            if path.is_dir() {
                let name = path.file_name().expect("a folder").to_string_lossy().into_owned();
                if !matches!(name.as_str(), "target" | "dist" | "node_modules") && !name.starts_with('.') {
                    open.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn room_sources(room: &Room) -> Vec<PathBuf> {
    sources(&root().join(room.folder).join("src"))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// The part of a file that is not its unit tests: up to `#[cfg(test)]` in front of a module; nothing of `tests.rs`, of
/// `testing.rs` (what unit tests share) and of folders named `tests`.
fn without_tests(path: &Path, text: &str) -> String {
    let name = path.file_name().expect("a file").to_string_lossy().into_owned();
    let in_tests = path.components().any(|part| part.as_os_str() == "tests");
    if name == "tests.rs" || name == "testing.rs" || in_tests {
        return String::new();
    }
    let lines: Vec<_> = text.lines().collect();
    let is_tests = |pair: &[&str]| pair[0].trim() == "#[cfg(test)]" && pair[1].trim_start().starts_with("mod ");
    let end = lines.windows(2).position(is_tests).unwrap_or(lines.len());
    lines[..end].join("\n")
}

/// Names in `[dependencies]` and in `[target.….dependencies]` of a manifest, not those for its tests.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let mut inside = false;
    let mut names = BTreeSet::new();
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            inside = line == "[dependencies]" || (line.starts_with("[target") && line.ends_with(".dependencies]"));
        } else if inside && !line.is_empty() && !line.starts_with('#') {
            let name: String = line.chars().take_while(|c| c.is_alphanumeric() || matches!(c, '_' | '-')).collect();
            names.insert(name);
        }
    }
    names
}

/// Manifests name only the rooms and crates that a room may know.
#[test]
fn manifests_keep_the_walls() {
    let mut broken = Vec::new();
    for room in ROOMS {
        let names = dependencies(&read(&root().join(room.folder).join("Cargo.toml")));
        assert!(!names.is_empty(), "{}: no dependencies found", room.folder);
        for name in &names {
            let is_foreign_room = OURS.contains(&name.as_str()) && !room.rooms.contains(&name.as_str());
            // `time` alone is the clock's crate; `time-…` does not exist here.
            let is_banned = |banned: &&str| name == *banned || name.starts_with(&format!("{banned}-"));
            if is_foreign_room || room.no_crates.iter().any(is_banned) {
                broken.push(format!("{} must not depend on {name}", room.folder));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// Source names no path from behind a wall.
#[test]
fn source_keeps_the_walls() {
    let mut broken = Vec::new();
    for room in ROOMS {
        for path in room_sources(room) {
            let text = without_tests(&path, &read(&path));
            for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
                let names = |banned: &&&str| is_named(line, banned);
                broken.extend(
                    room.no_paths
                        .iter()
                        .filter(names)
                        .map(|banned| format!("{}:{}: {banned} is behind a wall", shown(&path), number + 1)),
                );
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// True when `line` names the path, also inside braces: `use storage::{Batch, Reader}` names `storage::Reader`.
fn is_named(line: &str, path: &str) -> bool {
    let Some((first, last)) = path.rsplit_once("::") else { return has_word(line, path) };
    if has_word(line, path) {
        return true;
    }
    let Some((_, list)) = line.split_once(&format!("{first}::{{")) else { return false };
    has_word(list, last)
}

fn has_word(line: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        !line[..at].chars().next_back().is_some_and(is_part) && !line[at + word.len()..].starts_with(is_part)
    })
}

/// Every file says at its top what it is.
#[test]
fn every_file_opens_with_its_purpose() {
    let outside = OUTSIDE.iter().map(|name| root().join(name)).filter(|path| path.exists());
    let proof = ["tests", "benches"].iter().map(|name| root().join(name)).filter(|path| path.exists());
    let files = ROOMS.iter().flat_map(room_sources).chain(outside).chain(proof.flat_map(|folder| sources(&folder)));
    let silent: Vec<_> = files
        .filter(|path| {
            let text = read(path);
            let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
            !first.starts_with("//! ") || first.contains("Stub")
        })
        .map(|path| shown(&path))
        .collect();
    assert!(silent.is_empty(), "these files do not open with a //! that says what they are:\n{}", silent.join("\n"));
}

/// Attribute keys stand in the table of semantic conventions and nowhere else.
#[test]
fn attribute_keys_are_spelled_once() {
    /// Files that may spell keys: the table itself.
    const MAY: &[&str] = &["storage/model/src/semconv.rs"];
    let mut keys: BTreeSet<&str> = BTreeSet::new();
    for convention in model::semconv::CONVENTIONS {
        keys.insert(convention.key);
        keys.extend(convention.replaces);
        keys.extend(convention.fallbacks);
    }
    // Words without a dot (`component`) are ordinary words as well.
    keys.retain(|key| key.contains('.'));
    assert!(keys.len() > 20, "the table of conventions was found");
    let mut broken = Vec::new();
    for path in ROOMS.iter().flat_map(room_sources).filter(|path| !MAY.contains(&shown(path).as_str())) {
        let text = without_tests(&path, &read(&path));
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            let literals = line.split('"').skip(1).step_by(2);
            broken.extend(
                literals
                    .filter(|literal| keys.contains(literal))
                    .map(|key| format!("{}:{}: \"{key}\"; use model::semconv::key", shown(&path), number + 1)),
            );
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// Nothing unfinished is left standing.
#[test]
fn nothing_is_unfinished() {
    // Written in two parts, so that this file does not find itself.
    let marks = [concat!("todo", "!("), concat!("unimplement", "ed!("), concat!("is being ", "built")];
    let files = ROOMS.iter().flat_map(room_sources).chain(OUTSIDE.iter().map(|name| root().join(name)));
    let mut found = Vec::new();
    for path in files.filter(|path| path.exists()) {
        for (number, line) in read(&path).lines().enumerate() {
            if marks.iter().any(|mark| line.contains(mark)) {
                found.push(format!("{}:{}: {}", shown(&path), number + 1, line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// `mod.rs` is never used: `foo.rs` has its children in `foo/`.
#[test]
fn there_is_no_mod_rs() {
    let all = ROOMS.iter().flat_map(room_sources).chain(sources(&root().join("tests")));
    let found: Vec<_> = all.filter(|path| path.ends_with("mod.rs")).map(|path| shown(&path)).collect();
    assert!(found.is_empty(), "{found:?}");
}

/// The readers of this file find what they look for.
#[test]
fn the_readers_see() {
    assert!(is_named("use storage::{Batch, Reader};", "storage::Reader"));
    assert!(is_named("let reader: storage::Reader = ...", "storage::Reader"));
    assert!(!is_named("use storage::{Batch, ReaderLike};", "storage::Reader"));
    let manifest = "[dependencies]\na.workspace = true\nb-c = \"1\"\n[dev-dependencies]\nd = \"1\"\n";
    assert_eq!(dependencies(manifest).into_iter().collect::<Vec<_>>(), ["a", "b-c"]);
    let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n}\n";
    assert_eq!(without_tests(Path::new("x.rs"), text), "fn a() {}");
}
