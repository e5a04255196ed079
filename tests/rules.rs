//! Every rule of the specification (`docs/spec/CONFORMANCE.md`, sections 1 to 4) is named by a test: by its function (`f27_…`, or `f05_…`), or by
//! the first words about it (`/// S2, S11: …`).

use std::collections::BTreeSet;
use std::path::Path;

/// Ids of rules, as tables and lists of the specification begin with them.
fn rules(specification: &str) -> BTreeSet<String> {
    let id = |line: &str| {
        let word = line.strip_prefix("| ").or_else(|| line.strip_prefix("- "))?.split_whitespace().next()?;
        is_id(word).then(|| word.to_owned())
    };
    specification.lines().filter_map(id).collect()
}

/// True for a letter of the specification and a number.
fn is_id(word: &str) -> bool {
    let mut letters = word.chars();
    letters.next().is_some_and(|letter| "TAJVDFS".contains(letter))
        && !letters.as_str().is_empty()
        && letters.all(|letter| letter.is_ascii_digit())
}

/// Ids that a test names: in its own name, and in what stands above it up to the first colon.
fn named(about: &[&str], function: &str) -> Vec<String> {
    let from_name = function.split('_').next().map(str::to_uppercase).filter(|word| is_id(word));
    let from_name = from_name.map(|id| format!("{}{}", &id[..1], id[1..].trim_start_matches('0')));
    let told = about.first().and_then(|line| line.split_once(':')).map_or("", |(ids, _)| ids);
    let words = told.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| is_id(word)).map(str::to_owned);
    words.chain(from_name).collect()
}

/// Ids that the tests of a file name.
fn named_in(source: &str, all: &mut BTreeSet<String>) {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    for (at, line) in lines.iter().enumerate() {
        if !line.starts_with("#[test]") && !line.starts_with("#[tokio::test") {
            continue;
        }
        let above = lines[..at].iter().rev().take_while(|line| line.starts_with("///")).count();
        let about: Vec<&str> = lines[at - above..at].iter().map(|line| line.trim_start_matches('/')).collect();
        let function = lines[at..].iter().find_map(|line| {
            let line = line.strip_prefix("async ").unwrap_or(line);
            line.strip_prefix("fn ")?.split('(').next()
        });
        all.extend(named(&about, function.unwrap_or_default()));
    }
}

#[test]
fn every_rule_is_named_by_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let specification = std::fs::read_to_string(root.join("docs/spec/CONFORMANCE.md")).expect("it is here");
    let rules = rules(&specification);
    assert!(rules.len() > 130, "the specification has another form now: {rules:?}");
    let (mut tested, mut folders) = (BTreeSet::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("readable").map(|entry| entry.expect("readable")) {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            if entry.file_type().expect("readable").is_dir() {
                let is_ours = !name.starts_with('.') && !["target", "node_modules", "dist"].contains(&&*name);
                folders.extend(is_ours.then_some(path));
            } else if name.ends_with(".rs") {
                named_in(&std::fs::read_to_string(&path).expect("text"), &mut tested);
            }
        }
    }
    let untested: Vec<_> = rules.difference(&tested).collect();
    assert!(untested.is_empty(), "no test names {untested:?}");
}

#[test]
fn ids_are_found_in_names_and_first_words() {
    let source = "/// S2, S11: a session.\n/// V7: not here.\n#[tokio::test]\nasync fn s2_sessions() {}\n\
                  #[test]\n#[ignore = \"long\"]\nfn f05_damage() {}\n/// No rule: T1.\n#[test]\nfn plain() {}\n/// A1 is told.\nfn no_test() {}";
    let mut found = BTreeSet::new();
    named_in(source, &mut found);
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["F5", "S11", "S2"]);
    assert_eq!(rules("| T1 | a |\n- A16 b\n| Id | Rule |\n- Fuzz\n|---|").len(), 2);
}
