//! Protobuf itself: fields one after the other, never past the end of the message they stand in.
//!
//! ```text
//! key      varint: number of the field << 3 | how its value is written
//! value    0 varint   1 eight bytes   2 length, then that many bytes   3 … 4 group   5 four bytes
//! ```
//!
//! A sub-message is a slice, so that nothing in it can reach beyond it. Messages and groups inside each other are
//! counted down from [`LEVELS_MAX`], so no input can overflow the stack (J12). Lengths are compared with what is
//! there before anything is done with them (T8).

use std::fmt;

use crate::otlp::message::{Arena, Full, Text};
use crate::otlp::short::is_ascii;

/// Messages inside each other; what prost allows.
const LEVELS_MAX: u32 = 100;

/// What is wrong, and where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct WireError(Box<Wrong>);

#[derive(Debug, PartialEq, Eq)]
struct Wrong {
    reason: &'static str,
    /// The messages around it, innermost first.
    path: Vec<&'static str>,
}

impl WireError {
    #[cold]
    pub(super) fn new(reason: &'static str) -> Self {
        Self(Box::new(Wrong { reason, path: Vec::new() }))
    }

    /// The same error, seen from the message around it.
    #[cold]
    pub(crate) fn inside(mut self, field: &'static str) -> Self {
        self.0.path.push(field);
        self
    }
}

impl fmt::Display for WireError {
    /// The reason first: a cut message must not lose it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.reason)?;
        for (n, field) in self.0.path.iter().rev().enumerate() {
            f.write_str(if n == 0 { " (in " } else { "." })?;
            f.write_str(field)?;
        }
        f.write_str(if self.0.path.is_empty() { "" } else { ")" })
    }
}

const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const BYTES: u32 = 2;
const GROUP: u32 = 3;
const GROUP_END: u32 = 4;
const FIXED32: u32 = 5;

/// Key of a field that is a varint.
pub(super) const fn varint(field: u32) -> u32 {
    field << 3 | VARINT
}

/// ... eight bytes.
pub(super) const fn fixed64(field: u32) -> u32 {
    field << 3 | FIXED64
}

/// ... a length and that many bytes.
pub(super) const fn bytes(field: u32) -> u32 {
    field << 3 | BYTES
}

/// ... four bytes.
pub(super) const fn fixed32(field: u32) -> u32 {
    field << 3 | FIXED32
}

/// A set of field numbers below 64.
pub(super) const fn fields(numbers: &[u32]) -> u64 {
    let (mut set, mut rest) = (0, numbers);
    while let [number, more @ ..] = rest {
        set |= 1 << *number;
        rest = more;
    }
    set
}

/// The rest of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    /// How many messages may still be opened inside each other.
    levels: u32,
}

impl<'a> Reader<'a> {
    /// A whole body.
    pub(crate) const fn new(body: &'a [u8]) -> Self {
        Self { rest: body, levels: LEVELS_MAX }
    }

    /// The next key; `None` at the end of the message. A key that nobody asked for must go to
    /// [`Reader::other`], which checks it.
    #[inline]
    pub(crate) fn key(&mut self) -> Result<Option<u32>, WireError> {
        match self.rest {
            [] => Ok(None),
            [short, rest @ ..] if *short < 0x80 => {
                self.rest = rest;
                Ok(Some(u32::from(*short)))
            }
            _ => {
                let key = self.varint()?;
                u32::try_from(key).map(Some).map_err(|_| WireError::new("a field has an impossible number"))
            }
        }
    }

    /// A varint.
    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u64, WireError> {
        match self.rest {
            [short, rest @ ..] if *short < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*short))
            }
            [low, high, rest @ ..] if *high < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*low & 0x7f) | u64::from(*high) << 7)
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, WireError> {
        let mut value = 0;
        for (n, byte) in self.rest.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * n);
            if *byte < 0x80 {
                // The tenth byte holds the 64th bit and no other.
                if n == 9 && *byte > 1 {
                    break;
                }
                self.rest = self.rest.get(n + 1..).unwrap_or_default();
                return Ok(value);
            }
        }
        Err(WireError::new("a number does not end"))
    }

    /// Eight bytes.
    #[inline]
    pub(crate) fn fixed64(&mut self) -> Result<u64, WireError> {
        let (value, rest) = self.rest.split_first_chunk().ok_or_else(too_short)?;
        self.rest = rest;
        Ok(u64::from_le_bytes(*value))
    }

    /// Four bytes.
    #[inline]
    pub(crate) fn fixed32(&mut self) -> Result<u32, WireError> {
        let (value, rest) = self.rest.split_first_chunk().ok_or_else(too_short)?;
        self.rest = rest;
        Ok(u32::from_le_bytes(*value))
    }

    /// A length, then that many bytes.
    #[inline]
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], WireError> {
        let length = self.varint()?;
        let length = usize::try_from(length).map_err(|_| too_short())?;
        let (value, rest) = self.rest.split_at_checked(length).ok_or_else(too_short)?;
        self.rest = rest;
        Ok(value)
    }

    /// Text; what is not UTF-8 in it is mended (J13).
    #[inline]
    pub(crate) fn text(&mut self, arena: &'a Arena) -> Result<Text<'a>, WireError> {
        let bytes = self.bytes()?;
        if is_utf8(bytes) { Ok(bytes) } else { arena.mend(bytes).map_err(full) }
    }

    /// A message inside this one.
    #[inline]
    pub(crate) fn message(&mut self) -> Result<Self, WireError> {
        let rest = self.bytes()?;
        let levels = self.levels.checked_sub(1).ok_or_else(too_deep)?;
        Ok(Self { rest, levels })
    }

    /// True at the end of the message.
    pub(super) const fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// The same reader over other bytes of the same level: packed numbers.
    pub(super) fn packed(&mut self) -> Result<Self, WireError> {
        Ok(Self { rest: self.bytes()?, levels: self.levels })
    }

    /// A field nobody asked for: skipped when it is not one of `known` (J1), else it is written in a way that it
    /// cannot be.
    #[cold]
    pub(crate) fn other(&mut self, key: u32, known: u64) -> Result<(), WireError> {
        let field = key >> 3;
        if known.checked_shr(field).is_some_and(|bit| bit & 1 == 1) {
            return Err(WireError::new("a field has the wrong wire type"));
        }
        self.skip(key)
    }

    /// Skips a field.
    pub(crate) fn skip(&mut self, key: u32) -> Result<(), WireError> {
        if key >> 3 == 0 {
            return Err(WireError::new("a field has the number 0"));
        }
        if self.levels == 0 {
            return Err(too_deep());
        }
        match key & 7 {
            VARINT => self.varint().map(drop),
            FIXED64 => self.fixed64().map(drop),
            BYTES => self.bytes().map(drop),
            FIXED32 => self.fixed32().map(drop),
            GROUP => self.skip_group(key),
            GROUP_END => Err(WireError::new("a group ends that did not begin")),
            _ => Err(WireError::new("a field has an unknown wire type")),
        }
    }

    fn skip_group(&mut self, key: u32) -> Result<(), WireError> {
        let mut inside = Self { rest: self.rest, levels: self.levels - 1 };
        loop {
            let inner = inside.key()?.ok_or_else(|| WireError::new("a group does not end"))?;
            if inner & 7 != GROUP_END {
                inside.skip(inner)?;
            } else if inner >> 3 == key >> 3 && key >> 3 != 0 {
                self.rest = inside.rest;
                return Ok(());
            } else {
                return Err(WireError::new("a group ends that did not begin"));
            }
        }
    }
}

#[cold]
pub(super) fn full(_: Full) -> WireError {
    WireError::new(Full::REASON)
}

#[cold]
fn too_short() -> WireError {
    WireError::new("the message ends too early")
}

#[cold]
fn too_deep() -> WireError {
    WireError::new("recursion limit reached: messages nest deeper than 100 levels")
}

/// Nearly all text is ASCII, which is quick to see.
#[inline]
fn is_utf8(bytes: &[u8]) -> bool {
    is_ascii(bytes) || std::str::from_utf8(bytes).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every length of varint is read, and none that is too long.
    #[test]
    fn varints() {
        for shift in 0..64 {
            for value in [1u64 << shift, (1u64 << shift) - 1, u64::MAX >> shift] {
                let mut bytes = Vec::new();
                prost::encoding::encode_varint(value, &mut bytes);
                let mut reader = Reader::new(&bytes);
                assert_eq!((reader.varint(), reader.is_at_end()), (Ok(value), true));
                assert!(Reader::new(&bytes[..bytes.len() - 1]).varint().is_err(), "{value} cut short");
            }
        }
        assert_eq!(Reader::new(&[0x80, 0x80, 0x00]).varint(), Ok(0));
        assert!(Reader::new(&[0xff; 11]).varint().is_err());
        assert!(Reader::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]).varint().is_err());
    }

    /// The reason comes first, then the way to it.
    #[test]
    fn errors_name_the_place() {
        let error = too_short().inside("attributes").inside("spans");
        assert_eq!(error.to_string(), "the message ends too early (in spans.attributes)");
        assert_eq!(too_short().to_string(), "the message ends too early");
    }
}
