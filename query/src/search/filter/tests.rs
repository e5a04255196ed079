//! Filters as people write them, and as nobody does.

use proptest::prelude::*;

use super::*;
use crate::error::Error;

/// `text` is read, and written as `expected`.
#[track_caller]
fn check(text: &str, expected: &str) {
    let filter = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let written = filter.as_ref().map(ToString::to_string).unwrap_or_default();
    assert_eq!(written, expected, "{text}");
    assert_eq!(parse(&written).expect("written filters are read"), filter, "{text}");
}

#[track_caller]
fn refused(text: &str, at: usize) {
    match parse(text) {
        Err(Error::Invalid { position, detail }) => assert_eq!(position, Some(at), "{text}: {detail}"),
        other => panic!("{text} gave {other:?}"),
    }
}

#[test]
fn every_form_is_read() {
    check("", "");
    check("  ", "");
    check("service=checkout", "service=checkout");
    check("service_name = checkout AND name~\"GET /\"", "service=checkout name~\"GET /\"");
    check("kind=server && status!=ok", "kind=server status!=ok");
    check("duration >= 100ms", "duration>=100ms");
    check("http.route=/cart", "http.route=/cart");
    check("resource.k8s.pod.name=x span.order.id>7", "resource.k8s.pod.name=x span.order.id>7");
    check("span.customer!~\"a\\\"b\"", "span.customer!~\"a\\\"b\"");
    check("checkout \"GET /\"", "name~checkout name~\"GET /\"");
    check("4bf92f3577b34da6a3ce929d0e0e4736", "trace_id=4bf92f3577b34da6a3ce929d0e0e4736");
    check("status.message=\"\"", "status.message=\"\"");
    check("/cart/{id}", "name~/cart/{id}");
    check("url.full=http://x/?a=b", "url.full=\"http://x/?a=b\"");
    check("name=load(x) (name=load(y))", "name=\"load(x)\" name=\"load(y)\"");
    check("name=~\"^GET /c.*\" name!=~(?i)post", "name=~\"^GET /c.*\" name!=~\"(?i)post\"");
    check("parent_id!=* span.user=* name=\"*\"", "parent_id!=* span.user=* name=\"*\"");
    check("event:name=exception event.exception.type~Timeout", "event:name=exception event.exception.type~Timeout");
    check(
        "link:trace_id=4bf92f3577b34da6a3ce929d0e0e4736 links>2",
        "link:trace_id=4bf92f3577b34da6a3ce929d0e0e4736 links>2",
    );
    check("scope:name~kafka scope.version.x=1", "scope:name~kafka scope.version.x=1");
    check("span.\"a key\"=1 link.\"=\"!=2", "span.\"a key\"=1 link.\"=\"!=2");
    check("messaging.message.body.size>10KiB", "messaging.message.body.size>10KiB");
    check("journey:duration>2s journey:queue~orders", "journey:duration>2s journey:queue~orders");
}

#[test]
fn and_or_not_bind_as_usual() {
    check("service=a or service=b name=c", "service=a or service=b name=c");
    check("(service=a or service=b) name=c", "(service=a or service=b) name=c");
    check("service=a and (name=b and name=c)", "service=a name=b name=c");
    check("((service=a))", "service=a");
    check("not service=a or !name=b", "not service=a or not name=b");
    check("!(service=a || name=b)", "not (service=a or name=b)");
    check("not not service=a", "not not service=a");
    check("not(service=a)", "not service=a");
    check("not (a.b=1 c.d=2) x", "not (a.b=1 c.d=2) name~x");
    check("(a.b=1 or c.d=2) or e.f=3", "a.b=1 or c.d=2 or e.f=3");
    check("\"and\" \"or\"", "name~and name~or");
}

#[test]
fn errors_point_at_the_place() {
    refused("service=", 8);
    refused("service=a name=\"open", 15);
    refused("service=a or", 10);
    refused("colour=red", 0);
    refused("service=a (name=b", 10);
    refused("service=a name=b)", 16);
    refused("()", 0);
    refused("=x", 0);
    refused("AND service=a", 0);
    refused("service=a AND", 10);
    refused("service=a not", 10);
    refused("a.b=1 or or c.d=2", 9);
    refused("é colour=1", 3);
    refused("duration>5", 9);
    refused("duration~5ms", 9);
    refused("kind=dog", 5);
    refused("kind>server", 5);
    refused("service>a", 8);
    refused("trace_id=xyz", 9);
    refused("span_id=0000000000000000", 8);
    refused("order.id>x", 9);
    refused("events=many", 7);
    refused("name=~a(b", 7);
    refused("name=~a{1000}{1000}", 6);
    refused("name>*", 5);
    refused("span.\"\"=1", 5);
    refused("span.\"a\"", 8);
    refused(&"(".repeat(DEPTH_MAX + 1), DEPTH_MAX);
    refused(&"!".repeat(TEXT_BYTES_MAX), DEPTH_MAX);
    refused(&"a ".repeat(CONDITIONS_MAX + 1), 2 * CONDITIONS_MAX);
    refused(&"x".repeat(TEXT_BYTES_MAX + 1), TEXT_BYTES_MAX);
}

#[test]
fn sizes_are_numbers() {
    for (text, expected) in [("10KiB", 10_240.0), ("1.5MB", 1.5e6), ("7B", 7.0), ("-2.5", -2.5), ("1e3", 1_000.0)] {
        assert_eq!(number(text), Some(expected), "{text}");
    }
    for text in ["", "x", "10XB", "KiB", "NaN", "inf"] {
        assert_eq!(number(text), None, "{text}");
    }
}

fn conditions() -> impl Strategy<Value = Filter> {
    let text = "[ -~é\\n]{0,12}";
    let key = "[ -~é]{1,12}";
    let place = proptest::sample::select(Place::ALL.to_vec());
    let text_op = proptest::sample::select(vec![Op::Eq, Op::NotEq, Op::Contains, Op::NotContains]);
    let at = (place, key, text_op.clone(), text).prop_map(|(place, key, op, value)| (Field::At(place, key), op, value));
    let named = proptest::sample::select(vec![Member::Service, Member::Name, Member::EventName, Member::JourneyQueue]);
    let named = (named, text_op, text).prop_map(|(member, op, value)| (Field::Named(member), op, value));
    let order = proptest::sample::select(vec![Op::Gt, Op::GtEq, Op::Lt, Op::LtEq, Op::Eq]);
    let duration = (order.clone(), 0u32..10_000, proptest::sample::select(vec!["ns", "us", "ms", "s", "h"]))
        .prop_map(|(op, n, unit)| (Field::Named(Member::Duration), op, format!("{n}{unit}")));
    let number = (order, "[a-z]{1,5}\\.[a-z]{1,5}", any::<i32>())
        .prop_filter("a place is no key", |(_, key, _)| Place::ALL.iter().all(|place| !key.starts_with(place.word())))
        .prop_map(|(op, key, n)| (Field::Anywhere(key), op, n.to_string()));
    let regex = "[a-z ]{1,9}".prop_map(|text| (Field::Named(Member::Name), Op::Matches, text));
    let valued =
        prop_oneof![at, named, duration, number, regex].prop_map(|(field, op, text)| (field, op, Value::Text(text)));
    let present = (prop_oneof![Just(Op::Eq), Just(Op::NotEq)], key)
        .prop_map(|(op, key)| (Field::At(Place::Span, key), op, Value::Anything));
    prop_oneof![4 => valued, 1 => present]
        .prop_map(|(field, op, value)| Filter::Is(Condition { field, op, value, field_at: 0, value_at: 0 }))
}

fn filters() -> impl Strategy<Value = Filter> {
    conditions().prop_recursive(4, 20, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 1..4).prop_map(|parts| Filter::all(parts).expect("parts")),
            proptest::collection::vec(inner.clone(), 1..4).prop_map(|parts| Filter::any(parts).expect("parts")),
            inner.prop_map(|part| Filter::Not(Box::new(part))),
        ]
    })
}

proptest! {
    /// What is written is read as the same.
    #[test]
    fn written_filters_are_read(filter in filters()) {
        let text = filter.to_string();
        prop_assume!(text.len() <= TEXT_BYTES_MAX && filter.conditions().len() <= CONDITIONS_MAX);
        match parse(&text) {
            Ok(read) => prop_assert_eq!(read, Some(filter), "{}", text),
            Err(error) => prop_assert!(false, "{}: {}", text, error),
        }
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
        let text = String::from_utf8_lossy(&bytes);
        if let Err(Error::Invalid { position: Some(position), .. }) = parse(&text) {
            prop_assert!(text.is_char_boundary(position.min(text.len())), "{position} in {text}");
        }
    }

    #[test]
    fn no_near_miss_panics(parts in proptest::collection::vec("service|name|span\\.|event:|=|!=|~|=~|!|>=|\"|\\\\| |AND|or|not|a\\.b|é|\\(|\\)|\\*|\\[|x", 0..24)) {
        let text = parts.concat();
        match parse(&text) {
            Ok(Some(filter)) => {
                let written = filter.to_string();
                prop_assert_eq!(parse(&written).expect("written filters are read"), Some(filter), "{}", text);
            }
            Ok(None) => {}
            Err(Error::Invalid { position: Some(position), .. }) => {
                prop_assert!(text.is_char_boundary(position.min(text.len())), "{position} in {text}");
            }
            Err(other) => prop_assert!(false, "{}: {}", text, other),
        }
    }
}
