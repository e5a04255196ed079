//! Which alerts a silence holds back, as text and back.

use std::collections::BTreeMap;

use api::SilenceMatcher;

use super::Row;

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
