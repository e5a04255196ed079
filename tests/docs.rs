//! Generated pages: written from the tables they describe, so that they cannot grow stale.
//!
//! The SQL of the README and of the page on journeys is asked for real.
//!
//! `make docs` (`UPDATE_DOCS=1`) writes them anew; without it a page that differs fails the test.

use std::fmt::Write as _;
use std::path::Path;

use model::Repairs;
use model::semconv::{CONVENTIONS, On, ValueKind};
use query::analysis::findings::FindingName;
use query::analysis::thresholds::Thresholds;
use storage::TABLES;
use storage::table::{Kind, Need, attributes_fields, events_fields, links_fields};

use crate::harness::{Collector, sql};

/// Compares a page with what it should be, or writes it when asked to.
#[track_caller]
fn check(page: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, text).expect("the page can be written");
    }
    let stands = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(stands == text, "{page} is stale: run `make docs` and commit it");
}

/// `docs/tables.md` lists every table and column as storage declares them.
#[test]
fn tables_page_is_fresh() {
    let mut page = String::from(
        "# Tables at rest\n\n\
         Written from `storage/src/table/` by `make docs`; a test fails when this page is stale. The same columns, and the\n\
         relations made from them, are at `GET /api/tables` of a running collector.\n\n\
         A column marked *may be null* is null when the sender did not say it. Moments are nanoseconds since 1970 in UTC.\n\n\
         *On disk* is the column's type in the Delta table: what DuckDB, Spark, Polars and others see (docs/open-data.md).\n",
    );
    for table in TABLES {
        let sort = table.sort.join("`, `");
        write!(
            page,
            "\n## {}\n\n{}. Time column `{}`; a fresh segment is sorted by `{sort}`.\n\n\
             | column | holds | on disk | may be null | meaning |\n|---|---|---|---|---|\n",
            table.name,
            capital(table.help),
            table.time,
        )
        .expect("text grows");
        for column in table.columns() {
            let null = if column.need == Need::Optional { "yes" } else { "" };
            let (holds, on_disk) = (holds(column.kind), on_disk(column.kind));
            writeln!(page, "| `{}` | {holds} | {on_disk} | {null} | {} |", column.name, cell(column.help))
                .expect("text grows");
        }
    }
    page.push_str("\n## Nested columns\n\n| inside | fields |\n|---|---|\n");
    let nested = |(name, arrow): (&String, String)| format!("`{name}` {}", nested_on_disk(&arrow));
    for (name, fields) in [("attributes", attributes_fields()), ("events", events_fields()), ("links", links_fields())]
    {
        let fields: Vec<String> =
            fields.iter().map(|field| (field.name(), field.data_type().to_string())).map(nested).collect();
        writeln!(page, "| `{name}` | {} |", fields.join(", ")).expect("text grows");
    }
    page.push_str(
        "\n## Repairs\n\nBits of the column `repairs`: what was mended on entry.\n\n| bit | name |\n|---|---|\n",
    );
    for (name, repair) in Repairs::NAMED {
        writeln!(page, "| {} | `{name}` |", repair.bits()).expect("text grows");
    }
    check("docs/tables.md", &page);
}

/// What can go wrong, by the ids of docs/spec/CONFORMANCE.md, sections 2 and 3.
const FAULTS: &[(&str, &str)] = &[
    ("d1", "an acknowledgement means that the record was synced, or that the PUT has succeeded"),
    ("d2", "what was acknowledged survives a kill and a power cut at any instant"),
    ("d3", "records of the WAL come back as they were written"),
    ("d4", "damaged WAL files cost their damaged records only, counted"),
    ("d5", "a failed sync is final for its file; the process goes on with another, or ends with 75"),
    ("d6", "files appear whole; WAL files go after their rows were committed"),
    ("d7", "damaged segments and table logs cost their own rows, and answers say so"),
    ("d8", "each row is seen once while it moves"),
    ("d9", "one writer per directory and per prefix"),
    ("d10", "formats carry versions; newer ones are refused untouched"),
    ("d11", "a polite end loses nothing"),
    ("d12", "ingest opens at once, whatever the WAL's size"),
    ("f1", "kill -9 under load"),
    ("f2", "power cut during ingest, flush, merge, retention, erasure and vacuum"),
    ("f3", "kill inside any call of the system"),
    ("f4", "damaged WAL"),
    ("f5", "damaged segment"),
    ("f6", "disk full in ingest"),
    ("f7", "disk full in a merge"),
    ("f8", "errors of fsync, write and read"),
    ("f9", "slow disk"),
    ("f10", "no descriptors left"),
    ("f11", "clock jumps"),
    ("f16", "a trace of very many spans"),
    ("f21", "a bad object store"),
    ("f22", "two writers"),
    ("f23", "kill during merges (f01 too: its collector merges all the time)"),
    ("f24", "data of every format that was ever written"),
    ("f25", "SIGTERM under load"),
    ("f26", "kills during a long replay"),
];

/// Tests by rule: a test's name begins with the id, faults with two digits.
fn tests_of(id: &str) -> Vec<String> {
    let (letter, number) = id.split_at(1);
    let prefix = if letter == "f" { format!("fn f{number:0>2}_") } else { format!("fn {id}_") };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut dirs = vec![root.join("tests"), root.join("storage/src")];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).expect("a directory").flatten() {
            let path = entry.path();
            if path.is_dir() {
                dirs.push(path);
                continue;
            }
            let Some("rs") = path.extension().and_then(|ending| ending.to_str()) else { continue };
            let shown = path.strip_prefix(root).expect("below").display().to_string();
            for line in std::fs::read_to_string(&path).expect("readable").lines() {
                let line = line.trim_start();
                let line = line.strip_prefix("async ").unwrap_or(line);
                if let Some(rest) = line.strip_prefix(&prefix) {
                    let name = rest.split('(').next().unwrap_or_default();
                    found.push(format!("`{}{name}` in {shown}", &prefix[3..]));
                }
            }
        }
    }
    found.sort();
    found
}

/// `docs/faults.md` lists what storage withstands with the tests that prove it; each rule has one at least.
#[test]
fn faults_page_is_fresh() {
    let mut page = String::from(
        "# What storage withstands\n\n\
         Written from the names of the tests by `make docs`; a test fails when this page is stale, or when a rule has no test.\n\
         The ids are those of the specification's durability contract (D) and fault matrix (F). `make test` runs the short\n\
         forms, `make test-long` the long ones (10,000 seeds of power cuts, 200 kills, every call of a cycle).\n\n\
         | id | what | proof |\n|---|---|---|\n",
    );
    for (id, what) in FAULTS {
        let tests = tests_of(id);
        assert!(!tests.is_empty(), "no test proves {id}: {what}");
        writeln!(page, "| {} | {what} | {} |", id.to_uppercase(), tests.join("; ")).expect("text grows");
    }
    check("docs/faults.md", &page);
}

/// `docs/attributes.md` lists every attribute key that the house knows by name.
#[test]
fn attributes_page_is_fresh() {
    let mut page = String::from(
        "# Attributes known by name\n\n\
         Written from `storage/model/src/semconv.rs` by `make docs`; a test fails when this page is stale.\n\n\
         Any other attribute is kept too, with its type: read it with `attr('key')` or `resource_attr('key')`.\n\
         *Also known as* are older keys of the same meaning: they fill the same column. *Looked at when absent* are keys that\n\
         are only read when none of the others was sent. *Since* is the version of the OpenTelemetry semantic conventions.\n",
    );
    for (title, on) in [("Of resources", On::Resource), ("Of spans, log records and data points", On::Item)] {
        write!(
            page,
            "\n## {title}\n\n| key | column | type | meaning | also known as | looked at when absent | since |\n|---|---|---|---|---|---|---|\n"
        )
        .expect("text grows");
        for convention in CONVENTIONS.iter().filter(|convention| convention.on == on) {
            let column = convention.column.map_or_else(String::new, |column| format!("`{column}`"));
            let value = match convention.value {
                ValueKind::Label | ValueKind::Text => "text",
                ValueKind::Int => "integer",
            };
            writeln!(
                page,
                "| `{}` | {column} | {value} | {} | {} | {} | {} |",
                convention.key,
                cell(convention.help),
                keys(convention.replaces),
                keys(convention.fallbacks),
                convention.since,
            )
            .expect("text grows");
        }
    }
    check("docs/attributes.md", &page);
}

/// `docs/journeys.md` lists every finding with its SQL, and every threshold with its default.
#[test]
fn journeys_page_is_fresh() {
    let stands = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/journeys.md"));
    let mut page = stands.expect("the page is here");
    let mut put = |mark: &str, table: &str| {
        let (before, rest) = page.split_once(&format!("<!-- {mark} -->\n")).expect("the page marks where it begins");
        let (_, after) = rest.split_once(&format!("<!-- /{mark} -->")).expect("the page marks where it ends");
        page = format!("{before}<!-- {mark} -->\n{table}<!-- /{mark} -->{after}");
    };
    let mut table = String::from("| finding | usually | means | finds its like |\n|---|---|---|---|\n");
    for name in FindingName::ALL {
        let (severity, help, sql) = (name.severity().as_str(), name.help(), cell(name.sql()));
        writeln!(table, "| `{name}` | {severity} | {help} | `{sql}` |").expect("text grows");
    }
    put("findings", &table);
    let defaults = serde_json::to_value(Thresholds::default()).expect("numbers");
    let mut table = String::from("| setting | default | meaning |\n|---|---|---|\n");
    for (name, help) in Thresholds::HELP {
        writeln!(table, "| `{name}` | `{}` | {help} |", defaults[*name]).expect("text grows");
    }
    put("thresholds", &table);
    check("docs/journeys.md", &page);
}

/// Every SQL example of the README and of the page on journeys is answered by a running collector.
#[tokio::test]
async fn sql_examples_run() {
    let server = Collector::default().start();
    for page in ["README.md", "docs/journeys.md"] {
        let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).expect("it is here");
        let examples: Vec<&str> = page.split("```sql\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
        assert!(examples.len() >= 3, "the page lost its examples");
        for example in examples {
            sql::query(&server, example).await;
        }
    }
}

/// `docs/api.md` lists the routes that the query room's table of routes has, with the same words.
#[test]
fn api_page_lists_every_route() {
    let read = |path: &str| {
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("the file is here")
    };
    let (page, source) = (read("docs/api.md"), read("query/src/http/routes.rs"));
    let (mut served, mut told) = (Vec::new(), Vec::new());
    // A route may stand on several lines.
    let words: Vec<&str> = source.split_whitespace().collect();
    let flat = words.join(" ").replace("( ", "(");
    let starts = ["read(Method::", "admin(Method::", "door(Method::", "open(\""];
    let mut places: Vec<usize> =
        starts.iter().flat_map(|start| flat.match_indices(start).map(|(place, _)| place)).collect();
    places.sort_unstable();
    for line in places.iter().map(|place| &flat[*place..]) {
        let line = &line[..line.find("),").unwrap_or(line.len())];
        let texts: Vec<&str> = line.split('"').skip(1).step_by(2).collect();
        match (line, texts.as_slice()) {
            (line, [path, help]) if starts[..3].iter().any(|start| line.starts_with(start)) => {
                let method = line.split("Method::").nth(1).and_then(|rest| rest.split(',').next()).unwrap_or_default();
                served.push(format!("| `{method} {path}` | {help} |"));
            }
            (line, [path, help]) if line.starts_with("open(\"") => served.push(format!("| `GET {path}` | {help} |")),
            _ => {}
        }
    }
    let methods = ["GET", "POST", "PUT", "DELETE"].map(|method| format!("| `{method} /"));
    told.extend(page.lines().filter(|line| methods.iter().any(|method| line.starts_with(method))));
    assert!(served.len() >= 12, "routes are declared in another form now: {served:?}");
    assert_eq!(told, served, "docs/api.md and query/src/http/routes.rs differ");
}

/// Every page below `docs/` that a file of ours refers to is there. (STYLE.md and the specification name pages of others.)
#[test]
fn pages_that_are_referred_to_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut folders, mut lost, mut n_found) = (vec![root.to_owned()], Vec::new(), 0);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("readable").map(|entry| entry.expect("readable")) {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            let is_ours =
                !name.starts_with('.') && !["target", "node_modules", "dist", "corpus", "spec"].contains(&&*name);
            if entry.file_type().expect("readable").is_dir() {
                folders.extend(is_ours.then_some(path));
                continue;
            }
            let is_text = [".rs", ".md", ".toml", ".sh", "Makefile"].iter().any(|end| name.ends_with(end));
            if !is_text || name == "STYLE.md" {
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("text");
            for (at, _) in text.match_indices("docs/") {
                let is_inside = text[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '/');
                let told = text[at..].split(|c: char| !c.is_ascii_alphanumeric() && !"_./-".contains(c)).next();
                let Some(page) = told.and_then(|told| told.split_once(".md")).filter(|_| !is_inside) else { continue };
                n_found += 1;
                let page = format!("{}.md", page.0);
                if !root.join(&page).is_file() {
                    lost.push(format!("{} refers to {page}", path.strip_prefix(root).expect("below").display()));
                }
            }
        }
    }
    assert!(n_found > 50, "only {n_found} references are found");
    assert!(lost.is_empty(), "{}", lost.join("\n"));
}

/// A kind of column in a reader's words.
fn holds(kind: Kind) -> &'static str {
    match kind {
        Kind::Id16 => "16 bytes",
        Kind::Id8 => "8 bytes",
        Kind::Label | Kind::Text => "text",
        Kind::Json | Kind::JsonText => "OTLP/JSON text",
        Kind::UnixNanos => "moment",
        Kind::Int64 => "64-bit integer",
        Kind::Int32 => "32-bit integer",
        Kind::Float64 => "double",
        Kind::Bool => "boolean",
        Kind::Flags => "bits",
        Kind::Attributes => "list of attributes",
        Kind::Events => "list of events",
        Kind::Links => "list of links",
        Kind::Ints => "list of 64-bit integers",
        Kind::Floats => "list of doubles",
    }
}

/// The type of a column in Delta's words, as other readers see it.
fn on_disk(kind: Kind) -> &'static str {
    match kind {
        Kind::Id16 | Kind::Id8 => "binary",
        Kind::Label | Kind::Text | Kind::Json | Kind::JsonText => "string",
        Kind::UnixNanos | Kind::Int64 => "long",
        Kind::Int32 | Kind::Flags => "integer",
        Kind::Float64 => "double",
        Kind::Bool => "boolean",
        Kind::Attributes | Kind::Events | Kind::Links => "array of structs",
        Kind::Ints => "array of long",
        Kind::Floats => "array of double",
    }
}

/// The type of a field inside a nested column, likewise.
fn nested_on_disk(arrow: &str) -> &str {
    match arrow {
        "Utf8" => "string",
        "Binary" => "binary",
        "Int64" => "long",
        "Float64" => "double",
        "Boolean" => "boolean",
        other => other,
    }
}

fn keys(keys: &[&str]) -> String {
    keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ")
}

/// Text that stays inside its cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
