//! `hodoscope rules check` and `hodoscope rules test`: rules checked and rehearsed without a collector.
//!
//! | file          | knows                                                          |
//! |---------------|----------------------------------------------------------------|
//! | `tables.rs`   | rows of a test file as rows of tables                          |
//! | `case.rs`     | test files, in the form of promtool's with our inputs          |
//!
//! A check reads the file as the collector does and plans every query over empty tables, so that unknown tables and columns
//! are found in CI. A test evaluates the rules over rows that it names, with its own time, and compares what fires.

mod case;
mod tables;

use std::fmt::Write as _;
use std::sync::Arc;

use model::{TenantId, UnixNanos};
use storage::{Clock, Snapshot};

use super::condition;
use super::rule::{Condition, Group, read_file};
use super::yaml::Wrong;
use crate::engine::Engine;
use crate::error::{Error, Result};

/// What a command has to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// For people, one line per file and problem.
    pub text: String,
    /// How much is wrong.
    pub problems: usize,
}

/// Time stands still: conditions are told their moment.
#[derive(Debug)]
struct Still;

impl Clock for Still {
    fn now(&self) -> UnixNanos {
        UnixNanos(0)
    }
}

fn engine(snapshot: Snapshot) -> Result<Engine> {
    Engine::over(snapshot, Arc::new(Still))
}

impl Report {
    fn problem(&mut self, file: &str, wrong: &impl std::fmt::Display) {
        self.problems += 1;
        let _ = writeln!(self.text, "{file}: {wrong}");
    }
}

/// Checks rule files: names and texts.
///
/// # Errors
/// When no engine can be started.
pub async fn check_rules(files: &[(String, String)]) -> Result<Report> {
    let (engine, mut report) = (engine(Snapshot::of(Vec::new()))?, Report::default());
    for (name, text) in files {
        let groups = match read_file(text) {
            Ok(groups) => groups,
            Err(wrong) => {
                report.problem(name, &wrong);
                continue;
            }
        };
        let wrong = check_groups(&engine, &TenantId::default_tenant(), &groups).await;
        wrong.iter().for_each(|wrong| report.problem(name, wrong));
        if wrong.is_empty() {
            let n_rules: usize = groups.iter().map(|group| group.rules.len()).sum();
            let _ = writeln!(report.text, "{name}: {n_rules} rules in {} groups are right", groups.len());
        }
    }
    Ok(report)
}

/// Plans every condition.
pub(crate) async fn check_groups(engine: &Engine, tenant: &TenantId, groups: &[Group]) -> Vec<Wrong> {
    let mut found = Vec::new();
    for rule in groups.iter().flat_map(|group| &group.rules) {
        if let Err(error) = check_condition(engine, tenant, rule.condition.clone()).await {
            found.push(match &rule.condition {
                Condition::Sql(sql) => sql.wrong(&error),
                _ => Wrong::at(rule.line, error.to_string()),
            });
        }
    }
    found
}

async fn check_condition(engine: &Engine, tenant: &TenantId, condition: Condition) -> Result<()> {
    engine.run(tenant, move |session| async move { condition::check(&session, &condition).await }).await
}

/// Runs test files. `read` gives the text of a file that a test file names, relative to the test file.
///
/// # Errors
/// When no engine can be started.
pub async fn test_rules(
    files: &[(String, String)],
    read: impl Fn(&str, &str) -> std::result::Result<String, String>,
) -> Result<Report> {
    let mut report = Report::default();
    for (name, text) in files {
        let before = report.problems;
        match case::read(text, |wanted| read(name, wanted)) {
            Err(wrong) => report.problem(name, &wrong),
            Ok(cases) => {
                let n_cases = cases.len();
                for case in cases {
                    for failure in case.run().await? {
                        report.problem(name, &failure);
                    }
                }
                if report.problems == before {
                    let _ = writeln!(report.text, "{name}: {n_cases} tests passed");
                }
            }
        }
    }
    Ok(report)
}

impl From<Wrong> for Error {
    fn from(wrong: Wrong) -> Self {
        Self::invalid(wrong.to_string())
    }
}

#[cfg(test)]
mod tests;
