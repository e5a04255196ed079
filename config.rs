//! Every setting, from four places: flags, then `HODOSCOPE_*` variables, then the file, then the defaults.
//!
//! The defaults of the rooms' `Config` structs are the one list of settings: they are turned into a tree, the
//! three other sources are laid over it, and the result is read back as a [`Config`]. A setting that is not in
//! the tree is an error that names it and the nearest one that is, so a typing mistake never runs silently.
//!
//! | setting                    | in the file                            | as a variable                        | as a flag     |
//! |----------------------------|----------------------------------------|--------------------------------------|---------------|
//! | `door.otlp_grpc`           | `[door]` `otlp_grpc = "ADDRESS:PORT"`  | `HODOSCOPE_OTLP_GRPC`                | `--otlp-grpc` |
//! | `storage.data`             | `[storage]` `data = "DIR"`             | `HODOSCOPE_DATA`                     | `--data`      |
//! | `storage.buffer_age_max_s` | `[storage]` `buffer_age_max_s = 120`   | `HODOSCOPE_STORAGE_BUFFER_AGE_MAX_S` | none          |
//!
//! Only this file and `config/command_line.rs` have seen TOML or the environment.

pub(crate) mod command_line;

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

/// What the whole program is told, room by room.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Sockets: addresses, limits on connections.
    pub(crate) door: door::Config,
    /// OTLP: sizes, patience, paths.
    pub(crate) collector: collector::Config,
    /// WAL, write buffer, segments, retention.
    pub(crate) storage: storage::Config,
    /// SQL and the API: memory, time, rows.
    pub(crate) query: query::Config,
}

/// Settings that have a flag: the setting and its short name. A variable takes the short name too.
pub(crate) const FLAGS: &[(&str, &str)] = &[
    ("storage.data", "data"),
    ("storage.strict_recovery", "strict-recovery"),
    ("door.otlp_grpc", "otlp-grpc"),
    ("door.otlp_http", "otlp-http"),
    ("door.http", "http"),
    ("door.allow_insecure", "allow-insecure"),
    ("door.keys_file", "keys-file"),
];

/// Variables that begin like settings but speak to the tests, to the set-up or to the log.
const OTHER_VARIABLES: &[&str] = &[
    "HODOSCOPE_CONFIG",
    "HODOSCOPE_KEY",
    "HODOSCOPE_LOG",
    "HODOSCOPE_LOG_FORMAT",
    "HODOSCOPE_CACHE",
    "HODOSCOPE_REQUIRE_ALL",
    "HODOSCOPE_CHROMIUM",
];

/// One sentence for the person who wrote the configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ConfigError(String);

/// Where a value was written, so that an error can send the person there.
enum Source<'a> {
    File(&'a Path),
    Variable(&'a str),
    Flag(&'a str),
}

impl fmt::Display for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "in {}", path.display()),
            Self::Variable(name) => write!(f, "in the variable {name}"),
            Self::Flag(path) => write!(f, "given as --{}", short_name(path).unwrap_or(path)),
        }
    }
}

impl Config {
    /// Lays file, environment and flags over the defaults and checks the result once.
    ///
    /// `environment` may hold every variable of the process: only `HODOSCOPE_*` is looked at. `flags` are
    /// settings with the text given on the command line.
    ///
    /// # Errors
    /// An unreadable file, a setting that does not exist, a value of the wrong type, or values that cannot work.
    pub(crate) fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        flags: &[(&str, String)],
    ) -> Result<Self, ConfigError> {
        let mut tree = settings();
        if let Some(path) = file {
            let text = std::fs::read_to_string(path)
                .map_err(|error| ConfigError(format!("cannot read the configuration {}: {error}", path.display())))?;
            let table: Table =
                text.parse().map_err(|error| ConfigError(format!("{} is not TOML: {error}", path.display())))?;
            lay_over(&mut tree, table, "", &Source::File(path))?;
        }
        let known = leaves(&tree);
        for (name, text) in environment {
            if !name.starts_with("HODOSCOPE_") || OTHER_VARIABLES.contains(&name.as_str()) || is_service_link(&name) {
                continue;
            }
            let Some(path) = known.iter().find(|path| variable(path) == name) else {
                let nearest = nearest(&name, known.iter().map(|path| variable(path)));
                return Err(ConfigError(format!("the variable {name} is no setting{nearest}")));
            };
            set(&mut tree, path, &text, &Source::Variable(&name))?;
        }
        for (path, text) in flags {
            set(&mut tree, path, text, &Source::Flag(path))?;
        }
        let config: Self = Value::Table(tree).try_into().map_err(|error: toml::de::Error| {
            ConfigError(format!(
                "the configuration cannot be used: {}",
                error.to_string().trim_end().replace('\n', " ")
            ))
        })?;
        config.validate().map_err(ConfigError)?;
        Ok(config)
    }

    /// Names the first setting that cannot work.
    fn validate(&self) -> Result<(), String> {
        self.door.validate()?;
        self.collector.validate()?;
        self.storage.validate()?;
        self.query.validate()
    }

    /// The configuration in force as a file that [`Config::load`] takes.
    pub(crate) fn to_toml(&self) -> String {
        toml::to_string_pretty(self).expect("settings are numbers, texts and tables of them")
    }
}

/// Every setting with its default.
fn settings() -> Table {
    Table::try_from(Config::default()).expect("settings are numbers, texts and tables of them")
}

/// Names of all settings, such as `storage.retention_days`.
fn leaves(tree: &Table) -> Vec<String> {
    tree.iter()
        .flat_map(|(name, value)| match value {
            Value::Table(below) => leaves(below).into_iter().map(|leaf| format!("{name}.{leaf}")).collect(),
            _ => vec![name.clone()],
        })
        .collect()
}

/// The flag that sets it, without dashes.
fn short_name(path: &str) -> Option<&'static str> {
    FLAGS.iter().find(|(long, _)| *long == path).map(|(_, short)| *short)
}

/// The variable that sets it: `storage.retention_days` is `HODOSCOPE_STORAGE_RETENTION_DAYS`, `storage.data`
/// has a flag and is `HODOSCOPE_DATA`.
fn variable(path: &str) -> String {
    format!("HODOSCOPE_{}", short_name(path).unwrap_or(path).replace(['.', '-'], "_").to_uppercase())
}

/// Kubernetes gives each pod variables about every service; a service named `hodoscope` is no configuration.
fn is_service_link(name: &str) -> bool {
    name == "HODOSCOPE_PORT" || name.starts_with("HODOSCOPE_PORT_") || name.contains("_SERVICE_")
}

/// Lays a table of the file over the settings below `prefix`.
fn lay_over(tree: &mut Table, table: Table, prefix: &str, source: &Source<'_>) -> Result<(), ConfigError> {
    for (name, value) in table {
        let path = format!("{prefix}{name}");
        match (tree.get_mut(&name), value) {
            (Some(Value::Table(below)), Value::Table(table)) => {
                lay_over(below, table, &format!("{path}."), source)?;
            }
            (Some(known), value) => *known = fit(known, value, &path, source)?,
            (None, _) => {
                let siblings = tree.keys().map(|sibling| format!("{prefix}{sibling}"));
                let nearest = nearest(&path, siblings.chain(leaves(&settings())));
                return Err(ConfigError(format!("there is no setting {path} ({source}){nearest}")));
            }
        }
    }
    Ok(())
}

/// The value at a path such as `storage.retention_days`.
fn find<'a>(tree: &'a mut Table, path: &str) -> Option<&'a mut Value> {
    match path.split_once('.') {
        None => tree.get_mut(path),
        Some((room, rest)) => find(tree.get_mut(room)?.as_table_mut()?, rest),
    }
}

/// Sets one known setting from text.
fn set(tree: &mut Table, path: &str, text: &str, source: &Source<'_>) -> Result<(), ConfigError> {
    let Some(known) = find(tree, path) else {
        return Err(ConfigError(format!("there is no setting {path} ({source})")));
    };
    let value = match known {
        Value::Integer(_) => text.trim().parse().map(Value::Integer).ok(),
        Value::Float(_) => text.trim().parse().map(Value::Float).ok(),
        Value::Boolean(_) => match text.trim() {
            "true" | "1" | "yes" | "on" => Some(Value::Boolean(true)),
            "false" | "0" | "no" | "off" => Some(Value::Boolean(false)),
            _ => None,
        },
        Value::Array(_) => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Some(Value::Array(items.map(Value::from).collect()))
        }
        _ => None,
    };
    *known = fit(known, value.unwrap_or_else(|| Value::from(text)), path, source)?;
    Ok(())
}

/// The value, when it is of the setting's type.
fn fit(known: &Value, value: Value, path: &str, source: &Source<'_>) -> Result<Value, ConfigError> {
    let value = match (known, value) {
        (Value::Float(_), Value::Integer(whole)) => Value::Float(whole as f64),
        (_, value) => value,
    };
    let wrong = |wanted: &str, such_as: String| {
        Err(ConfigError(format!("{path} must be {wanted} such as {such_as}, not {value} ({source})")))
    };
    match (known, &value) {
        (Value::Integer(default), Value::Integer(number)) if *number < 0 => wrong("0 or more,", default.to_string()),
        (Value::String(default), Value::String(text)) if default.parse::<SocketAddr>().is_ok() => {
            match text.parse::<SocketAddr>() {
                Ok(_) => Ok(value),
                Err(_) => wrong("ADDRESS:PORT", default.clone()),
            }
        }
        _ if known.same_type(&value) => Ok(value),
        (Value::Integer(_), _) => wrong("a whole number", known.to_string()),
        (Value::Float(_), _) => wrong("a number", known.to_string()),
        (Value::Boolean(_), _) => wrong("true or false,", known.to_string()),
        (Value::Table(_), _) => wrong("a table", format!("[{path}]")),
        (Value::Array(_), _) => wrong("a list", known.to_string()),
        _ => wrong("text", known.to_string()),
    }
}

/// `; did you mean x?`, or nothing when no candidate is close.
fn nearest(name: &str, candidates: impl Iterator<Item = String>) -> String {
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    candidates
        .map(|candidate| {
            let in_another_table = distance(&last(name), &last(&candidate)) + 1;
            (distance(name, &candidate).min(in_another_table), candidate)
        })
        .filter(|(distance, candidate)| *distance * 5 <= 2 * last(candidate).len().max(last(name).len()))
        .min()
        .map_or_else(String::new, |(_, candidate)| format!("; did you mean {candidate}?"))
}

/// How many letters one has to add, take away or change (Levenshtein). Cost: product of the lengths.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let changed = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests;
