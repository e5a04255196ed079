//! Rules as text: a blank one, one from a statement.

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

/// How long a rule looks back unless it must look further, in minutes.
pub(crate) const RANGE_MINUTES: u64 = 5;
/// How long one may look back.
const RANGE_MINUTES_MAX: u64 = 31 * 1_440;
const MINUTE_NANOS: u64 = 60_000_000_000;

/// How many minutes a rule must look back to see what took from `least` to `most` nanoseconds (`u64::MAX`: any longer time).
/// A row stands at the moment it began and comes once it has ended: what took ten minutes is never among the last five.
/// `None` when no rule may look back so far.
pub(crate) fn range_minutes(least: u64, most: u64) -> Option<u64> {
    let longest = if most == u64::MAX { least } else { most.max(least) };
    Some(longest.div_ceil(MINUTE_NANOS) + RANGE_MINUTES).filter(|minutes| *minutes <= RANGE_MINUTES_MAX)
}

/// A rule from a statement and its answer: the last number is the value, texts are labels, and it fires above `limit`,
/// what the value is at most now. A statement that already has a column `value` stays as it is. It looks back `minutes`.
pub(crate) fn draft(sql: &str, columns: &[Column<'_>], limit: Option<f64>, minutes: u64) -> String {
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
        "alert: FromQuery\ninterval: 1m\nsql: |\n{body}range: {minutes}m\nfor: 2m\nlabels:\n  severity: warning\nannotations:\n  summary: 'the value is {{{{ $value }}}}'\n"
    )
}

/// A name in SQL; plain ones stay readable.
fn quoted(name: &str) -> String {
    let is_plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        && name.starts_with(|first: char| first.is_ascii_lowercase());
    if is_plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
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
