//! Where fields stand in encoded protobuf. For bytes that we encoded ourselves: anything odd panics.

use std::ops::Range;

/// Contents of the fields with this number in the message at `within`, in order.
pub fn fields(bytes: &[u8], within: Range<usize>, number: u64) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = within.start;
    while at < within.end {
        let tag = varint(bytes, &mut at);
        let length = match tag & 7 {
            0 => {
                let start = at;
                varint(bytes, &mut at);
                let length = at - start;
                at = start;
                length
            }
            1 => 8,
            2 => varint(bytes, &mut at) as usize,
            5 => 4,
            other => panic!("prost writes no wire type {other}"),
        };
        if tag >> 3 == number {
            found.push(at..at + length);
        }
        at += length;
    }
    found
}

/// The one field with this number; `None` when it was left out.
pub fn field(bytes: &[u8], within: Range<usize>, number: u64) -> Option<Range<usize>> {
    fields(bytes, within, number).pop()
}

/// Contents of all messages that are reached by following `numbers`.
pub fn descend(bytes: &[u8], numbers: &[u64]) -> Vec<Range<usize>> {
    let whole = std::iter::once(0..bytes.len()).collect();
    numbers.iter().fold(whole, |messages: Vec<Range<usize>>, number| {
        messages.into_iter().flat_map(|message| fields(bytes, message, *number)).collect()
    })
}

fn varint(bytes: &[u8], at: &mut usize) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = bytes[*at];
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    value
}
