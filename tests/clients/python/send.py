"""Sends traces, metrics and logs with the OpenTelemetry SDK and prints what the SDK held, as one JSON object.

Usage: send.py grpc|http-protobuf ENDPOINT SERVICE

The printed ledger is taken from the SDK's own objects, never from what was encoded, so that a comparison with
the collector's rows also covers the exporter. Exit code 0 only when every exporter reported success.
"""

import json
import logging
import sys

from opentelemetry import trace
from opentelemetry._logs import SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, SpanKind, Status, StatusCode

ROUNDS = 20


def exporters(protocol, endpoint):
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        return [make(endpoint=endpoint, insecure=True) for make in (OTLPSpanExporter, OTLPMetricExporter, OTLPLogExporter)]
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    # Traces go compressed, so that both ways of sending a body are covered.
    return [
        OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces", compression=Compression.Gzip),
        OTLPMetricExporter(endpoint=f"{endpoint}/v1/metrics"),
        OTLPLogExporter(endpoint=f"{endpoint}/v1/logs"),
    ]


class Ledger(SpanProcessor):
    """Keeps every finished span."""

    def __init__(self):
        self.spans = []

    def on_end(self, span):
        self.spans.append(
            {
                "trace_id": f"{span.context.trace_id:032x}",
                "span_id": f"{span.context.span_id:016x}",
                "parent_span_id": f"{span.parent.span_id:016x}" if span.parent else None,
                "name": span.name,
                "kind": span.kind.value + 1,
                "start_unix_nano": str(span.start_time),
                "end_unix_nano": str(span.end_time),
                "status_code": {"UNSET": 0, "OK": 1, "ERROR": 2}[span.status.status_code.name],
                "status_message": span.status.description or "",
                "attributes": {key: list(value) if isinstance(value, tuple) else value for key, value in span.attributes.items()},
                "events": [{"name": event.name, "time_unix_nano": str(event.timestamp)} for event in span.events],
                "links": [
                    {"trace_id": f"{link.context.trace_id:032x}", "span_id": f"{link.context.span_id:016x}"}
                    for link in span.links
                ],
            }
        )


def main():
    protocol, endpoint, service = sys.argv[1:4]
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    span_exporter, metric_exporter, log_exporter = exporters(protocol, endpoint)
    resource = Resource.create({"service.name": service, "service.version": "1.2.3", "deployment.environment.name": "test"})

    ledger = Ledger()
    tracers = TracerProvider(resource=resource)
    tracers.add_span_processor(ledger)
    tracers.add_span_processor(BatchSpanProcessor(span_exporter))
    tracer = tracers.get_tracer("hodoscope.test", "0.1.0")

    reader = PeriodicExportingMetricReader(metric_exporter, export_interval_millis=600_000)
    meters = MeterProvider(resource=resource, metric_readers=[reader])
    meter = meters.get_meter("hodoscope.test")
    orders = meter.create_counter("orders", unit="{order}", description="orders taken")
    weight = meter.create_histogram("order.weight", unit="kg", description="weight of an order")
    stock = meter.create_gauge("stock.level", unit="{item}", description="items left")

    loggers = LoggerProvider(resource=resource)
    loggers.add_log_record_processor(BatchLogRecordProcessor(log_exporter))
    logger = loggers.get_logger("hodoscope.test")

    logs, previous = [], None
    for i in range(ROUNDS):
        links = [Link(previous, {"link.reason": "previous"})] if previous else []
        with tracer.start_as_current_span("POST /orders", kind=SpanKind.SERVER, links=links) as server:
            server.set_attributes(
                {
                    "http.request.method": "POST",
                    "http.route": "/orders",
                    "http.response.status_code": 500 if i % 5 == 4 else 201,
                    "order.number": i,
                    "order.weight": i + 0.5,
                    "order.express": i % 2 == 0,
                    "order.items": ["pear", "äpfel", "梨"],
                }
            )
            with tracer.start_as_current_span("INSERT orders", kind=SpanKind.CLIENT) as client:
                client.set_attributes({"db.system.name": "postgresql", "db.collection.name": "orders"})
                client.add_event("row written", {"rows": 1})
                if i % 5 == 4:
                    client.set_status(Status(StatusCode.ERROR, "deadlock detected"))
            body = f"order {i} taken"
            logger.emit(
                severity_number=SeverityNumber.INFO, severity_text="INFO", body=body, attributes={"order.number": i}
            )
            context = server.get_span_context()
            logs.append(
                {"body": body, "trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}", "severity_number": 9}
            )
            orders.add(1, {"shop": "north" if i % 2 == 0 else "south"})
            weight.record(i + 0.5)
            stock.set(100 - i)
            previous = context

    sent = [provider.force_flush() for provider in (tracers, meters, loggers)]
    for provider in (tracers, meters, loggers):
        provider.shutdown()
    if not all(sent):
        sys.exit(f"not everything was exported: {sent}")
    json.dump(
        {
            "spans": ledger.spans,
            "logs": logs,
            "orders_total": ROUNDS,
            "weight_count": ROUNDS,
            "weight_sum": sum(i + 0.5 for i in range(ROUNDS)),
            "stock_level": 100 - (ROUNDS - 1),
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
