//! The attribute reader `A(new, old, older...)`: first present, non-empty value of a convention.
//!
//! Types are not trusted: Envoy sends every value as text, header attributes are arrays (the first
//! element counts), numbers are parsed from text, and what cannot be parsed is absent. The order of
//! names is the one of `model::semconv`: today's key, what it replaces, then its fallbacks.
//!
//! A span's attributes are looked at once: each key finds its slots in one hash look-up (about 30 ns),
//! so a span with 12 attributes costs about half a microsecond, however many names are asked for later.

use std::borrow::Cow;
use std::sync::LazyLock;

use hashbrown::HashMap;
use model::semconv::{CONVENTIONS, Role, VENDOR_KEYS, prefix};
use model::{Attribute, AttributeValue};

const SLOTS: usize = CONVENTIONS.len() + VENDOR_KEYS.len();
const ABSENT: u16 = u16::MAX;

/// Place of a convention or vendor key in [`Attributes`]; made by `slot!` at compile time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot(usize);

/// The slot of a key of `semconv::key` or `semconv::vendor`, found at compile time; a wrong key does not
/// compile.
macro_rules! slot {
    ($key:expr) => {
        const { $crate::analysis::read::slot_of($key) }
    };
}
pub(crate) use slot;

/// What `slot!` evaluates.
pub(crate) const fn slot_of(key: &str) -> Slot {
    let mut at = 0;
    while at < SLOTS {
        let name = if at < CONVENTIONS.len() { CONVENTIONS[at].key } else { VENDOR_KEYS[at - CONVENTIONS.len()].key };
        if is_same(name, key) {
            return Slot(at);
        }
        at += 1;
    }
    panic!("no such key in the semconv tables")
}

const fn is_same(left: &str, right: &str) -> bool {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    if left.len() != right.len() {
        return false;
    }
    let mut at = 0;
    while at < left.len() {
        if left[at] != right[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// Names of one slot in reading order.
fn names(at: usize) -> impl Iterator<Item = &'static str> {
    let (key, replaces, fallbacks) = match CONVENTIONS.get(at) {
        Some(convention) => (convention.key, convention.replaces, convention.fallbacks),
        None => {
            let vendor = &VENDOR_KEYS[at - CONVENTIONS.len()];
            (vendor.key, vendor.also, &[][..])
        }
    };
    [key].into_iter().chain(replaces.iter().copied()).chain(fallbacks.iter().copied())
}

/// Every name → the slots it can fill, with its rank in each.
static NAMES: LazyLock<HashMap<&'static str, Vec<(u16, u8)>>> = LazyLock::new(|| {
    let mut table: HashMap<_, Vec<_>> = HashMap::new();
    for at in 0..SLOTS {
        for (rank, name) in names(at).enumerate() {
            table.entry(name).or_default().push((at as u16, rank as u8));
        }
    }
    table
});

/// True when some value of this key may be asked for. Of other keys only the names are looked at.
pub(crate) fn is_asked_for(key: &str) -> bool {
    NAMES.contains_key(key)
}

/// Key families found on a span, one bit each.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Families {
    /// A messaging key of any name.
    pub messaging: bool,
    /// `graphql.*`.
    pub graphql: bool,
    /// Keys only a gateway sends.
    pub gateway: bool,
    /// `k8s-client.*`.
    pub k8s_client: bool,
    /// `faas.*`.
    pub faas: bool,
    /// `tls.*`.
    pub tls: bool,
}

/// The attributes of one span, event, link or resource, ready to be asked.
#[derive(Debug)]
pub(crate) struct Attributes<'a> {
    list: &'a [Attribute],
    /// Position in `list` and rank of the name that filled the slot.
    slots: [(u16, u8); SLOTS],
    /// Key families present.
    pub families: Families,
}

impl<'a> Attributes<'a> {
    /// Looks at every attribute once; a later duplicate of a key does not change the answer.
    pub(crate) fn new(list: &'a [Attribute]) -> Self {
        let mut slots = [(ABSENT, u8::MAX); SLOTS];
        let mut families = Families::default();
        for (at, attribute) in list.iter().enumerate().take(usize::from(ABSENT)) {
            let key = attribute.key.as_str();
            let found = NAMES.get(key).filter(|_| !is_empty(&attribute.value));
            for &(slot, rank) in found.into_iter().flatten() {
                let best = &mut slots[usize::from(slot)];
                if rank < best.1 {
                    *best = (at as u16, rank);
                }
                let role = CONVENTIONS.get(usize::from(slot)).map(|convention| convention.role);
                families.messaging |= role == Some(Role::Messaging);
            }
            families.note(key);
        }
        Self { list, slots, families }
    }

    /// True when any name of the slot is present and not empty.
    pub(crate) fn has(&self, slot: Slot) -> bool {
        self.slots[slot.0].0 != ABSENT
    }

    /// First present value as text; numbers and booleans are written out.
    pub(crate) fn text(&self, slot: Slot) -> Option<Cow<'a, str>> {
        let (at, _) = self.slots[slot.0];
        self.list.get(usize::from(at)).and_then(|attribute| to_text(&attribute.value))
    }

    /// [`Attributes::text`], owned.
    pub(crate) fn string(&self, slot: Slot) -> Option<String> {
        self.text(slot).map(Cow::into_owned)
    }

    /// First value that reads as a whole number.
    pub(crate) fn int(&self, slot: Slot) -> Option<i64> {
        let (at, _) = self.slots[slot.0];
        let first = self.list.get(usize::from(at))?;
        to_int(&first.value).or_else(|| names(slot.0).find_map(|name| to_int(&self.find(name)?.value)))
    }

    /// True for the boolean, for `"true"` and for 1.
    pub(crate) fn is_true(&self, slot: Slot) -> bool {
        self.text(slot).is_some_and(|text| text.eq_ignore_ascii_case("true") || text == "1")
    }

    /// The text of exactly this key, whatever its convention says about other names.
    pub(crate) fn exact(&self, key: &str) -> Option<Cow<'a, str>> {
        self.find(key).and_then(|attribute| to_text(&attribute.value)).filter(|text| !text.is_empty())
    }

    fn find(&self, key: &str) -> Option<&'a Attribute> {
        self.list.iter().find(|attribute| attribute.key == key && !is_empty(&attribute.value))
    }
}

impl Families {
    fn note(&mut self, key: &str) {
        // The first byte rules out nearly every key before any comparison of text.
        match key.as_bytes().first() {
            Some(b'm') => self.messaging |= key.starts_with(prefix::MESSAGING),
            Some(b'n') => self.messaging |= key.starts_with(prefix::NSERVICEBUS),
            Some(b'g') => self.graphql |= key.starts_with(prefix::GRAPHQL),
            Some(b's') => self.gateway |= key.starts_with(prefix::SPRING_CLOUD_GATEWAY),
            Some(b'f') => self.faas |= key.starts_with(prefix::FAAS),
            Some(b'k') => {
                self.gateway |= key.starts_with(prefix::KONG);
                self.k8s_client |= key.starts_with(prefix::K8S_CLIENT);
            }
            Some(b't') => {
                self.gateway |= key.starts_with(prefix::TRAEFIK);
                self.tls |= key.starts_with(prefix::TLS);
            }
            _ => {}
        }
    }
}

fn is_empty(value: &AttributeValue) -> bool {
    match value {
        AttributeValue::Empty => true,
        AttributeValue::String(text) => text.is_empty(),
        AttributeValue::Array(values) => values.first().is_none_or(is_empty),
        _ => false,
    }
}

fn to_text(value: &AttributeValue) -> Option<Cow<'_, str>> {
    match value {
        AttributeValue::String(text) => Some(Cow::Borrowed(text)),
        AttributeValue::Int(number) => Some(Cow::Owned(number.to_string())),
        AttributeValue::Double(number) => Some(Cow::Owned(number.to_string())),
        AttributeValue::Bool(flag) => Some(Cow::Borrowed(if *flag { "true" } else { "false" })),
        AttributeValue::Array(values) => values.first().and_then(to_text),
        AttributeValue::Empty | AttributeValue::Bytes(_) | AttributeValue::Map(_) => None,
    }
}

fn to_int(value: &AttributeValue) -> Option<i64> {
    match value {
        AttributeValue::Int(number) => Some(*number),
        AttributeValue::Double(number) if number.fract() == 0.0 && number.abs() < 9e15 => Some(*number as i64),
        AttributeValue::String(text) => text.trim().parse().ok(),
        AttributeValue::Array(values) => values.first().and_then(to_int),
        _ => None,
    }
}

/// Scheme of a URL, lower case; `None` for a path.
pub(crate) fn url_scheme(url: &str) -> Option<String> {
    let (scheme, _) = url.split_once("://")?;
    (!scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+'))
        .then(|| scheme.to_ascii_lowercase())
}

/// Host of a URL without user and port; brackets of an IPv6 address are cut.
pub(crate) fn url_host(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    Some(without_port(host)).filter(|host| !host.is_empty())
}

/// Path of a URL or of a request target, without query; `/` for a URL that ends after its host.
pub(crate) fn url_path(url: &str) -> &str {
    let rest = match url.split_once("://") {
        Some((_, rest)) => rest.find(['/', '?', '#']).map_or("/", |at| &rest[at..]),
        None => url,
    };
    let path = rest.split(['?', '#']).next().unwrap_or(rest);
    if path.is_empty() { "/" } else { path }
}

/// `host:port` without the port, `[::1]:80` without brackets too; a bare IPv6 address stays whole.
pub(crate) fn without_port(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split(']').next().unwrap_or(rest);
    }
    match host.split_once(':') {
        Some((name, port)) if !port.contains(':') => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::semconv::key;

    fn attribute(key: &str, value: AttributeValue) -> Attribute {
        Attribute { key: key.into(), value }
    }

    fn text(value: &str) -> AttributeValue {
        AttributeValue::String(value.into())
    }

    /// The new name wins wherever it stands; an empty value is no value.
    #[test]
    fn newest_name_wins() {
        let list = [attribute("http.method", text("GET")), attribute("http.request.method", text("POST"))];
        assert_eq!(Attributes::new(&list).text(slot!(key::HTTP_METHOD)).as_deref(), Some("POST"));
        let list = [attribute("http.request.method", text("")), attribute("http.method", text("GET"))];
        assert_eq!(Attributes::new(&list).text(slot!(key::HTTP_METHOD)).as_deref(), Some("GET"));
    }

    /// Numbers come as text and in arrays; what does not parse is absent, and the next name is asked.
    #[test]
    fn types_are_not_trusted() {
        let status = |value| {
            let list =
                [attribute("http.response.status_code", value), attribute("http.status_code", AttributeValue::Int(7))];
            Attributes::new(&list).int(slot!(key::HTTP_STATUS))
        };
        assert_eq!(status(text("200")), Some(200));
        assert_eq!(status(AttributeValue::Array(vec![text(" 201 ")])), Some(201));
        assert_eq!(status(AttributeValue::Double(202.0)), Some(202));
        assert_eq!(status(text("ok")), Some(7));
    }

    #[test]
    fn urls_come_apart() {
        for (url, scheme, host, path) in [
            ("https://shop.example/api/orders?x=1", Some("https"), Some("shop.example"), "/api/orders"),
            ("http://u:p@[::1]:8080?x", Some("http"), Some("::1"), "/"),
            ("WS://chat:81", Some("ws"), Some("chat"), "/"),
            ("/items/5?page=2", None, None, "/items/5"),
        ] {
            assert_eq!((url_scheme(url).as_deref(), url_host(url), url_path(url)), (scheme, host, path), "{url}");
        }
    }
}
