//! One log record to one row of the table `logs`, one line per column.

use model::Repairs;
use storage::Batch;
use storage::table::LOGS;

use super::attributes::ItemAttributes;
use super::columns::{Bytes, Ints, Labels, Named, ShortInts};
use super::keys::Keys;
use super::message::{LogRecord, Logs, Value};
use super::origin::{Origin, OriginColumns};
use super::sink::{From, Rows};
use super::{BATCH_BYTES_MAX, BATCH_ROWS_MAX, Request, text};
use crate::outcome::Reason;
use crate::sanitize::times::LogTime;
use crate::sanitize::{self, Rules, sizes};

/// What can be long in a record.
fn record_bytes(record: &LogRecord<'_>) -> usize {
    sizes::attributes(&record.attributes) + record.body.as_ref().map_or(0, sizes::value)
}

/// Columns under construction; used again for the next batch.
#[derive(Debug)]
pub(crate) struct LogRows {
    n_rows: usize,
    bytes: usize,
    time: Ints,
    sent_time: Ints,
    observed_time: Ints,
    arrival_time: Ints,
    severity_number: ShortInts,
    severity_text: Labels,
    body: Bytes,
    body_json: Bytes,
    event_name: Labels,
    trace_id: Bytes,
    span_id: Bytes,
    flags: Ints,
    dropped_attributes_count: Ints,
    attributes: ItemAttributes,
    repairs: ShortInts,
    origin: OriginColumns,
    scratch: Vec<u8>,
}

impl Default for LogRows {
    fn default() -> Self {
        Self {
            n_rows: 0,
            bytes: 0,
            time: Ints::default(),
            sent_time: Ints::default(),
            observed_time: Ints::default(),
            arrival_time: Ints::default(),
            severity_number: ShortInts::default(),
            severity_text: Labels::default(),
            body: Bytes::default(),
            body_json: Bytes::default(),
            event_name: Labels::default(),
            trace_id: Bytes::default(),
            span_id: Bytes::default(),
            flags: Ints::default(),
            dropped_attributes_count: Ints::default(),
            attributes: ItemAttributes::listing(),
            repairs: ShortInts::default(),
            origin: OriginColumns::default(),
            scratch: Vec::new(),
        }
    }
}

impl Rows<Logs> for LogRows {
    fn take(
        &mut self,
        record: &mut LogRecord<'_>,
        repairs: Repairs,
        from: &From,
        keys: &mut Keys,
        rules: &Rules,
        mut count: impl FnMut(Result<Repairs, Reason>),
    ) {
        count(sanitize::log(record, keys, rules).map(|(time, mended)| {
            let repairs = repairs | mended | from.origin.repairs();
            self.push(record, &time, repairs, keys);
            self.bytes += if rules.is_small { 0 } else { record_bytes(record) };
            repairs
        }));
    }

    fn fill_origin(&mut self, origin: &Origin) {
        self.origin.fill(origin, self.n_rows);
    }

    fn is_full(&self) -> bool {
        self.n_rows >= BATCH_ROWS_MAX || self.bytes >= BATCH_BYTES_MAX
    }

    fn finish(&mut self, request: &mut Request<'_>) {
        if self.n_rows > 0 {
            request.push(self.batch(request.rules));
        }
    }
}

impl LogRows {
    fn push(&mut self, record: &LogRecord<'_>, time: &LogTime, repairs: Repairs, keys: &Keys) {
        self.time.push(time.time);
        self.sent_time.push_option(time.sent);
        self.observed_time.push(record.observed_time.cast_signed());
        self.severity_number.push(record.severity_number);
        self.severity_text.push_non_empty(record.severity_text);
        self.push_body(record);
        self.event_name.push_non_empty(record.event_name);
        self.trace_id.push_non_empty(record.trace_id);
        self.span_id.push_non_empty(record.span_id);
        self.flags.push(i64::from(record.flags));
        self.dropped_attributes_count.push(i64::from(record.dropped_attributes_count));
        self.attributes.push(self.n_rows, &record.attributes, keys);
        self.repairs.push(repairs.bits());
        self.n_rows += 1;
    }

    /// Text goes to `body`, any other value to `body_json`, no value to neither.
    fn push_body(&mut self, record: &LogRecord<'_>) {
        let (text, json) = match &record.body {
            Some(Value::Text(body)) => (Some(*body), None),
            Some(value) => {
                self.scratch.clear();
                text::write_value(&mut self.scratch, value);
                (None, Some(self.scratch.as_slice()))
            }
            None => (None, None),
        };
        self.body.push_option(text);
        self.body_json.push_option(json);
    }

    fn batch(&mut self, rules: &Rules) -> storage::Result<Batch> {
        let n_rows = std::mem::take(&mut self.n_rows);
        self.bytes = 0;
        self.arrival_time.fill(rules.now.0, n_rows);
        let mut columns: Vec<Named> = vec![
            ("time", self.time.finish()),
            ("observed_time", self.observed_time.finish()),
            ("arrival_time", self.arrival_time.finish()),
            ("severity_number", self.severity_number.finish()),
            ("flags", self.flags.finish()),
            ("dropped_attributes_count", self.dropped_attributes_count.finish()),
            ("repairs", self.repairs.finish()),
        ];
        columns.extend(self.sent_time.finish_some().map(|column| ("sent_time", column)));
        columns.extend(self.body.finish_some_texts().map(|column| ("body", column)));
        columns.extend(self.body_json.finish_some_texts().map(|column| ("body_json", column)));
        columns.extend(self.trace_id.finish_some_bytes().map(|column| ("trace_id", column)));
        columns.extend(self.span_id.finish_some_bytes().map(|column| ("span_id", column)));
        columns.extend(self.severity_text.finish().map(|column| ("severity_text", column)));
        columns.extend(self.event_name.finish().map(|column| ("event_name", column)));
        self.attributes.finish(n_rows, &mut columns);
        self.origin.finish(n_rows, &mut columns);
        Batch::from_columns(&LOGS, n_rows, columns)
    }
}
