//! What became of alerts: one row per transition. Written by the rules only ([`crate::DerivedWriter`]).
//!
//! The newest row of an alert says where it stands, so a process that starts finds what was pending or firing before; rows of
//! alerts that go on for long are written again once a day, because retention takes old ones. `seq` grows by one with every
//! row: what a target was told is a number.

use super::Table;
use super::column::{Column, Kind};

/// One row per transition of an alert.
pub static ALERTS: Table = Table::derived(
    "alerts",
    "one row per transition of an alert: pending, firing, over",
    &["alertname", "time"],
    &[
        Column::always("time", Kind::UnixNanos, "evaluation that it belongs to; filter by it to read fewer segments"),
        Column::always("seq", Kind::Int64, "grows by one with every row"),
        Column::always("alertname", Kind::Label, "name of the rule"),
        Column::always("rule_group", Kind::Label, "group of the rule"),
        Column::always(
            "rule_file",
            Kind::Label,
            "file of the group; api for rules kept by the API, built-in for our own",
        ),
        Column::always("fingerprint", Kind::Label, "hash of the labels, as the Alertmanager computes it"),
        Column::always("state", Kind::Label, "where the alert stands after it: inactive, pending or firing"),
        Column::always("before", Kind::Label, "where it stood before; the same when the row only repeats it"),
        Column::always(
            "reason",
            Kind::Label,
            "condition, again (still so after a day), unsilenced, or removed (the rule is gone)",
        ),
        Column::always("value", Kind::Float64, "newest value of the condition"),
        Column::always("active_at", Kind::Int64, "since when the condition holds, nanoseconds since 1970"),
        Column::optional("fired_at", Kind::Int64, "since when it fires, nanoseconds since 1970"),
        Column::optional("kept_since", Kind::Int64, "since when keep_firing_for keeps it, nanoseconds since 1970"),
        Column::always("silenced", Kind::Bool, "a silence held it back: nobody was told"),
        Column::always("told", Kind::Bool, "targets are told about this transition"),
        Column::optional("trace", Kind::Id16, "a trace that shows it"),
        Column::always("labels", Kind::JsonText, "labels as a JSON object"),
        Column::always("annotations", Kind::JsonText, "annotations as a JSON object"),
    ],
);
