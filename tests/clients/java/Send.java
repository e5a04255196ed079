// Sends traces, metrics and logs with the OpenTelemetry SDK for Java and prints what the SDK held, as one JSON object.
//
// Usage: java Send grpc|http-protobuf ENDPOINT SERVICE gzip|plain
//
// After half of the rounds everything is flushed, "half" is printed, and a line on stdin is waited for: meanwhile the
// collector is started anew. The printed ledger is taken from the SDK's own objects, never from what was encoded, so that
// a comparison with the collector's rows also covers the exporter. What the SDK logs goes to stderr.

import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.api.common.Attributes;
import io.opentelemetry.api.logs.Logger;
import io.opentelemetry.api.logs.Severity;
import io.opentelemetry.api.metrics.DoubleHistogram;
import io.opentelemetry.api.metrics.LongCounter;
import io.opentelemetry.api.metrics.LongGauge;
import io.opentelemetry.api.metrics.Meter;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.SpanBuilder;
import io.opentelemetry.api.trace.SpanContext;
import io.opentelemetry.api.trace.SpanKind;
import io.opentelemetry.api.trace.StatusCode;
import io.opentelemetry.api.trace.Tracer;
import io.opentelemetry.context.Context;
import io.opentelemetry.exporter.otlp.http.logs.OtlpHttpLogRecordExporter;
import io.opentelemetry.exporter.otlp.http.metrics.OtlpHttpMetricExporter;
import io.opentelemetry.exporter.otlp.http.trace.OtlpHttpSpanExporter;
import io.opentelemetry.exporter.otlp.logs.OtlpGrpcLogRecordExporter;
import io.opentelemetry.exporter.otlp.metrics.OtlpGrpcMetricExporter;
import io.opentelemetry.exporter.otlp.trace.OtlpGrpcSpanExporter;
import io.opentelemetry.sdk.common.CompletableResultCode;
import io.opentelemetry.sdk.logs.SdkLoggerProvider;
import io.opentelemetry.sdk.logs.export.BatchLogRecordProcessor;
import io.opentelemetry.sdk.logs.export.LogRecordExporter;
import io.opentelemetry.sdk.metrics.SdkMeterProvider;
import io.opentelemetry.sdk.metrics.export.MetricExporter;
import io.opentelemetry.sdk.metrics.export.PeriodicMetricReader;
import io.opentelemetry.sdk.resources.Resource;
import io.opentelemetry.sdk.trace.ReadWriteSpan;
import io.opentelemetry.sdk.trace.ReadableSpan;
import io.opentelemetry.sdk.trace.SdkTracerProvider;
import io.opentelemetry.sdk.trace.SpanProcessor;
import io.opentelemetry.sdk.trace.data.SpanData;
import io.opentelemetry.sdk.trace.export.BatchSpanProcessor;
import io.opentelemetry.sdk.trace.export.SpanExporter;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

public final class Send {
    private static final int ROUNDS = 20;

    private record Exporters(SpanExporter spans, MetricExporter metrics, LogRecordExporter logs) {}

    private static Exporters exporters(String protocol, String endpoint, String compression) {
        if (protocol.equals("grpc")) {
            return new Exporters(
                    OtlpGrpcSpanExporter.builder().setEndpoint(endpoint).setCompression(compression).build(),
                    OtlpGrpcMetricExporter.builder().setEndpoint(endpoint).setCompression(compression).build(),
                    OtlpGrpcLogRecordExporter.builder().setEndpoint(endpoint).setCompression(compression).build());
        }
        return new Exporters(
                OtlpHttpSpanExporter.builder().setEndpoint(endpoint + "/v1/traces").setCompression(compression).build(),
                OtlpHttpMetricExporter.builder().setEndpoint(endpoint + "/v1/metrics").setCompression(compression).build(),
                OtlpHttpLogRecordExporter.builder().setEndpoint(endpoint + "/v1/logs").setCompression(compression).build());
    }

    // Keeps every finished span.
    private static final class Ledger implements SpanProcessor {
        final List<Object> spans = new ArrayList<>();

        @Override
        public void onStart(Context parent, ReadWriteSpan span) {}

        @Override
        public boolean isStartRequired() {
            return false;
        }

        @Override
        public synchronized void onEnd(ReadableSpan ended) {
            SpanData span = ended.toSpanData();
            Map<String, Object> attributes = new LinkedHashMap<>();
            span.getAttributes().forEach((key, value) -> attributes.put(key.getKey(), value));
            List<Object> events = new ArrayList<>();
            span.getEvents().forEach(event ->
                    events.add(object("name", event.getName(), "time_unix_nano", Long.toString(event.getEpochNanos()))));
            List<Object> links = new ArrayList<>();
            span.getLinks().forEach(link -> links.add(object(
                    "trace_id", link.getSpanContext().getTraceId(), "span_id", link.getSpanContext().getSpanId())));
            SpanContext parent = span.getParentSpanContext();
            spans.add(object(
                    "trace_id", span.getTraceId(), "span_id", span.getSpanId(),
                    "parent_span_id", parent.isValid() ? parent.getSpanId() : null,
                    "name", span.getName(), "kind", span.getKind().ordinal() + 1,
                    "start_unix_nano", Long.toString(span.getStartEpochNanos()),
                    "end_unix_nano", Long.toString(span.getEndEpochNanos()),
                    "status_code", span.getStatus().getStatusCode().ordinal(),
                    "status_message", span.getStatus().getDescription(),
                    "attributes", attributes, "events", events, "links", links));
        }

        @Override
        public boolean isEndRequired() {
            return true;
        }
    }

    private static Map<String, Object> object(Object... pairs) {
        Map<String, Object> object = new LinkedHashMap<>();
        for (int at = 0; at < pairs.length; at += 2) {
            object.put((String) pairs[at], pairs[at + 1]);
        }
        return object;
    }

    private static String json(Object value) {
        if (value instanceof Map<?, ?> map) {
            List<String> members = new ArrayList<>();
            map.forEach((name, member) -> members.add(json(name) + ":" + json(member)));
            return "{" + String.join(",", members) + "}";
        }
        if (value instanceof List<?> list) {
            return "[" + String.join(",", list.stream().map(Send::json).toList()) + "]";
        }
        if (value instanceof String text) {
            return "\"" + text.replace("\\", "\\\\").replace("\"", "\\\"") + "\"";
        }
        return String.valueOf(value);
    }

    private static void done(String what, CompletableResultCode result) {
        if (!result.join(60, TimeUnit.SECONDS).isSuccess()) {
            throw new IllegalStateException(what + " was not exported: " + result.getFailureThrowable());
        }
    }

    public static void main(String[] arguments) throws Exception {
        String protocol = arguments[0];
        String endpoint = arguments[1];
        String service = arguments[2];
        PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        Exporters to = exporters(protocol, endpoint, arguments[3].equals("gzip") ? "gzip" : "none");
        Resource resource = Resource.create(Attributes.builder()
                .put("service.name", service).put("service.version", "1.2.3").put("deployment.environment.name", "test").build());
        Ledger ledger = new Ledger();
        SdkTracerProvider tracers = SdkTracerProvider.builder().setResource(resource)
                .addSpanProcessor(ledger).addSpanProcessor(BatchSpanProcessor.builder(to.spans()).build()).build();
        SdkMeterProvider meters = SdkMeterProvider.builder().setResource(resource)
                .registerMetricReader(PeriodicMetricReader.builder(to.metrics()).setInterval(10, TimeUnit.MINUTES).build()).build();
        SdkLoggerProvider loggers = SdkLoggerProvider.builder().setResource(resource)
                .addLogRecordProcessor(BatchLogRecordProcessor.builder(to.logs()).build()).build();
        Tracer tracer = tracers.get("hodoscope.test", "0.1.0");
        Meter meter = meters.get("hodoscope.test");
        Logger logger = loggers.get("hodoscope.test");
        LongCounter orders = meter.counterBuilder("orders").setUnit("{order}").setDescription("orders taken").build();
        DoubleHistogram weight =
                meter.histogramBuilder("order.weight").setUnit("kg").setDescription("weight of an order").build();
        LongGauge stock =
                meter.gaugeBuilder("stock.level").ofLongs().setUnit("{item}").setDescription("items left").build();

        List<Object> logs = new ArrayList<>();
        SpanContext previous = null;
        double sum = 0;
        for (int i = 0; i < ROUNDS; i++) {
            if (i == ROUNDS / 2) {
                done("spans", tracers.forceFlush());
                done("metrics", meters.forceFlush());
                done("logs", loggers.forceFlush());
                out.println("half");
                new BufferedReader(new InputStreamReader(System.in)).readLine();
            }
            SpanBuilder builder = tracer.spanBuilder("POST /orders").setNoParent().setSpanKind(SpanKind.SERVER);
            if (previous != null) {
                builder.addLink(previous, Attributes.of(AttributeKey.stringKey("link.reason"), "previous"));
            }
            Span server = builder.startSpan();
            server.setAllAttributes(Attributes.builder()
                    .put("http.request.method", "POST").put("http.route", "/orders")
                    .put("http.response.status_code", i % 5 == 4 ? 500L : 201L)
                    .put("order.number", (long) i).put("order.weight", i + 0.5).put("order.express", i % 2 == 0)
                    .put("order.items", "pear", "äpfel", "梨").build());
            Context inServer = Context.root().with(server);
            Span client = tracer.spanBuilder("INSERT orders").setParent(inServer).setSpanKind(SpanKind.CLIENT).startSpan();
            client.setAllAttributes(Attributes.builder()
                    .put("db.system.name", "postgresql").put("db.collection.name", "orders").build());
            client.addEvent("row written", Attributes.of(AttributeKey.longKey("rows"), 1L));
            if (i % 5 == 4) {
                client.setStatus(StatusCode.ERROR, "deadlock detected");
            }
            client.end();
            String body = "order " + i + " taken";
            logger.logRecordBuilder().setContext(inServer).setSeverity(Severity.INFO).setSeverityText("INFO").setBody(body)
                    .setAttribute(AttributeKey.longKey("order.number"), (long) i).emit();
            previous = server.getSpanContext();
            logs.add(object("body", body, "trace_id", previous.getTraceId(), "span_id", previous.getSpanId(), "severity_number", 9));
            orders.add(1, Attributes.of(AttributeKey.stringKey("shop"), i % 2 == 0 ? "north" : "south"));
            weight.record(i + 0.5);
            stock.set(100 - i);
            sum += i + 0.5;
            server.end();
        }
        done("spans", tracers.shutdown());
        done("metrics", meters.shutdown());
        done("logs", loggers.shutdown());
        out.println(json(object("spans", ledger.spans, "logs", logs, "orders_total", ROUNDS, "weight_count", ROUNDS,
                "weight_sum", sum, "stock_level", 100 - (ROUNDS - 1))));
        System.exit(0);
    }
}
