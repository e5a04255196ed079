//! Text of labels and annotations: the part of Go's templates that alert rules use, with Prometheus' functions.
//!
//! | form                                                  | is                                                  |
//! |-------------------------------------------------------|-----------------------------------------------------|
//! | `{{ $labels.service }}`, `{{ .Labels.service }}`      | a label of the instance; empty when it has none     |
//! | `{{ $value }}`, `{{ .Value }}`                        | the value                                           |
//! | `{{ $value \| humanize }}`, `{{ humanize $value }}`   | functions, see `functions.rs`                       |
//! | `{{ printf "%.1f" $value }}`                          | Go's verbs `%s %q %d %v %f %e %g %x %t %%`          |
//! | `{{ if gt $value 5.0 }}…{{ else if … }}…{{ end }}`    | conditions                                          |
//! | `{{- … -}}`, `{{/* … */}}`                            | without the white space around; a comment           |
//!
//! There are no loops, variables or queries, so a template always ends; its text ends at 16 KiB (S13). What is not known
//! is refused when the rule is read, not when it fires.

mod functions;
mod numbers;

use std::collections::BTreeMap;

use functions::Function;
use numbers::go_float;
pub(crate) use numbers::go_scientific;

/// Longest text a template makes, in bytes (S13).
const OUTPUT_BYTES_MAX: usize = 16 << 10;
/// Longest template, in bytes.
const TEXT_BYTES_MAX: usize = 16 << 10;
/// Brackets and conditions inside each other.
const DEPTH_MAX: usize = 16;

/// A template that was read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Template(Vec<Part>);

/// What a template is filled with.
#[derive(Debug)]
pub(crate) struct Fill<'a> {
    pub(crate) labels: &'a BTreeMap<String, String>,
    pub(crate) value: f64,
    /// Where this collector is reached.
    pub(crate) external_url: &'a str,
}

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(String),
    Show(Pipe),
    If(Vec<(Pipe, Vec<Self>)>, Vec<Self>),
}

/// Commands, each fed with the result of the one before as its last argument.
#[derive(Clone, Debug, PartialEq)]
struct Pipe(Vec<Command>);

#[derive(Clone, Debug, PartialEq)]
enum Command {
    Call(Function, Vec<Operand>),
    Value(Operand),
}

#[derive(Clone, Debug, PartialEq)]
enum Operand {
    Text(String),
    Number(f64),
    Bool(bool),
    Labels,
    Label(String),
    Value,
    ExternalUrl,
    Pipe(Box<Pipe>),
}

/// A value while a template is filled.
#[derive(Clone, Debug, PartialEq)]
enum Value {
    Text(String),
    Number(f64),
    Bool(bool),
    Labels(BTreeMap<String, String>),
}

impl Value {
    /// As Go prints it.
    fn show(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(number) => go_float(*number),
            Self::Bool(value) => value.to_string(),
            Self::Labels(labels) => {
                let pairs: Vec<String> = labels.iter().map(|(name, value)| format!("{name}:{value}")).collect();
                format!("map[{}]", pairs.join(" "))
            }
        }
    }

    fn is_true(&self) -> bool {
        match self {
            Self::Text(text) => !text.is_empty(),
            Self::Number(number) => *number != 0.0,
            Self::Bool(value) => *value,
            Self::Labels(labels) => !labels.is_empty(),
        }
    }
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// One sentence about the first thing that is not known or not closed.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(format!("a template has at most {TEXT_BYTES_MAX} bytes, this one has {}", text.len()));
        }
        let mut actions = actions(text)?.into_iter().peekable();
        let (parts, end) = parts(&mut actions, 0)?;
        match end {
            None => Ok(Self(parts)),
            Some(word) => Err(format!("{{{{ {word} }}}} stands without an {{{{ if }}}} before it")),
        }
    }

    /// The text for one instance.
    ///
    /// # Errors
    /// A function was given what it cannot take, or the text is longer than 16 KiB.
    pub(crate) fn fill(&self, fill: &Fill<'_>) -> Result<String, String> {
        let mut out = String::new();
        write_parts(&self.0, fill, &mut out)?;
        Ok(out)
    }
}

fn write_parts(parts: &[Part], fill: &Fill<'_>, out: &mut String) -> Result<(), String> {
    for part in parts {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Show(pipe) => out.push_str(&pipe.value(fill)?.show()),
            Part::If(branches, otherwise) => {
                let mut taken = otherwise;
                for (condition, parts) in branches {
                    if condition.value(fill)?.is_true() {
                        taken = parts;
                        break;
                    }
                }
                write_parts(taken, fill, out)?;
            }
        }
        if out.len() > OUTPUT_BYTES_MAX {
            return Err(format!("the text is longer than {OUTPUT_BYTES_MAX} bytes"));
        }
    }
    Ok(())
}

impl Pipe {
    fn value(&self, fill: &Fill<'_>) -> Result<Value, String> {
        let mut carried: Option<Value> = None;
        for command in &self.0 {
            carried = Some(match command {
                Command::Value(operand) => operand.value(fill)?,
                Command::Call(function, operands) => {
                    let mut arguments =
                        operands.iter().map(|operand| operand.value(fill)).collect::<Result<Vec<_>, _>>()?;
                    arguments.extend(carried.take());
                    let value = function.call(&arguments, fill)?;
                    if matches!(&value, Value::Text(text) if text.len() > OUTPUT_BYTES_MAX) {
                        return Err(format!("the text is longer than {OUTPUT_BYTES_MAX} bytes"));
                    }
                    value
                }
            });
        }
        Ok(carried.unwrap_or(Value::Text(String::new())))
    }
}

impl Operand {
    fn value(&self, fill: &Fill<'_>) -> Result<Value, String> {
        Ok(match self {
            Self::Text(text) => Value::Text(text.clone()),
            Self::Number(number) => Value::Number(*number),
            Self::Bool(value) => Value::Bool(*value),
            Self::Labels => Value::Labels(fill.labels.clone()),
            Self::Label(name) => Value::Text(fill.labels.get(name).cloned().unwrap_or_default()),
            Self::Value => Value::Number(fill.value),
            Self::ExternalUrl => Value::Text(fill.external_url.to_owned()),
            Self::Pipe(pipe) => pipe.value(fill)?,
        })
    }
}

/// A stretch of text, or what stands between `{{` and `}}`.
enum Action {
    Text(String),
    Code(String),
}

fn actions(text: &str) -> Result<Vec<Action>, String> {
    let (mut found, mut rest, mut trims_start) = (Vec::new(), text, false);
    loop {
        let open = rest.find("{{");
        let mut before = &rest[..open.unwrap_or(rest.len())];
        if trims_start {
            before = before.trim_start();
        }
        let Some(open) = open else {
            found.push(Action::Text(before.to_owned()));
            return Ok(found);
        };
        let code = &rest[open + 2..];
        let close = end_of_code(code).ok_or_else(|| format!("{{{{ without }}}}: {}", short(code)))?;
        rest = &code[close + 2..];
        let mut code = &code[..close];
        if let Some(trimmed) = code.strip_prefix('-').filter(|rest| rest.starts_with(char::is_whitespace)) {
            before = before.trim_end();
            code = trimmed;
        }
        trims_start = code.strip_suffix('-').is_some_and(|rest| rest.ends_with(char::is_whitespace));
        if trims_start {
            code = &code[..code.len() - 1];
        }
        found.push(Action::Text(before.to_owned()));
        let code = code.trim();
        if !(code.starts_with("/*") && code.ends_with("*/")) {
            found.push(Action::Code(code.to_owned()));
        }
    }
}

/// Where `}}` stands outside of quotes.
fn end_of_code(code: &str) -> Option<usize> {
    let (mut quote, mut is_escaped) = (None, false);
    for (at, c) in code.char_indices() {
        match quote {
            Some('"') if is_escaped => is_escaped = false,
            Some('"') if c == '\\' => is_escaped = true,
            Some(open) if open == c => quote = None,
            Some(_) => {}
            None if c == '"' || c == '`' => quote = Some(c),
            None if code[at..].starts_with("}}") => return Some(at),
            None => {}
        }
    }
    None
}

fn short(text: &str) -> String {
    text.chars().take(40).collect()
}

type Actions = std::iter::Peekable<std::vec::IntoIter<Action>>;

/// Parts up to the end, or up to `end` or an `else`, which is given back.
fn parts(actions: &mut Actions, depth: usize) -> Result<(Vec<Part>, Option<String>), String> {
    if depth > DEPTH_MAX {
        return Err(format!("conditions stand deeper than {DEPTH_MAX} levels"));
    }
    let mut found = Vec::new();
    while let Some(action) = actions.next() {
        let code = match action {
            Action::Text(text) => {
                if !text.is_empty() {
                    found.push(Part::Text(text));
                }
                continue;
            }
            Action::Code(code) => code,
        };
        let (word, rest) = code.split_once(char::is_whitespace).unwrap_or((&code, ""));
        match word {
            "end" | "else" => return Ok((found, Some(code.clone()))),
            "if" => found.push(condition(rest, actions, depth)?),
            "range" | "with" | "define" | "template" | "block" | "break" | "continue" => {
                return Err(format!("{{{{ {word} }}}} is not known here: there are no loops and no nested templates"));
            }
            _ => found.push(Part::Show(pipe(&code)?)),
        }
    }
    Ok((found, None))
}

fn condition(first: &str, actions: &mut Actions, depth: usize) -> Result<Part, String> {
    let (mut branches, mut test) = (Vec::new(), pipe(first)?);
    loop {
        let (taken, end) = parts(actions, depth + 1)?;
        branches.push((test, taken));
        let end = end.ok_or("{{ if }} without {{ end }}")?;
        match end.strip_prefix("else").map(str::trim) {
            None => return Ok(Part::If(branches, Vec::new())),
            Some("") => {
                let (otherwise, end) = parts(actions, depth + 1)?;
                return match end.as_deref() {
                    Some("end") => Ok(Part::If(branches, otherwise)),
                    _ => Err("{{ else }} without {{ end }}".to_owned()),
                };
            }
            Some(more) => {
                let next = more.strip_prefix("if ").ok_or_else(|| format!("{{{{ else {more} }}}} is not known"))?;
                test = pipe(next)?;
            }
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Open,
    Close,
    Bar,
}

fn tokens(code: &str) -> Result<Vec<Token>, String> {
    let (mut found, mut rest) = (Vec::new(), code.trim_start());
    while let Some(first) = rest.chars().next() {
        let used = match first {
            '(' | ')' | '|' => {
                found.push(match first {
                    '(' => Token::Open,
                    ')' => Token::Close,
                    _ => Token::Bar,
                });
                1
            }
            '`' => {
                let end = rest[1..].find('`').ok_or("a ` is not closed")?;
                found.push(Token::Text(rest[1..=end].to_owned()));
                end + 2
            }
            '"' => {
                let (text, used) = quoted(rest)?;
                found.push(Token::Text(text));
                used
            }
            _ => {
                let ends = |c: char| c.is_whitespace() || matches!(c, '(' | ')' | '|' | '"' | '`');
                let end = rest.find(ends).unwrap_or(rest.len());
                found.push(Token::Word(rest[..end].to_owned()));
                end
            }
        };
        rest = rest[used..].trim_start();
    }
    Ok(found)
}

/// The text of a string in double quotes at the beginning, and how many bytes it takes.
fn quoted(code: &str) -> Result<(String, usize), String> {
    let (mut text, mut letters) = (String::new(), code.char_indices().skip(1));
    while let Some((at, c)) = letters.next() {
        match c {
            '"' => return Ok((text, at + 1)),
            '\\' => match letters.next() {
                Some((_, 'n')) => text.push('\n'),
                Some((_, 't')) => text.push('\t'),
                Some((_, 'r')) => text.push('\r'),
                Some((_, same @ ('"' | '\\'))) => text.push(same),
                Some((_, other)) => return Err(format!("\\{other} is not known in a string")),
                None => break,
            },
            c => text.push(c),
        }
    }
    Err(format!("a \" is not closed: {}", short(code)))
}

fn pipe(code: &str) -> Result<Pipe, String> {
    let tokens = tokens(code)?;
    let (pipe, used) = pipe_of(&tokens, 0)?;
    if used < tokens.len() {
        return Err(format!("a ) has no ( before it: {}", short(code)));
    }
    Ok(pipe)
}

/// A pipe up to the end or to a `)`, and how many tokens it took.
fn pipe_of(tokens: &[Token], depth: usize) -> Result<(Pipe, usize), String> {
    if depth > DEPTH_MAX {
        return Err(format!("brackets stand deeper than {DEPTH_MAX} levels"));
    }
    let (mut commands, mut at) = (Vec::new(), 0);
    loop {
        let (command, used) = command_of(&tokens[at..], depth, !commands.is_empty())?;
        commands.push(command);
        at += used;
        match tokens.get(at) {
            Some(Token::Bar) => at += 1,
            _ => return Ok((Pipe(commands), at)),
        }
    }
}

fn command_of(tokens: &[Token], depth: usize, is_fed: bool) -> Result<(Command, usize), String> {
    let (mut operands, mut function, mut at) = (Vec::new(), None, 0);
    while let Some(token) = tokens.get(at) {
        let operand = match token {
            Token::Bar | Token::Close => break,
            Token::Text(text) => Operand::Text(text.clone()),
            Token::Open => {
                let (inner, used) = pipe_of(&tokens[at + 1..], depth + 1)?;
                at += used + 1;
                if tokens.get(at) != Some(&Token::Close) {
                    return Err("a ( is not closed".to_owned());
                }
                Operand::Pipe(Box::new(inner))
            }
            Token::Word(word) => match (operand_of(word)?, at) {
                (Some(operand), _) => operand,
                (None, 0) => {
                    function = Some(Function::by_name(word).ok_or_else(|| Function::unknown(word))?);
                    at += 1;
                    continue;
                }
                (None, _) => {
                    // A function without arguments as an argument.
                    let function = Function::by_name(word).ok_or_else(|| Function::unknown(word))?;
                    function.takes(0)?;
                    Operand::Pipe(Box::new(Pipe(vec![Command::Call(function, Vec::new())])))
                }
            },
        };
        operands.push(operand);
        at += 1;
    }
    let command = match function {
        Some(function) => {
            function.takes(operands.len() + usize::from(is_fed))?;
            Command::Call(function, operands)
        }
        None if is_fed => return Err("what stands behind | must be a function".to_owned()),
        None if operands.len() == 1 => Command::Value(operands.remove(0)),
        None if operands.is_empty() => return Err("something is missing between {{ and }}, | or ( )".to_owned()),
        None => return Err("a value takes no arguments; the function goes first: {{ humanize $value }}".to_owned()),
    };
    Ok((command, at))
}

/// A value by its word; `None` when it may be a function.
fn operand_of(word: &str) -> Result<Option<Operand>, String> {
    if let Some(name) = word.strip_prefix("$labels.").or_else(|| word.strip_prefix(".Labels.")) {
        return Ok(Some(Operand::Label(name.to_owned())));
    }
    if word.starts_with("$externalLabels") || word.starts_with(".ExternalLabels") {
        // There are none here: their place is in the Alertmanager or in the rules' labels.
        return Ok(Some(Operand::Text(String::new())));
    }
    Ok(Some(match word {
        "$labels" | ".Labels" => Operand::Labels,
        "$value" | ".Value" => Operand::Value,
        "$externalURL" | ".ExternalURL" => Operand::ExternalUrl,
        "true" => Operand::Bool(true),
        "false" => Operand::Bool(false),
        word if word.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'))
            && word.parse::<f64>().is_ok() =>
        {
            Operand::Number(word.parse().unwrap_or_default())
        }
        word if word.starts_with(['$', '.']) => {
            return Err(format!("{word} is not known; there are $labels.NAME, $value and $externalURL"));
        }
        _ => return Ok(None),
    }))
}

#[cfg(test)]
mod tests;
