//! A rule in force as text again, so that it can be copied: what is read from it is the same rule.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::duration;
use super::rule::{By, Condition, Finding, Group, INSTANCES_MAX, Kind, Rule, Text};

/// A rule of a group, evaluated so often, as the YAML that [`read_single`](super::rule::read_single) reads.
///
/// `None` for the collector's own rules: their condition cannot be asked for by others.
pub(crate) fn written(rule: &Rule, group: &Group, interval_nanos: i64) -> Option<String> {
    let mut text = String::new();
    let word = if rule.kind == Kind::Recording { "record" } else { "alert" };
    line(&mut text, "", word, &quoted(&rule.name));
    line(&mut text, "", "interval", &duration::format(interval_nanos));
    if let Some(offset) = group.offset_nanos {
        line(&mut text, "", "query_offset", &duration::format(offset));
    }
    if group.limit < INSTANCES_MAX {
        line(&mut text, "", "limit", &group.limit.to_string());
    }
    match &rule.condition {
        Condition::Own(_) => return None,
        Condition::Sql(sql) => {
            statement(&mut text, &sql.text);
            line(&mut text, "", "range", &duration::format(sql.range_nanos));
        }
        Condition::Finding(finding) => write_finding(&mut text, finding),
    }
    if let Kind::Alerting(hold) = rule.kind {
        for (name, nanos) in [("for", hold.for_nanos), ("keep_firing_for", hold.keep_nanos)] {
            if nanos > 0 {
                line(&mut text, "", name, &duration::format(nanos));
            }
        }
    }
    write_texts(&mut text, "labels", &rule.labels);
    write_texts(&mut text, "annotations", &rule.annotations);
    Some(text)
}

fn line(text: &mut String, indent: &str, name: &str, value: &str) {
    let _ = writeln!(text, "{indent}{name}: {value}");
}

/// A block of lines where one holds it exactly; else a quoted text.
fn statement(text: &mut String, sql: &str) {
    let body = sql.trim_end_matches('\n');
    let is_plain = |letter: char| letter == '\n' || letter == '\t' || !letter.is_control();
    let begins = body.chars().next().is_some_and(|first| !first.is_whitespace());
    let ends = !sql.ends_with("\n\n") && body.lines().all(|line| line.trim_end() == line);
    if begins && ends && body.chars().all(is_plain) && !body.contains('\u{feff}') {
        let _ = writeln!(text, "sql: {}", if sql.ends_with('\n') { "|" } else { "|-" });
        for line in body.lines() {
            let _ = if line.is_empty() { writeln!(text) } else { writeln!(text, "  {line}") };
        }
    } else {
        line(text, "", "sql", &quoted(sql));
    }
}

fn write_finding(text: &mut String, finding: &Finding) {
    text.push_str("finding:\n");
    line(text, "  ", "id", finding.id.as_str());
    for (name, value) in [("service", &finding.service), ("op", &finding.op), ("queue", &finding.queue)] {
        if let Some(value) = value {
            line(text, "  ", name, &quoted(value));
        }
    }
    line(text, "  ", "at_least", &finding.at_least.to_string());
    line(text, "  ", "within", &duration::format(finding.within_nanos));
    let by: Vec<&str> = finding.by.iter().map(|by: &By| by.column()).collect();
    line(text, "  ", "by", &format!("[{}]", by.join(", ")));
}

fn write_texts(text: &mut String, name: &str, texts: &BTreeMap<String, Text>) {
    if texts.is_empty() {
        return;
    }
    let _ = writeln!(text, "{name}:");
    for (key, value) in texts {
        line(text, "  ", &quoted(key), &quoted(&value.raw));
    }
}

/// Quotes of JSON are quotes of YAML. Plain words stay readable.
fn quoted(text: &str) -> String {
    let is_word = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text.chars().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.'))
        && !matches!(
            text.to_ascii_lowercase().as_str(),
            "true" | "false" | "yes" | "no" | "on" | "off" | "null" | "y" | "n"
        );
    if is_word { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::own::group;
    use crate::alert::rule::{read_file, read_single};
    use crate::alert::yaml::Node;

    /// Lines move when a rule is written anew; everything else must not.
    fn without_lines(mut rule: Rule) -> Rule {
        rule.line = 0;
        if let Condition::Sql(sql) = &mut rule.condition {
            sql.line = 0;
        }
        rule
    }

    #[track_caller]
    fn check(file: &str) {
        for group in read_file(file).expect("a rule file") {
            for rule in &group.rules {
                let interval = group.interval_nanos.unwrap_or(60_000_000_000);
                let text = written(rule, &group, interval).expect("it can be written");
                let again = read_single(&text, "copy").unwrap_or_else(|wrong| panic!("{wrong}\n{text}"));
                assert_eq!(without_lines(again.rules[0].clone()), without_lines(rule.clone()), "{text}");
                assert_eq!(again.interval_nanos, Some(interval), "{text}");
                assert_eq!((again.offset_nanos, again.limit), (group.offset_nanos, group.limit), "{text}");
            }
        }
    }

    /// Found by reading: the page wrote each finding as `retry_storm`, and a statement without its range.
    #[test]
    fn a_copied_rule_is_the_same_rule() {
        check(
            "groups:
- name: g
  interval: 15s
  query_offset: 5s
  limit: 7
  labels: {team: 'a: b'}
  rules:
  - alert: Poison
    finding: {id: poison_message, service: 'a \"b\"', op: 'GET /x', queue: orders, at_least: 3, within: 7m, by: [service, op]}
    for: 90s
    keep_firing_for: 1h
    annotations: {summary: \"{{ $labels.service }}\\n#: [x]\", yes: 'no'}
  - alert: 'Late: 5'
    sql: |
      SELECT 1 AS value

      FROM spans -- # not a comment of YAML
    range: 26h
  - record: shop:requests
    sql: 'SELECT count(*) AS value FROM spans'
  - alert: Trailing
    sql: \"SELECT 1 AS value  \\n\\n  FROM spans\\n\\n\"
",
        );
    }

    /// What is proposed and what a test file holds is written as it was meant, whatever quotes it needs.
    #[test]
    fn words_that_yaml_takes_for_something_else_are_quoted() {
        for text in ["true", "No", "5", "a: b", "#x", "", "- a", "{x", "äö", "a\u{7f}b", "~", "null", "n"] {
            let node = Node::read(&format!("x: {}", quoted(text))).expect("YAML");
            assert_eq!(node.get("x").expect("x").text().expect("text"), text);
        }
    }

    #[test]
    fn rules_of_the_collector_itself_cannot_be_written() {
        let own = group();
        assert!(own.rules.iter().all(|rule| written(rule, &own, 1).is_none()));
    }
}
