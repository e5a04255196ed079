//! Sends traces, metrics and logs with the OpenTelemetry SDK for Rust and prints what the SDK held, as one JSON object.
//!
//! Usage: send grpc|http-protobuf|http-json ENDPOINT SERVICE gzip|plain
//!
//! After half of the rounds everything is flushed, "half" is printed, and a line on stdin is waited for: meanwhile the
//! collector is started anew. The printed ledger is taken from the SDK's own objects, never from what was encoded, so that
//! a comparison with the collector's rows also covers the exporter. An error that the SDK reports ends it with code 1.

use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::logs::{AnyValue, LogRecord as _, Logger as _, LoggerProvider as _, Severity};
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry::trace::{
    Event, Link, Span as _, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Array, Context, KeyValue, StringValue, Value};
use opentelemetry_otlp::{
    Compression, LogExporter, MetricExporter, Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _,
    WithTonicConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::{SdkTracerProvider, Span, SpanData, SpanProcessor};
use serde_json::{Value as Json, json};

const ROUNDS: i64 = 20;

type Failed = Box<dyn Error>;

fn exporters(protocol: &str, endpoint: &str, gzip: bool) -> Result<(SpanExporter, MetricExporter, LogExporter), Failed> {
    macro_rules! grpc {
        ($exporter:ident) => {{
            let builder = $exporter::builder().with_tonic().with_endpoint(endpoint);
            if gzip { builder.with_compression(Compression::Gzip).build()? } else { builder.build()? }
        }};
    }
    macro_rules! http {
        ($exporter:ident, $path:literal) => {{
            let said = if protocol == "http-json" { Protocol::HttpJson } else { Protocol::HttpBinary };
            let builder = $exporter::builder().with_http().with_protocol(said).with_endpoint(format!("{endpoint}{}", $path));
            if gzip { builder.with_compression(Compression::Gzip).build()? } else { builder.build()? }
        }};
    }
    Ok(match protocol {
        "grpc" => (grpc!(SpanExporter), grpc!(MetricExporter), grpc!(LogExporter)),
        _ => (http!(SpanExporter, "/v1/traces"), http!(MetricExporter, "/v1/metrics"), http!(LogExporter, "/v1/logs")),
    })
}

/// Keeps every finished span.
#[derive(Clone, Debug, Default)]
struct Ledger(Arc<Mutex<Vec<Json>>>);

impl SpanProcessor for Ledger {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        let (status, message) = match &span.status {
            Status::Unset => (0, String::new()),
            Status::Ok => (1, String::new()),
            Status::Error { description } => (2, description.to_string()),
        };
        let event = |event: &Event| json!({ "name": event.name, "time_unix_nano": nanos(event.timestamp) });
        let link = |link: &Link| json!({ "trace_id": link.span_context.trace_id().to_string(), "span_id": link.span_context.span_id().to_string() });
        let attributes = span.attributes.iter().map(|pair| (pair.key.to_string(), plain(&pair.value)));
        let kind = match span.span_kind {
            SpanKind::Internal => 1,
            SpanKind::Server => 2,
            SpanKind::Client => 3,
            SpanKind::Producer => 4,
            SpanKind::Consumer => 5,
        };
        let entry = json!({
            "trace_id": span.span_context.trace_id().to_string(),
            "span_id": span.span_context.span_id().to_string(),
            "parent_span_id": (span.parent_span_id != SpanId::INVALID).then(|| span.parent_span_id.to_string()),
            "name": span.name, "kind": kind,
            "start_unix_nano": nanos(span.start_time), "end_unix_nano": nanos(span.end_time),
            "status_code": status, "status_message": message,
            "attributes": attributes.collect::<serde_json::Map<String, Json>>(),
            "events": span.events.events.iter().map(event).collect::<Vec<_>>(),
            "links": span.links.links.iter().map(link).collect::<Vec<_>>(),
        });
        self.0.lock().expect("nobody panics with it").push(entry);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

fn nanos(moment: SystemTime) -> String {
    moment.duration_since(UNIX_EPOCH).expect("after 1970").as_nanos().to_string()
}

fn plain(value: &Value) -> Json {
    match value {
        Value::Bool(value) => json!(value),
        Value::I64(value) => json!(value),
        Value::F64(value) => json!(value),
        Value::Array(Array::String(list)) => json!(list.iter().map(StringValue::as_str).collect::<Vec<_>>()),
        other => json!(other.as_str()),
    }
}

fn main() -> Result<(), Failed> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [protocol, endpoint, service, compression] = &arguments[..] else { return Err("four arguments".into()) };
    // Channels of gRPC live on a runtime; everything else runs on threads of the SDK.
    let runtime = tokio::runtime::Runtime::new()?;
    let _inside = runtime.enter();
    let (spans, metrics, records) = exporters(protocol, endpoint, compression == "gzip")?;
    let resource = Resource::builder_empty()
        .with_service_name(service.clone())
        .with_attributes([KeyValue::new("service.version", "1.2.3"), KeyValue::new("deployment.environment.name", "test")])
        .build();
    let ledger = Ledger::default();
    let tracers = SdkTracerProvider::builder()
        .with_resource(resource.clone())
        .with_span_processor(ledger.clone())
        .with_batch_exporter(spans)
        .build();
    let reader = PeriodicReader::builder(metrics).with_interval(Duration::from_secs(600)).build();
    let meters = SdkMeterProvider::builder().with_resource(resource.clone()).with_reader(reader).build();
    let loggers = SdkLoggerProvider::builder().with_resource(resource).with_batch_exporter(records).build();
    let (tracer, meter, logger) =
        (tracers.tracer("hodoscope.test"), meters.meter("hodoscope.test"), loggers.logger("hodoscope.test"));
    let orders = meter.u64_counter("orders").with_unit("{order}").with_description("orders taken").build();
    let weight =
        meter.f64_histogram("order.weight").with_unit("kg").with_description("weight of an order").build();
    let stock = meter.i64_gauge("stock.level").with_unit("{item}").with_description("items left").build();
    let flush = || -> OTelSdkResult {
        tracers.force_flush()?;
        meters.force_flush()?;
        loggers.force_flush()
    };

    let (mut logs, mut sum, mut previous) = (Vec::new(), 0.0, None::<SpanContext>);
    for i in 0..ROUNDS {
        if i == ROUNDS / 2 {
            flush()?;
            println!("half");
            std::io::stdin().read_line(&mut String::new())?;
        }
        let mut builder = tracer.span_builder("POST /orders").with_kind(SpanKind::Server);
        if let Some(previous) = previous {
            builder = builder.with_links(vec![Link::new(previous, vec![KeyValue::new("link.reason", "previous")], 0)]);
        }
        let mut server = tracer.build_with_context(builder, &Context::new());
        let items = ["pear", "äpfel", "梨"].map(StringValue::from).to_vec();
        server.set_attributes([
            KeyValue::new("http.request.method", "POST"),
            KeyValue::new("http.route", "/orders"),
            KeyValue::new("http.response.status_code", if i % 5 == 4 { 500_i64 } else { 201 }),
            KeyValue::new("order.number", i),
            KeyValue::new("order.weight", i as f64 + 0.5),
            KeyValue::new("order.express", i % 2 == 0),
            KeyValue::new("order.items", Value::Array(Array::String(items))),
        ]);
        let own = server.span_context().clone();
        let inside = Context::new().with_span(server);
        let mut client =
            tracer.build_with_context(tracer.span_builder("INSERT orders").with_kind(SpanKind::Client), &inside);
        client.set_attributes([
            KeyValue::new("db.system.name", "postgresql"),
            KeyValue::new("db.collection.name", "orders"),
        ]);
        client.add_event("row written", vec![KeyValue::new("rows", 1_i64)]);
        if i % 5 == 4 {
            client.set_status(Status::error("deadlock detected"));
        }
        client.end();
        let body = format!("order {i} taken");
        let mut record = logger.create_log_record();
        record.set_timestamp(SystemTime::now());
        record.set_severity_number(Severity::Info);
        record.set_severity_text("INFO");
        record.set_body(AnyValue::from(body.clone()));
        record.add_attribute("order.number", i);
        record.set_trace_context(own.trace_id(), own.span_id(), Some(own.trace_flags()));
        logger.emit(record);
        logs.push(json!({
            "body": body, "trace_id": own.trace_id().to_string(), "span_id": own.span_id().to_string(), "severity_number": 9,
        }));
        orders.add(1, &[KeyValue::new("shop", if i % 2 == 0 { "north" } else { "south" })]);
        weight.record(i as f64 + 0.5, &[]);
        stock.record(100 - i, &[]);
        sum += i as f64 + 0.5;
        inside.span().end();
        previous = Some(own);
    }
    flush()?;
    tracers.shutdown()?;
    meters.shutdown()?;
    loggers.shutdown()?;
    let spans = std::mem::take(&mut *ledger.0.lock().expect("nobody panics with it"));
    let ledger = json!({
        "spans": spans, "logs": logs, "orders_total": ROUNDS, "weight_count": ROUNDS, "weight_sum": sum,
        "stock_level": 100 - (ROUNDS - 1),
    });
    println!("{ledger}");
    Ok(())
}
