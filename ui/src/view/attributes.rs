//! Attributes for reading: grouped by namespace, and as JSON to copy.

use api::AttributeText;
use serde_json::{Map, Value as Json};

/// Attributes of one namespace.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Group {
    /// First part of the keys, or `other` for keys without a namespace.
    pub(crate) name: String,
    /// Rest of the key, and the attribute.
    pub(crate) attributes: Vec<(String, AttributeText)>,
}

/// Groups in the order in which they first appear; attributes keep the order they were sent in.
///
/// A namespace with a single attribute is no group of its own: it goes to `other` with its whole key.
pub(crate) fn grouped(attributes: &[AttributeText]) -> Vec<Group> {
    let namespace = |key: &str| key.split_once('.').map(|(name, _)| name.to_owned());
    let size =
        |name: &str| attributes.iter().filter(|attribute| namespace(&attribute.key).as_deref() == Some(name)).count();
    let mut groups: Vec<Group> = Vec::new();
    let mut other = Group { name: "other".to_owned(), attributes: Vec::new() };
    for attribute in attributes {
        match namespace(&attribute.key).filter(|name| size(name) > 1) {
            Some(name) => {
                let rest = attribute.key[name.len() + 1..].to_owned();
                match groups.iter_mut().find(|group| group.name == name) {
                    Some(group) => group.attributes.push((rest, attribute.clone())),
                    None => groups.push(Group { name, attributes: vec![(rest, attribute.clone())] }),
                }
            }
            None => other.attributes.push((attribute.key.clone(), attribute.clone())),
        }
    }
    if !other.attributes.is_empty() {
        groups.push(other);
    }
    groups
}

/// One JSON object, keys in sent order; numbers, booleans, lists and maps as such.
///
/// A key sent twice keeps both values: the later ones are written as `key#2`, `key#3`.
pub(crate) fn json(attributes: &[AttributeText]) -> String {
    let mut lines = Vec::with_capacity(attributes.len());
    for (index, attribute) in attributes.iter().enumerate() {
        let earlier = attributes[..index].iter().filter(|other| other.key == attribute.key).count();
        let key = if earlier == 0 { attribute.key.clone() } else { format!("{}#{}", attribute.key, earlier + 1) };
        lines.push(format!("  {}: {}", Json::String(key), json_value(attribute)));
    }
    if lines.is_empty() { "{}".to_owned() } else { format!("{{\n{}\n}}", lines.join(",\n")) }
}

fn json_value(attribute: &AttributeText) -> Json {
    let text = || Json::String(attribute.value.clone());
    match attribute.value_type.as_str() {
        "int" | "double" | "bool" | "array" | "map" => {
            serde_json::from_str(&attribute.value).unwrap_or_else(|_| text())
        }
        "empty" => Json::Null,
        "bytes" => Json::Object(Map::from_iter([("bytes".to_owned(), text())])),
        _ => text(),
    }
}

/// True when the value may become a link: http or https only, nothing else ever.
pub(crate) fn is_link(value: &str) -> bool {
    (value.starts_with("http://") || value.starts_with("https://"))
        && !value.chars().any(|letter| letter.is_whitespace() || letter.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(key: &str, value_type: &str, value: &str) -> AttributeText {
        AttributeText { key: key.to_owned(), value_type: value_type.to_owned(), value: value.to_owned() }
    }

    #[test]
    fn namespaces_become_groups() {
        let all = [
            attribute("messaging.system", "string", "kafka"),
            attribute("tenant", "string", "nordmark"),
            attribute("url.path", "string", "/"),
            attribute("messaging.kafka.offset", "int", "88"),
        ];
        let shown: Vec<_> = grouped(&all)
            .iter()
            .map(|group| {
                format!(
                    "{}: {}",
                    group.name,
                    group.attributes.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>().join(", ")
                )
            })
            .collect();
        assert_eq!(shown, ["messaging: system, kafka.offset", "other: tenant, url.path"]);
    }

    #[test]
    fn json_keeps_types_and_doubles() {
        let all = [
            attribute("a", "int", "5"),
            attribute("b", "string", "say \"x\""),
            attribute("c", "array", "[1,\"two\"]"),
            attribute("a", "bool", "true"),
            attribute("d", "empty", ""),
        ];
        let text = json(&all);
        let value: Json = serde_json::from_str(&text).expect("is JSON");
        assert_eq!(value["a"], 5);
        assert_eq!(value["a#2"], true);
        assert_eq!(value["b"], "say \"x\"");
        assert_eq!(value["c"][1], "two");
        assert!(value["d"].is_null());
        assert!(text.find("\"b\"") < text.find("\"c\""));
        assert_eq!(json(&[]), "{}");
    }

    /// Values become links only for http and https.
    #[test]
    fn no_other_scheme_is_a_link() {
        assert!(is_link("https://example.org/a?b=c"));
        for text in ["javascript:alert(1)", "data:text/html,x", " https://a", "https://a b", "HTTPS:", "//a"] {
            assert!(!is_link(text), "{text}");
        }
    }
}
