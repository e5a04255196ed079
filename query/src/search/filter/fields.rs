//! THE table of fields: names, older spellings, what each takes.

use std::fmt;

use super::attribute;

/// What is looked at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Field {
    /// A field of the span, its events, links, scope or journey.
    Named(Member),
    /// An attribute of the span (or data point) or its resource, wherever it stands.
    Anywhere(String),
    /// An attribute.
    At(Place, String),
}

/// Where an attribute stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    Span,
    Resource,
    Event,
    Link,
    Scope,
    /// Of a data point of a metric.
    Point,
}

impl Place {
    pub(crate) const ALL: [Self; 6] = [Self::Span, Self::Resource, Self::Event, Self::Link, Self::Scope, Self::Point];

    /// The word before the dot.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Span => "span",
            Self::Resource => "resource",
            Self::Event => "event",
            Self::Link => "link",
            Self::Scope => "scope",
            Self::Point => "point",
        }
    }
}

/// A field with a name of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Member {
    Service,
    Name,
    Kind,
    Status,
    StatusMessage,
    Duration,
    TraceId,
    SpanId,
    ParentId,
    Exception,
    Events,
    Links,
    EventName,
    LinkTrace,
    LinkSpan,
    ScopeName,
    JourneyService,
    JourneyName,
    JourneyProtocol,
    JourneyStatus,
    JourneyResult,
    JourneyQueue,
    JourneyFinding,
    JourneyDuration,
    JourneyAnswer,
    JourneyWait,
    JourneyErrors,
}

/// What may stand behind a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    /// Text: `=` `!=` `~` `!~` `=~` `!=~`.
    Text,
    /// One of some words: `=` `!=`.
    Words(&'static [&'static str]),
    /// A time with a unit: `=` `!=` `>` `>=` `<` `<=`.
    Duration,
    /// A whole number: `=` `!=` `>` `>=` `<` `<=`.
    Count,
    /// An id in hex: `=` `!=`.
    TraceId,
    SpanId,
    /// Anything: it is an attribute.
    Attribute,
}

const KINDS: &[&str] = &["internal", "server", "client", "producer", "consumer", "unspecified"];
const STATUSES: &[&str] = &["unset", "ok", "error"];

/// Name, member, what it takes. The first name of a member is the one that is written.
pub(super) const NAMED: &[(&str, Member, Takes)] = &[
    ("service", Member::Service, Takes::Text),
    ("service_name", Member::Service, Takes::Text),
    ("name", Member::Name, Takes::Text),
    ("kind", Member::Kind, Takes::Words(KINDS)),
    ("status", Member::Status, Takes::Words(STATUSES)),
    ("status_message", Member::StatusMessage, Takes::Text),
    ("duration", Member::Duration, Takes::Duration),
    ("trace_id", Member::TraceId, Takes::TraceId),
    ("trace", Member::TraceId, Takes::TraceId),
    ("span_id", Member::SpanId, Takes::SpanId),
    ("parent_id", Member::ParentId, Takes::SpanId),
    ("exception", Member::Exception, Takes::Text),
    ("events", Member::Events, Takes::Count),
    ("links", Member::Links, Takes::Count),
    ("event:name", Member::EventName, Takes::Text),
    ("link:trace_id", Member::LinkTrace, Takes::TraceId),
    ("link:span_id", Member::LinkSpan, Takes::SpanId),
    ("scope:name", Member::ScopeName, Takes::Text),
    ("journey:service", Member::JourneyService, Takes::Text),
    ("journey:name", Member::JourneyName, Takes::Text),
    ("journey:protocol", Member::JourneyProtocol, Takes::Text),
    ("journey:status", Member::JourneyStatus, Takes::Words(&["ok", "error"])),
    ("journey:result", Member::JourneyResult, Takes::Text),
    ("journey:queue", Member::JourneyQueue, Takes::Text),
    ("journey:finding", Member::JourneyFinding, Takes::Text),
    ("journey:duration", Member::JourneyDuration, Takes::Duration),
    ("journey:answer", Member::JourneyAnswer, Takes::Duration),
    ("journey:wait", Member::JourneyWait, Takes::Duration),
    ("journey:errors", Member::JourneyErrors, Takes::Count),
];

impl Member {
    /// True when it is about whole journeys, not about spans.
    pub(crate) const fn is_of_journey(self) -> bool {
        matches!(
            self,
            Self::JourneyService
                | Self::JourneyName
                | Self::JourneyProtocol
                | Self::JourneyStatus
                | Self::JourneyResult
                | Self::JourneyQueue
                | Self::JourneyFinding
                | Self::JourneyDuration
                | Self::JourneyAnswer
                | Self::JourneyWait
                | Self::JourneyErrors
        )
    }
}

impl Field {
    /// The field with this name; `None` when there is none.
    pub(super) fn named(name: &str) -> Option<Self> {
        NAMED.iter().find(|(known, ..)| *known == name).map(|(_, member, _)| Self::Named(*member))
    }

    /// What may stand behind it.
    pub(crate) fn takes(&self) -> Takes {
        match self {
            Self::Named(member) => {
                NAMED.iter().find(|(_, known, _)| known == member).map_or(Takes::Text, |(.., takes)| *takes)
            }
            Self::Anywhere(_) | Self::At(..) => Takes::Attribute,
        }
    }

    /// True when it is about whole journeys, not about spans.
    pub(crate) const fn is_of_journey(&self) -> bool {
        matches!(self, Self::Named(member) if member.is_of_journey())
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(member) => {
                f.write_str(NAMED.iter().find(|(_, known, _)| known == member).map_or("", |(name, ..)| name))
            }
            Self::Anywhere(key) => f.write_str(key),
            Self::At(place, key) => f.write_str(&attribute(place.word(), key)),
        }
    }
}
