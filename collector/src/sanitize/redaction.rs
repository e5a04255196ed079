//! What must not be kept: credentials and whatever the settings name, before anything is written (S16).
//!
//! A rule names keys (a pattern with `*`, any case) or values (a regular expression, linear time), and what becomes of them:
//!
//! | action | a key's value becomes                                | a value's matching part becomes | use it for                     |
//! |--------|------------------------------------------------------|---------------------------------|--------------------------------|
//! | drop   | nothing: the attribute is left out and counted as dropped | the same: the whole attribute goes | what nobody may even know is there |
//! | hash   | `hmac-sha256:` and 16 hex digits, by a key of the settings | the same                   | finding the same customer again |
//! | mask   | `[redacted]`                                         | `[redacted]`                    | the rest                       |
//!
//! When several rules name a key, `keep` wins, then drop, hash, mask. Rules about keys look at attributes of everything, at every
//! level of nested maps, also in bodies of log records. A pattern without a dot means the last part of a key, too: `cookie` is
//! `http.request.header.cookie`. Rules about values look at all texts of attributes and bodies, at bytes there that are UTF-8, and at what
//! people and programs write freely: names of spans and events, messages of a status, severities, descriptions of metrics. They do not
//! look at what code calls itself and its series by: names and units of metrics, scopes and their versions, schema URLs, trace states.
//!
//! An item in which something was redacted has [`Repairs::REDACTED`], which is counted like every repair.
//!
//! Cost: keys are matched once per key, not per attribute (`otlp/keys.rs`), nested ones too as long as there are not thousands of them; rules
//! about values search every text, so there are none by default.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use bumpalo::Bump;
use model::Repairs;
use regex::{Regex, RegexBuilder};
use ring::hmac;

use crate::config::RedactionConfig;
use crate::otlp::keys::Keys;
use crate::otlp::message::{Attributes, Text, Value};
use crate::otlp::write_value;

/// What stands in place of a masked value.
const MASK: &str = "[redacted]";
/// What a hashed value begins with.
const HASH_PREFIX: &str = "hmac-sha256:";
/// Bytes of the hash that are kept: enough to tell values apart, as hex digits.
const HASH_BYTES: usize = 8;
/// Shortest key of the hash.
const HASH_KEY_BYTES_MIN: usize = 16;
/// Rules of one list.
const RULES_MAX: usize = 256;
/// Memory of one compiled expression.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// What becomes of a key or a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Drop,
    Hash,
    Mask,
}

/// The rules, ready to be used.
#[derive(Debug)]
pub(crate) struct Redaction {
    keep: Vec<String>,
    /// In order of their force.
    keys: Vec<(Action, Vec<String>)>,
    values: Vec<(Action, Regex)>,
    hash_key: Option<hmac::Key>,
}

impl RedactionConfig {
    /// Rules in force, for people: `mask key *password*`.
    pub fn in_words(&self) -> Vec<String> {
        let lists = [
            ("keep key", &self.keep_keys),
            ("drop key", &self.drop_keys),
            ("hash key", &self.hash_keys),
            ("mask key", &self.mask_keys),
            ("drop value", &self.drop_values),
            ("hash value", &self.hash_values),
            ("mask value", &self.mask_values),
        ];
        lists.into_iter().flat_map(|(what, list)| list.iter().map(move |rule| format!("{what} {rule}"))).collect()
    }

    /// Names the first setting that cannot work; the file of the key is not read yet.
    pub(crate) fn validate(&self) -> Result<(), String> {
        self.compile(None)?;
        let hashes = !self.hash_keys.is_empty() || !self.hash_values.is_empty();
        if hashes && self.hash_key_file.is_empty() {
            return Err(
                "collector.redaction.hash_keys and hash_values need collector.redaction.hash_key_file".to_owned()
            );
        }
        Ok(())
    }

    /// The rules with the key of their hash.
    ///
    /// # Errors
    /// One sentence for the person who wrote the configuration.
    pub(crate) fn load(&self) -> Result<Arc<Redaction>, String> {
        let key = match self.hash_key_file.as_str() {
            "" => None,
            path => {
                let bytes = std::fs::read(path)
                    .map_err(|error| format!("collector.redaction.hash_key_file {path} cannot be read: {error}"))?;
                let bytes = bytes.trim_ascii();
                if bytes.len() < HASH_KEY_BYTES_MIN {
                    return Err(format!(
                        "{path} (collector.redaction.hash_key_file) has less than {HASH_KEY_BYTES_MIN} bytes"
                    ));
                }
                Some(hmac::Key::new(hmac::HMAC_SHA256, bytes))
            }
        };
        self.compile(key).map(Arc::new)
    }

    fn compile(&self, hash_key: Option<hmac::Key>) -> Result<Redaction, String> {
        let keys = |name: &str, list: &[String]| -> Result<Vec<String>, String> {
            if list.len() > RULES_MAX || list.iter().any(|pattern| pattern.is_empty() || pattern.len() > 256) {
                return Err(format!("collector.redaction.{name} has up to {RULES_MAX} patterns of 1 to 256 letters"));
            }
            Ok(list.iter().map(|pattern| pattern.to_ascii_lowercase()).collect())
        };
        let mut values = Vec::new();
        for (action, name, list) in [
            (Action::Drop, "drop_values", &self.drop_values),
            (Action::Hash, "hash_values", &self.hash_values),
            (Action::Mask, "mask_values", &self.mask_values),
        ] {
            if list.len() > RULES_MAX {
                return Err(format!("collector.redaction.{name} has up to {RULES_MAX} expressions"));
            }
            for pattern in list {
                let regex = RegexBuilder::new(pattern).size_limit(REGEX_BYTES_MAX).build();
                let regex = regex.map_err(|error| {
                    format!(
                        "collector.redaction.{name}: {pattern:?} cannot be used: {}",
                        error.to_string().replace('\n', " ")
                    )
                })?;
                if regex.is_match("") {
                    return Err(format!("collector.redaction.{name}: {pattern:?} means every text"));
                }
                values.push((action, regex));
            }
        }
        Ok(Redaction {
            keep: keys("keep_keys", &self.keep_keys)?,
            keys: vec![
                (Action::Drop, keys("drop_keys", &self.drop_keys)?),
                (Action::Hash, keys("hash_keys", &self.hash_keys)?),
                (Action::Mask, keys("mask_keys", &self.mask_keys)?),
            ],
            values,
            hash_key,
        })
    }
}

impl Redaction {
    /// The rules of the default settings.
    pub(crate) fn standard() -> &'static Arc<Self> {
        static STANDARD: OnceLock<Arc<Redaction>> = OnceLock::new();
        STANDARD.get_or_init(|| {
            Arc::new(RedactionConfig::default().compile(None).expect("the defaults are patterns, which a test holds"))
        })
    }

    /// What becomes of the value of a key.
    pub(crate) fn of_key(&self, key: Text<'_>) -> Option<Action> {
        let key = String::from_utf8_lossy(key).to_ascii_lowercase();
        let last = key.rsplit('.').next().unwrap_or_default();
        let names = |pattern: &String| is_match(pattern, &key) || (!pattern.contains('.') && is_match(pattern, last));
        if self.keep.iter().any(names) {
            return None;
        }
        self.keys.iter().find(|(_, patterns)| patterns.iter().any(names)).map(|(action, _)| *action)
    }

    /// True when texts must be searched.
    pub(crate) fn has_values(&self) -> bool {
        !self.values.is_empty()
    }

    /// Redacts a text that is no attribute.
    pub(super) fn text<'a>(&self, text: &mut Text<'a>, bump: &'a Bump) -> Repairs {
        let mut repairs = Repairs::NONE;
        if !self.search(text, &mut repairs, bump) {
            *text = b"";
            repairs |= Repairs::REDACTED;
        }
        repairs
    }

    /// Puts something else in place of a whole value. False when it is to be left out.
    fn replace<'a>(&self, value: &mut Value<'a>, action: Action, bump: &'a Bump) -> bool {
        match action {
            Action::Drop => return false,
            Action::Mask => *value = Value::Text(MASK.as_bytes()),
            Action::Hash => {
                let text = self.hash(&in_bytes(value));
                *value = Value::Text(bump.alloc_slice_copy(text.as_bytes()));
            }
        }
        true
    }

    /// Redacts parts of a text. False when it is to be left out.
    fn search<'a>(&self, text: &mut &'a [u8], repairs: &mut Repairs, bump: &'a Bump) -> bool {
        for (action, regex) in &self.values {
            // Decoders have checked that texts are UTF-8; bytes need not be.
            let Ok(found) = std::str::from_utf8(text) else { return true };
            let replaced = match action {
                Action::Drop if regex.is_match(found) => return false,
                Action::Drop => continue,
                Action::Mask => regex.replace_all(found, MASK),
                Action::Hash => regex.replace_all(found, |part: &regex::Captures<'_>| self.hash(part[0].as_bytes())),
            };
            if let Cow::Owned(replaced) = replaced {
                *text = bump.alloc_slice_copy(replaced.as_bytes());
                *repairs |= Repairs::REDACTED;
            }
        }
        true
    }

    fn hash(&self, bytes: &[u8]) -> String {
        // Settings that hash without a key are refused at the start; what cannot be hashed is masked.
        let Some(key) = &self.hash_key else { return MASK.to_owned() };
        let tag = hmac::sign(key, bytes);
        let hex = tag.as_ref().iter().take(HASH_BYTES).map(|byte| format!("{byte:02x}"));
        HASH_PREFIX.chars().map(String::from).chain(hex).collect()
    }
}

/// Redacts attributes whose keys are numbered; `dropped` grows by what was left out.
pub(super) fn attributes(list: &mut Attributes<'_>, dropped: &mut u32, keys: &mut Keys) -> Repairs {
    let bump = list.bump();
    let before = list.len();
    let mut repairs = Repairs::NONE;
    list.retain_mut(|entry| of_entry(&mut entry.value, keys.action(entry.key_id), &mut repairs, keys, bump));
    let n_dropped = u32::try_from(before - list.len()).unwrap_or(u32::MAX);
    *dropped = dropped.saturating_add(n_dropped);
    repairs
}

/// Redacts a value that has no key: a body.
pub(super) fn body<'a>(value: &mut Value<'a>, keys: &mut Keys, bump: &'a Bump) -> Repairs {
    let mut repairs = Repairs::NONE;
    if !walk(value, &mut repairs, keys, bump) {
        *value = Value::Empty;
    }
    repairs
}

/// Redacts a value of whose key is known what becomes of it. False when it is to be left out.
fn of_entry<'a>(
    value: &mut Value<'a>,
    action: Option<Action>,
    repairs: &mut Repairs,
    keys: &mut Keys,
    bump: &'a Bump,
) -> bool {
    match action {
        Some(action) => {
            *repairs |= Repairs::REDACTED;
            keys.redaction().replace(value, action, bump)
        }
        None => walk(value, repairs, keys, bump),
    }
}

/// Looks into maps and lists, and searches texts. False when the value is to be left out. Sanitizing has bounded the depth.
fn walk<'a>(value: &mut Value<'a>, repairs: &mut Repairs, keys: &mut Keys, bump: &'a Bump) -> bool {
    match value {
        Value::Text(text) | Value::Bytes(text) => {
            let is_kept = keys.redaction().search(text, repairs, bump);
            if !is_kept {
                *repairs |= Repairs::REDACTED;
            }
            is_kept
        }
        Value::List(list) => {
            list.retain_mut(|item| walk(item, repairs, keys, bump));
            true
        }
        Value::Map(map) => {
            map.retain_mut(|entry| {
                let action = keys.action_of(entry.key);
                of_entry(&mut entry.value, action, repairs, keys, bump)
            });
            true
        }
        Value::Empty | Value::Bool(_) | Value::Int(_) | Value::Double(_) => true,
    }
}

/// What is hashed of a value: a text its bytes, everything else as it is stored. Lists and maps are hashed as a whole.
fn in_bytes(value: &Value<'_>) -> Vec<u8> {
    match value {
        Value::Text(text) | Value::Bytes(text) => text.to_vec(),
        other => {
            let mut out = Vec::new();
            write_value(&mut out, other);
            out
        }
    }
}

/// True when a text is what a pattern means: `*` is any letters, also none. Linear in the text for each `*`.
fn is_match(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut rest = rest;
    let mut last = None;
    for part in parts {
        if let Some(part) = last.replace(part) {
            let Some(at) = rest.find(part) else { return false };
            rest = &rest[at + part.len()..];
        }
    }
    last.map_or(rest.is_empty(), |last| rest.ends_with(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_they_say() {
        for (pattern, text, expected) in [
            ("cookie", "cookie", true),
            ("cookie", "cookies", false),
            ("*token*", "access_token_x", true),
            ("*token*", "token", true),
            ("*token*", "toke", false),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "acb", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("*", "", true),
            ("x-*", "x-key", true),
            ("x-*", "ax-key", false),
            ("*ab", "aab", true),
            ("*ab*ab", "ab", false),
        ] {
            assert_eq!(is_match(pattern, text), expected, "{pattern} {text}");
        }
    }

    /// S16: the default list, in the places where instrumentations put these keys.
    #[test]
    fn s16_defaults_mask_credentials() {
        let standard = Redaction::standard();
        for key in [
            "authorization",
            "http.request.header.authorization",
            "http.request.header.Cookie",
            "http.response.header.set-cookie",
            "http.response.header.set_cookie",
            "db.password",
            "userPassword",
            "PASSWORD_HASH",
            "client_secret",
            "aws.secret.name",
            "access_token",
            "rpc.grpc.request.metadata.x-api-key",
            "session.token.value",
        ] {
            assert_eq!(standard.of_key(key.as_bytes()), Some(Action::Mask), "{key}");
        }
        for key in [
            "http.method",
            "gen_ai.usage.input_tokens",
            "gen_ai.request.max_tokens",
            "cookies.count",
            "author",
            "url.full",
        ] {
            assert_eq!(standard.of_key(key.as_bytes()), None, "{key}");
        }
    }

    #[test]
    fn settings_that_cannot_work_are_named() {
        let refused = |config: RedactionConfig, told: &str| {
            let error = config.validate().expect_err("refused");
            assert!(error.contains(told), "{error}");
        };
        let default = RedactionConfig::default;
        assert_eq!(default().validate(), Ok(()));
        refused(RedactionConfig { mask_values: vec!["(".to_owned()], ..default() }, "mask_values");
        refused(RedactionConfig { drop_values: vec!["x*".to_owned()], ..default() }, "means every text");
        refused(RedactionConfig { drop_keys: vec![String::new()], ..default() }, "drop_keys");
        refused(RedactionConfig { hash_keys: vec!["user.id".to_owned()], ..default() }, "hash_key_file");
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("key");
        std::fs::write(&file, "short").expect("written");
        let config = RedactionConfig { hash_key_file: file.display().to_string(), ..default() };
        assert!(config.load().expect_err("too short").contains("less than 16"));
    }

    /// Rules of force: keep, drop, hash, mask.
    #[test]
    fn the_strongest_rule_wins() {
        let list = |word: &str| vec![word.to_owned()];
        let config = RedactionConfig {
            keep_keys: list("user.token"),
            drop_keys: list("*.secret"),
            hash_keys: list("user.*"),
            mask_keys: list("*"),
            ..RedactionConfig::default()
        };
        let rules = config.compile(None).expect("rules");
        let of = |key: &str| rules.of_key(key.as_bytes());
        assert_eq!(of("user.token"), None);
        assert_eq!(of("user.secret"), Some(Action::Drop));
        assert_eq!(of("user.id"), Some(Action::Hash));
        assert_eq!(of("anything"), Some(Action::Mask));
    }
}
