//! YAML as a small tree that knows its lines, so that errors point at them. JSON is YAML too.
//!
//! No anchors, aliases or tags: a few bytes of them can stand for gigabytes, and rule files have no use for them.
//!
//! Limits: 1 MiB of text, 32 levels, 100,000 values; beyond, the text is refused.

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

/// Largest text, in bytes.
const BYTES_MAX: usize = 1 << 20;
/// Deepest nesting.
const DEPTH_MAX: usize = 32;
/// Most values of one text.
const VALUES_MAX: usize = 100_000;

/// What is wrong, and in which line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {detail}")]
pub struct Wrong {
    /// From 1.
    pub line: usize,
    /// What was wrong and what would be right.
    pub detail: String,
}

impl Wrong {
    pub(crate) fn at(line: usize, detail: impl Into<String>) -> Self {
        Self { line, detail: detail.into() }
    }
}

/// A value and where it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) line: usize,
    pub(crate) value: Value,
}

/// What a node holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// A scalar as text; `is_plain` when it was written without quotes. The line of a block is that of its first text.
    Text {
        text: String,
        is_plain: bool,
    },
    List(Vec<Node>),
    /// In written order; keys are distinct.
    Map(Vec<(Node, Node)>),
}

/// An open list or map while reading; a map may hold a key that waits for its value.
enum Open {
    List(usize, Vec<Node>),
    Map(usize, Vec<(Node, Node)>, Option<Node>),
}

impl Node {
    /// Reads one document.
    ///
    /// # Errors
    /// What is not YAML, or more than the limits allow.
    pub(crate) fn read(text: &str) -> Result<Self, Wrong> {
        if text.len() > BYTES_MAX {
            return Err(Wrong::at(1, format!("the text has {} bytes; at most {BYTES_MAX} are read", text.len())));
        }
        let (mut open, mut root, mut n_values): (Vec<Open>, Option<Self>, usize) = (Vec::new(), None, 0);
        for event in Parser::new_from_str(text) {
            let (event, span) = event
                .map_err(|error| Wrong::at(error.marker().line(), format!("this is not YAML: {}", error.info())))?;
            let line = span.start.line();
            n_values += 1;
            if n_values > VALUES_MAX || open.len() > DEPTH_MAX {
                return Err(Wrong::at(line, format!("more than {VALUES_MAX} values or {DEPTH_MAX} levels")));
            }
            let node = match event {
                Event::Alias(_) => return Err(no_anchors(&span)),
                Event::Scalar(_, _, anchor, ref tag) if anchor != 0 || tag.is_some() => return Err(no_anchors(&span)),
                Event::SequenceStart(anchor, ref tag) | Event::MappingStart(anchor, ref tag)
                    if anchor != 0 || tag.is_some() =>
                {
                    return Err(no_anchors(&span));
                }
                Event::SequenceStart(..) => {
                    open.push(Open::List(line, Vec::new()));
                    continue;
                }
                Event::MappingStart(..) => {
                    open.push(Open::Map(line, Vec::new(), None));
                    continue;
                }
                Event::Scalar(text, style, ..) => {
                    let value = Value::Text { text: text.into_owned(), is_plain: style == ScalarStyle::Plain };
                    Self { line, value }
                }
                Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                    Some(Open::List(line, items)) => Self { line, value: Value::List(items) },
                    Some(Open::Map(line, entries, _)) => Self { line, value: Value::Map(entries) },
                    None => return Err(Wrong::at(line, "a list or map ends that never began")),
                },
                Event::DocumentStart(_) if root.is_some() => {
                    return Err(Wrong::at(line, "there is a second document; write one per file"));
                }
                _ => continue,
            };
            match open.last_mut() {
                None => root = Some(node),
                Some(Open::List(_, items)) => items.push(node),
                Some(Open::Map(_, entries, key)) => match key.take() {
                    None => {
                        let name = node.text()?.to_owned();
                        if entries.iter().any(|(known, _)| known.text().is_ok_and(|known| known == name)) {
                            return Err(Wrong::at(node.line, format!("{name} stands twice")));
                        }
                        *key = Some(node);
                    }
                    Some(name) => entries.push((name, node)),
                },
            }
        }
        root.ok_or_else(|| Wrong::at(1, "the text is empty"))
    }

    /// The text of a scalar; empty for `null` and nothing.
    pub(crate) fn text(&self) -> Result<&str, Wrong> {
        match &self.value {
            Value::Text { text, is_plain: true } if matches!(text.as_str(), "~" | "null") => Ok(""),
            Value::Text { text, .. } => Ok(text),
            Value::List(_) | Value::Map(_) => Err(Wrong::at(self.line, "this must be one value, not a list or a map")),
        }
    }

    /// The items of a list; none for `null`.
    pub(crate) fn list(&self) -> Result<&[Self], Wrong> {
        match &self.value {
            Value::List(items) => Ok(items),
            Value::Text { .. } if self.is_null() => Ok(&[]),
            _ => Err(Wrong::at(self.line, "this must be a list: lines that begin with -")),
        }
    }

    /// The entries of a map; none for `null`.
    pub(crate) fn map(&self) -> Result<&[(Self, Self)], Wrong> {
        match &self.value {
            Value::Map(entries) => Ok(entries),
            Value::Text { .. } if self.is_null() => Ok(&[]),
            _ => Err(Wrong::at(self.line, "this must be a map: lines of the form name: value")),
        }
    }

    /// The value of a key; `None` when it does not stand there.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        let Value::Map(entries) = &self.value else { return None };
        entries.iter().find(|(name, _)| name.text().is_ok_and(|name| name == key)).map(|(_, value)| value)
    }

    /// A whole number, 0 or more.
    pub(crate) fn count(&self) -> Result<u64, Wrong> {
        let text = self.text()?;
        text.trim().parse().map_err(|_| Wrong::at(self.line, format!("{text:?} is not a whole number of 0 or more")))
    }

    /// Refuses keys that nobody reads, naming the nearest one that somebody does.
    pub(crate) fn only(&self, known: &[&str], what: &str) -> Result<(), Wrong> {
        for (name, _) in self.map()? {
            let text = name.text()?;
            if !known.contains(&text) {
                let nearest = crate::error::nearest(text, known.iter().copied());
                let meant = nearest.map(|nearest| format!("; did you mean {nearest}?")).unwrap_or_default();
                let detail = format!("{what} has no field {text}{meant} (fields: {})", known.join(", "));
                return Err(Wrong::at(name.line, detail));
            }
        }
        Ok(())
    }

    fn is_null(&self) -> bool {
        self.text().is_ok_and(str::is_empty)
    }
}

fn no_anchors(span: &Span) -> Wrong {
    Wrong::at(span.start.line(), "anchors (&), aliases (*) and tags (!) are not read here; write the value out")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_are_known() {
        let node = Node::read("a: 1\nb:\n  - x\n  - y: |\n      one\n      two\n").expect("YAML");
        let list = node.get("b").expect("b").list().expect("a list");
        assert_eq!((list[0].line, list[0].text()), (3, Ok("x")));
        let block = list[1].get("y").expect("y");
        assert_eq!((block.line, block.text()), (5, Ok("one\ntwo\n")));
        assert_eq!(
            Node::read("{\"a\": [1, \"2\"]}").expect("JSON is YAML").get("a").expect("a").list().map(<[_]>::len),
            Ok(2)
        );
    }

    #[test]
    fn what_is_wrong_says_where() {
        let error = |text: &str| Node::read(text).expect_err(text).to_string();
        assert!(error("a: 1\na: 2\n").starts_with("line 2: a stands twice"));
        assert!(error("a: &x 1\nb: *x\n").contains("anchors"));
        assert!(error("a:\n  b: [1\n").starts_with("line "));
        assert!(error("").contains("empty"));
        assert!(error("a: 1\n---\nb: 2\n").contains("second document"));
        assert!(error(&"[".repeat(40)).contains("levels"));
        let node = Node::read("alrt: x\n").expect("YAML");
        let told = node.only(&["alert", "record"], "a rule").expect_err("unknown").to_string();
        assert_eq!(told, "line 1: a rule has no field alrt; did you mean alert? (fields: alert, record)");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[ -~\n\t]{0,200}") {
            let _ = Node::read(&text);
        }
    }
}
