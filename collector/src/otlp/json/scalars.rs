//! The forms in which OTLP/JSON writes numbers, ids, bytes and enums (J2-J6, J8).
//!
//! Each function reads one value; `null` gives the default.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::reader::{JsonError, Reader, Scalar, is_number};
use crate::otlp::message::{Arena, Full, Text};

/// Bytes of the longest id, and more than any has.
const ID_BYTES_MAX: usize = 32;

/// Stands for an id that is no hex: no id has one byte, so whoever checks it refuses it.
const NO_ID: [u8; 1] = [0];

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

macro_rules! integer {
    ($name:ident, $type:ty, $expected:literal) => {
        #[doc = concat!("J4: ", $expected, " as a number or decimal text; `7.0` and `7e0` are 7.")]
        pub(super) fn $name(&mut self) -> Result<$type, JsonError> {
            match self.scalar($expected)? {
                Scalar::Null => Ok(0),
                Scalar::Number(text) => integral(text).ok_or_else(|| self.wrong($expected, text)),
                Scalar::Text(text) => integral(&text).ok_or_else(|| self.wrong($expected, &text)),
                Scalar::Bool(value) => Err(self.wrong($expected, &value.to_string())),
            }
        }
    };
}

impl<'t> Reader<'t> {
    integer!(u64, u64, "a 64-bit unsigned integer");
    integer!(i64, i64, "a 64-bit integer");
    integer!(u32, u32, "a 32-bit unsigned integer");
    integer!(i32, i32, "a 32-bit integer");

    /// J5: a number, decimal text, or `NaN`, `Infinity`, `-Infinity` as text.
    pub(super) fn double(&mut self) -> Result<f64, JsonError> {
        const EXPECTED: &str = "a number";
        let finite = |text: &str| text.parse().ok().filter(|value: &f64| is_number(text) && value.is_finite());
        match self.scalar(EXPECTED)? {
            Scalar::Null => Ok(0.0),
            Scalar::Number(text) => finite(text).ok_or_else(|| self.wrong(EXPECTED, text)),
            Scalar::Text(text) => match text.as_ref() {
                "NaN" => Ok(f64::NAN),
                "Infinity" => Ok(f64::INFINITY),
                "-Infinity" => Ok(f64::NEG_INFINITY),
                text => finite(text).ok_or_else(|| self.wrong(EXPECTED, text)),
            },
            Scalar::Bool(value) => Err(self.wrong(EXPECTED, &value.to_string())),
        }
    }

    /// A double that may be absent.
    pub(super) fn optional_double(&mut self) -> Result<Option<f64>, JsonError> {
        if self.take_null() { Ok(None) } else { self.double().map(Some) }
    }

    /// `true` or `false`.
    pub(super) fn bool(&mut self) -> Result<bool, JsonError> {
        const EXPECTED: &str = "true or false";
        match self.scalar(EXPECTED)? {
            Scalar::Null => Ok(false),
            Scalar::Bool(value) => Ok(value),
            Scalar::Number(text) => Err(self.wrong(EXPECTED, text)),
            Scalar::Text(text) => Err(self.wrong(EXPECTED, &text)),
        }
    }

    /// Text.
    pub(super) fn text<'a>(&mut self, arena: &'a Arena) -> Result<Text<'a>, JsonError>
    where
        't: 'a,
    {
        const EXPECTED: &str = "a string";
        match self.scalar(EXPECTED)? {
            Scalar::Null => Ok(&[]),
            Scalar::Text(Cow::Borrowed(text)) => Ok(text.as_bytes()),
            Scalar::Text(Cow::Owned(text)) => Ok(arena.copy(text.as_bytes())),
            Scalar::Number(text) => Err(self.wrong(EXPECTED, text)),
            Scalar::Bool(value) => Err(self.wrong(EXPECTED, &value.to_string())),
        }
    }

    /// An error at this place: the item at hand becomes too large.
    #[cold]
    pub(super) fn full(&self, _: Full) -> JsonError {
        self.error(Full::REASON.to_owned())
    }

    /// J2: hex of either case. What is no hex, no text, or longer than any id becomes bytes that no id has.
    pub(super) fn id<'a>(&mut self, arena: &'a Arena) -> Result<&'a [u8], JsonError> {
        match self.scalar("an id in hex")? {
            Scalar::Null => Ok(&[]),
            Scalar::Text(text) => Ok(hex(&text, arena).unwrap_or(&NO_ID)),
            Scalar::Number(_) | Scalar::Bool(_) => Ok(&NO_ID),
        }
    }

    /// J3: base64 of either alphabet, with or without padding.
    pub(super) fn base64<'a>(&mut self, arena: &'a Arena) -> Result<&'a [u8], JsonError>
    where
        't: 'a,
    {
        let text = self.text(arena)?;
        let standard: Vec<u8> = text
            .iter()
            .map(|byte| match byte {
                b'-' => b'+',
                b'_' => b'/',
                other => *other,
            })
            .collect();
        let bytes = BASE64.decode(standard).map_err(|_| self.wrong("base64", &String::from_utf8_lossy(text)))?;
        Ok(arena.copy(&bytes))
    }

    /// J6: the number of an enum, or its name, which is counted as odd.
    pub(super) fn enumeration(&mut self, from_name: impl Fn(&str) -> Option<i32>) -> Result<i32, JsonError> {
        const EXPECTED: &str = "the number of an enum";
        match self.scalar(EXPECTED)? {
            Scalar::Null => Ok(0),
            Scalar::Number(text) => integral(text).ok_or_else(|| self.wrong(EXPECTED, text)),
            Scalar::Text(text) => {
                if let Some(number) = integral(&text) {
                    return Ok(number);
                }
                let number = from_name(&text).ok_or_else(|| self.wrong(EXPECTED, &text))?;
                self.count_enum_name();
                Ok(number)
            }
            Scalar::Bool(value) => Err(self.wrong(EXPECTED, &value.to_string())),
        }
    }
}

/// An integer in JSON's grammar, with a fraction or exponent only if it is still one.
fn integral<T: std::str::FromStr + TryFrom<i128>>(text: &str) -> Option<T> {
    if !is_number(text) {
        return None;
    }
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    if !text.contains(['.', 'e', 'E']) {
        return None;
    }
    let value: f64 = text.parse().ok()?;
    let is_exact = value.fract() == 0.0 && value.abs() < 2f64.powi(100);
    is_exact.then(|| T::try_from(value as i128).ok()).flatten()
}

fn hex<'a>(text: &str, arena: &'a Arena) -> Option<&'a [u8]> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).map(|digit| digit as u8);
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    if pairs.len() > ID_BYTES_MAX {
        return None;
    }
    let mut bytes = arena.list();
    for [high, low] in pairs {
        bytes.push(digit(high)? << 4 | digit(low)?);
    }
    Some(bytes.into_bump_slice())
}
