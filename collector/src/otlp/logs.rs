//! One log record to one row of the table `logs`, one line per column.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::array::builder::{BinaryBuilder, Int32Builder, Int64Builder, StringBuilder};
use model::Repairs;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use prost::Message as _;
use storage::Batch;
use storage::table::LOGS;

use super::attributes::ItemAttributes;
use super::columns::{Labels, batch, fill_ints};
use super::origin::{Origin, OriginColumns};
use super::{BATCH_BYTES_MAX, BATCH_ROWS_MAX, text};
use crate::outcome::Outcome;
use crate::sanitize::times::LogTime;
use crate::sanitize::{self, Rules};

/// Sanitizes and maps a request; refused records are counted in `outcome`.
pub(crate) fn batches(
    request: ExportLogsServiceRequest,
    rules: &Rules,
    outcome: &mut Outcome,
) -> storage::Result<Vec<Batch>> {
    let mut batches = Vec::new();
    let mut rows = LogRows::new();
    for resource_logs in request.resource_logs {
        let mut origin = Origin::new(resource_logs.resource, resource_logs.schema_url);
        for scope_logs in resource_logs.scope_logs {
            origin.set_scope(scope_logs.scope, scope_logs.schema_url);
            for mut record in scope_logs.log_records {
                match sanitize::log(&mut record, rules) {
                    Ok((time, repairs)) => {
                        let repairs = repairs | origin.repairs();
                        outcome.keep(repairs);
                        rows.push(&record, &time, repairs);
                        rows.bytes += if rules.is_small { 0 } else { record.encoded_len() };
                    }
                    Err(reason) => outcome.reject(reason),
                }
                if rows.is_full() {
                    rows.origin.fill(&origin, rows.n_rows);
                    batches.push(std::mem::replace(&mut rows, LogRows::new()).finish(rules)?);
                }
            }
            rows.origin.fill(&origin, rows.n_rows);
        }
    }
    if rows.n_rows > 0 {
        batches.push(rows.finish(rules)?);
    }
    Ok(batches)
}

/// Columns under construction.
#[derive(Debug)]
struct LogRows {
    n_rows: usize,
    bytes: usize,
    time: Int64Builder,
    sent_time: Int64Builder,
    observed_time: Int64Builder,
    severity_number: Int32Builder,
    severity_text: Labels,
    body: StringBuilder,
    body_json: StringBuilder,
    event_name: Labels,
    trace_id: BinaryBuilder,
    span_id: BinaryBuilder,
    flags: Int64Builder,
    dropped_attributes_count: Int64Builder,
    attributes: ItemAttributes,
    repairs: Int32Builder,
    origin: OriginColumns,
    scratch: String,
}

impl LogRows {
    fn new() -> Self {
        Self {
            n_rows: 0,
            bytes: 0,
            time: Int64Builder::new(),
            sent_time: Int64Builder::new(),
            observed_time: Int64Builder::new(),
            severity_number: Int32Builder::new(),
            severity_text: Labels::default(),
            body: StringBuilder::new(),
            body_json: StringBuilder::new(),
            event_name: Labels::default(),
            trace_id: BinaryBuilder::new(),
            span_id: BinaryBuilder::new(),
            flags: Int64Builder::new(),
            dropped_attributes_count: Int64Builder::new(),
            attributes: ItemAttributes::listing(),
            repairs: Int32Builder::new(),
            origin: OriginColumns::default(),
            scratch: String::new(),
        }
    }

    const fn is_full(&self) -> bool {
        self.n_rows >= BATCH_ROWS_MAX || self.bytes >= BATCH_BYTES_MAX
    }

    fn push(&mut self, record: &LogRecord, time: &LogTime, repairs: Repairs) {
        self.time.append_value(time.time);
        self.sent_time.append_option(time.sent);
        self.observed_time.append_value(record.observed_time_unix_nano.cast_signed());
        self.severity_number.append_value(record.severity_number);
        self.severity_text.push_non_empty(&record.severity_text);
        self.push_body(record);
        self.event_name.push_non_empty(&record.event_name);
        self.trace_id.append_option((!record.trace_id.is_empty()).then_some(&record.trace_id));
        self.span_id.append_option((!record.span_id.is_empty()).then_some(&record.span_id));
        self.flags.append_value(i64::from(record.flags));
        self.dropped_attributes_count.append_value(i64::from(record.dropped_attributes_count));
        self.attributes.push(self.n_rows, &record.attributes);
        self.repairs.append_value(repairs.bits());
        self.n_rows += 1;
    }

    /// Text goes to `body`, any other value to `body_json`, no value to neither.
    fn push_body(&mut self, record: &LogRecord) {
        match record.body.as_ref().map(|body| body.value.as_ref()) {
            Some(Some(Value::StringValue(body))) => {
                self.body.append_value(body);
                self.body_json.append_null();
            }
            Some(value) => {
                self.scratch.clear();
                text::write_value(&mut self.scratch, value);
                self.body.append_null();
                self.body_json.append_value(&self.scratch);
            }
            None => {
                self.body.append_null();
                self.body_json.append_null();
            }
        }
    }

    fn finish(mut self, rules: &Rules) -> storage::Result<Batch> {
        let mut arrival_time = Int64Builder::new();
        fill_ints(&mut arrival_time, rules.now.0, self.n_rows);
        let mut columns: Vec<(&'static str, ArrayRef)> = vec![
            ("time", Arc::new(self.time.finish())),
            ("sent_time", Arc::new(self.sent_time.finish())),
            ("observed_time", Arc::new(self.observed_time.finish())),
            ("arrival_time", Arc::new(arrival_time.finish())),
            ("severity_number", Arc::new(self.severity_number.finish())),
            ("severity_text", self.severity_text.finish()),
            ("body", Arc::new(self.body.finish())),
            ("body_json", Arc::new(self.body_json.finish())),
            ("event_name", self.event_name.finish()),
            ("trace_id", Arc::new(self.trace_id.finish())),
            ("span_id", Arc::new(self.span_id.finish())),
            ("flags", Arc::new(self.flags.finish())),
            ("dropped_attributes_count", Arc::new(self.dropped_attributes_count.finish())),
            ("repairs", Arc::new(self.repairs.finish())),
        ];
        columns.extend(self.attributes.finish(self.n_rows));
        columns.extend(self.origin.finish(self.n_rows));
        batch(&LOGS, self.n_rows, columns)
    }
}
