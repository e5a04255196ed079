//! The members of each message, one line per member.
//!
//! A message that stands twice under one name is replaced by the later one, as any other member (J9).

use crate::otlp::message::{
    Arena, Buckets, Data, EntityRef, Event, Exemplar, ExponentialHistogram, ExponentialHistogramPoint, Gauge,
    Histogram, HistogramPoint, KeyValue, Link, List, LogRecord, Message as _, Metric, Number, NumberPoint, Quantile,
    Resource, Scope, Span, Status, Sum, Summary, SummaryPoint, Text, Value,
};

use super::reader::{JsonError, Reader};

type Read<T> = Result<T, JsonError>;

/// Declares how a message is read: `"member" => field = how`.
///
/// `how` is a function from the reader to the value; `option(f)`, `each(f)` and `one_of(wrap, f)` say how
/// the value stands in the field. An absent (`null`) member leaves a `one_of` as it was.
macro_rules! message {
    ($name:ident -> $message:ident { $($member:literal => $field:ident = $how:tt $(($($inner:expr),+))?,)* }) => {
        pub(crate) fn $name<'a, 't: 'a>(r: &mut Reader<'t>, arena: &'a Arena) -> Read<message!(@type $message 'a)> {
            let mut message = $message::new(arena);
            r.object(|r, member| {
                match member {
                    $($member => message!(@read r, arena, message.$field, $how $(($($inner),+))?),)*
                    _ => return r.unknown(),
                }
                Ok(true)
            })?;
            Ok(message)
        }
    };
    (@type Quantile $a:lifetime) => { Quantile };
    (@type $message:ident $a:lifetime) => { $message<$a> };
    (@read $r:ident, $arena:ident, $field:expr, option($read:expr)) => { $field = optional($r, $arena, $read)? };
    (@read $r:ident, $arena:ident, $field:expr, each($read:expr)) => { $field = list($r, $arena, $read)? };
    (@read $r:ident, $arena:ident, $field:expr, one_of($wrap:expr, $read:expr)) => {
        if !$r.take_null() {
            $field = Some($wrap($read($r, $arena)?));
        }
    };
    (@read $r:ident, $arena:ident, $field:expr, $how:ident) => { $field = $how($r, $arena)? };
}

/// A message that may be absent.
pub(super) fn optional<'a, 't: 'a, T>(
    r: &mut Reader<'t>,
    arena: &'a Arena,
    read: impl Fn(&mut Reader<'t>, &'a Arena) -> Read<T>,
) -> Read<Option<T>> {
    if r.take_null() { Ok(None) } else { read(r, arena).map(Some) }
}

fn list<'a, 't: 'a, T>(
    r: &mut Reader<'t>,
    arena: &'a Arena,
    read: impl Fn(&mut Reader<'t>, &'a Arena) -> Read<T>,
) -> Read<List<'a, T>> {
    let mut items = arena.list();
    r.array(|r| {
        let item = read(r, arena)?;
        arena.make_room(&mut items, 4).map_err(|full| r.full(full))?;
        items.push(item);
        Ok(())
    })?;
    Ok(items)
}

fn text<'a, 't: 'a>(r: &mut Reader<'t>, arena: &'a Arena) -> Read<Text<'a>> {
    r.text(arena)
}

fn id<'a>(r: &mut Reader<'_>, arena: &'a Arena) -> Read<&'a [u8]> {
    r.id(arena)
}

fn base64<'a, 't: 'a>(r: &mut Reader<'t>, arena: &'a Arena) -> Read<&'a [u8]> {
    r.base64(arena)
}

/// Declares how plain values are read: by the function of the reader with the same name.
macro_rules! plain {
    ($($name:ident -> $type:ty;)*) => {
        $(fn $name(r: &mut Reader<'_>, _: &Arena) -> Read<$type> {
            r.$name()
        })*
    };
}

plain! {
    u64 -> u64;
    i64 -> i64;
    u32 -> u32;
    i32 -> i32;
    double -> f64;
    bool -> bool;
    optional_double -> Option<f64>;
}

/// Names of the values of an enum, in the order of their numbers; the first one is 0.
macro_rules! enumeration {
    ($($name:ident: $($value:literal)*;)*) => {
        $(fn $name(r: &mut Reader<'_>, _: &Arena) -> Read<i32> {
            const NAMES: &[&str] = &[$($value),*];
            r.enumeration(|name| NAMES.iter().position(|known| *known == name)?.try_into().ok())
        })*
    };
}

enumeration! {
    span_kind: "SPAN_KIND_UNSPECIFIED" "SPAN_KIND_INTERNAL" "SPAN_KIND_SERVER" "SPAN_KIND_CLIENT"
        "SPAN_KIND_PRODUCER" "SPAN_KIND_CONSUMER";
    status_code: "STATUS_CODE_UNSET" "STATUS_CODE_OK" "STATUS_CODE_ERROR";
    severity_number: "SEVERITY_NUMBER_UNSPECIFIED"
        "SEVERITY_NUMBER_TRACE" "SEVERITY_NUMBER_TRACE2" "SEVERITY_NUMBER_TRACE3" "SEVERITY_NUMBER_TRACE4"
        "SEVERITY_NUMBER_DEBUG" "SEVERITY_NUMBER_DEBUG2" "SEVERITY_NUMBER_DEBUG3" "SEVERITY_NUMBER_DEBUG4"
        "SEVERITY_NUMBER_INFO" "SEVERITY_NUMBER_INFO2" "SEVERITY_NUMBER_INFO3" "SEVERITY_NUMBER_INFO4"
        "SEVERITY_NUMBER_WARN" "SEVERITY_NUMBER_WARN2" "SEVERITY_NUMBER_WARN3" "SEVERITY_NUMBER_WARN4"
        "SEVERITY_NUMBER_ERROR" "SEVERITY_NUMBER_ERROR2" "SEVERITY_NUMBER_ERROR3" "SEVERITY_NUMBER_ERROR4"
        "SEVERITY_NUMBER_FATAL" "SEVERITY_NUMBER_FATAL2" "SEVERITY_NUMBER_FATAL3" "SEVERITY_NUMBER_FATAL4";
    temporality: "AGGREGATION_TEMPORALITY_UNSPECIFIED" "AGGREGATION_TEMPORALITY_DELTA"
        "AGGREGATION_TEMPORALITY_CUMULATIVE";
}

// --- common ---

message!(resource -> Resource {
    "attributes" => attributes = each(key_value),
    "droppedAttributesCount" => dropped_attributes_count = u32,
    "entityRefs" => entity_refs = each(entity_ref),
});

message!(entity_ref -> EntityRef {
    "schemaUrl" => schema_url = text,
    "type" => kind = text,
    "idKeys" => id_keys = each(text),
    "descriptionKeys" => description_keys = each(text),
});

message!(scope -> Scope {
    "name" => name = text,
    "version" => version = text,
    "attributes" => attributes = each(key_value),
    "droppedAttributesCount" => dropped_attributes_count = u32,
});

pub(crate) fn key_value<'a, 't: 'a>(r: &mut Reader<'t>, arena: &'a Arena) -> Read<KeyValue<'a>> {
    let mut message = KeyValue::new(arena);
    r.object(|r, member| {
        match member {
            "key" => message.key = r.text(arena)?,
            "value" => message.value = any_value(r, arena)?,
            _ => return r.unknown(),
        }
        Ok(true)
    })?;
    Ok(message)
}

/// The last member wins; one that is `null` leaves it as it was.
pub(crate) fn any_value<'a, 't: 'a>(r: &mut Reader<'t>, arena: &'a Arena) -> Read<Value<'a>> {
    let mut value = Value::Empty;
    r.object(|r, member| {
        let read: fn(&mut Reader<'t>, &'a Arena) -> Read<Value<'a>> = match member {
            "stringValue" => |r, arena| text(r, arena).map(Value::Text),
            "boolValue" => |r, arena| bool(r, arena).map(Value::Bool),
            "intValue" => |r, arena| i64(r, arena).map(Value::Int),
            "doubleValue" => |r, arena| double(r, arena).map(Value::Double),
            "arrayValue" => |r, arena| values(r, arena, any_value).map(Value::List),
            "kvlistValue" => |r, arena| values(r, arena, key_value).map(Value::Map),
            "bytesValue" => |r, arena| base64(r, arena).map(Value::Bytes),
            _ => return r.unknown(),
        };
        if !r.take_null() {
            value = read(r, arena)?;
        }
        Ok(true)
    })?;
    Ok(value)
}

/// `ArrayValue` and `KeyValueList`: a message with one list.
fn values<'a, 't: 'a, T>(
    r: &mut Reader<'t>,
    arena: &'a Arena,
    read: fn(&mut Reader<'t>, &'a Arena) -> Read<T>,
) -> Read<&'a mut List<'a, T>> {
    let mut items = arena.list();
    r.object(|r, member| {
        match member {
            "values" => items = list(r, arena, read)?,
            _ => return r.unknown(),
        }
        Ok(true)
    })?;
    arena.need(size_of_val(&items)).map_err(|full| r.full(full))?;
    Ok(arena.keep(items))
}

// --- traces ---

message!(span -> Span {
    "traceId" => trace_id = id,
    "spanId" => span_id = id,
    "traceState" => trace_state = text,
    "parentSpanId" => parent_span_id = id,
    "flags" => flags = u32,
    "name" => name = text,
    "kind" => kind = span_kind,
    "startTimeUnixNano" => start_time = u64,
    "endTimeUnixNano" => end_time = u64,
    "attributes" => attributes = each(key_value),
    "droppedAttributesCount" => dropped_attributes_count = u32,
    "events" => events = each(event),
    "droppedEventsCount" => dropped_events_count = u32,
    "links" => links = each(link),
    "droppedLinksCount" => dropped_links_count = u32,
    "status" => status = option(status),
});

message!(event -> Event {
    "timeUnixNano" => time = u64,
    "name" => name = text,
    "attributes" => attributes = each(key_value),
    "droppedAttributesCount" => dropped_attributes_count = u32,
});

message!(link -> Link {
    "traceId" => trace_id = id,
    "spanId" => span_id = id,
    "traceState" => trace_state = text,
    "attributes" => attributes = each(key_value),
    "droppedAttributesCount" => dropped_attributes_count = u32,
    "flags" => flags = u32,
});

message!(status -> Status {
    "message" => message = text,
    "code" => code = status_code,
});

// --- logs ---

message!(log_record -> LogRecord {
    "timeUnixNano" => time = u64,
    "observedTimeUnixNano" => observed_time = u64,
    "severityNumber" => severity_number = severity_number,
    "severityText" => severity_text = text,
    "body" => body = option(any_value),
    "attributes" => attributes = each(key_value),
    "droppedAttributesCount" => dropped_attributes_count = u32,
    "flags" => flags = u32,
    "traceId" => trace_id = id,
    "spanId" => span_id = id,
    "eventName" => event_name = text,
});

// --- metrics ---

message!(metric -> Metric {
    "name" => name = text,
    "description" => description = text,
    "unit" => unit = text,
    "metadata" => metadata = each(key_value),
    "gauge" => data = one_of(Data::Gauge, gauge),
    "sum" => data = one_of(Data::Sum, sum),
    "histogram" => data = one_of(Data::Histogram, histogram),
    "exponentialHistogram" => data = one_of(Data::ExponentialHistogram, exponential_histogram),
    "summary" => data = one_of(Data::Summary, summary),
});

message!(gauge -> Gauge {
    "dataPoints" => points = each(number_point),
});

message!(sum -> Sum {
    "dataPoints" => points = each(number_point),
    "aggregationTemporality" => temporality = temporality,
    "isMonotonic" => is_monotonic = bool,
});

message!(histogram -> Histogram {
    "dataPoints" => points = each(histogram_point),
    "aggregationTemporality" => temporality = temporality,
});

message!(exponential_histogram -> ExponentialHistogram {
    "dataPoints" => points = each(exponential_histogram_point),
    "aggregationTemporality" => temporality = temporality,
});

message!(summary -> Summary {
    "dataPoints" => points = each(summary_point),
});

message!(number_point -> NumberPoint {
    "attributes" => attributes = each(key_value),
    "startTimeUnixNano" => start_time = u64,
    "timeUnixNano" => time = u64,
    "asDouble" => value = one_of(Number::Double, double),
    "asInt" => value = one_of(Number::Int, i64),
    "exemplars" => exemplars = each(exemplar),
    "flags" => flags = u32,
});

message!(histogram_point -> HistogramPoint {
    "attributes" => attributes = each(key_value),
    "startTimeUnixNano" => start_time = u64,
    "timeUnixNano" => time = u64,
    "count" => count = u64,
    "sum" => sum = optional_double,
    "min" => min = optional_double,
    "max" => max = optional_double,
    "bucketCounts" => bucket_counts = each(u64),
    "explicitBounds" => bounds = each(double),
    "exemplars" => exemplars = each(exemplar),
    "flags" => flags = u32,
});

message!(exponential_histogram_point -> ExponentialHistogramPoint {
    "attributes" => attributes = each(key_value),
    "startTimeUnixNano" => start_time = u64,
    "timeUnixNano" => time = u64,
    "count" => count = u64,
    "sum" => sum = optional_double,
    "min" => min = optional_double,
    "max" => max = optional_double,
    "scale" => scale = i32,
    "zeroCount" => zero_count = u64,
    "zeroThreshold" => zero_threshold = double,
    "positive" => positive = option(buckets),
    "negative" => negative = option(buckets),
    "exemplars" => exemplars = each(exemplar),
    "flags" => flags = u32,
});

message!(buckets -> Buckets {
    "offset" => offset = i32,
    "bucketCounts" => counts = each(u64),
});

message!(summary_point -> SummaryPoint {
    "attributes" => attributes = each(key_value),
    "startTimeUnixNano" => start_time = u64,
    "timeUnixNano" => time = u64,
    "count" => count = u64,
    "sum" => sum = double,
    "quantileValues" => quantiles = each(value_at_quantile),
    "flags" => flags = u32,
});

message!(value_at_quantile -> Quantile {
    "quantile" => quantile = double,
    "value" => value = double,
});

message!(exemplar -> Exemplar {
    "filteredAttributes" => attributes = each(key_value),
    "timeUnixNano" => time = u64,
    "asDouble" => value = one_of(Number::Double, double),
    "asInt" => value = one_of(Number::Int, i64),
    "spanId" => span_id = id,
    "traceId" => trace_id = id,
});
