//! What series are told by: the labels of groups, and the attributes that series have. Pure.

use std::collections::{BTreeMap, BTreeSet};

use api::MetricAttribute;
use model::Attribute;
use model::semconv::{self, On, key};

use crate::error::{Error, Result};
use crate::functions::{json_attributes, names_of};
use crate::search::filter::{self, Field, Member, Place};

/// Fields that groups may share.
const FIELDS_MAX: usize = 10;
/// Different values of an attribute that are counted, and shown.
const VALUES: (usize, usize) = (1_000, 10);
/// Attributes that are told apart.
const ATTRIBUTES_MAX: usize = 200;
/// Series whose attributes are looked at.
const SERIES_MAX: u64 = 10_000;

/// What is put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// All series.
    Nothing,
    /// Those that share these fields.
    Fields(Vec<Field>),
    /// Each stands for itself.
    Series,
}

/// Labels by field, as it is written in a filter.
pub(super) type Labels = BTreeMap<String, String>;

impl By {
    /// Reads a list of fields, or `*`.
    ///
    /// # Errors
    /// [`Error::Invalid`] at the place of a field that points do not have.
    pub(super) fn read(text: Option<&str>) -> Result<Self> {
        let Some(text) = text else { return Ok(Self::Nothing) };
        if text == "*" {
            return Ok(Self::Series);
        }
        let (mut fields, mut at) = (Vec::new(), 0);
        for part in text.split(',') {
            let word = part.trim();
            let position = at + (part.len() - part.trim_start().len());
            at += part.len() + 1;
            if word.is_empty() {
                continue;
            }
            let field = filter::field(word, position)?;
            if !is_of_points(&field) {
                return Err(Error::invalid_at(
                    position,
                    format!(
                        "points have no {word}; group by service, scope:name, point.key, resource.key or scope.key"
                    ),
                ));
            }
            if !fields.contains(&field) {
                fields.push(field);
            }
        }
        if fields.len() > FIELDS_MAX {
            return Err(Error::invalid(format!(
                "at most {FIELDS_MAX} fields can be grouped by; by=* keeps all series apart"
            )));
        }
        Ok(if fields.is_empty() { Self::Nothing } else { Self::Fields(fields) })
    }

    pub(super) fn spelled(&self) -> Vec<String> {
        match self {
            Self::Nothing => Vec::new(),
            Self::Fields(fields) => fields.iter().map(Field::to_string).collect(),
            Self::Series => vec!["*".to_owned()],
        }
    }
}

fn is_of_points(field: &Field) -> bool {
    match field {
        Field::Named(member) => matches!(member, Member::Service | Member::ScopeName),
        Field::At(place, _) => matches!(place, Place::Point | Place::Resource | Place::Scope),
        Field::Anywhere(_) => true,
    }
}

/// Who sent a series and what it measures, as its rows say.
#[derive(Clone, Debug, Default)]
pub(super) struct Identity {
    pub(super) service: String,
    pub(super) scope_name: String,
    pub(super) attributes: Vec<Attribute>,
    pub(super) resource: Vec<Attribute>,
    pub(super) scope: Vec<Attribute>,
}

impl Identity {
    /// From the columns of a row.
    pub(super) fn new(service: &str, scope_name: &str, attributes: &str, resource: &str, scope: &str) -> Self {
        Self {
            service: service.to_owned(),
            scope_name: scope_name.to_owned(),
            attributes: json_attributes(attributes),
            resource: json_attributes(resource),
            scope: json_attributes(scope),
        }
    }

    fn value(&self, field: &Field) -> Option<String> {
        let of = |attributes: &[Attribute], key: &str| {
            let names = names_of(key);
            let found = names.iter().find_map(|name| attributes.iter().find(|entry| entry.key == *name));
            found.map(|entry| entry.value.to_display())
        };
        match field {
            Field::Named(Member::Service) => Some(self.service.clone()),
            Field::Named(Member::ScopeName) => Some(self.scope_name.clone()).filter(|name| !name.is_empty()),
            Field::At(Place::Point, key) => of(&self.attributes, key),
            Field::At(Place::Resource, key) => of(&self.resource, key),
            Field::At(Place::Scope, key) => of(&self.scope, key),
            Field::Anywhere(key) => of(&self.attributes, key).or_else(|| of(&self.resource, key)),
            Field::Named(_) | Field::At(..) => None,
        }
    }

    /// The labels of its group. Of a series by itself: service, all attributes, and all of its resource.
    pub(super) fn labels(&self, by: &By) -> Labels {
        match by {
            By::Nothing => Labels::new(),
            By::Fields(fields) => {
                fields.iter().filter_map(|field| Some((field.to_string(), self.value(field)?))).collect()
            }
            By::Series => {
                let of_resource = self.resource.iter().filter(|entry| entry.key != key::SERVICE_NAME);
                let fields = of_resource.map(|entry| (resource_field(&entry.key), entry));
                let fields = fields.chain(self.attributes.iter().map(|entry| (point_field(&entry.key), entry)));
                let mut labels: Labels = fields.map(|(field, entry)| (field, entry.value.to_display())).collect();
                labels.insert("service".to_owned(), self.service.clone());
                if !self.scope_name.is_empty() {
                    labels.insert("scope:name".to_owned(), self.scope_name.clone());
                }
                labels
            }
        }
    }
}

/// An attribute of points as it is written: with its place, unless a dot in it makes clear that it is an attribute.
fn point_field(name: &str) -> String {
    let is_clear = filter::field(name, 0).ok() == Some(Field::Anywhere(name.to_owned()));
    if is_clear && name.chars().all(filter::is_word) { name.to_owned() } else { filter::attribute("point", name) }
}

fn resource_field(name: &str) -> String {
    let is_known = semconv::find(name).is_some_and(|convention| convention.on == On::Resource);
    if is_known { name.to_owned() } else { filter::attribute("resource", name) }
}

/// Takes the labels away that tell nothing apart: the same on all of several series, the service excepted.
pub(super) fn without_common(labels: &mut [&mut Labels]) {
    let [first, others @ ..] = labels else { return };
    if others.is_empty() {
        // One series is told by what was measured.
        first.retain(|field, _| !is_of_origin(field));
        return;
    }
    let common: Vec<String> = first
        .iter()
        .filter(|(field, value)| is_of_origin(field) && others.iter().all(|other| other.get(*field) == Some(value)))
        .map(|(field, _)| field.clone())
        .collect();
    for labels in labels {
        labels.retain(|field, _| !common.contains(field));
    }
}

/// True for what a whole process shares.
fn is_of_origin(field: &str) -> bool {
    let is_known = semconv::find(field).is_some_and(|convention| convention.on == On::Resource);
    is_known || field.starts_with("resource.") || field == "scope:name"
}

/// Attributes of the series that were read.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// By place and field.
    values: BTreeMap<(&'static str, String), BTreeSet<String>>,
    n_series: u64,
    /// Not everything was looked at.
    pub(super) is_cut: bool,
}

impl Seen {
    /// Looks at one more series.
    pub(super) fn add(&mut self, identity: &Identity) {
        self.n_series += 1;
        if self.n_series > SERIES_MAX {
            self.is_cut = true;
            return;
        }
        self.add_value("field", "service".to_owned(), &identity.service);
        for entry in &identity.attributes {
            self.add_value("point", point_field(&entry.key), &entry.value.to_display());
        }
        for entry in identity.resource.iter().filter(|entry| entry.key != key::SERVICE_NAME) {
            self.add_value("resource", resource_field(&entry.key), &entry.value.to_display());
        }
    }

    fn add_value(&mut self, place: &'static str, field: String, value: &str) {
        let place = (place, field);
        if self.values.len() == ATTRIBUTES_MAX && !self.values.contains_key(&place) {
            self.is_cut = true;
            return;
        }
        let values = self.values.entry(place).or_default();
        if values.len() < VALUES.0 && !values.contains(value) {
            values.insert(value.to_owned());
        }
    }

    pub(super) fn attributes(self) -> Vec<MetricAttribute> {
        let attribute = |((place, field), values): ((&str, String), BTreeSet<String>)| MetricAttribute {
            field,
            place: place.to_owned(),
            n_values: values.len() as u64,
            values: values.into_iter().take(VALUES.1).collect(),
        };
        self.values.into_iter().map(attribute).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POINT: &str =
        r#"[{"key":"http.route","value":{"stringValue":"/cart"}},{"key":"code","value":{"intValue":"200"}}]"#;
    const RESOURCE: &str = r#"{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}},
        {"key":"host.name","value":{"stringValue":"a1"}},{"key":"rack","value":{"stringValue":"7"}}]}"#;

    fn identity() -> Identity {
        Identity::new("shop", "meter", POINT, RESOURCE, "{}")
    }

    #[track_caller]
    fn check(by: &str, expected: &[(&str, &str)]) {
        let by = By::read(Some(by)).expect("fields");
        let expected = expected.iter().map(|(field, value)| ((*field).to_owned(), (*value).to_owned())).collect();
        assert_eq!(identity().labels(&by), expected);
    }

    #[test]
    fn groups_share_what_was_asked_for() {
        check("service, http.route", &[("service", "shop"), ("http.route", "/cart")]);
        check("point.code,resource.rack,resource.nothing", &[("point.code", "200"), ("resource.rack", "7")]);
        check("host.name,scope:name", &[("host.name", "a1"), ("scope:name", "meter")]);
        check(
            "*",
            &[
                ("service", "shop"),
                ("scope:name", "meter"),
                ("http.route", "/cart"),
                ("point.code", "200"),
                ("host.name", "a1"),
                ("resource.rack", "7"),
            ],
        );
    }

    #[test]
    fn fields_of_spans_are_refused_with_their_place() {
        for (by, position) in [("service,duration", 8), ("span.x", 0), ("service, colour", 9)] {
            match By::read(Some(by)) {
                Err(Error::Invalid { position: Some(at), .. }) => assert_eq!(at, position, "{by}"),
                other => panic!("{by}: {other:?}"),
            }
        }
    }

    #[test]
    fn labels_that_all_share_say_nothing() {
        let labels = |host: &str, code: &str| -> Labels {
            let all = [("service", "shop"), ("host.name", host), ("resource.rack", "7"), ("point.code", code)];
            all.iter().map(|(field, value)| ((*field).to_owned(), (*value).to_owned())).collect()
        };
        let (mut a, mut b) = (labels("a1", "200"), labels("b2", "200"));
        without_common(&mut [&mut a, &mut b]);
        assert!(a.contains_key("host.name") && a.contains_key("service") && a.contains_key("point.code"));
        assert!(!a.contains_key("resource.rack"));
        let mut alone = labels("a1", "200");
        without_common(&mut [&mut alone]);
        assert_eq!(alone.keys().collect::<Vec<_>>(), ["point.code", "service"]);
    }

    /// What is shown as a field can be written in a filter.
    #[test]
    fn shown_fields_are_read_again() {
        for name in ["http.route", "code", "a b", "service", "name", "point.x", "event.name", "span.x", "host.name"] {
            let text = format!("{}=x", point_field(name));
            let parsed = filter::parse(&text).unwrap_or_else(|error| panic!("{text}: {error}")).expect("a filter");
            let field = &parsed.conditions()[0].field;
            let expected = [Field::At(Place::Point, name.to_owned()), Field::Anywhere(name.to_owned())];
            assert!(expected.contains(field), "{name}: {field:?}");
        }
    }
}
