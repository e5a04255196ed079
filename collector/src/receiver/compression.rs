//! gzip, zstd and deflate, streamed and stopped at the limit (T7-T10).
//!
//! Sizes that a body claims about itself are never believed: the output grows with what really comes out. It goes
//! to a buffer that the thread keeps for the next body, so that inflating costs no more than inflating.

use std::cell::Cell;
use std::io::Read;

use bytes::Bytes;
use flate2::bufread::{MultiGzDecoder, ZlibDecoder};

use crate::budget::Reservation;
use crate::error::{Error, Result};

/// What is decompressed between two looks at the limit.
const STEP_BYTES: usize = 64 << 10;
/// The largest window a zstd frame may ask for: 2^25 is 32 MiB, four times what its specification asks of
/// a decoder, and what the strongest common settings use.
const ZSTD_WINDOW_LOG_MAX: u32 = 25;
/// A buffer larger than this is given back, so that one large body does not stay in memory.
const KEPT_BYTES_MAX: usize = 4 << 20;

thread_local! {
    /// Room for a plain body; taken while it is used.
    static PLAIN: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Identity,
    Gzip,
    Zstd,
    /// A zlib stream, which is what HTTP calls deflate.
    Deflate,
}

/// What we read, for `Accept-Encoding` and `grpc-accept-encoding`.
pub(crate) const ACCEPTED: &str = "gzip, zstd, deflate, identity";

impl Coding {
    /// Reads a header's value; absent means not compressed.
    ///
    /// # Errors
    /// [`Error::UnsupportedCoding`], also for several codings on top of each other.
    pub(crate) fn parse(header: Option<&str>) -> Result<Self> {
        match header.unwrap_or("").trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(Self::Identity),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            "zstd" => Ok(Self::Zstd),
            "deflate" => Ok(Self::Deflate),
            other => Err(Error::UnsupportedCoding { coding: other.chars().take(64).collect() }),
        }
    }
}

/// A plain body, and the bytes in flight that it took beyond those it came as.
#[derive(Debug)]
pub(crate) struct Plain {
    bytes: Bytes,
    /// In place of `bytes` for what was compressed; goes back to the thread that drops it.
    inflated: Vec<u8>,
    held: Reservation,
}

impl Plain {
    /// Decompresses a body; what comes out is reserved beside what `reservation` holds, step by step.
    ///
    /// # Errors
    /// [`Error::TooLarge`] at the limit, [`Error::Busy`] when too much is in flight, [`Error::Undecodable`] for a
    /// body that is not what its header says, is cut short, fails its checksum, or goes on after its end. Nothing stays reserved then.
    pub(crate) fn of(coding: Coding, body: &Bytes, limit_bytes: u64, reservation: &Reservation) -> Result<Self> {
        Self::begin(coding, body, limit_bytes, reservation).map_err(|(error, _)| error)
    }

    /// The same; an error comes with how many bytes of the body had been read.
    ///
    /// # Errors
    /// As [`Plain::of`].
    pub(crate) fn begin(
        coding: Coding,
        body: &Bytes,
        limit_bytes: u64,
        reservation: &Reservation,
    ) -> std::result::Result<Self, (Error, usize)> {
        let mut plain = Self { bytes: Bytes::new(), inflated: Vec::new(), held: reservation.another() };
        if coding == Coding::Identity {
            plain.bytes = body.clone();
            return Ok(plain);
        }
        plain.inflated = PLAIN.take();
        plain.inflated.clear();
        let mut rest = body.as_ref();
        decompress(coding, &mut rest, limit_bytes, Some(&mut plain.held), &mut plain.inflated)
            .map_err(|error| (error, body.len() - rest.len()))?;
        Ok(plain)
    }

    /// Says whether a body would be refused once it is decompressed, and keeps nothing of it. Cost: decompressing.
    ///
    /// # Errors
    /// As [`Plain::of`], but for what is in flight.
    pub(crate) fn try_out(coding: Coding, body: &Bytes, limit_bytes: u64) -> Result<()> {
        let mut plain = PLAIN.take();
        let tried = decompress(coding, &mut body.as_ref(), limit_bytes, None, &mut plain);
        PLAIN.set(plain);
        tried
    }

    /// The bytes.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        if self.bytes.is_empty() { &self.inflated } else { &self.bytes }
    }

    /// What it took beyond those it came as; the bytes themselves are over.
    pub(crate) fn into_held(mut self) -> Reservation {
        let nothing = self.held.another();
        std::mem::replace(&mut self.held, nothing)
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        let inflated = std::mem::take(&mut self.inflated);
        if (1..=KEPT_BYTES_MAX).contains(&inflated.capacity()) {
            PLAIN.set(inflated);
        }
    }
}

/// Without a `reservation` what comes out is only counted; `wire` is left at what was not read.
fn decompress(
    coding: Coding,
    wire: &mut &[u8],
    limit_bytes: u64,
    reservation: Option<&mut Reservation>,
    plain: &mut Vec<u8>,
) -> Result<()> {
    let failed =
        |name: &'static str| move |error: std::io::Error| Error::undecodable(format!("not valid {name}: {error}"));
    match coding {
        Coding::Identity => plain.extend_from_slice(wire),
        Coding::Gzip => read_limited(MultiGzDecoder::new(wire), limit_bytes, reservation, plain, failed("gzip"))?,
        Coding::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(wire).map_err(failed("zstd"))?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(failed("zstd"))?;
            read_limited(decoder, limit_bytes, reservation, plain, failed("zstd"))?;
        }
        Coding::Deflate => {
            let mut decoder = ZlibDecoder::new(wire);
            read_limited(&mut decoder, limit_bytes, reservation, plain, failed("deflate"))?;
            let rest = decoder.into_inner();
            if !rest.is_empty() {
                return Err(Error::undecodable(format!("{} bytes follow the end of the deflate stream", rest.len())));
            }
        }
    }
    Ok(())
}

fn read_limited(
    mut from: impl Read,
    limit_bytes: u64,
    mut reservation: Option<&mut Reservation>,
    plain: &mut Vec<u8>,
    failed: impl Fn(std::io::Error) -> Error,
) -> Result<()> {
    let mut n_bytes = 0;
    loop {
        if reservation.is_none() {
            plain.clear();
        }
        let n_read = from.by_ref().take(STEP_BYTES as u64).read_to_end(plain).map_err(&failed)? as u64;
        if n_read == 0 {
            return Ok(());
        }
        n_bytes += n_read;
        if n_bytes > limit_bytes {
            return Err(Error::TooLarge { limit_bytes, stage: "when decompressed" });
        }
        if let Some(reservation) = &mut reservation {
            reservation.grow(n_read)?;
        }
    }
}
