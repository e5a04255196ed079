//! Alerts as the page lists them: rules with what became of them, their last day in cells, silences as text, drafts of rules.

use std::collections::{BTreeMap, HashMap};

use api::{AlertAnswer, AlertRuleAnswer, AlertTransition, SilenceMatcher};

/// Cells of a rule's last day.
pub(crate) const CELLS: usize = 96;

/// How a rule stands, the most urgent first: what it finds, and whether it can look at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum State {
    /// At least one alert fires and is told.
    Firing,
    /// The condition holds, but not long enough.
    Pending,
    /// It cannot be evaluated.
    Failing,
    /// It would fire, but silences hold all of it back.
    Muted,
    /// Not evaluated yet.
    Unknown,
    /// Evaluated, and nothing found.
    Ok,
}

impl State {
    /// All, with their names in the URL and words on the page.
    pub(crate) const ALL: [(Self, &str, &str); 6] = [
        (Self::Firing, "firing", "Firing"),
        (Self::Pending, "pending", "Pending"),
        (Self::Failing, "failing", "Cannot run"),
        (Self::Muted, "muted", "Muted"),
        (Self::Unknown, "unknown", "Not yet run"),
        (Self::Ok, "ok", "Ok"),
    ];

    fn entry(self) -> (Self, &'static str, &'static str) {
        Self::ALL.into_iter().find(|(state, ..)| *state == self).unwrap_or(Self::ALL[5])
    }

    /// As the URL and class names call it.
    pub(crate) fn name(self) -> &'static str {
        self.entry().1
    }

    /// The word beside its shape.
    pub(crate) fn word(self) -> &'static str {
        self.entry().2
    }

    /// Class of the colour of its word.
    pub(crate) const fn tone(self) -> &'static str {
        match self {
            Self::Firing | Self::Failing => "bad",
            Self::Pending => "hot",
            Self::Muted | Self::Unknown | Self::Ok => "dim",
        }
    }
}

/// Which rule, as an alert or transition names it.
type RuleKey<'a> = (&'a str, &'a str, &'a str);

/// One rule with everything known about it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    /// Distinct, stays the same while the rule does; stands in the URL.
    pub(crate) key: String,
    /// As the server answers it.
    pub(crate) rule: AlertRuleAnswer,
    /// The worst of it.
    pub(crate) state: State,
    /// What is pending or firing, firing first.
    pub(crate) alerts: Vec<AlertAnswer>,
    /// Since when it stands so; `None` when nothing is wrong.
    pub(crate) since: Option<i64>,
}

impl Row {
    /// What it looks for, in a line: its summary or description as written, else the first line of its query.
    pub(crate) fn about(&self) -> String {
        let written = |name: &str| self.rule.annotations.get(name).filter(|text| !text.trim().is_empty());
        let first = || self.rule.query.split_whitespace().collect::<Vec<_>>().join(" ");
        let text = self.alerts.first().and_then(|alert| alert.annotations.get("summary"));
        text.cloned()
            .or_else(|| written("summary").or_else(|| written("description")).map(|text| without_templates(text)))
            .unwrap_or_else(first)
    }

    /// The largest value of its alerts.
    pub(crate) fn worst(&self) -> Option<f64> {
        self.alerts.iter().map(|alert| alert.value).reduce(f64::max)
    }

    /// All words that a search may hit, in lower case.
    pub(crate) fn has(&self, text: &str) -> bool {
        let wanted = text.to_lowercase();
        let labels = self.rule.labels.iter().chain(self.alerts.iter().flat_map(|alert| &alert.labels));
        let mut all = vec![self.rule.name.to_lowercase(), self.rule.group.to_lowercase(), self.about().to_lowercase()];
        all.extend(labels.map(|(name, value)| format!("{name}={value}").to_lowercase()));
        wanted.split_whitespace().all(|word| all.iter().any(|text| text.contains(word)))
    }
}

/// A text with `…` where a template stands: nothing fills it while nothing fires.
fn without_templates(text: &str) -> String {
    let mut parts = text.split("{{");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push('…');
        plain.push_str(part.split_once("}}").map_or("", |(_, rest)| rest));
    }
    plain
}

fn rule_key(rule: &AlertRuleAnswer) -> RuleKey<'_> {
    (&rule.file, &rule.group, &rule.name)
}

/// Moments as nanoseconds; texts that are none are zero.
fn nanos(text: &str) -> i64 {
    text.parse().unwrap_or(0)
}

/// Alerting rules with their alerts, the most urgent first, then by name. Recording rules find nothing and are left out.
pub(crate) fn rows(rules: &[AlertRuleAnswer], alerts: &[AlertAnswer]) -> Vec<Row> {
    let mut of: HashMap<RuleKey<'_>, Vec<AlertAnswer>> = HashMap::new();
    for alert in alerts {
        let name = alert.labels.get("alertname").map_or("", String::as_str);
        of.entry((&alert.file, &alert.group, name)).or_default().push(alert.clone());
    }
    let mut seen: HashMap<&str, usize> = HashMap::new();
    let mut rows: Vec<Row> = rules
        .iter()
        .filter(|rule| rule.kind == "alerting")
        .map(|rule| {
            let mut alerts = of.get(&rule_key(rule)).cloned().unwrap_or_default();
            alerts.sort_by(|a, b| a.state.cmp(&b.state).then_with(|| b.value.total_cmp(&a.value)));
            let is = |state: &str| alerts.iter().any(|alert| alert.state == state && !alert.silenced);
            let state = match () {
                () if is("firing") => State::Firing,
                () if rule.health == "err" => State::Failing,
                () if is("pending") => State::Pending,
                () if !alerts.is_empty() => State::Muted,
                () if rule.health == "unknown" => State::Unknown,
                () => State::Ok,
            };
            let begun = |alert: &AlertAnswer| nanos(alert.fired_unix_nano.as_ref().unwrap_or(&alert.active_unix_nano));
            let since = alerts.iter().map(begun).min();
            // Rules may share a name: the second one gets a number.
            let number = seen.entry(rule.name.as_str()).and_modify(|count| *count += 1).or_insert(1);
            let key = if *number == 1 { rule.name.clone() } else { format!("{}~{number}", rule.name) };
            Row { key, rule: rule.clone(), state, alerts, since }
        })
        .collect();
    rows.sort_by(|a, b| {
        a.state.cmp(&b.state).then_with(|| a.rule.name.cmp(&b.rule.name)).then_with(|| a.key.cmp(&b.key))
    });
    rows
}

/// What a part of the last day was like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cell {
    /// No alert is known: nothing was found, or the rule did not run.
    Quiet,
    /// Pending at some time of it.
    Pending,
    /// Firing at some time of it.
    Firing,
}

impl Cell {
    fn of(state: &str) -> Self {
        match state {
            "firing" => Self::Firing,
            "pending" => Self::Pending,
            _ => Self::Quiet,
        }
    }
}

/// The range in [`CELLS`] equal parts, each as bad as its worst moment. `transitions` are in any order, of any rule.
pub(crate) fn cells(row: &Row, transitions: &[AlertTransition], from: i64, to: i64) -> Vec<Cell> {
    let mut cells = vec![Cell::Quiet; CELLS];
    let place = |at: i64| ((at - from) as f64 / (to - from).max(1) as f64 * CELLS as f64).clamp(0.0, CELLS as f64);
    let mut paint = |begin: i64, end: i64, cell: Cell| {
        let (first, last) = (place(begin).floor() as usize, place(end).ceil() as usize);
        for at in first..last.max(first + 1).min(CELLS) {
            if let Some(known) = cells.get_mut(at) {
                *known = (*known).max(cell);
            }
        }
    };
    let mut lives: BTreeMap<&BTreeMap<String, String>, Vec<&AlertTransition>> = BTreeMap::new();
    for transition in transitions.iter().filter(|transition| is_of(row, transition)) {
        lives.entry(&transition.labels).or_default().push(transition);
    }
    for life in lives.values_mut() {
        life.sort_by_key(|transition| nanos(&transition.time_unix_nano));
        let mut begun = from;
        for transition in &*life {
            let at = nanos(&transition.time_unix_nano);
            let before = Cell::of(&transition.before);
            if before > Cell::Quiet {
                paint(begun, at, before);
            }
            begun = at;
        }
    }
    // What stands now reaches until now, also when its transition lies before the range.
    for alert in &row.alerts {
        let active = nanos(&alert.active_unix_nano);
        match alert.fired_unix_nano.as_ref().map(|at| nanos(at)) {
            Some(fired) => {
                paint(active, fired, Cell::Pending);
                paint(fired, to, Cell::Firing);
            }
            None => paint(active, to, Cell::Pending),
        }
    }
    cells
}

/// True when a transition is about this rule.
pub(crate) fn is_of(row: &Row, transition: &AlertTransition) -> bool {
    let name = transition.labels.get("alertname").map_or("", String::as_str);
    rule_key(&row.rule) == (transition.file.as_str(), transition.group.as_str(), name)
}

/// The labels that tell an alert from others of its rule: all but its name and what the rule itself sets for all.
pub(crate) fn own_labels(alert: &BTreeMap<String, String>, rule: &AlertRuleAnswer) -> Vec<(String, String)> {
    let is_own =
        |name: &str, value: &str| name != "alertname" && rule.labels.get(name).map(String::as_str) != Some(value);
    alert
        .iter()
        .filter(|(name, value)| is_own(name, value))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// Ids of journeys that show an alert, the newest first, at most four.
pub(crate) fn examples(annotations: &BTreeMap<String, String>) -> Vec<String> {
    let mut ids: Vec<String> = Vec::new();
    let texts = ["trace_id", "journey_url", "example_journeys"].iter().filter_map(|name| annotations.get(*name));
    for word in texts.flat_map(|text| text.split_whitespace()) {
        let id = word.rsplit('/').next().unwrap_or_default();
        let is_id = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_id && !ids.iter().any(|known| known == id) && ids.len() < 4 {
            ids.push(id.to_owned());
        }
    }
    ids
}

/// The filter of Explore that an alert's labels ask for: its service, as far as labels name one.
pub(crate) fn filter_of(labels: &BTreeMap<String, String>) -> String {
    let service = ["service", "service_name", "dst", "src"].iter().find_map(|name| {
        let value = labels.get(*name)?;
        let kind = value.split_once(':');
        match kind {
            Some(("service", name)) => Some(name),
            Some(("queue" | "db" | "external" | "cache", _)) => None,
            _ => Some(value.as_str()),
        }
    });
    service.map(|name| super::condition::write("service", "=", name)).unwrap_or_default()
}

/// Matchers as Alertmanager writes them: `alertname="Errors" service=~"shop.*"`.
pub(crate) fn matchers_text(matchers: &[SilenceMatcher]) -> String {
    let one = |matcher: &SilenceMatcher| {
        let sign = match (matcher.is_equal, matcher.is_regex) {
            (true, false) => "=",
            (false, false) => "!=",
            (true, true) => "=~",
            (false, true) => "!~",
        };
        format!("{}{sign}\"{}\"", matcher.name, matcher.value.replace('\\', "\\\\").replace('"', "\\\""))
    };
    matchers.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// Reads what [`matchers_text`] writes; quotes may be left out around values without spaces, commas may part matchers.
///
/// # Errors
/// What is missing, and where.
pub(crate) fn read_matchers(text: &str) -> Result<Vec<SilenceMatcher>, String> {
    let mut rest = text.trim().trim_start_matches('{').trim_end_matches('}').trim();
    let mut matchers = Vec::new();
    while !rest.is_empty() {
        let end =
            rest.find(['=', '!']).ok_or_else(|| format!("{rest:?} needs = and a value, such as service=\"shop\""))?;
        let (name, tail) = rest.split_at(end);
        let name = name.trim();
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(format!("{name:?} is no name of a label"));
        }
        let signs = [("=~", true, true), ("!~", false, true), ("!=", false, false), ("=", true, false)];
        let Some((sign, is_equal, is_regex)) = signs.into_iter().find(|(sign, ..)| tail.starts_with(sign)) else {
            return Err(format!("after {name} stands =, !=, =~ or !~"));
        };
        let tail = tail[sign.len()..].trim_start();
        let (value, after) =
            if let Some(quoted) = tail.strip_prefix('"') { read_quoted(quoted)? } else { read_bare(tail) };
        if value.is_empty() && !is_regex && is_equal {
            return Err(format!("{name} needs a value"));
        }
        matchers.push(SilenceMatcher { name: name.to_owned(), value, is_regex, is_equal });
        rest = after.trim_start_matches([',', ' ', '\n', '\t']);
    }
    if matchers.is_empty() {
        Err("write at least one matcher, such as alertname=\"Errors\"".to_owned())
    } else {
        Ok(matchers)
    }
}

fn read_bare(text: &str) -> (String, &str) {
    let end = text.find([',', ' ', '\n', '\t']).unwrap_or(text.len());
    (text[..end].to_owned(), &text[end..])
}

fn read_quoted(text: &str) -> Result<(String, &str), String> {
    let (mut value, mut is_escaped) = (String::new(), false);
    for (at, letter) in text.char_indices() {
        match letter {
            letter if is_escaped => {
                value.push(letter);
                is_escaped = false;
            }
            '\\' => is_escaped = true,
            '"' => return Ok((value, &text[at + 1..])),
            letter => value.push(letter),
        }
    }
    Err("a closing quote is missing".to_owned())
}

/// Matchers for all alerts of a rule: its name, and what its alerts have in common or the rule sets without a template.
pub(crate) fn matchers_of(row: &Row) -> Vec<SilenceMatcher> {
    let mut labels: BTreeMap<String, String> = match row.alerts.split_first() {
        Some((first, others)) => {
            let is_common =
                |name: &String, value: &String| others.iter().all(|alert| alert.labels.get(name) == Some(value));
            first
                .labels
                .iter()
                .filter(|(name, value)| is_common(name, value))
                .map(|(n, v)| (n.clone(), v.clone()))
                .collect()
        }
        None => row
            .rule
            .labels
            .iter()
            .filter(|(_, value)| !value.contains("{{"))
            .map(|(n, v)| (n.clone(), v.clone()))
            .collect(),
    };
    labels.insert("alertname".to_owned(), row.rule.name.clone());
    equal(&labels)
}

/// One matcher per label.
pub(crate) fn equal(labels: &BTreeMap<String, String>) -> Vec<SilenceMatcher> {
    let one = |(name, value): (&String, &String)| SilenceMatcher {
        name: name.clone(),
        value: value.clone(),
        is_regex: false,
        is_equal: true,
    };
    labels.iter().map(one).collect()
}

/// What a new rule begins with.
pub(crate) const BLANK: &str = "alert: ManyErrors\ninterval: 1m\nsql: |\n  SELECT service_name,\n         avg(CASE WHEN status_code = 2 THEN 1.0 ELSE 0.0 END) AS value,\n         max(CASE WHEN status_code = 2 THEN trace_id END) AS trace_id\n  FROM spans\n  WHERE start_time >= $from AND start_time < $to AND kind = 2\n  GROUP BY service_name\n  HAVING avg(CASE WHEN status_code = 2 THEN 1.0 ELSE 0.0 END) > 0.05\nrange: 5m\nfor: 2m\nlabels:\n  severity: warning\nannotations:\n  summary: '{{ $labels.service_name }} fails: {{ $value | humanizePercentage }}'\n";

/// A column of an answer, as a draft needs it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column<'a> {
    /// Its name.
    pub(crate) name: &'a str,
    /// It holds numbers.
    pub(crate) is_number: bool,
    /// It holds text.
    pub(crate) is_text: bool,
}

/// A rule from a statement and its answer: the last number is the value, texts are labels, and it fires above `limit`,
/// what the value is at most now. A statement that already has a column `value` stays as it is.
pub(crate) fn draft(sql: &str, columns: &[Column<'_>], limit: Option<f64>) -> String {
    let sql = sql.trim().trim_end_matches(';');
    let indented = |text: &str, by: &str| text.lines().map(|line| format!("{by}{line}\n")).collect::<String>();
    let value = columns.iter().rfind(|column| column.is_number);
    let body = match value {
        Some(value) if value.name != "value" && !columns.iter().any(|column| column.name == "value") => {
            let mut kept: Vec<String> =
                columns.iter().filter(|column| column.is_text).map(|column| quoted(column.name)).collect();
            kept.push(format!("{} AS value", quoted(value.name)));
            let limit = limit.unwrap_or(0.0);
            let head = format!("SELECT {}\nFROM (\n", kept.join(", "));
            format!(
                "{}{}{}",
                indented(&head, "  "),
                indented(sql, "    "),
                indented(&format!(")\nWHERE {} > {limit}", quoted(value.name)), "  ")
            )
        }
        _ => indented(sql, "  "),
    };
    format!(
        "alert: FromQuery\ninterval: 1m\nsql: |\n{body}range: 5m\nfor: 2m\nlabels:\n  severity: warning\nannotations:\n  summary: 'the value is {{{{ $value }}}}'\n"
    )
}

/// A name in SQL; plain ones stay readable.
fn quoted(name: &str) -> String {
    let is_plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        && name.starts_with(|first: char| first.is_ascii_lowercase());
    if is_plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// A rule as text: as it was written, or written anew from what the server says of a rule in a file.
pub(crate) fn as_text(rule: &AlertRuleAnswer) -> String {
    if let Some(text) = &rule.text {
        return text.clone();
    }
    let json = |text: &str| serde_json::to_string(text).unwrap_or_default();
    let seconds =
        |name: &str, seconds: f64| if seconds > 0.0 { format!("{name}: {seconds}s\n") } else { String::new() };
    let map = |name: &str, all: &BTreeMap<String, String>| match all.is_empty() {
        true => String::new(),
        false => format!(
            "{name}:\n{}",
            all.iter().map(|(key, value)| format!("  {key}: {}\n", json(value))).collect::<String>()
        ),
    };
    let is_sql = !rule.query.starts_with("finding ") && !rule.query.starts_with("own ");
    let condition = if is_sql {
        format!("sql: |\n{}", rule.query.lines().map(|line| format!("  {line}\n")).collect::<String>())
    } else {
        format!("finding: retry_storm # {}\n", rule.query.replace('\n', " "))
    };
    format!(
        "alert: {}\n{}{condition}{}{}{}{}",
        json(&rule.name),
        seconds("interval", rule.interval_seconds),
        seconds("for", rule.for_seconds),
        seconds("keep_firing_for", rule.keep_firing_seconds),
        map("labels", &rule.labels),
        map("annotations", &rule.annotations)
    )
}

/// A name to keep a rule under: the name behind `alert:` in its text, in letters that an id may have.
pub(crate) fn id_of(text: &str) -> Option<String> {
    let name = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("alert:").or_else(|| line.trim().strip_prefix("record:")))?;
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.' | '-');
    let id: String = name
        .trim()
        .trim_matches(['\'', '"'])
        .chars()
        .map(|letter| if is_letter(letter) { letter } else { '-' })
        .collect();
    let id: String = id.trim_start_matches(['-', '_', '.']).chars().take(128).collect();
    (!id.is_empty()).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(text: &str) -> BTreeMap<String, String> {
        text.split_whitespace()
            .filter_map(|pair| pair.split_once('='))
            .map(|(n, v)| (n.to_owned(), v.to_owned()))
            .collect()
    }

    fn rule(name: &str, health: &str) -> AlertRuleAnswer {
        AlertRuleAnswer {
            name: name.to_owned(),
            kind: "alerting".to_owned(),
            health: health.to_owned(),
            ..AlertRuleAnswer::default()
        }
    }

    fn alert(text: &str, state: &str, active: i64, fired: Option<i64>) -> AlertAnswer {
        AlertAnswer {
            labels: labels(text),
            state: state.to_owned(),
            active_unix_nano: active.to_string(),
            fired_unix_nano: fired.map(|at| at.to_string()),
            ..AlertAnswer::default()
        }
    }

    /// What fires stands first; a rule that cannot run is not "ok"; what silences hold back is muted.
    #[test]
    fn the_most_urgent_stands_first() {
        let rules = [
            rule("A", "ok"),
            rule("B", "ok"),
            rule("C", "err"),
            rule("D", "ok"),
            rule("E", "unknown"),
            rule("A", "ok"),
        ];
        let mut alerts =
            vec![alert("alertname=B x=1", "firing", 5, Some(9)), alert("alertname=D", "firing", 1, Some(2))];
        alerts[1].silenced = true;
        let rows = rows(&rules, &alerts);
        let short: Vec<_> = rows.iter().map(|row| (row.key.as_str(), row.state.name())).collect();
        assert_eq!(
            short,
            [("B", "firing"), ("C", "failing"), ("D", "muted"), ("E", "unknown"), ("A", "ok"), ("A~2", "ok")]
        );
        assert_eq!(rows[0].since, Some(9));
    }

    #[test]
    fn a_day_is_as_bad_as_its_worst_moments() {
        let rows = rows(&[rule("B", "ok")], &[alert("alertname=B x=2", "firing", 80, Some(90))]);
        let past = |at: i64, before: &str, state: &str| AlertTransition {
            time_unix_nano: at.to_string(),
            before: before.to_owned(),
            state: state.to_owned(),
            labels: labels("alertname=B x=1"),
            ..AlertTransition::default()
        };
        let history = [past(30, "firing", "inactive"), past(20, "pending", "firing"), past(10, "inactive", "pending")];
        let cells = cells(&rows[0], &history, 0, 96);
        let drawn: String = cells
            .iter()
            .map(|cell| match cell {
                Cell::Quiet => '.',
                Cell::Pending => 'p',
                Cell::Firing => 'F',
            })
            .collect();
        assert_eq!(
            drawn,
            format!(
                "{}{}{}{}{}{}",
                ".".repeat(10),
                "p".repeat(10),
                "F".repeat(10),
                ".".repeat(50),
                "p".repeat(10),
                "F".repeat(6)
            )
        );
    }

    #[test]
    fn matchers_are_read_as_they_are_written() {
        let text = "alertname=\"A b\" service=~\"shop.*\" x!=\"a\\\"b\" y!~\"z\"";
        let matchers = read_matchers(text).expect("they can be read");
        assert_eq!(matchers_text(&matchers), text);
        assert_eq!(read_matchers("{a=b, c=d}").expect("short form").len(), 2);
        for wrong in ["", "a", "a=\"b", "=b", "a="] {
            assert!(read_matchers(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn templates_are_left_open() {
        assert_eq!(without_templates("{{ $labels.x }} waits {{ $value }} s {{"), "… waits … s …");
    }

    #[test]
    fn examples_are_ids_only() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        let annotations = BTreeMap::from([
            ("journey_url".to_owned(), format!("http://h/j/{id}")),
            ("example_journeys".to_owned(), format!("http://h/j/{id} javascript:alert(1)")),
        ]);
        assert_eq!(examples(&annotations), [id]);
    }

    #[test]
    fn a_statement_becomes_a_rule() {
        let columns = [
            Column { name: "service_name", is_number: false, is_text: true },
            Column { name: "Slowest ms", is_number: true, is_text: false },
        ];
        let rule = draft("SELECT 1;", &columns, Some(7.5));
        assert!(rule.contains("  SELECT service_name, \"Slowest ms\" AS value\n  FROM (\n    SELECT 1\n  )\n  WHERE \"Slowest ms\" > 7.5\n"), "{rule}");
        let as_is = draft("SELECT 1 AS value", &[Column { name: "value", is_number: true, is_text: false }], None);
        assert!(as_is.contains("sql: |\n  SELECT 1 AS value\nrange"), "{as_is}");
        assert_eq!(id_of(&rule).as_deref(), Some("FromQuery"));
        assert_eq!(id_of("alert: 'a b/ü'").as_deref(), Some("a-b--"));
    }

    #[test]
    fn labels_lead_to_their_service() {
        assert_eq!(filter_of(&labels("dst=service:order")), "service=order");
        assert_eq!(filter_of(&labels("dst=queue:kafka/x")), "");
    }
}
