//! What a WAL record holds.
//!
//! ```text
//! append  tenant_len u16 | tenant | n_batches u16 | batches...
//! batch   table_len u8 | table | schema crc u32 | n_rows u32 | ipc_len u32 | absent columns | 0.. to a multiple of 8 | Arrow IPC messages
//! absent  nothing, or when 128 was added to table_len: n u16 | position in the schema u16, n times
//! schema  table_len u8 | table | 0.. to a multiple of 8 | Arrow IPC schema message
//! ```
//!
//! A schema stands once per file and table; a batch names it by its CRC-32C. Batches written under an older
//! schema are read by column name: columns that did not exist yet are null. Columns that are null in every row
//! are left out of the messages: in most requests these are two thirds of all columns, and a third of the bytes.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::{Arc, OnceLock};

use arrow::array::{Array as _, ArrayRef, RecordBatch};
use arrow::buffer::{Buffer, MutableBuffer};
use arrow::datatypes::Schema;
use arrow::ipc::MetadataVersion;
use arrow::ipc::convert::try_schema_from_ipc_buffer;
use arrow::ipc::reader::StreamDecoder;
use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};
use model::TenantId;

use super::record::{ALIGNMENT, RECORD_HEADER_BYTES, RecordHeader, RecordKind};
use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::table::{TABLES, Table};

/// A record ready to be written: room for the header, then the payload.
#[derive(Debug)]
pub(crate) struct Encoded {
    bytes: Vec<u8>,
    kind: RecordKind,
    payload_crc: u32,
    plain_length: u32,
}

/// zstd's fast end: 0.14 ms for a batch of 512 spans, which becomes five times smaller. On a disk of 100 MB/s that
/// is the difference between 5 ms and 1 ms per sync.
const COMPRESSION_LEVEL: i32 = -5;
/// Smaller payloads are left as they are.
const COMPRESS_BYTES_MIN: usize = 512;
/// Plain bytes that one byte of a zstd frame can stand for: a block of 128 KiB takes 4 at least.
const ZSTD_RATIO_MAX: usize = 32 << 10;
/// Added to the length of a table's name when absent columns are listed.
const HAS_ABSENT: u8 = 0x80;
/// A thread keeps room for a payload up to this size from one record to the next.
const SCRATCH_BYTES_MAX: usize = 4 << 20;

thread_local! {
    /// What a thread needs to encode records, kept so that it is not made (and its memory cleared) for each.
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch {
        plain: Vec::new(),
        compressed: Vec::new(),
        compressor: zstd::bulk::Compressor::new(COMPRESSION_LEVEL).ok(),
    });
}

/// Room for one record.
struct Scratch {
    plain: Vec<u8>,
    compressed: Vec<u8>,
    compressor: Option<zstd::bulk::Compressor<'static>>,
}

impl Encoded {
    /// One append of all its batches.
    ///
    /// # Errors
    /// [`Error::TooLarge`] past `limit_bytes`.
    pub(crate) fn append(tenant: &TenantId, batches: &[Batch], limit_bytes: u64) -> Result<Self> {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut bytes = std::mem::take(&mut scratch.plain);
            bytes.clear();
            let record = Self::encode(&mut bytes, tenant, batches, limit_bytes).map(|()| Self::finish(&bytes, scratch));
            if bytes.capacity() <= SCRATCH_BYTES_MAX {
                scratch.plain = bytes;
            }
            record
        })
    }

    fn encode(bytes: &mut Vec<u8>, tenant: &TenantId, batches: &[Batch], limit_bytes: u64) -> Result<()> {
        bytes.resize(RECORD_HEADER_BYTES, 0);
        put_u16(bytes, tenant.as_str().len());
        bytes.extend_from_slice(tenant.as_str().as_bytes());
        put_u16(bytes, batches.len());
        for batch in batches {
            let table = batch.table();
            let (absent, present) = split_absent(batch.records());
            let name_at = bytes.len();
            put_name(bytes, table.name);
            bytes.extend_from_slice(&current_schema(table).crc.to_le_bytes());
            put_u32(bytes, batch.n_rows());
            let length_at = bytes.len();
            put_u32(bytes, 0);
            if !absent.is_empty() {
                bytes[name_at] |= HAS_ABSENT;
                put_u16(bytes, absent.len());
                absent.iter().for_each(|position| put_u16(bytes, *position));
            }
            pad(bytes);
            let start = bytes.len();
            if absent.is_empty() {
                write_messages(bytes, batch.records())?;
            } else {
                write_messages(bytes, &batch.records().project(&present)?)?;
            }
            let length = bytes.len() - start;
            if bytes.len() as u64 > limit_bytes {
                let expected: u64 = batches.iter().map(Batch::bytes).sum();
                return Err(Error::TooLarge { bytes: expected.max(bytes.len() as u64), limit_bytes });
            }
            bytes[length_at..length_at + 4].copy_from_slice(&(length as u32).to_le_bytes());
        }
        Ok(())
    }

    /// The schema of a table as this release writes it.
    pub(crate) fn schema(table: &'static Table) -> Self {
        let mut bytes = vec![0; RECORD_HEADER_BYTES];
        put_name(&mut bytes, table.name);
        pad(&mut bytes);
        bytes.extend_from_slice(&current_schema(table).message);
        Self::plain(bytes, RecordKind::Schema)
    }

    /// The mark of a file that was closed in order.
    pub(crate) fn end() -> Self {
        Self::plain(vec![0; RECORD_HEADER_BYTES], RecordKind::End)
    }

    /// An append with its payload compressed when that makes it clearly smaller. `bytes`: room for the header, then
    /// the payload.
    fn finish(bytes: &[u8], scratch: &mut Scratch) -> Self {
        let Some(frame) = compress(&bytes[RECORD_HEADER_BYTES..], scratch) else {
            return Self::plain(bytes.to_vec(), RecordKind::Append);
        };
        let mut record = Vec::with_capacity((RECORD_HEADER_BYTES + frame.len()).next_multiple_of(ALIGNMENT));
        record.resize(RECORD_HEADER_BYTES, 0);
        record.extend_from_slice(frame);
        let plain_length = (bytes.len() - RECORD_HEADER_BYTES) as u32;
        Self { plain_length, ..Self::plain(record, RecordKind::Append) }
    }

    fn plain(mut bytes: Vec<u8>, kind: RecordKind) -> Self {
        pad(&mut bytes);
        let payload_crc = crc32c::crc32c(&bytes[RECORD_HEADER_BYTES..]);
        Self { bytes, kind, payload_crc, plain_length: 0 }
    }

    /// Bytes in the file, header included; less than the payload when it was compressed.
    pub(crate) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Writes the header in front and gives all bytes of the record. `place`: records before it under the same sync.
    pub(crate) fn seal(&mut self, sequence: u64, salt: u64, place: u32) -> &[u8] {
        let length = (self.bytes.len() - RECORD_HEADER_BYTES) as u32;
        let header = RecordHeader {
            length,
            sequence,
            kind: self.kind,
            place,
            payload_crc: self.payload_crc,
            plain_length: self.plain_length,
        };
        self.bytes[..RECORD_HEADER_BYTES].copy_from_slice(&header.to_bytes(salt));
        &self.bytes
    }
}

/// The payload compressed; `None` when that does not make it clearly smaller.
fn compress<'a>(payload: &[u8], scratch: &'a mut Scratch) -> Option<&'a [u8]> {
    if payload.len() < COMPRESS_BYTES_MIN {
        return None;
    }
    let Scratch { compressed, compressor, .. } = scratch;
    // No room for a result that is not worth it: compression then stops early.
    let room = payload.len() / 8 * 7;
    if compressed.len() < room || compressed.len() > SCRATCH_BYTES_MAX {
        *compressed = vec![0; room];
    }
    let n_bytes = compressor.as_mut()?.compress_to_buffer(payload, &mut compressed[..room]).ok()?;
    compressed.get(..n_bytes)
}

/// Positions of the columns that are null in every row, and of all others. A batch keeps one column at least.
fn split_absent(records: &RecordBatch) -> (Vec<usize>, Vec<usize>) {
    let is_absent = |position: &usize| {
        let column = records.column(*position);
        records.num_rows() > 0 && column.null_count() == records.num_rows()
    };
    (0..records.num_columns()).partition(is_absent)
}

/// Bytes that a compressed payload was, in aligned memory; `None` when it is not what its header says.
pub(crate) fn decompress(payload: &[u8], plain_length: usize) -> Option<Buffer> {
    // Zeros that align the next record stand behind the frame.
    let frame = payload.get(..zstd::zstd_safe::find_frame_compressed_size(payload).ok()?)?;
    // No memory for what no frame of this length can hold.
    if plain_length > frame.len().saturating_mul(ZSTD_RATIO_MAX) {
        return None;
    }
    let mut plain = MutableBuffer::from_len_zeroed(plain_length);
    let n_bytes = zstd::bulk::decompress_to_buffer(frame, plain.as_slice_mut()).ok()?;
    (n_bytes == plain_length).then(|| plain.into())
}

/// Schemas by their CRC: those of the file being read, over those of this release.
#[derive(Debug)]
pub(crate) struct Schemas {
    messages: HashMap<u32, Buffer>,
}

impl Schemas {
    /// Knows the schemas of this release, so that a damaged schema record does not make a file unreadable.
    pub(crate) fn new() -> Self {
        let messages = TABLES.iter().map(|table| {
            let schema = current_schema(table);
            (schema.crc, Buffer::from(schema.message.as_slice()))
        });
        Self { messages: messages.collect() }
    }

    /// Takes the payload of a schema record.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn add(&mut self, payload: &Buffer) -> Result<(), String> {
        let mut cursor = Cursor { bytes: payload, at: 0 };
        cursor.name()?;
        cursor.align();
        let message = payload.slice(cursor.at.min(payload.len()));
        self.messages.insert(crc32c::crc32c(&message), message);
        Ok(())
    }
}

/// A batch read back, with the bytes it takes.
#[derive(Debug)]
pub(crate) struct DecodedBatch {
    /// The rows.
    pub batch: Batch,
    /// Bytes of the rows in the record. The arrays share the record's memory, so that counting their
    /// buffers would count it many times.
    pub bytes: u64,
}

/// Whose rows an append record holds, and those rows of the tables for which `wanted` says yes.
///
/// # Errors
/// What is wrong with it: the checksum was right, so this is a record of another release or a bug.
pub(crate) fn decode_append(
    payload: &Buffer,
    schemas: &Schemas,
    wanted: impl Fn(&TenantId, &'static Table) -> bool,
) -> Result<(TenantId, Vec<DecodedBatch>), String> {
    let mut cursor = Cursor { bytes: payload, at: 0 };
    let tenant_len = cursor.u16()?;
    let tenant = TenantId::new(cursor.text(usize::from(tenant_len))?).ok_or("tenant name is not allowed")?;
    let n_batches = cursor.u16()?;
    let mut batches = Vec::with_capacity(usize::from(n_batches.min(16)));
    for _ in 0..n_batches {
        let (name, has_absent) = cursor.table_name()?;
        let table = Table::by_name(name).ok_or_else(|| format!("no table {name}"))?;
        let schema_crc = cursor.u32()?;
        let n_rows = cursor.u32()? as usize;
        let ipc_len = cursor.u32()? as usize;
        let n_absent = if has_absent { cursor.u16()? } else { 0 };
        let absent = (0..n_absent).map(|_| Ok(usize::from(cursor.u16()?))).collect::<Result<Vec<_>, String>>()?;
        cursor.align();
        let start = cursor.at;
        cursor.take(ipc_len)?;
        if !wanted(&tenant, table) {
            continue;
        }
        let schema = schemas.messages.get(&schema_crc).ok_or("its schema is not in the file")?;
        let messages = payload.slice_with_length(start, ipc_len);
        let records = if absent.is_empty() {
            read_messages(schema, messages)?
        } else {
            read_messages(&without(schema, &absent)?, messages)?
        };
        if records.num_rows() != n_rows {
            return Err(format!("{} rows instead of {n_rows}", records.num_rows()));
        }
        batches.push(DecodedBatch { batch: conform(table, &records)?, bytes: ipc_len as u64 });
    }
    Ok((tenant, batches))
}

/// Brings rows of an older schema to the table's: by name, missing columns null, unknown columns refused.
pub(crate) fn conform(table: &'static Table, records: &RecordBatch) -> Result<Batch, String> {
    if records.schema_ref() == &table.schema() {
        return Batch::new(table, records.clone()).map_err(|error| error.to_string());
    }
    let schema = records.schema();
    let columns = schema.fields().iter().zip(records.columns()).map(|(field, array)| {
        let (_, column) = table.column(field.name()).ok_or_else(|| format!("no column {}", field.name()))?;
        Ok((column.name, Arc::clone(array)))
    });
    let columns: Vec<(&'static str, ArrayRef)> = columns.collect::<Result<_, String>>()?;
    Batch::from_columns(table, records.num_rows(), columns).map_err(|error| error.to_string())
}

/// A schema as IPC message, and its name.
#[derive(Debug)]
struct SchemaMessage {
    message: Vec<u8>,
    crc: u32,
}

/// The schema of a table as this release writes it; made once.
fn current_schema(table: &'static Table) -> &'static SchemaMessage {
    static MESSAGES: OnceLock<Vec<SchemaMessage>> = OnceLock::new();
    let messages = MESSAGES.get_or_init(|| {
        let encode = |table: &&'static Table| {
            let mut message = schema_message(&table.schema());
            pad(&mut message);
            let crc = crc32c::crc32c(&message);
            SchemaMessage { message, crc }
        };
        TABLES.iter().map(encode).collect()
    });
    &messages[table.index()]
}

fn schema_message(schema: &Schema) -> Vec<u8> {
    let writer = StreamWriter::try_new_with_options(Vec::new(), schema, options());
    let mut writer = writer.expect("the schemas of our tables are legal in Arrow IPC: tested");
    std::mem::take(writer.get_mut())
}

fn options() -> IpcWriteOptions {
    IpcWriteOptions::try_new(ALIGNMENT, false, MetadataVersion::V5).expect("8 is a legal alignment")
}

/// A schema message without the columns at these positions.
fn without(schema: &Buffer, absent: &[usize]) -> Result<Buffer, String> {
    let schema = try_schema_from_ipc_buffer(schema).map_err(|error| error.to_string())?;
    if let Some(position) = absent.iter().find(|position| **position >= schema.fields().len()) {
        return Err(format!("column {position} of {} is absent", schema.fields().len()));
    }
    let present: Vec<usize> = (0..schema.fields().len()).filter(|position| !absent.contains(position)).collect();
    let schema = schema.project(&present).map_err(|error| error.to_string())?;
    let mut message = schema_message(&schema);
    pad(&mut message);
    Ok(Buffer::from(message))
}

/// Takes what a stream writer writes, without the schema message in front.
#[derive(Debug)]
struct WithoutSchema<'a> {
    out: &'a mut Vec<u8>,
    skipping: bool,
}

impl Write for WithoutSchema<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.skipping {
            self.out.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Appends the dictionaries and rows of `records` as IPC messages to `out`, which must be aligned.
fn write_messages(out: &mut Vec<u8>, records: &RecordBatch) -> Result<()> {
    let sink = WithoutSchema { out, skipping: true };
    let mut writer = StreamWriter::try_new_with_options(sink, records.schema_ref(), options())?;
    writer.get_mut().skipping = false;
    writer.write(records)?;
    Ok(())
}

fn read_messages(schema: &Buffer, messages: Buffer) -> Result<RecordBatch, String> {
    let mut decoder = StreamDecoder::new();
    let mut schema = schema.clone();
    let mut messages = messages;
    let text = |error: arrow::error::ArrowError| error.to_string();
    if decoder.decode(&mut schema).map_err(text)?.is_some() {
        return Err("rows in a schema record".to_owned());
    }
    let records = decoder.decode(&mut messages).map_err(text)?.ok_or("it ends before its rows")?;
    if messages.is_empty() { Ok(records) } else { Err("something follows its rows".to_owned()) }
}

fn put_u16(bytes: &mut Vec<u8>, value: usize) {
    bytes.extend_from_slice(&(value as u16).to_le_bytes());
}

fn put_u32(bytes: &mut Vec<u8>, value: usize) {
    bytes.extend_from_slice(&(value as u32).to_le_bytes());
}

fn put_name(bytes: &mut Vec<u8>, name: &str) {
    bytes.push(name.len() as u8);
    bytes.extend_from_slice(name.as_bytes());
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
}

/// Reads small values; never past the end.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], String> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or("it ends early")?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn u16(&mut self) -> Result<u16, String> {
        Ok(u16::from_le_bytes(self.take(2)?.try_into().expect("two bytes")))
    }

    fn u32(&mut self) -> Result<u32, String> {
        Ok(u32::from_le_bytes(self.take(4)?.try_into().expect("four bytes")))
    }

    fn text(&mut self, length: usize) -> Result<&'a str, String> {
        std::str::from_utf8(self.take(length)?).map_err(|error| error.to_string())
    }

    /// A table's name, and whether absent columns are listed.
    fn table_name(&mut self) -> Result<(&'a str, bool), String> {
        let length = self.take(1)?[0];
        Ok((self.text(usize::from(length & !HAS_ABSENT))?, length & HAS_ABSENT != 0))
    }

    fn name(&mut self) -> Result<&'a str, String> {
        let length = self.take(1)?[0];
        self.text(usize::from(length))
    }

    fn align(&mut self) {
        self.at = self.at.next_multiple_of(ALIGNMENT);
    }
}
