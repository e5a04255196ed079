//! JSON schemas of this crate's types, for `/api/openapi.json`: read from their declarations, with their documentation.
//!
//! The declarations are so plain (structs with named fields, enums of words, one tagged enum) that reading them takes less than
//! a derive macro and its crates would, and the page compiles none of it. What is understood: `Option`, `Vec`, `BTreeMap`, arrays, and the
//! serde attributes `rename`, `rename_all`, `default`, `tag` and `deny_unknown_fields`. A test compares schemas with what serde
//! writes.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

/// Every file that declares types of the wire.
const SOURCES: [&str; 18] = [
    include_str!("alerts.rs"),
    include_str!("compare.rs"),
    include_str!("erasure.rs"),
    include_str!("explore.rs"),
    include_str!("findings.rs"),
    include_str!("journey.rs"),
    include_str!("kept.rs"),
    include_str!("live.rs"),
    include_str!("map.rs"),
    include_str!("metrics.rs"),
    include_str!("problem.rs"),
    include_str!("red.rs"),
    include_str!("search.rs"),
    include_str!("services.rs"),
    include_str!("session.rs"),
    include_str!("sql.rs"),
    include_str!("status.rs"),
    include_str!("trace.rs"),
];

/// Schemas by name of the type; references point to `#/components/schemas/`.
pub fn schemas() -> BTreeMap<String, Json> {
    let mut schemas = BTreeMap::new();
    for source in SOURCES {
        let mut lines = source.lines();
        let mut about = About::default();
        while let Some(line) = lines.next() {
            let declared = line.strip_prefix("pub struct ").or_else(|| line.strip_prefix("pub enum "));
            if let Some(name) = declared.and_then(|rest| rest.strip_suffix(" {")) {
                let body: Vec<&str> = lines.by_ref().take_while(|line| *line != "}").map(str::trim).collect();
                let about = std::mem::take(&mut about);
                let schema =
                    if line.starts_with("pub struct ") { structure(&about, &body) } else { choice(&about, &body) };
                schemas.insert(name.to_owned(), schema);
            } else if !about.take(line) {
                about = About::default();
            }
        }
    }
    schemas
}

/// What stands above a declaration.
#[derive(Default)]
struct About {
    words: Vec<String>,
    attributes: String,
}

impl About {
    /// Takes a line of documentation or an attribute; false for anything else.
    fn take(&mut self, line: &str) -> bool {
        let line = line.trim();
        if let Some(words) = line.strip_prefix("///") {
            self.words.push(words.trim().to_owned());
        } else if let Some(attribute) = line.strip_prefix("#[serde(").and_then(|rest| rest.strip_suffix(")]")) {
            self.attributes.push_str(attribute);
            self.attributes.push(',');
        } else if !line.starts_with("#[") {
            return false;
        }
        true
    }

    /// The value of an attribute such as `rename = "type"`.
    fn value(&self, name: &str) -> Option<&str> {
        self.attributes.split(',').find_map(|part| {
            let (found, value) = part.split_once('=')?;
            (found.trim() == name).then(|| value.trim().trim_matches('"'))
        })
    }

    fn has(&self, name: &str) -> bool {
        self.attributes.split(',').any(|part| part.split('=').next().unwrap_or_default().trim() == name)
    }

    fn described(&self, mut schema: Json) -> Json {
        if !self.words.is_empty() {
            schema["description"] = json!(self.words.join(" ").trim());
        }
        schema
    }

    /// A name as serde writes it.
    fn renamed(&self, name: &str, all: Option<&str>) -> String {
        match (self.value("rename"), all) {
            (Some(other), _) => other.to_owned(),
            (None, Some("lowercase")) => name.to_lowercase(),
            (None, Some("camelCase")) => {
                let mut words = name.split('_');
                let first = words.next().unwrap_or_default().to_owned();
                words.fold(first, |camel, word| {
                    let (initial, rest) = word.split_at(1.min(word.len()));
                    camel + &initial.to_uppercase() + rest
                })
            }
            (None, _) => name.to_owned(),
        }
    }
}

fn structure(about: &About, body: &[&str]) -> Json {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    let mut above = About::default();
    for line in body {
        if above.take(line) {
            continue;
        }
        let field = std::mem::take(&mut above);
        let Some((name, of)) = line.trim_start_matches("pub ").trim_end_matches(',').split_once(": ") else { continue };
        let name = field.renamed(name, about.value("rename_all"));
        if !field.has("default") {
            required.push(name.clone());
        }
        properties.insert(name, field.described(schema_of(of)));
    }
    let mut schema = json!({ "type": "object", "properties": properties, "required": required });
    if about.has("deny_unknown_fields") {
        schema["additionalProperties"] = json!(false);
    }
    about.described(schema)
}

/// An enum: of words, or of types told apart by a tag.
fn choice(about: &About, body: &[&str]) -> Json {
    let (mut words, mut types) = (Vec::new(), Vec::new());
    let mut above = About::default();
    for line in body {
        if above.take(line) {
            continue;
        }
        let variant = std::mem::take(&mut above);
        let line = line.trim_end_matches(',');
        let name = variant.renamed(line.split('(').next().unwrap_or_default(), about.value("rename_all"));
        match (line.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')), about.value("tag")) {
            (Some(of), Some(tag)) => {
                let tagged = json!({ "type": "object", "properties": { tag: { "const": name } }, "required": [tag] });
                types.push(variant.described(json!({ "allOf": [tagged, schema_of(of)] })));
            }
            _ => words.push(name),
        }
    }
    about.described(if types.is_empty() {
        json!({ "type": "string", "enum": words })
    } else {
        json!({ "oneOf": types })
    })
}

/// The schema of a field's type.
fn schema_of(of: &str) -> Json {
    let of = of.trim().trim_start_matches("crate::");
    let inside = |outer: &str| of.strip_prefix(outer)?.strip_prefix('<')?.strip_suffix('>');
    if let Some(of) = inside("Option") {
        let mut schema = schema_of(of);
        return match schema["type"].take() {
            Json::String(one) => {
                schema["type"] = json!([one, "null"]);
                schema
            }
            // Anything may be null already.
            _ if of == "Json" => json!({}),
            _ => json!({ "anyOf": [schema_of(of), { "type": "null" }] }),
        };
    }
    if let Some(of) = inside("Vec") {
        return json!({ "type": "array", "items": schema_of(of) });
    }
    if let Some((_, of)) = inside("BTreeMap").and_then(|both| both.split_once(", ")) {
        return json!({ "type": "object", "additionalProperties": schema_of(of) });
    }
    if let Some((of, n)) = of.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')?.split_once("; ")) {
        let n: u64 = n.parse().unwrap_or_default();
        return json!({ "type": "array", "items": schema_of(of), "minItems": n, "maxItems": n });
    }
    match of {
        "String" => json!({ "type": "string" }),
        "bool" => json!({ "type": "boolean" }),
        "u8" | "u16" | "u32" | "u64" | "usize" => json!({ "type": "integer", "minimum": 0 }),
        "i8" | "i16" | "i32" | "i64" => json!({ "type": "integer" }),
        "f64" => json!({ "type": "number" }),
        "TraceId" => json!({ "type": "string", "pattern": "^[0-9a-f]{32}$" }),
        "SpanId" => json!({ "type": "string", "pattern": "^[0-9a-f]{16}$" }),
        "Json" => json!({}),
        name => json!({ "$ref": format!("#/components/schemas/{name}") }),
    }
}

#[cfg(test)]
mod tests {
    use serde::Serialize;

    use super::*;

    /// What serde writes of a value has the members that the schema tells, and all of those that it requires.
    #[track_caller]
    fn check<T: Default + Serialize>(schemas: &BTreeMap<String, Json>) {
        let name = std::any::type_name::<T>().rsplit("::").next().unwrap_or_default();
        let written = serde_json::to_value(T::default()).expect("plain data");
        let written: Vec<&String> = written.as_object().expect("an object").keys().collect();
        let schema = schemas.get(name).unwrap_or_else(|| panic!("{name} is not declared as one reads"));
        let properties = schema["properties"].as_object().expect("members");
        for member in &written {
            assert!(properties.contains_key(*member), "{name} has {member}: {schema}");
        }
        for member in schema["required"].as_array().expect("a list") {
            assert!(written.iter().any(|name| *name == member), "{name} has no {member}");
        }
        for (member, of) in properties {
            assert!(of["description"].is_string(), "{name}.{member} says nothing");
        }
    }

    #[test]
    fn schemas_tell_what_serde_writes() {
        let all = schemas();
        check::<crate::SqlRequest>(&all);
        check::<crate::SqlAnswer>(&all);
        check::<crate::TablesAnswer>(&all);
        check::<crate::ColumnInfo>(&all);
        check::<crate::SearchAnswer>(&all);
        check::<crate::HistogramAnswer>(&all);
        check::<crate::FacetsAnswer>(&all);
        check::<crate::DiffersRequest>(&all);
        check::<crate::DiffersAnswer>(&all);
        check::<crate::ServicesAnswer>(&all);
        check::<crate::ServiceAnswer>(&all);
        check::<crate::MetricsAnswer>(&all);
        check::<crate::MetricItem>(&all);
        check::<crate::MetricAnswer>(&all);
        check::<crate::MetricSeries>(&all);
        check::<crate::MetricExemplar>(&all);
        check::<crate::RedAnswer>(&all);
        check::<crate::RedSeries>(&all);
        check::<crate::MapAnswer>(&all);
        check::<crate::MapEdge>(&all);
        check::<crate::StylesAnswer>(&all);
        check::<crate::StatusAnswer>(&all);
        check::<crate::Problem>(&all);
        check::<crate::PreviewRequest>(&all);
        check::<crate::SilenceRequest>(&all);
        check::<crate::SilenceAnswer>(&all);
    }

    #[test]
    fn every_declaration_is_read() {
        let n_declared: usize = SOURCES
            .iter()
            .map(|source| source.matches("\npub struct ").count() + source.matches("\npub enum ").count())
            .sum();
        assert_eq!(schemas().len(), n_declared);
        let all = schemas();
        assert_eq!(all["Problem"]["properties"]["type"]["type"], "string");
        assert_eq!(all["AttributePlace"]["enum"], json!(["field", "span", "resource"]));
        assert_eq!(all["SearchItem"]["oneOf"][1]["allOf"][1], json!({ "$ref": "#/components/schemas/SpanItem" }));
        assert_eq!(all["SqlAnswer"]["properties"]["rows"]["items"], json!({ "type": "array", "items": {} }));
        assert_eq!(all["SqlRequest"]["additionalProperties"], json!(false));
        assert_eq!(all["MetricSeries"]["properties"]["values"]["items"], json!({ "type": ["number", "null"] }));
        let camel = &all["SilenceRequest"]["properties"];
        assert!(camel.get("endsAt").is_some(), "{camel}");
    }
}
