//! What a message says, borrowed from the body it stands in: what both decoders give and the sink takes.
//!
//! Only what a body does not hold as such lives in the [`Arena`]: lists, texts that were escaped in JSON, texts
//! that were mended. An arena lives for one item: it is emptied before the next one is read, so that an item
//! costs no allocation and its memory is still warm.
//!
//! A [`Text`] is UTF-8, which the decoder that made it has checked. An absent `AnyValue` of an attribute is the
//! same as an empty one: rows do not tell them apart.

use std::cell::Cell;

use bumpalo::Bump;
use model::Repairs;

/// A list that grows in the arena.
pub(crate) type List<'a, T> = bumpalo::collections::Vec<'a, T>;

/// Bytes that are UTF-8.
pub(crate) type Text<'a> = &'a [u8];

/// An arena larger than this is given back after an item, so that one odd item does not stay in memory.
const ARENA_BYTES_MAX: usize = 1 << 20;

/// Memory of the item at hand, and what the decoder had to mend in it.
///
/// It is bounded, because lists grow faster than what they are read from (two bytes of a body can be an empty attribute of 40), and mended
/// texts do, too (each byte that is not UTF-8 becomes three). Both ask for room first.
#[derive(Debug)]
pub(crate) struct Arena {
    bump: Bump,
    bytes_max: u64,
    was_full: Cell<bool>,
    has_mended: Cell<bool>,
}

/// There is no room for more of this item.
#[derive(Debug)]
pub(crate) struct Full;

impl Full {
    /// What the decoders say; the answer says it in other words.
    pub(crate) const REASON: &'static str = "an item takes too much memory when it is decoded";
}

impl Default for Arena {
    fn default() -> Self {
        Self { bump: Bump::new(), bytes_max: u64::MAX, was_full: Cell::new(false), has_mended: Cell::new(false) }
    }
}

impl Arena {
    /// From now on items may take so many bytes.
    pub(crate) fn bound(&mut self, bytes_max: u64) {
        self.bytes_max = bytes_max;
        self.was_full.set(false);
    }

    /// Makes room in a list for one entry more: for twice as many, or at first for `n_first`.
    ///
    /// # Errors
    /// [`Full`] when the item would take more than it may.
    #[inline]
    pub(crate) fn make_room<T>(&self, list: &mut List<'_, T>, n_first: usize) -> Result<(), Full> {
        if list.len() < list.capacity() { Ok(()) } else { self.grow(list, n_first) }
    }

    fn grow<T>(&self, list: &mut List<'_, T>, n_first: usize) -> Result<(), Full> {
        let n_more = list.len().max(n_first);
        // The list moves, and where it stood is free only when the item is done.
        self.need((list.len() + n_more).saturating_mul(size_of::<T>()))?;
        list.reserve_exact(n_more);
        Ok(())
    }

    /// # Errors
    /// [`Full`] when the item would take more than it may with so many bytes more.
    pub(crate) fn need(&self, n_bytes: usize) -> Result<(), Full> {
        if self.bump.allocated_bytes().saturating_add(n_bytes) as u64 > self.bytes_max {
            self.was_full.set(true);
            return Err(Full);
        }
        Ok(())
    }

    /// Bytes that an item may take.
    pub(crate) const fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// True when an item was given up because of its size.
    pub(crate) fn was_full(&self) -> bool {
        self.was_full.get()
    }

    /// An empty list.
    pub(crate) fn list<T>(&self) -> List<'_, T> {
        List::new_in(&self.bump)
    }

    /// A copy of these bytes: never more than were read, so nobody asks for room for them.
    pub(crate) fn copy(&self, bytes: &[u8]) -> &[u8] {
        self.bump.alloc_slice_copy(bytes)
    }

    /// A value of its own, a few dozen bytes: whoever makes many of them asks [`Arena::need`] before.
    pub(crate) fn keep<T>(&self, value: T) -> &mut T {
        self.bump.alloc(value)
    }

    /// J13: these bytes with U+FFFD in place of what is not UTF-8; remembered until [`Arena::repairs`].
    ///
    /// # Errors
    /// [`Full`] when there is no room for it.
    #[cold]
    pub(crate) fn mend(&self, bytes: &[u8]) -> Result<Text<'_>, Full> {
        const MARK: &[u8] = "\u{fffd}".as_bytes();
        self.has_mended.set(true);
        let marks = |chunk: &std::str::Utf8Chunk<'_>| if chunk.invalid().is_empty() { &[][..] } else { MARK };
        let n_bytes = bytes.utf8_chunks().map(|chunk| chunk.valid().len() + marks(&chunk).len()).sum();
        self.need(n_bytes)?;
        let mut text = List::with_capacity_in(n_bytes, &self.bump);
        for chunk in bytes.utf8_chunks() {
            text.extend_from_slice_copy(chunk.valid().as_bytes());
            text.extend_from_slice_copy(marks(&chunk));
        }
        Ok(text.into_bump_slice())
    }

    /// What was mended since the last call.
    pub(crate) fn repairs(&self) -> Repairs {
        if self.has_mended.take() { Repairs::INVALID_UTF8 } else { Repairs::NONE }
    }

    /// Forgets everything; nobody borrows from it any more.
    pub(crate) fn clear(&mut self) {
        if self.bump.allocated_bytes() > ARENA_BYTES_MAX {
            self.bump = Bump::new();
        } else {
            self.bump.reset();
        }
    }
}

/// A value of an attribute or the body of a log record.
#[derive(Debug, Default)]
pub(crate) enum Value<'a> {
    #[default]
    Empty,
    Text(Text<'a>),
    Bool(bool),
    Int(i64),
    Double(f64),
    Bytes(&'a [u8]),
    List(&'a mut List<'a, Self>),
    Map(&'a mut List<'a, KeyValue<'a>>),
}

/// An attribute.
#[derive(Debug, Default)]
pub(crate) struct KeyValue<'a> {
    pub(crate) key: Text<'a>,
    /// Number of the key, which sanitizing fills in.
    pub(crate) key_id: super::keys::KeyId,
    pub(crate) value: Value<'a>,
}

/// Attributes of anything.
pub(crate) type Attributes<'a> = List<'a, KeyValue<'a>>;

/// A message that begins empty.
pub(crate) trait Message<'a> {
    fn new(arena: &'a Arena) -> Self;
}

/// Declares messages: members with their types; lists begin empty, all else with its default.
macro_rules! messages {
    ($($(#[$doc:meta])* $name:ident { $($member:ident: $kind:tt $(($inner:ty))?,)* })*) => {
        $(
            $(#[$doc])*
            #[derive(Debug)]
            pub(crate) struct $name<'a> { $(pub(crate) $member: messages!(@type $kind $(($inner))?),)* }

            impl<'a> Message<'a> for $name<'a> {
                fn new(arena: &'a Arena) -> Self {
                    // Not every message has lists.
                    let _ = arena;
                    Self { $($member: messages!(@new arena $kind),)* }
                }
            }
        )*
    };
    (@type list($inner:ty)) => { List<'a, $inner> };
    (@type bytes) => { &'a [u8] };
    (@type text) => { Text<'a> };
    (@type option($inner:ty)) => { Option<$inner> };
    (@type $plain:ident) => { $plain };
    (@new $arena:ident list) => { $arena.list() };
    (@new $arena:ident $other:ident) => { Default::default() };
}

messages! {
    /// Who sent it.
    Resource {
        attributes: list(KeyValue<'a>),
        dropped_attributes_count: u32,
        entity_refs: list(EntityRef<'a>),
    }

    /// Which attributes of a resource name one thing.
    EntityRef {
        schema_url: text,
        kind: text,
        id_keys: list(Text<'a>),
        description_keys: list(Text<'a>),
    }

    /// The library that made it.
    Scope {
        name: text,
        version: text,
        attributes: list(KeyValue<'a>),
        dropped_attributes_count: u32,
    }

    Span {
        trace_id: bytes,
        span_id: bytes,
        parent_span_id: bytes,
        trace_state: text,
        flags: u32,
        name: text,
        kind: i32,
        start_time: u64,
        end_time: u64,
        attributes: list(KeyValue<'a>),
        dropped_attributes_count: u32,
        events: list(Event<'a>),
        dropped_events_count: u32,
        links: list(Link<'a>),
        dropped_links_count: u32,
        status: option(Status<'a>),
    }

    Event {
        time: u64,
        name: text,
        attributes: list(KeyValue<'a>),
        dropped_attributes_count: u32,
    }

    Link {
        trace_id: bytes,
        span_id: bytes,
        trace_state: text,
        attributes: list(KeyValue<'a>),
        dropped_attributes_count: u32,
        flags: u32,
    }

    Status {
        message: text,
        code: i32,
    }

    LogRecord {
        time: u64,
        observed_time: u64,
        severity_number: i32,
        severity_text: text,
        body: option(Value<'a>),
        attributes: list(KeyValue<'a>),
        dropped_attributes_count: u32,
        flags: u32,
        trace_id: bytes,
        span_id: bytes,
        event_name: text,
    }

    Metric {
        name: text,
        description: text,
        unit: text,
        metadata: list(KeyValue<'a>),
        data: option(Data<'a>),
    }

    Gauge {
        points: list(NumberPoint<'a>),
    }

    Sum {
        points: list(NumberPoint<'a>),
        temporality: i32,
        is_monotonic: bool,
    }

    Histogram {
        points: list(HistogramPoint<'a>),
        temporality: i32,
    }

    ExponentialHistogram {
        points: list(ExponentialHistogramPoint<'a>),
        temporality: i32,
    }

    Summary {
        points: list(SummaryPoint<'a>),
    }

    NumberPoint {
        attributes: list(KeyValue<'a>),
        start_time: u64,
        time: u64,
        value: option(Number),
        exemplars: list(Exemplar<'a>),
        flags: u32,
    }

    HistogramPoint {
        attributes: list(KeyValue<'a>),
        start_time: u64,
        time: u64,
        count: u64,
        sum: option(f64),
        min: option(f64),
        max: option(f64),
        bucket_counts: list(u64),
        bounds: list(f64),
        exemplars: list(Exemplar<'a>),
        flags: u32,
    }

    ExponentialHistogramPoint {
        attributes: list(KeyValue<'a>),
        start_time: u64,
        time: u64,
        count: u64,
        sum: option(f64),
        min: option(f64),
        max: option(f64),
        scale: i32,
        zero_count: u64,
        zero_threshold: f64,
        positive: option(Buckets<'a>),
        negative: option(Buckets<'a>),
        exemplars: list(Exemplar<'a>),
        flags: u32,
    }

    Buckets {
        offset: i32,
        counts: list(u64),
    }

    SummaryPoint {
        attributes: list(KeyValue<'a>),
        start_time: u64,
        time: u64,
        count: u64,
        sum: f64,
        quantiles: list(Quantile),
        flags: u32,
    }

    Exemplar {
        attributes: list(KeyValue<'a>),
        time: u64,
        value: option(Number),
        trace_id: bytes,
        span_id: bytes,
    }
}

impl<'a> Message<'a> for KeyValue<'a> {
    fn new(_: &'a Arena) -> Self {
        Self::default()
    }
}

impl<'a> Message<'a> for Value<'a> {
    fn new(_: &'a Arena) -> Self {
        Self::default()
    }
}

/// A value at a quantile.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Quantile {
    pub(crate) quantile: f64,
    pub(crate) value: f64,
}

impl<'a> Message<'a> for Quantile {
    fn new(_: &'a Arena) -> Self {
        Self::default()
    }
}

/// What a number point or an exemplar measured.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Number {
    Double(f64),
    Int(i64),
}

/// The points of a metric, by shape.
#[derive(Debug)]
pub(crate) enum Data<'a> {
    Gauge(Gauge<'a>),
    Sum(Sum<'a>),
    Histogram(Histogram<'a>),
    ExponentialHistogram(ExponentialHistogram<'a>),
    Summary(Summary<'a>),
}

/// One of the three kinds of telemetry: what its items are, and how they are read.
pub(crate) trait Signal {
    /// Members of the request, a resource and a scope in OTLP/JSON. In protobuf they have the same numbers in all
    /// three signals.
    const MEMBERS: Members;
    /// What a scope holds.
    type Item<'a>: Message<'a>;

    /// Reads an item from protobuf.
    fn from_wire<'a>(
        reader: super::wire::Reader<'a>,
        arena: &'a Arena,
        item: &mut Self::Item<'a>,
    ) -> Result<(), super::wire::WireError>;

    /// Reads an item from OTLP/JSON.
    fn from_json<'a, 't: 'a>(
        reader: &mut super::json::Reader<'t>,
        arena: &'a Arena,
    ) -> Result<Self::Item<'a>, super::json::JsonError>;
}

/// Names of the envelopes of a signal in OTLP/JSON.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Members {
    pub(crate) resources: &'static str,
    pub(crate) scopes: &'static str,
    pub(crate) items: &'static str,
}

/// Takes what a decoder reads, in the order of the request: a resource, a scope of it, its items.
///
/// The messages live no longer than the call. `repairs` is what the decoder mended in the message itself.
pub(crate) trait Sink<S: Signal> {
    /// What follows comes from this resource.
    fn resource(&mut self, resource: Option<Resource<'_>>, schema_url: Text<'_>, repairs: Repairs);
    /// What follows was made by this scope of the resource.
    fn scope(&mut self, scope: Option<Scope<'_>>, schema_url: Text<'_>, repairs: Repairs);
    /// An item of the scope. What is left of it is of no use.
    fn item(&mut self, item: &mut S::Item<'_>, repairs: Repairs);
}

/// Spans.
#[derive(Debug)]
pub(crate) struct Traces;

/// Data points.
#[derive(Debug)]
pub(crate) struct Metrics;

/// Log records.
#[derive(Debug)]
pub(crate) struct Logs;

macro_rules! signals {
    ($($signal:ident: $item:ident, $wire:ident, $json:ident, $resources:literal, $scopes:literal, $items:literal;)*) => {$(
        impl Signal for $signal {
            const MEMBERS: Members = Members { resources: $resources, scopes: $scopes, items: $items };
            type Item<'a> = $item<'a>;

            fn from_wire<'a>(
                reader: super::wire::Reader<'a>,
                arena: &'a Arena,
                item: &mut $item<'a>,
            ) -> Result<(), super::wire::WireError> {
                super::wire::messages::$wire(reader, arena, item)
            }

            fn from_json<'a, 't: 'a>(
                reader: &mut super::json::Reader<'t>,
                arena: &'a Arena,
            ) -> Result<$item<'a>, super::json::JsonError> {
                super::json::messages::$json(reader, arena)
            }
        }
    )*};
}

signals! {
    Traces: Span, span, span, "resourceSpans", "scopeSpans", "spans";
    Metrics: Metric, metric, metric, "resourceMetrics", "scopeMetrics", "metrics";
    Logs: LogRecord, log_record, log_record, "resourceLogs", "scopeLogs", "logRecords";
}
