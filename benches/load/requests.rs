//! A request as bytes, and how each send of it is made different.
//!
//! Text is encoded with `#` where a random decimal digit shall stand and with `~` for a hexadecimal one.

use std::io::Write as _;
use std::ops::Range;

use bytes::{Bytes, BytesMut};

use super::wire;

/// Spans of one trace in the generated load: one in each of so many requests, of as many services.
pub const SPANS_PER_TRACE: u64 = 8;
/// Spans of one trace where traces lie within a request.
pub const SPANS_PER_OWN_TRACE: usize = 3;
/// Bytes in front of a message in gRPC: not compressed, and its length.
const GRPC_HEAD_BYTES: usize = 5;

/// How a body is compressed before the clock starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// Not at all.
    None,
    /// gzip at its usual level 6.
    Gzip,
    /// zstd at its usual level 3.
    Zstd,
}

/// A request with places that differ from send to send.
#[derive(Clone, Debug)]
pub struct EncodedRequest {
    /// gRPC's head, then the message.
    bytes: Vec<u8>,
    patches: Vec<Patch>,
    /// Spans, points or records in it.
    pub n_items: usize,
}

/// What stands at a place.
#[derive(Clone, Copy, Debug)]
pub enum What {
    /// Trace id of the item at hand.
    TraceId,
    /// Span id of the item at hand.
    SpanId,
    /// Span id of the item at the same position in the request before.
    ParentId,
    /// Trace id of the item at hand, where traces lie within a request.
    OwnTraceId,
    /// Span id of the item before, in the same request.
    BeforeId,
    /// Random bytes.
    Random,
    /// Random hexadecimal digits, as text.
    Hex,
    /// Random decimal digits, as text.
    Digits,
    /// A moment so many nanoseconds before now, and up to a second more; later moments of the item count from it.
    Start {
        /// Nanoseconds.
        before_now: u64,
    },
    /// So many nanoseconds after the start, and up to 64 us more.
    After {
        /// Nanoseconds.
        nanos: u64,
    },
    /// A double between 0 and 1000 with three digits.
    Double,
    /// An integer that grows with time.
    Int,
}

#[derive(Clone, Copy, Debug)]
struct Patch {
    at: u32,
    length: u32,
    item: u32,
    what: What,
}

/// A message while its places are being found.
pub struct Draft {
    bytes: Vec<u8>,
    patches: Vec<Patch>,
    item: u32,
}

impl Draft {
    /// A message encoded by prost.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, patches: Vec::new(), item: 0 }
    }

    /// The message.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Places noted from here on belong to this item.
    pub fn item(&mut self, item: usize) {
        self.item = item as u32;
    }

    /// Notes a place, if it is there.
    pub fn patch(&mut self, place: Option<Range<usize>>, what: What) {
        if let Some(place) = place {
            let at = (place.start + GRPC_HEAD_BYTES) as u32;
            self.patches.push(Patch { at, length: place.len() as u32, item: self.item, what });
        }
    }

    /// Notes the places in the text values of attributes (all `KeyValue` fields with this number).
    pub fn patch_attributes(&mut self, item: Range<usize>, number: u64) {
        for attribute in wire::fields(&self.bytes, item, number) {
            let value = wire::field(&self.bytes, attribute, 2).expect("every attribute has a value");
            if let Some(text) = wire::field(&self.bytes, value, 1) {
                self.patch_text(text);
            }
        }
    }

    /// Notes the runs of `#` and `~` in a text.
    pub fn patch_text(&mut self, text: Range<usize>) {
        let mut at = text.start;
        while at < text.end {
            let byte = self.bytes[at];
            let run = self.bytes[at..text.end].iter().take_while(|other| **other == byte).count();
            match byte {
                b'#' => self.patch(Some(at..at + run), What::Digits),
                b'~' => self.patch(Some(at..at + run), What::Hex),
                _ => {}
            }
            at += run;
        }
    }

    /// The request.
    pub fn finish(self, n_items: usize) -> EncodedRequest {
        let mut bytes = vec![0];
        bytes.extend_from_slice(&(self.bytes.len() as u32).to_be_bytes());
        bytes.extend_from_slice(&self.bytes);
        EncodedRequest { bytes, patches: self.patches, n_items }
    }
}

impl EncodedRequest {
    /// The message as no other serial has it, in gRPC's frame.
    pub fn framed(&self, serial: u64, now: u64) -> Bytes {
        let mut bytes = BytesMut::from(&self.bytes[..]);
        // Mixed, because the sequences of neighbours would be one sequence, shifted by one.
        let mut random = Random(mix(serial));
        let mut start = now;
        for patch in &self.patches {
            let place = &mut bytes[patch.at as usize..][..patch.length as usize];
            match patch.what {
                What::TraceId => place.copy_from_slice(&trace_id(serial, patch.item as usize)),
                What::SpanId => place.copy_from_slice(&span_id(serial, patch.item as usize)),
                What::OwnTraceId => place.copy_from_slice(&own_trace_id(serial, patch.item as usize)),
                What::BeforeId => place.copy_from_slice(&span_id(serial, (patch.item as usize).wrapping_sub(1))),
                What::ParentId => place.copy_from_slice(&span_id(serial.wrapping_sub(1), patch.item as usize)),
                What::Random => {
                    place
                        .chunks_mut(8)
                        .for_each(|chunk| chunk.copy_from_slice(&random.next().to_le_bytes()[..chunk.len()]));
                }
                What::Hex => random.digits(place, 16),
                What::Digits => random.digits(place, 10),
                What::Start { before_now } => {
                    start = now - before_now - random.next() % 1_000_000_000;
                    place.copy_from_slice(&start.to_le_bytes());
                }
                What::After { nanos } => {
                    place.copy_from_slice(&(start + nanos + random.next() % 65_536).to_le_bytes());
                }
                What::Double => {
                    let value = (random.next() % 1_000_000) as f64 / 1000.0;
                    place.copy_from_slice(&value.to_le_bytes());
                }
                What::Int => place.copy_from_slice(&(serial * 1000 + random.next() % 1000).to_le_bytes()),
            }
        }
        bytes.freeze()
    }

    /// The message alone.
    pub fn message(&self, serial: u64, now: u64) -> Bytes {
        self.framed(serial, now).slice(GRPC_HEAD_BYTES..)
    }

    /// The message compressed, in gRPC's frame.
    pub fn framed_compressed(&self, serial: u64, now: u64, coding: Coding) -> Bytes {
        let plain = self.message(serial, now);
        let compressed = match coding {
            Coding::None => plain.to_vec(),
            Coding::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
                encoder.write_all(&plain).and_then(|()| encoder.finish()).expect("memory takes everything")
            }
            Coding::Zstd => zstd::bulk::compress(&plain, 3).expect("memory takes everything"),
        };
        let mut bytes = vec![u8::from(coding != Coding::None)];
        bytes.extend_from_slice(&(compressed.len() as u32).to_be_bytes());
        bytes.extend_from_slice(&compressed);
        bytes.into()
    }
}

/// Takes gRPC's frame off.
pub fn unframed(framed: &Bytes) -> Bytes {
    framed.slice(GRPC_HEAD_BYTES..)
}

/// The trace id of the `item`-th span in the request with this serial. The requests with serials 8 n to 8 n + 7
/// hold one span each of the same traces.
pub fn trace_id(serial: u64, item: usize) -> [u8; 16] {
    spread((serial / SPANS_PER_TRACE) << 16 | item as u64)
}

/// The trace id of the `item`-th span in the request with this serial, where each [`SPANS_PER_OWN_TRACE`] neighbours are a trace.
pub fn own_trace_id(serial: u64, item: usize) -> [u8; 16] {
    spread(serial << 16 | (item / SPANS_PER_OWN_TRACE) as u64)
}

/// Mixed, so that ids are spread like random ones.
fn spread(trace: u64) -> [u8; 16] {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&mix(trace).to_be_bytes());
    id[8..].copy_from_slice(&mix(!trace).to_be_bytes());
    id
}

fn span_id(serial: u64, item: usize) -> [u8; 8] {
    mix((serial << 16 | item as u64) ^ 0xA5A5_0000_0000_0000).to_be_bytes()
}

/// One to one, so that different inputs give different ids.
fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

/// splitmix64: good enough for values that only must not repeat.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    fn digits(&mut self, place: &mut [u8], base: u64) {
        for chunk in place.chunks_mut(12) {
            let mut value = self.next();
            for byte in chunk {
                *byte = b"0123456789abcdef"[(value % base) as usize];
                value /= base;
            }
        }
    }
}
