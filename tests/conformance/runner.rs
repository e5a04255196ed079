//! The published half of the conformance proof: cases that need nothing but an OTLP endpoint, over every transport.
//!
//! It looks at answers only. That what was taken is stored as promised is shown by `tests/conformance/*.rs`, which read it back.
//! The same cases run as a test here and as a command against any collector: docs/conformance.md.
//!
//! | file        | knows                                                               |
//! |-------------|---------------------------------------------------------------------|
//! | `case.rs`   | what a case is, and when an answer is the one it wants               |
//! | `cases.rs` `cases/` | every case                                                  |
//! | `make.rs`   | good messages, and how to change them                               |
//! | `schema.rs` | OTLP/JSON to protobuf                                               |
//! | `wire.rs`   | one exchange over each transport                                    |

pub mod case;
pub mod cases;
mod make;
mod schema;
pub mod wire;

use std::collections::BTreeMap;
use std::fmt;

use wire::{Target, Transport, exchange};

/// One case over one transport.
#[derive(Clone, Debug)]
pub struct Verdict {
    pub rule: &'static str,
    pub name: String,
    pub transport: Transport,
    /// What was wrong with the answer.
    pub outcome: Result<(), String>,
}

/// What became of all of them, in the order of the cases.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub verdicts: Vec<Verdict>,
}

/// Runs every case whose rule `is_wanted`, one after the other.
pub async fn run(target: &Target, is_wanted: impl Fn(&str) -> bool) -> Report {
    let mut report = Report::default();
    for case in cases::all() {
        if !is_wanted(case.rule) {
            continue;
        }
        for transport in &case.on {
            let heard = exchange(target, *transport, case.sent(*transport)).await;
            let outcome = heard.and_then(|heard| case.judge(*transport, &heard));
            let name = format!("{} ({})", case.name, case.signal.as_str());
            report.verdicts.push(Verdict { rule: case.rule, name, transport: *transport, outcome });
        }
    }
    report
}

impl Report {
    /// Verdicts that are not as the rule says.
    pub fn failed(&self) -> impl Iterator<Item = &Verdict> {
        self.verdicts.iter().filter(|verdict| verdict.outcome.is_err())
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, name, transport, outcome } = self;
        match outcome {
            Ok(()) => write!(f, "ok   {rule:<4} {:<13} {name}", transport.as_str()),
            Err(why) => write!(f, "FAIL {rule:<4} {:<13} {name}: {why}", transport.as_str()),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rules: BTreeMap<(&str, u32), (usize, usize)> = BTreeMap::new();
        for verdict in &self.verdicts {
            let (letter, number) = verdict.rule.split_at(1);
            let (all, failed) = rules.entry((letter, number.parse().unwrap_or_default())).or_default();
            *all += 1;
            *failed += usize::from(verdict.outcome.is_err());
        }
        for ((letter, number), (all, failed)) in rules {
            writeln!(f, "{letter}{number:<4} {:>4} of {all} as specified", all - failed)?;
        }
        write!(f, "{} of {} exchanges as specified", self.verdicts.len() - self.failed().count(), self.verdicts.len())
    }
}
