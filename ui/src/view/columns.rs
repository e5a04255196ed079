//! Columns of Explore's table: which there are for each unit, and which the reader wants, in the address as `cols`.
//!
//! `cols=when,what,wait` shows these, in this order; without it stand those that most readers need.

use super::url::{Sort, Unit};

/// What a column tells of a hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tells {
    When,
    What,
    Shape,
    Duration,
    Answer,
    Wait,
    Messages,
    Spans,
    Services,
    Queues,
    Errors,
    Result,
    Service,
    Kind,
    Id,
}

/// A column of the table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Column {
    /// What it tells.
    pub(crate) tells: Tells,
    /// In the address.
    pub(crate) name: &'static str,
    /// Above it.
    pub(crate) title: &'static str,
    /// Class of its head.
    pub(crate) class: &'static str,
    /// It stands there unless the reader says otherwise.
    is_usual: bool,
}

impl Column {
    /// The order of rows that its head switches to.
    pub(crate) fn sort(&self, unit: Unit) -> Option<Sort> {
        match self.tells {
            Tells::When => Some(Sort::Newest),
            Tells::Duration => Some(Sort::Slowest),
            Tells::Errors if unit == Unit::Journeys => Some(Sort::Errors),
            _ => None,
        }
    }
}

const fn usual(tells: Tells, name: &'static str, title: &'static str, class: &'static str) -> Column {
    Column { tells, name, title, class, is_usual: true }
}

const fn further(tells: Tells, name: &'static str, title: &'static str, class: &'static str) -> Column {
    Column { tells, name, title, class, is_usual: false }
}

static JOURNEYS: [Column; 13] = [
    usual(Tells::When, "when", "Started", "when"),
    usual(Tells::What, "what", "Journey", ""),
    usual(Tells::Shape, "shape", "Shape", "shape"),
    usual(Tells::Duration, "effect", "To last effect", "num"),
    usual(Tells::Answer, "answer", "To answer", "num"),
    usual(Tells::Wait, "wait", "Broker wait", "num"),
    further(Tells::Messages, "messages", "Messages", "num"),
    usual(Tells::Spans, "spans", "Spans", "num"),
    further(Tells::Services, "services", "Services", "of"),
    further(Tells::Queues, "queues", "Queues", "of"),
    usual(Tells::Errors, "errors", "Errors", "num"),
    usual(Tells::Result, "result", "Result", "result"),
    further(Tells::Id, "id", "Journey ID", ""),
];

static TRACES: [Column; 9] = [
    usual(Tells::When, "when", "Started", "when"),
    usual(Tells::What, "what", "Trace", ""),
    usual(Tells::Shape, "shape", "Shape", "shape"),
    usual(Tells::Duration, "duration", "Duration", "num"),
    usual(Tells::Spans, "spans", "Spans", "num"),
    usual(Tells::Services, "services", "Services", "num"),
    usual(Tells::Errors, "errors", "Errors", "num"),
    usual(Tells::Result, "result", "Result", "result"),
    further(Tells::Id, "id", "Trace ID", ""),
];

static SPANS: [Column; 7] = [
    usual(Tells::When, "when", "Started", "when"),
    usual(Tells::What, "what", "Span", ""),
    usual(Tells::Service, "service", "Service", ""),
    usual(Tells::Kind, "kind", "Kind", ""),
    usual(Tells::Duration, "duration", "Duration", "num"),
    usual(Tells::Result, "result", "Status", "result"),
    usual(Tells::Id, "id", "Trace ID", ""),
];

/// All columns of a unit.
pub(crate) fn all(unit: Unit) -> &'static [Column] {
    match unit {
        Unit::Journeys => &JOURNEYS,
        Unit::Traces => &TRACES,
        Unit::Spans => &SPANS,
    }
}

/// Those that are shown, in order; never none.
pub(crate) fn shown(unit: Unit, cols: &str) -> Vec<&'static Column> {
    let mut shown: Vec<&Column> = Vec::new();
    for name in cols.split(',') {
        let column = all(unit).iter().find(|column| column.name == name);
        shown.extend(column.filter(|column| !shown.contains(column)));
    }
    if shown.is_empty() {
        shown.extend(all(unit).iter().filter(|column| column.is_usual));
    }
    shown
}

/// The address after a column was shown, at its usual place, or hidden; empty for the usual ones. The last one stays.
pub(crate) fn toggled(unit: Unit, cols: &str, name: &str) -> String {
    let place = |name: &str| all(unit).iter().position(|column| column.name == name);
    let mut names: Vec<&str> = shown(unit, cols).iter().map(|column| column.name).collect();
    match names.iter().position(|shown| *shown == name) {
        Some(at) if names.len() > 1 => drop(names.remove(at)),
        Some(_) => {}
        None => {
            let at = names.iter().position(|shown| place(shown) > place(name)).unwrap_or(names.len());
            names.insert(at, name);
        }
    }
    let usual = all(unit).iter().filter(|column| column.is_usual).map(|column| column.name);
    if usual.eq(names.iter().copied()) { String::new() } else { names.join(",") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(unit: Unit, cols: &str) -> String {
        shown(unit, cols).iter().map(|column| column.name).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn columns_come_and_go() {
        assert_eq!(names(Unit::Journeys, ""), "when what shape effect answer wait spans errors result");
        let more = toggled(Unit::Journeys, "", "queues");
        assert_eq!(more, "when,what,shape,effect,answer,wait,spans,queues,errors,result");
        assert_eq!(toggled(Unit::Journeys, &more, "queues"), "", "the usual ones need no parameter");
        assert_eq!(names(Unit::Spans, &toggled(Unit::Spans, "id,what", "when")), "when id what");
    }

    /// An address of another unit, or of nonsense, shows what it can; a table without a column is none.
    #[test]
    fn a_table_always_has_columns() {
        assert_eq!(names(Unit::Traces, "wait,nonsense,id,id"), "id");
        assert_eq!(names(Unit::Spans, "wait,queues"), names(Unit::Spans, ""));
        assert_eq!(toggled(Unit::Spans, "id", "id"), "id");
    }
}
