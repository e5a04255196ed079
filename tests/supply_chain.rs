//! What we are built from (S19): licences, sources, banned and doubled crates by `deny.toml`; no `unsafe` of our own; the bill of materials.
//!
//! `cargo deny` reads the same file and knows advisories, too, which need its database: `make deny`. What needs no database is held
//! here, so that the gate says it on every machine.

mod bill;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value as Json;
use toml::{Table, Value};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rules() -> Table {
    std::fs::read_to_string(root().join("deny.toml")).expect("the file is here").parse().expect("TOML")
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().expect("a list").iter().map(|text| text.as_str().expect("a text").to_owned()).collect()
}

/// A crate in the tree.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Package {
    name: String,
    version: String,
    license: String,
    /// Empty for our own.
    source: String,
}

/// Every crate of the targets that we build for: the program's and the page's.
fn packages() -> BTreeSet<Package> {
    let rules = rules();
    let targets = rules["graph"]["targets"].as_array().expect("a list").clone();
    let triples = targets.iter().map(|target| target["triple"].as_str().expect("a text"));
    let found = triples.flat_map(|triple| {
        let metadata = bill::metadata(root(), triple).expect("cargo knows");
        let text = |package: &Json, name: &str| package[name].as_str().unwrap_or_default().to_owned();
        let package = |package: &Json| Package {
            name: text(package, "name"),
            version: text(package, "version"),
            license: text(package, "license"),
            source: text(package, "source"),
        };
        metadata["packages"].as_array().expect("packages").iter().map(package).collect::<Vec<_>>()
    });
    let found: BTreeSet<Package> = found.collect();
    assert!(found.len() > 300, "the tree is larger than that: {}", found.len());
    found
}

/// True when a licence expression (SPDX) can be fulfilled with what is allowed. `/` is an old way to write `OR`.
fn is_allowed(expression: &str, allowed: &dyn Fn(&str) -> bool) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let (is_allowed, rest) = any_of(&words, allowed);
    is_allowed && rest.is_empty() && !words.is_empty()
}

fn any_of<'w, 't>(words: &'w [&'t str], allowed: &dyn Fn(&str) -> bool) -> (bool, &'w [&'t str]) {
    let (mut any, mut rest) = all_of(words, allowed);
    while let ["OR", behind @ ..] = rest {
        let (next, behind) = all_of(behind, allowed);
        (any, rest) = (any | next, behind);
    }
    (any, rest)
}

fn all_of<'w, 't>(words: &'w [&'t str], allowed: &dyn Fn(&str) -> bool) -> (bool, &'w [&'t str]) {
    let (mut all, mut rest) = one(words, allowed);
    while let ["AND", behind @ ..] = rest {
        let (next, behind) = one(behind, allowed);
        (all, rest) = (all & next, behind);
    }
    (all, rest)
}

fn one<'w, 't>(words: &'w [&'t str], allowed: &dyn Fn(&str) -> bool) -> (bool, &'w [&'t str]) {
    match words {
        ["(", inside @ ..] => {
            let (is_allowed, rest) = any_of(inside, allowed);
            (is_allowed, rest.split_first().map_or(rest, |(_, behind)| behind))
        }
        [license, "WITH", exception, rest @ ..] => (allowed(&format!("{license} WITH {exception}")), rest),
        [license, rest @ ..] => (allowed(license), rest),
        [] => (false, words),
    }
}

#[test]
fn s19_licence_expressions_are_understood() {
    let allowed = |license: &str| matches!(license, "MIT" | "ISC" | "Apache-2.0 WITH LLVM-exception");
    for (expression, expected) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("GPL-3.0 OR MIT", true),
        ("GPL-3.0/MIT", true),
        ("MIT AND GPL-3.0", false),
        ("MIT AND (GPL-3.0 OR ISC)", true),
        ("(GPL-3.0 OR MIT) AND GPL-3.0", false),
        ("GPL-3.0 OR MIT AND ISC", true),
        ("Apache-2.0 WITH LLVM-exception", true),
        ("Apache-2.0 WITH other", false),
        ("", false),
    ] {
        assert_eq!(is_allowed(expression, &allowed), expected, "{expression}");
    }
}

/// S19: every licence is one of the list, or the crate stands among the exceptions; each entry is needed.
#[test]
fn s19_licences_are_allowed() {
    let rules = rules();
    let licenses = &rules["licenses"];
    let list: BTreeSet<String> = texts(&licenses["allow"]).into_iter().collect();
    let mut exceptions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for exception in licenses["exceptions"].as_array().expect("a list") {
        exceptions.insert(exception["crate"].as_str().expect("a name").to_owned(), texts(&exception["allow"]));
    }
    let packages = packages();
    for package in &packages {
        let more = exceptions.get(&package.name).cloned().unwrap_or_default();
        let allowed = |license: &str| list.contains(license) || more.iter().any(|other| other == license);
        assert!(is_allowed(&package.license, &allowed), "{package:?}: this licence is not in deny.toml");
    }
    for license in &list {
        let others = |other: &str| other != license && list.contains(other);
        let is_needed = packages
            .iter()
            .filter(|package| !exceptions.contains_key(&package.name))
            .any(|package| !is_allowed(&package.license, &others));
        assert!(is_needed, "deny.toml allows {license}, which no crate needs");
    }
    for name in exceptions.keys() {
        assert!(
            packages.iter().any(|package| package.name == *name),
            "deny.toml has an exception for {name}, which is gone"
        );
    }
}

/// S19: crates come from the registry, none is banned, and a crate that is there twice stands in the list with its reason.
#[test]
fn s19_nothing_banned_nothing_doubled() {
    let rules = rules();
    let packages = packages();
    for package in &packages {
        let is_ours = package.source.is_empty();
        assert!(is_ours || package.source.starts_with("registry+"), "{package:?} does not come from the registry");
    }
    let named = |list: &str| -> Vec<String> {
        let entries = rules["bans"][list].as_array().expect("a list");
        entries.iter().map(|entry| entry["crate"].as_str().expect("a name").to_owned()).collect()
    };
    for banned in named("deny") {
        assert!(packages.iter().all(|package| package.name != banned), "{banned} is banned by deny.toml");
    }
    let known: BTreeSet<String> = named("skip").into_iter().collect();
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in &packages {
        versions.entry(&package.name).or_default().push(&package.version);
    }
    for (name, versions) in &versions {
        let untold = versions.iter().filter(|version| !known.contains(&format!("{name}@{version}"))).count();
        assert!(untold <= 1, "{name} is there as {versions:?}: deny.toml does not say why");
    }
    for entry in &known {
        let (name, version) = entry.split_once('@').expect("a version");
        let found = versions.get(name).is_some_and(|all| all.len() > 1 && all.contains(&version));
        assert!(found, "deny.toml skips {entry}, which is not doubled any more");
    }
    for list in ["deny", "skip"] {
        for entry in rules["bans"][list].as_array().expect("a list") {
            assert!(entry["reason"].as_str().is_some_and(|reason| reason.len() > 10), "{list} {entry}: why?");
        }
    }
}

/// S19: our own code has no `unsafe` anywhere. A module that needs some would be listed here, and say why.
#[test]
fn s19_no_unsafe_of_our_own() {
    const LISTED: &[&str] = &[];
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).expect("the file is here");
    let manifest: Table = manifest.parse().expect("TOML");
    assert_eq!(manifest["workspace"]["lints"]["rust"]["unsafe_code"].as_str(), Some("forbid"));
    let mut folders = vec![root().to_owned()];
    let (mut n_manifests, mut n_sources) = (0, 0);
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(&folder).expect("readable").map(|entry| entry.expect("readable").path()) {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            if path.is_dir() {
                if !name.starts_with('.')
                    && !matches!(name.as_str(), "target" | "dist" | "node_modules" | "fixtures" | "clients")
                {
                    folders.push(path);
                }
            } else if name == "Cargo.toml" {
                let text = std::fs::read_to_string(&path).expect("readable");
                // libFuzzer calls a function by its name, which takes a macro that a crate which forbids cannot have.
                let is_fuzz = folder.ends_with("tests/fuzz") && text.contains("unsafe_code = \"deny\"");
                let has_lints = text.contains("[lints]\nworkspace = true") || is_fuzz;
                assert!(has_lints, "{} does not take the lints of the workspace", path.display());
                n_manifests += 1;
            } else if name.ends_with(".rs") {
                n_sources += 1;
                check_source(&path, LISTED);
            }
        }
    }
    assert!(n_manifests >= 8 && n_sources > 200, "{n_manifests} manifests, {n_sources} sources");
}

/// The word as code has it: before a block, a function, an implementation, a trait or an extern.
fn check_source(path: &Path, listed: &[&str]) {
    let shown = path.strip_prefix(root()).unwrap_or(path).display().to_string();
    if listed.contains(&shown.as_str()) {
        return;
    }
    let text = std::fs::read_to_string(path).expect("readable");
    let word = ["un", "safe"].concat();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with("//")) {
        for (at, _) in line.match_indices(&word) {
            let behind = line[at + word.len()..].trim_start();
            let is_code = line[at + word.len()..].starts_with([' ', '{', '('])
                && ["{", "fn ", "impl", "trait ", "extern ", "("].iter().any(|start| behind.starts_with(start));
            assert!(!is_code, "{shown}: {line}");
        }
    }
}

/// S19: the bill of materials names what is built, with licence and checksum, and everything it refers to is in it.
#[test]
fn s19_the_bill_is_whole() {
    let bill = bill::bill(root()).expect("a bill");
    assert_eq!((&bill["bomFormat"], &bill["specVersion"]), (&"CycloneDX".into(), &"1.5".into()));
    let components = bill["components"].as_array().expect("components");
    let program = &bill["metadata"]["component"];
    assert_eq!(program["name"], "hodoscope");
    let refs: BTreeSet<&str> =
        components.iter().chain([program]).map(|component| component["bom-ref"].as_str().expect("a name")).collect();
    assert!(refs.len() == components.len() + 1 && refs.len() > 250, "{}", refs.len());
    let names = |name: &str| components.iter().any(|component| component["name"] == name);
    assert!(names("datafusion") && names("leptos") && names("rustls") && names("storage"));
    assert!(!names("proptest"), "what only tests use is not in it");
    let ours = ["api", "collector", "door", "model", "query", "storage", "ui"];
    for component in components {
        let name = component["name"].as_str().expect("a name");
        assert!(
            component["licenses"][0]["expression"].as_str().is_some_and(|license| !license.contains('/')),
            "{name}"
        );
        let has_hash = component["hashes"][0]["content"].as_str().is_some_and(|hash| hash.len() == 64);
        assert_eq!(has_hash, !ours.contains(&name), "{name}");
        assert!(component["properties"][0]["value"].is_string(), "{name} is in the program or in the page");
    }
    for dependency in bill["dependencies"].as_array().expect("dependencies") {
        let all = dependency["dependsOn"].as_array().expect("a list").iter().chain([&dependency["ref"]]);
        for name in all {
            assert!(refs.contains(name.as_str().expect("a name")), "{name} is not in it");
        }
    }
    assert!(!bill.to_string().contains(&root().display().to_string()), "nothing of this machine");
}
