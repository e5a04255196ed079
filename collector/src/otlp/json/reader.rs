//! JSON itself: one value after the other, never more than the value at hand in memory.
//!
//! A message reads its members by [`Reader::object`] and [`Reader::array`]; the reader keeps the path, so
//! that an error says `resourceSpans[0].scopeSpans[0].spans[3].kind: expected …`. Nesting is bounded here,
//! so no input can overflow the stack (J12).

use std::borrow::Cow;
use std::fmt;

use crate::outcome::{OddForm, Outcome};

/// Objects and lists inside each other.
const DEPTH_MAX: usize = 128;
/// Characters of a value that an error quotes.
const QUOTE_CHARS_MAX: usize = 32;

/// What is wrong, and where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct JsonError {
    path: String,
    detail: String,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => f.write_str(&self.detail),
            path => write!(f, "{path}: {}", self.detail),
        }
    }
}

/// A step of the path to the value at hand.
#[derive(Debug)]
enum Step<'a> {
    Member(Cow<'a, str>),
    Index(usize),
}

/// Reads a document from front to back.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    text: &'a str,
    at: usize,
    path: Vec<Step<'a>>,
    outcome: &'a mut Outcome,
}

/// A value that is neither object nor list.
#[derive(Debug, PartialEq)]
pub(crate) enum Scalar<'a> {
    Null,
    Bool(bool),
    /// The characters of a number, known to be one.
    Number(&'a str),
    Text(Cow<'a, str>),
}

impl<'a> Reader<'a> {
    pub(super) fn new(body: &'a [u8], outcome: &'a mut Outcome) -> Result<Self, JsonError> {
        let error = |detail: String| JsonError { path: String::new(), detail };
        let text = std::str::from_utf8(body)
            .map_err(|at| error(format!("JSON is UTF-8, but the byte at {} is not", at.valid_up_to())))?;
        let mut reader = Self { text, at: 0, path: Vec::new(), outcome };
        if reader.peek() != Some(b'{') {
            return Err(reader.expected("a JSON object"));
        }
        Ok(reader)
    }

    /// Reads an object; `member` must read exactly one value and tells whether it knew the member. `null`
    /// is an object without members.
    pub(super) fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, &str) -> Result<bool, JsonError>,
    ) -> Result<(), JsonError> {
        if self.take_null() {
            return Ok(());
        }
        self.take(b'{', "an object")?;
        if self.take_if(b'}') {
            return Ok(());
        }
        loop {
            let name = self.text_value()?.ok_or_else(|| self.expected("the name of a member"))?;
            self.take(b':', "a colon")?;
            self.enter(Step::Member(name.clone()))?;
            match lower_camel(&name) {
                Some(camel) => {
                    if member(self, &camel)? {
                        self.outcome.odd_form(OddForm::SnakeCase);
                    }
                }
                None => {
                    member(self, &name)?;
                }
            }
            self.path.pop();
            if !self.take_if(b',') {
                return self.take(b'}', "a comma or the end of the object");
            }
        }
    }

    /// Reads a list; `item` must read exactly one value. `null` is an empty list.
    pub(super) fn array(&mut self, mut item: impl FnMut(&mut Self) -> Result<(), JsonError>) -> Result<(), JsonError> {
        if self.take_null() {
            return Ok(());
        }
        self.take(b'[', "a list")?;
        if self.take_if(b']') {
            return Ok(());
        }
        for index in 0.. {
            self.enter(Step::Index(index))?;
            item(self)?;
            self.path.pop();
            if !self.take_if(b',') {
                break;
            }
        }
        self.take(b']', "a comma or the end of the list")
    }

    /// Skips a member nobody knows (J1).
    pub(super) fn unknown(&mut self) -> Result<bool, JsonError> {
        self.skip()?;
        Ok(false)
    }

    fn skip(&mut self) -> Result<(), JsonError> {
        match self.peek() {
            Some(b'{') => self.object(|reader, _| reader.unknown()),
            Some(b'[') => self.array(Self::skip),
            _ => self.scalar("a value").map(drop),
        }
    }

    /// Reads the whole document for nothing but whether it is JSON.
    pub(super) fn check(mut self) -> Result<(), JsonError> {
        self.skip()?;
        self.end()
    }

    /// Jumps over the value of a member that is read later, by [`Reader::revisit`]. `place` says where it stands;
    /// of several the last one wins, and the others are checked here.
    ///
    /// Objects and lists are only followed by their brackets: whether they are JSON shows when they are read.
    pub(super) fn jump(&mut self, place: &mut Option<usize>) -> Result<bool, JsonError> {
        self.peek();
        let here = self.at;
        if let Some(before) = place.replace(here) {
            self.at = before;
            self.skip()?;
            self.at = here;
        }
        match self.peek() {
            Some(b'{' | b'[') => self.at = end_of_brackets(self.text.as_bytes(), here),
            _ => self.skip()?,
        }
        Ok(true)
    }

    /// Reads the list that stands at `place`, item by item, and comes back.
    pub(super) fn revisit(
        &mut self,
        place: Option<usize>,
        member: &'static str,
        item: impl FnMut(&mut Self) -> Result<(), JsonError>,
    ) -> Result<(), JsonError> {
        let Some(place) = place else { return Ok(()) };
        let here = std::mem::replace(&mut self.at, place);
        self.enter(Step::Member(Cow::Borrowed(member)))?;
        self.array(item)?;
        self.path.pop();
        self.at = here;
        Ok(())
    }

    /// Reads a value that is neither object nor list.
    pub(super) fn scalar(&mut self, expected: &str) -> Result<Scalar<'a>, JsonError> {
        match self.peek() {
            Some(b'"') => {
                let text = self.text_value()?.ok_or_else(|| self.expected(expected))?;
                Ok(Scalar::Text(text))
            }
            Some(b'-' | b'0'..=b'9') => self.number(expected),
            Some(b't') if self.take_word("true") => Ok(Scalar::Bool(true)),
            Some(b'f') if self.take_word("false") => Ok(Scalar::Bool(false)),
            Some(b'n') if self.take_word("null") => Ok(Scalar::Null),
            _ => Err(self.expected(expected)),
        }
    }

    /// Nothing but white space follows (J9).
    pub(super) fn end(&mut self) -> Result<(), JsonError> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.expected("the end of the document")),
        }
    }

    /// Counts an enum sent by name.
    pub(super) fn count_enum_name(&mut self) {
        self.outcome.odd_form(OddForm::EnumName);
    }

    /// An error at this place, quoting what stands here.
    pub(super) fn expected(&self, expected: &str) -> JsonError {
        let rest = self.text[self.at..].trim_start();
        let found: String = rest.chars().take(QUOTE_CHARS_MAX).collect();
        let found = if found.is_empty() { "the end of the document".to_owned() } else { found.trim_end().to_owned() };
        self.error(format!("expected {expected}, found {found} (byte {})", self.at))
    }

    /// An error at this place about a value that was read.
    pub(super) fn wrong(&self, expected: &str, found: &str) -> JsonError {
        let found: String = found.chars().take(QUOTE_CHARS_MAX).collect();
        self.error(format!("expected {expected}, found {found:?}"))
    }

    pub(super) fn error(&self, detail: String) -> JsonError {
        use fmt::Write as _;
        let mut path = String::new();
        for step in &self.path {
            let _ = match step {
                Step::Member(name) if path.is_empty() => write!(path, "{name}"),
                Step::Member(name) => write!(path, ".{name}"),
                Step::Index(index) => write!(path, "[{index}]"),
            };
        }
        JsonError { path, detail }
    }

    fn enter(&mut self, step: Step<'a>) -> Result<(), JsonError> {
        if self.path.len() >= DEPTH_MAX {
            return Err(JsonError {
                path: String::new(),
                detail: format!("values nest deeper than {DEPTH_MAX} levels"),
            });
        }
        self.path.push(step);
        Ok(())
    }

    /// The next byte that is not white space; `at` stands on it then.
    fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = bytes.get(self.at) {
            self.at += 1;
        }
        bytes.get(self.at).copied()
    }

    fn take(&mut self, byte: u8, expected: &str) -> Result<(), JsonError> {
        if self.take_if(byte) { Ok(()) } else { Err(self.expected(expected)) }
    }

    fn take_if(&mut self, byte: u8) -> bool {
        let is_there = self.peek() == Some(byte);
        self.at += usize::from(is_there);
        is_there
    }

    /// Takes a `null`, if there is one.
    pub(super) fn take_null(&mut self) -> bool {
        self.peek() == Some(b'n') && self.take_word("null")
    }

    fn take_word(&mut self, word: &str) -> bool {
        let is_there = self.text[self.at..].starts_with(word);
        self.at += if is_there { word.len() } else { 0 };
        is_there
    }

    fn number(&mut self, expected: &str) -> Result<Scalar<'a>, JsonError> {
        let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let length = self.text.as_bytes()[self.at..].iter().take_while(|byte| is_part(byte)).count();
        let number = &self.text[self.at..self.at + length];
        if !is_number(number) {
            return Err(self.expected(expected));
        }
        self.at += length;
        Ok(Scalar::Number(number))
    }

    /// A string; `None` when something else stands here. Borrowed when nothing in it is escaped.
    fn text_value(&mut self) -> Result<Option<Cow<'a, str>>, JsonError> {
        if self.peek() != Some(b'"') {
            return Ok(None);
        }
        let bytes = self.text.as_bytes();
        let mut from = self.at + 1;
        let mut unescaped = String::new();
        loop {
            let is_end = |byte: &u8| *byte == b'"' || *byte == b'\\' || *byte < 0x20;
            let Some(length) = bytes[from..].iter().position(is_end) else {
                return Err(self.error(format!("the string that begins at byte {} does not end", self.at)));
            };
            let (plain, stop) = (&self.text[from..from + length], from + length);
            match bytes[stop] {
                b'"' => {
                    self.at = stop + 1;
                    // Every escape gives at least one character, so empty means that there was none.
                    if unescaped.is_empty() {
                        return Ok(Some(Cow::Borrowed(plain)));
                    }
                    unescaped.push_str(plain);
                    return Ok(Some(Cow::Owned(unescaped)));
                }
                b'\\' => {
                    unescaped.push_str(plain);
                    let Some((character, length)) = unescape(&self.text[stop..]) else {
                        return Err(self.error(format!("the escape at byte {stop} is none of JSON's")));
                    };
                    unescaped.push(character);
                    from = stop + length;
                }
                _ => return Err(self.error(format!("a control character must be escaped (byte {stop})"))),
            }
        }
    }
}

/// Where the object or list that begins at `start` ends: behind its last bracket, or at the end of the text.
fn end_of_brackets(text: &[u8], start: usize) -> usize {
    let (mut depth, mut in_text, mut is_escaped) = (0usize, false, false);
    for (at, byte) in text.iter().enumerate().skip(start) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_text => is_escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    text.len()
}

/// Reads one escape at the start of `text`: the character, and how many bytes it took. Half a surrogate
/// pair becomes U+FFFD: no batch is lost for one character.
fn unescape(text: &str) -> Option<(char, usize)> {
    let simple = match text.as_bytes().get(1)? {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => {
            let high = hex4(text.get(2..6)?)?;
            if (0xd800..0xdc00).contains(&high)
                && let Some(low) = text.get(6..12).and_then(|rest| hex4(rest.strip_prefix("\\u")?))
                && (0xdc00..0xe000).contains(&low)
            {
                let code = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                return Some((char::from_u32(code)?, 12));
            }
            return Some((char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER), 6));
        }
        _ => return None,
    };
    Some((simple, 2))
}

fn hex4(digits: &str) -> Option<u32> {
    let is_hex = digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
}

/// JSON's grammar of numbers.
pub(super) fn is_number(text: &str) -> bool {
    let digits = |text: &'_ str| text.bytes().take_while(u8::is_ascii_digit).count();
    let text = text.strip_prefix('-').unwrap_or(text);
    let n_whole = digits(text);
    if n_whole == 0 || (n_whole > 1 && text.starts_with('0')) {
        return false;
    }
    let mut rest = &text[n_whole..];
    if let Some(fraction) = rest.strip_prefix('.') {
        let n_fraction = digits(fraction);
        if n_fraction == 0 {
            return false;
        }
        rest = &fraction[n_fraction..];
    }
    if let Some(exponent) = rest.strip_prefix(['e', 'E']) {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        let n_exponent = digits(exponent);
        if n_exponent == 0 {
            return false;
        }
        rest = &exponent[n_exponent..];
    }
    rest.is_empty()
}

/// J7: the lowerCamelCase of a snake_case name; `None` when there is nothing to change.
fn lower_camel(name: &str) -> Option<String> {
    if !name.contains('_') {
        return None;
    }
    let mut camel = String::with_capacity(name.len());
    let mut is_start = false;
    for character in name.chars() {
        match character {
            '_' => is_start = true,
            _ if std::mem::take(&mut is_start) => camel.push(character.to_ascii_uppercase()),
            _ => camel.push(character),
        }
    }
    Some(camel)
}
