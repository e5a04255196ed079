//! Alerts: rules over spans, journeys and findings, in Prometheus' shape.
//!
//! | file           | knows                                                                        |
//! |----------------|------------------------------------------------------------------------------|
//! | `yaml.rs`      | YAML that knows its lines                                                    |
//! | `duration.rs`  | `1h30m`                                                                      |
//! | `rule.rs`      | rule files: read and checked once                                            |
//! | `template.rs`  | texts of labels and annotations                                              |
//! | `condition.rs` | what a condition answers at a moment                                         |
//! | `state.rs`     | inactive, pending, firing: pure                                              |
//! | `instances.rs` | the alerts of one rule, samples in, changes out: pure                        |
//! | `rehearse.rs`  | `hodoscope rules check` and `rules test`                                     |
//!
//! docs/alerts.md is for those who write rules.

mod condition;
mod duration;
mod instances;
mod rehearse;
mod rule;
mod state;
mod template;
mod yaml;

pub use rehearse::{Report, check_rules, test_rules};
