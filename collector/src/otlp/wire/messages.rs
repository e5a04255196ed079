//! The fields of each message, one line per field; numbers as in opentelemetry-proto.
//!
//! A message that comes in pieces is merged, as protobuf asks for (J10): every function here adds to what it is
//! given. A `oneof` keeps what was sent last; pieces of the same member are merged.

use crate::otlp::message::{
    Arena, Buckets, Data, EntityRef, Event, Exemplar, ExponentialHistogram, ExponentialHistogramPoint, Gauge,
    Histogram, HistogramPoint, KeyValue, Link, List, LogRecord, Message, Metric, Number, NumberPoint, Quantile,
    Resource, Scope, Span, Status, Sum, Summary, SummaryPoint, Value,
};

use super::reader::{self, Reader, WireError, fields, full};

type Read = Result<(), WireError>;

/// Declares how a message is read: `number => field = how`.
macro_rules! message {
    ($name:ident -> $message:ty { $($number:literal => $field:ident = $how:tt $(($($inner:ident),+))?,)* }) => {
        pub(crate) fn $name<'a>(mut reader: Reader<'a>, arena: &'a Arena, message: &mut $message) -> Read {
            // Not every message has texts or lists.
            let _ = arena;
            while let Some(key) = reader.key()? {
                match key {
                    $(key if message!(@is key, $number, $how) => {
                        message!(@read reader, arena, message.$field, key, $number, $how $(($($inner),+))?)
                    })*
                    other => reader.other(other, const { fields(&[$($number),*]) })?,
                }
            }
            Ok(())
        }
    };
    (@is $key:ident, $n:literal, uint32) => { $key == reader::varint($n) };
    (@is $key:ident, $n:literal, int32) => { $key == reader::varint($n) };
    (@is $key:ident, $n:literal, sint32) => { $key == reader::varint($n) };
    (@is $key:ident, $n:literal, bool) => { $key == reader::varint($n) };
    (@is $key:ident, $n:literal, fixed64) => { $key == reader::fixed64($n) };
    (@is $key:ident, $n:literal, double) => { $key == reader::fixed64($n) };
    (@is $key:ident, $n:literal, optional_double) => { $key == reader::fixed64($n) };
    (@is $key:ident, $n:literal, number_double) => { $key == reader::fixed64($n) };
    (@is $key:ident, $n:literal, number_int) => { $key == reader::fixed64($n) };
    (@is $key:ident, $n:literal, fixed32) => { $key == reader::fixed32($n) };
    (@is $key:ident, $n:literal, fixed64s) => { $key == reader::fixed64($n) || $key == reader::bytes($n) };
    (@is $key:ident, $n:literal, doubles) => { $key == reader::fixed64($n) || $key == reader::bytes($n) };
    (@is $key:ident, $n:literal, varints) => { $key == reader::varint($n) || $key == reader::bytes($n) };
    (@is $key:ident, $n:literal, $how:tt) => { $key == reader::bytes($n) };

    (@read $r:ident, $arena:ident, $field:expr, $key:ident, $n:literal, uint32) => { $field = $r.varint()? as u32 };
    (@read $r:ident, $arena:ident, $field:expr, $key:ident, $n:literal, int32) => { $field = $r.varint()? as i32 };
    (@read $r:ident, $arena:ident, $field:expr, $key:ident, $n:literal, sint32) => { $field = zigzag($r.varint()?) };
    (@read $r:ident, $arena:ident, $field:expr, $key:ident, $n:literal, bool) => { $field = $r.varint()? != 0 };
    (@read $r:ident, $arena:ident, $field:expr, $key:ident, $n:literal, fixed64) => { $field = $r.fixed64()? };
    (@read $r:ident, $arena:ident, $field:expr, $key:ident, $n:literal, fixed32) => { $field = $r.fixed32()? };
    (@read $r:ident, $arena:ident, $field:expr, $key:ident, $n:literal, double) => { $field = f64::from_bits($r.fixed64()?) };
    (@read $r:ident, $arena:ident, $field:expr, $key:ident, $n:literal, optional_double) => {
        $field = Some(f64::from_bits($r.fixed64()?))
    };
    (@read $r:ident, $arena:ident, $field:expr, $key:ident, $n:literal, number_double) => {
        $field = Some(Number::Double(f64::from_bits($r.fixed64()?)))
    };
    (@read $r:ident, $arena:ident, $field:expr, $key:ident, $n:literal, number_int) => {
        $field = Some(Number::Int($r.fixed64()?.cast_signed()))
    };
    (@read $r:ident, $arena:ident, $field:expr, $key:ident, $n:literal, bytes) => { $field = $r.bytes()? };
    (@read $r:ident, $arena:ident, $field:expr, $key:ident, $n:literal, text) => { $field = $r.text($arena)? };
    (@read $r:ident, $arena:ident, $field:expr, $key:ident, $n:literal, texts) => {{
        let text = $r.text($arena)?;
        push(&mut $field, $arena, text)?
    }};
    (@read $r:ident, $arena:ident, $field:expr, $key:ident, $n:literal, fixed64s) => {
        repeated(&mut $r, $arena, $key, &mut $field, Reader::fixed64)?
    };
    (@read $r:ident, $arena:ident, $field:expr, $key:ident, $n:literal, doubles) => {
        repeated(&mut $r, $arena, $key, &mut $field, |r| r.fixed64().map(f64::from_bits))?
    };
    (@read $r:ident, $arena:ident, $field:expr, $key:ident, $n:literal, varints) => {
        repeated(&mut $r, $arena, $key, &mut $field, Reader::varint)?
    };
    (@read $r:ident, $arena:ident, $field:expr, $key:ident, $n:literal, list($read:ident)) => {{
        let item = push_new(&mut $field, $arena)?;
        $read($r.message()?, $arena, item).map_err(|error| error.inside(stringify!($field)))?;
    }};
    (@read $r:ident, $arena:ident, $field:expr, $key:ident, $n:literal, optional($read:ident)) => {{
        let into = $field.get_or_insert_with(|| Message::new($arena));
        $read($r.message()?, $arena, into).map_err(|error| error.inside(stringify!($field)))?;
    }};
    (@read $r:ident, $arena:ident, $field:expr, $key:ident, $n:literal, one_of($variant:ident, $read:ident)) => {{
        if !matches!($field, Some(Data::$variant(_))) {
            $field = Some(Data::$variant(Message::new($arena)));
        }
        if let Some(Data::$variant(into)) = &mut $field {
            $read($r.message()?, $arena, into).map_err(|error| error.inside(stringify!($read)))?;
        }
    }};
}

/// An empty message at the end of a list, to be filled where it stands: copying it there later would wait for every
/// write to it.
#[inline]
fn push_new<'l, 'a, T: Message<'a>>(list: &'l mut List<'a, T>, arena: &'a Arena) -> Result<&'l mut T, WireError> {
    arena.make_room(list, const { if size_of::<T>() <= 64 { 12 } else { 2 } }).map_err(full)?;
    list.push(T::new(arena));
    Ok(list.last_mut().expect("one was pushed"))
}

/// A value at the end of a list.
#[inline]
fn push<'a, T>(list: &mut List<'a, T>, arena: &'a Arena, value: T) -> Read {
    arena.make_room(list, 4).map_err(full)?;
    list.push(value);
    Ok(())
}

const fn zigzag(value: u64) -> i32 {
    let value = value as u32;
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

/// Repeated numbers, packed or one by one.
fn repeated<'a, T>(
    reader: &mut Reader<'a>,
    arena: &'a Arena,
    key: u32,
    into: &mut List<'a, T>,
    read: impl Fn(&mut Reader<'a>) -> Result<T, WireError>,
) -> Read {
    if key & 7 == reader::bytes(0) {
        let mut packed = reader.packed()?;
        while !packed.is_at_end() {
            push(into, arena, read(&mut packed)?)?;
        }
        Ok(())
    } else {
        push(into, arena, read(reader)?)
    }
}

// --- common ---

message!(resource -> Resource<'a> {
    1 => attributes = list(key_value),
    2 => dropped_attributes_count = uint32,
    3 => entity_refs = list(entity_ref),
});

message!(entity_ref -> EntityRef<'a> {
    1 => schema_url = text,
    2 => kind = text,
    3 => id_keys = texts,
    4 => description_keys = texts,
});

message!(scope -> Scope<'a> {
    1 => name = text,
    2 => version = text,
    3 => attributes = list(key_value),
    4 => dropped_attributes_count = uint32,
});

/// `key_strindex` belongs to profiles: here it is absent (J14).
pub(crate) fn key_value<'a>(mut reader: Reader<'a>, arena: &'a Arena, message: &mut KeyValue<'a>) -> Read {
    const KEY: u32 = reader::bytes(1);
    const VALUE: u32 = reader::bytes(2);
    const KEY_STRINDEX: u32 = reader::varint(3);
    while let Some(key) = reader.key()? {
        match key {
            KEY => message.key = reader.text(arena)?,
            VALUE => {
                any_value(reader.message()?, arena, &mut message.value).map_err(|error| error.inside("value"))?;
            }
            KEY_STRINDEX => _ = reader.varint()?,
            other => reader.other(other, const { fields(&[1, 2, 3]) })?,
        }
    }
    Ok(())
}

/// Lists and maps that come in pieces are merged, as any message; `string_value_strindex` is absent (J14).
pub(crate) fn any_value<'a>(mut reader: Reader<'a>, arena: &'a Arena, value: &mut Value<'a>) -> Read {
    const TEXT: u32 = reader::bytes(1);
    const BOOL: u32 = reader::varint(2);
    const INT: u32 = reader::varint(3);
    const DOUBLE: u32 = reader::fixed64(4);
    const LIST: u32 = reader::bytes(5);
    const MAP: u32 = reader::bytes(6);
    const BYTES: u32 = reader::bytes(7);
    const STRINDEX: u32 = reader::varint(8);
    while let Some(key) = reader.key()? {
        match key {
            TEXT => *value = Value::Text(reader.text(arena)?),
            BOOL => *value = Value::Bool(reader.varint()? != 0),
            INT => *value = Value::Int(reader.varint()?.cast_signed()),
            DOUBLE => *value = Value::Double(f64::from_bits(reader.fixed64()?)),
            BYTES => *value = Value::Bytes(reader.bytes()?),
            LIST => {
                if !matches!(value, Value::List(_)) {
                    arena.need(size_of::<List<'_, Value<'_>>>()).map_err(full)?;
                    *value = Value::List(arena.keep(arena.list()));
                }
                if let Value::List(into) = value {
                    items(reader.message()?, arena, into, any_value)?;
                }
            }
            MAP => {
                if !matches!(value, Value::Map(_)) {
                    arena.need(size_of::<List<'_, KeyValue<'_>>>()).map_err(full)?;
                    *value = Value::Map(arena.keep(arena.list()));
                }
                if let Value::Map(into) = value {
                    items(reader.message()?, arena, into, key_value)?;
                }
            }
            STRINDEX => {
                reader.varint()?;
                *value = Value::Empty;
            }
            other => reader.other(other, const { fields(&[1, 2, 3, 4, 5, 6, 7, 8]) })?,
        }
    }
    Ok(())
}

/// `ArrayValue` and `KeyValueList`: a message with one repeated field.
fn items<'a, T: Message<'a>>(
    mut reader: Reader<'a>,
    arena: &'a Arena,
    into: &mut List<'a, T>,
    read: fn(Reader<'a>, &'a Arena, &mut T) -> Read,
) -> Read {
    const VALUES: u32 = reader::bytes(1);
    while let Some(key) = reader.key()? {
        match key {
            VALUES => {
                let item = push_new(into, arena)?;
                read(reader.message()?, arena, item).map_err(|error| error.inside("values"))?;
            }
            other => reader.other(other, const { fields(&[1]) })?,
        }
    }
    Ok(())
}

// --- traces ---

message!(span -> Span<'a> {
    1 => trace_id = bytes,
    2 => span_id = bytes,
    3 => trace_state = text,
    4 => parent_span_id = bytes,
    5 => name = text,
    6 => kind = int32,
    7 => start_time = fixed64,
    8 => end_time = fixed64,
    9 => attributes = list(key_value),
    10 => dropped_attributes_count = uint32,
    11 => events = list(event),
    12 => dropped_events_count = uint32,
    13 => links = list(link),
    14 => dropped_links_count = uint32,
    15 => status = optional(status),
    16 => flags = fixed32,
});

message!(event -> Event<'a> {
    1 => time = fixed64,
    2 => name = text,
    3 => attributes = list(key_value),
    4 => dropped_attributes_count = uint32,
});

message!(link -> Link<'a> {
    1 => trace_id = bytes,
    2 => span_id = bytes,
    3 => trace_state = text,
    4 => attributes = list(key_value),
    5 => dropped_attributes_count = uint32,
    6 => flags = fixed32,
});

message!(status -> Status<'a> {
    2 => message = text,
    3 => code = int32,
});

// --- logs ---

message!(log_record -> LogRecord<'a> {
    1 => time = fixed64,
    2 => severity_number = int32,
    3 => severity_text = text,
    5 => body = optional(any_value),
    6 => attributes = list(key_value),
    7 => dropped_attributes_count = uint32,
    8 => flags = fixed32,
    9 => trace_id = bytes,
    10 => span_id = bytes,
    11 => observed_time = fixed64,
    12 => event_name = text,
});

// --- metrics ---

message!(metric -> Metric<'a> {
    1 => name = text,
    2 => description = text,
    3 => unit = text,
    5 => data = one_of(Gauge, gauge),
    7 => data = one_of(Sum, sum),
    9 => data = one_of(Histogram, histogram),
    10 => data = one_of(ExponentialHistogram, exponential_histogram),
    11 => data = one_of(Summary, summary),
    12 => metadata = list(key_value),
});

message!(gauge -> Gauge<'a> {
    1 => points = list(number_point),
});

message!(sum -> Sum<'a> {
    1 => points = list(number_point),
    2 => temporality = int32,
    3 => is_monotonic = bool,
});

message!(histogram -> Histogram<'a> {
    1 => points = list(histogram_point),
    2 => temporality = int32,
});

message!(exponential_histogram -> ExponentialHistogram<'a> {
    1 => points = list(exponential_histogram_point),
    2 => temporality = int32,
});

message!(summary -> Summary<'a> {
    1 => points = list(summary_point),
});

message!(number_point -> NumberPoint<'a> {
    2 => start_time = fixed64,
    3 => time = fixed64,
    4 => value = number_double,
    5 => exemplars = list(exemplar),
    6 => value = number_int,
    7 => attributes = list(key_value),
    8 => flags = uint32,
});

message!(histogram_point -> HistogramPoint<'a> {
    2 => start_time = fixed64,
    3 => time = fixed64,
    4 => count = fixed64,
    5 => sum = optional_double,
    6 => bucket_counts = fixed64s,
    7 => bounds = doubles,
    8 => exemplars = list(exemplar),
    9 => attributes = list(key_value),
    10 => flags = uint32,
    11 => min = optional_double,
    12 => max = optional_double,
});

message!(exponential_histogram_point -> ExponentialHistogramPoint<'a> {
    1 => attributes = list(key_value),
    2 => start_time = fixed64,
    3 => time = fixed64,
    4 => count = fixed64,
    5 => sum = optional_double,
    6 => scale = sint32,
    7 => zero_count = fixed64,
    8 => positive = optional(buckets),
    9 => negative = optional(buckets),
    10 => flags = uint32,
    11 => exemplars = list(exemplar),
    12 => min = optional_double,
    13 => max = optional_double,
    14 => zero_threshold = double,
});

message!(buckets -> Buckets<'a> {
    1 => offset = sint32,
    2 => counts = varints,
});

message!(summary_point -> SummaryPoint<'a> {
    2 => start_time = fixed64,
    3 => time = fixed64,
    4 => count = fixed64,
    5 => sum = double,
    6 => quantiles = list(quantile),
    7 => attributes = list(key_value),
    8 => flags = uint32,
});

message!(quantile -> Quantile {
    1 => quantile = double,
    2 => value = double,
});

message!(exemplar -> Exemplar<'a> {
    2 => time = fixed64,
    3 => value = number_double,
    4 => span_id = bytes,
    5 => trace_id = bytes,
    6 => value = number_int,
    7 => attributes = list(key_value),
});
