//! What a person writes, and what they are told when it cannot work.

use super::*;

/// Loads with a file of this text, these variables and these flags.
fn load(file: &str, variables: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Config, String> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("hodoscope.toml");
    std::fs::write(&path, file).expect("the file can be written");
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let flags: Vec<(&str, String)> = flags.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    Config::load(Some(&path), variables, &flags)
        .map_err(|error| error.to_string().replace(&path.display().to_string(), "FILE"))
}

#[track_caller]
fn refused(file: &str, variables: &[(&str, &str)], flags: &[(&str, &str)], sentence: &str) {
    assert_eq!(load(file, variables, flags).map(|_| "accepted"), Err(sentence.to_owned()));
}

/// Nothing given: the defaults, on loopback.
#[test]
fn defaults_stand() {
    assert_eq!(load("", &[], &[]), Ok(Config::default()));
    assert_eq!(Config::default().door.otlp_grpc.to_string(), "127.0.0.1:4317");
}

/// Flags win over variables, variables over the file, the file over the defaults.
#[test]
fn the_nearest_source_wins() {
    let file = "[door]\nhttp = '127.0.0.1:1'\notlp_http = '127.0.0.1:2'\notlp_grpc = '127.0.0.1:3'\n[storage]\nretention_days = 7";
    let variables = [("HODOSCOPE_OTLP_HTTP", "127.0.0.1:12"), ("HODOSCOPE_HTTP", "127.0.0.1:11"), ("PATH", "/bin")];
    let config = load(file, &variables, &[("door.http", "127.0.0.1:21")]).expect("every value is good");
    assert_eq!(
        [config.door.otlp_grpc, config.door.otlp_http, config.door.http].map(|address| address.port()),
        [3, 12, 21]
    );
    assert_eq!(config.storage.retention_days, 7);
}

/// A setting that does not exist is named, with the nearest one that does.
#[test]
fn unknown_settings_are_errors() {
    refused("[door]\nhtpp = 'x'", &[], &[], "there is no setting door.htpp (in FILE); did you mean door.http?");
    refused(
        "[storage]\nretention_day = 3",
        &[],
        &[],
        "there is no setting storage.retention_day (in FILE); did you mean storage.retention_days?",
    );
    refused(
        "retention_days = 3",
        &[],
        &[],
        "there is no setting retention_days (in FILE); did you mean storage.retention_days?",
    );
    refused(
        "",
        &[("HODOSCOPE_STORAGE_BUFFER_AGE", "3")],
        &[],
        "the variable HODOSCOPE_STORAGE_BUFFER_AGE is no setting; did you mean HODOSCOPE_STORAGE_BUFFER_AGE_MAX_S?",
    );
    refused("xyz = 1", &[], &[], "there is no setting xyz (in FILE)");
}

/// Variables that Kubernetes makes for a service of our name, and those of the tests, are not ours.
#[test]
fn foreign_variables_are_left_alone() {
    let variables = [
        ("HODOSCOPE_PORT", "tcp://10.0.0.1:4317"),
        ("HODOSCOPE_PORT_4317_TCP_ADDR", "10.0.0.1"),
        ("HODOSCOPE_SERVICE_HOST", "10.0.0.1"),
        ("HODOSCOPE_REQUIRE_ALL", "1"),
    ];
    assert_eq!(load("", &variables, &[]), Ok(Config::default()));
}

/// A value of the wrong type says what it should be and where it stands.
#[test]
fn wrong_types_are_errors() {
    refused(
        "[storage]\nretention_days = 'a week'",
        &[],
        &[],
        "storage.retention_days must be a whole number such as 30, not \"a week\" (in FILE)",
    );
    refused(
        "",
        &[("HODOSCOPE_STORAGE_RETENTION_DAYS", "-1")],
        &[],
        "storage.retention_days must be 0 or more, such as 30, not -1 (in the variable HODOSCOPE_STORAGE_RETENTION_DAYS)",
    );
    refused(
        "",
        &[],
        &[("door.otlp_grpc", "4317")],
        "door.otlp_grpc must be ADDRESS:PORT such as 127.0.0.1:4317, not \"4317\" (given as --otlp-grpc)",
    );
    refused("storage = 3", &[], &[], "storage must be a table such as [storage], not 3 (in FILE)");
    refused(
        "[door]\nallow_insecure = 'yes'",
        &[],
        &[],
        "door.allow_insecure must be true or false, such as false, not \"yes\" (in FILE)",
    );
}

/// Values that cannot work are refused before anything is opened.
#[test]
fn impossible_values_are_errors() {
    refused("[storage]\nretention_days = 0", &[], &[], "storage.retention_days must be greater than 0");
    refused(
        "",
        &[("HODOSCOPE_DATA", "ftp://host/folder")],
        &[],
        "storage.data: ftp:// is no store of data; give a path, s3://, gs:// or az:// with --data",
    );
}

/// What is printed can be read back.
#[test]
fn printed_configuration_loads() {
    let config = load("[storage]\nretention_days = 7", &[], &[("door.http", "127.0.0.1:0")]).expect("good values");
    assert_eq!(load(&config.to_toml(), &[], &[]), Ok(config));
}

/// A file that is not there or not TOML is named.
#[test]
fn unreadable_files_are_errors() {
    let missing = Config::load(Some(Path::new("no/such.toml")), [], &[]).expect_err("there is no such file");
    assert!(missing.to_string().starts_with("cannot read the configuration no/such.toml: "), "{missing}");
    let odd = load("http = ", &[], &[]).expect_err("half a line is not TOML");
    assert!(odd.starts_with("FILE is not TOML: "), "{odd}");
}

/// The README's table of settings is written from the structs: names and defaults from the values, meanings from the
/// doc comments. `make docs` writes it anew.
#[test]
fn settings_table_is_fresh() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tree = settings();
    let mut table = String::from("| setting | default | variable | flag | meaning |\n|---|---|---|---|---|\n");
    // When findings are told is listed where findings are explained: docs/journeys.md.
    for path in leaves(&tree).into_iter().filter(|path| !path.starts_with("query.findings.")) {
        let (room, name) = path.split_once('.').expect("every setting belongs to a room");
        let source = SOURCES.iter().find(|(of, _)| *of == room).expect("every room's settings have a source").1;
        let source = std::fs::read_to_string(root.join(source)).expect("the source is here");
        let default = find(&mut tree.clone(), &path).map(|value| value.to_string()).expect("it is in the tree");
        let flag = short_name(&path).map_or_else(String::new, |flag| format!("`--{flag}`"));
        let meaning = doc_comment(&source, name.rsplit('.').next().unwrap_or(name));
        table +=
            &format!("| `{path}` | `{}` | `{}` | {flag} | {meaning} |\n", default.replace('"', ""), variable(&path));
    }
    let readme = root.join("README.md");
    let text = std::fs::read_to_string(&readme).expect("README.md is here");
    let (before, rest) = text.split_once("<!-- settings -->\n").expect("README.md marks where the table begins");
    let (stands, after) = rest.split_once("<!-- /settings -->").expect("README.md marks where the table ends");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let fresh = format!("{before}<!-- settings -->\n{table}<!-- /settings -->{after}");
        std::fs::write(&readme, fresh).expect("README.md can be written");
    } else {
        assert!(stands == table, "the README's table of settings is stale: run `make docs` and commit it");
    }
}

/// Where each room says what its settings mean.
const SOURCES: &[(&str, &str)] = &[
    ("door", "collector/door/src/config.rs"),
    ("collector", "collector/src/config.rs"),
    ("storage", "storage/src/config.rs"),
    ("query", "query/src/config.rs"),
];

/// The doc comment of a public field, on one line.
fn doc_comment(source: &str, field: &str) -> String {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let at = lines.iter().position(|line| line.starts_with(&format!("pub {field}:"))).expect("the field is public");
    let first = lines[..at].iter().rposition(|line| !line.starts_with("///")).map_or(0, |before| before + 1);
    let words: Vec<&str> = lines[first..at].iter().map(|line| line.trim_start_matches('/').trim()).collect();
    words.join(" ").replace('|', "\\|")
}

/// Every flag sets a setting that exists.
#[test]
fn flags_name_settings() {
    for (path, short) in FLAGS {
        assert!(leaves(&settings()).iter().any(|leaf| leaf == path), "--{short} sets {path}, which does not exist");
    }
}
