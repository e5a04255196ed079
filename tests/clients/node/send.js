// Sends traces, metrics and logs with the OpenTelemetry SDK and prints what the SDK held, as one JSON object.
//
// Usage: send.js grpc|http-protobuf|http-json ENDPOINT SERVICE   (NODE_PATH names the installed modules)
//
// The printed ledger is taken from the SDK's own objects, never from what was encoded, so that a comparison with
// the collector's rows also covers the exporter. Any error that the SDK reports ends the process with code 1.
'use strict';

const { context, diag, DiagLogLevel, SpanKind, SpanStatusCode, trace } = require('@opentelemetry/api');
const { SeverityNumber } = require('@opentelemetry/api-logs');
const { resourceFromAttributes } = require('@opentelemetry/resources');
const { BatchLogRecordProcessor, LoggerProvider } = require('@opentelemetry/sdk-logs');
const { MeterProvider, PeriodicExportingMetricReader } = require('@opentelemetry/sdk-metrics');
const { BasicTracerProvider, BatchSpanProcessor } = require('@opentelemetry/sdk-trace-base');

const ROUNDS = 20;
const [protocol, endpoint, service] = process.argv.slice(2);

const errors = [];
const keepError = (...args) => errors.push(args.map(String).join(' '));
diag.setLogger({ error: keepError, warn: keepError, info() {}, debug() {}, verbose() {} }, DiagLogLevel.WARN);

function exporters() {
  const family = { grpc: 'grpc', 'http-protobuf': 'proto', 'http-json': 'http' }[protocol];
  const { OTLPTraceExporter } = require(`@opentelemetry/exporter-trace-otlp-${family}`);
  const { OTLPMetricExporter } = require(`@opentelemetry/exporter-metrics-otlp-${family}`);
  const { OTLPLogExporter } = require(`@opentelemetry/exporter-logs-otlp-${family}`);
  const url = (path) => (protocol === 'grpc' ? endpoint : `${endpoint}/v1/${path}`);
  // Traces go compressed, so that both ways of sending a body are covered.
  return [
    new OTLPTraceExporter({ url: url('traces'), compression: 'gzip' }),
    new OTLPMetricExporter({ url: url('metrics') }),
    new OTLPLogExporter({ url: url('logs') }),
  ];
}

const nanos = ([seconds, rest]) => (BigInt(seconds) * 1_000_000_000n + BigInt(rest)).toString();

// Keeps every finished span.
class Ledger {
  spans = [];
  onStart() {}
  onEnd(span) {
    const own = span.spanContext();
    this.spans.push({
      trace_id: own.traceId,
      span_id: own.spanId,
      parent_span_id: span.parentSpanContext?.spanId ?? null,
      name: span.name,
      kind: span.kind + 1,
      start_unix_nano: nanos(span.startTime),
      end_unix_nano: nanos(span.endTime),
      status_code: span.status.code,
      status_message: span.status.message ?? '',
      attributes: span.attributes,
      events: span.events.map((event) => ({ name: event.name, time_unix_nano: nanos(event.time) })),
      links: span.links.map((link) => ({ trace_id: link.context.traceId, span_id: link.context.spanId })),
    });
  }
  async forceFlush() {}
  async shutdown() {}
}

async function main() {
  const [traceExporter, metricExporter, logExporter] = exporters();
  const resource = resourceFromAttributes({
    'service.name': service, 'service.version': '1.2.3', 'deployment.environment.name': 'test',
  });
  const ledger = new Ledger();
  const tracers = new BasicTracerProvider({ resource, spanProcessors: [ledger, new BatchSpanProcessor(traceExporter)] });
  const tracer = tracers.getTracer('hodoscope.test', '0.1.0');

  const reader = new PeriodicExportingMetricReader({ exporter: metricExporter, exportIntervalMillis: 600_000 });
  const meters = new MeterProvider({ resource, readers: [reader] });
  const meter = meters.getMeter('hodoscope.test');
  const orders = meter.createCounter('orders', { unit: '{order}', description: 'orders taken' });
  const weight = meter.createHistogram('order.weight', { unit: 'kg', description: 'weight of an order' });
  const stock = meter.createGauge('stock.level', { unit: '{item}', description: 'items left' });

  const loggers = new LoggerProvider({ resource, processors: [new BatchLogRecordProcessor(logExporter)] });
  const logger = loggers.getLogger('hodoscope.test');

  const logs = [];
  let previous;
  for (let i = 0; i < ROUNDS; i++) {
    const links = previous ? [{ context: previous, attributes: { 'link.reason': 'previous' } }] : [];
    const root = context.active();
    const server = tracer.startSpan('POST /orders', { kind: SpanKind.SERVER, links }, root);
    server.setAttributes({
      'http.request.method': 'POST',
      'http.route': '/orders',
      'http.response.status_code': i % 5 === 4 ? 500 : 201,
      'order.number': i,
      'order.weight': i + 0.5,
      'order.express': i % 2 === 0,
      'order.items': ['pear', 'äpfel', '梨'],
    });
    const inServer = trace.setSpan(root, server);
    const client = tracer.startSpan('INSERT orders', { kind: SpanKind.CLIENT }, inServer);
    client.setAttributes({ 'db.system.name': 'postgresql', 'db.collection.name': 'orders' });
    client.addEvent('row written', { rows: 1 });
    if (i % 5 === 4) client.setStatus({ code: SpanStatusCode.ERROR, message: 'deadlock detected' });
    client.end();
    const body = `order ${i} taken`;
    logger.emit({
      severityNumber: SeverityNumber.INFO, severityText: 'INFO', body, attributes: { 'order.number': i }, context: inServer,
    });
    previous = server.spanContext();
    logs.push({ body, trace_id: previous.traceId, span_id: previous.spanId, severity_number: 9 });
    orders.add(1, { shop: i % 2 === 0 ? 'north' : 'south' });
    weight.record(i + 0.5);
    stock.record(100 - i);
    server.end();
  }

  const providers = [tracers, meters, loggers];
  for (const provider of providers) await provider.forceFlush();
  for (const provider of providers) await provider.shutdown();
  if (errors.length > 0) throw new Error(errors.join('\n'));
  const round = [...Array(ROUNDS).keys()];
  process.stdout.write(JSON.stringify({
    spans: ledger.spans,
    logs,
    orders_total: ROUNDS,
    weight_count: ROUNDS,
    weight_sum: round.reduce((sum, i) => sum + i + 0.5, 0),
    stock_level: 100 - (ROUNDS - 1),
  }));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
