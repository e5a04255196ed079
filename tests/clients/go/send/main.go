// Sends traces, metrics and logs with the OpenTelemetry SDK for Go and prints what the SDK held, as one JSON object.
//
// Usage: send grpc|http-protobuf ENDPOINT SERVICE gzip|plain
//
// After half of the rounds everything is flushed, "half" is printed, and a line on stdin is waited for: meanwhile the
// collector is started anew. The printed ledger is taken from the SDK's own objects, never from what was encoded, so that
// a comparison with the collector's rows also covers the exporter. Errors that the SDK reports go to stderr.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploggrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/metric"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

const rounds = 20

// Retries begin soon: the test waits for them.
const first, longest = 200 * time.Millisecond, time.Second

type exporters struct {
	spans   sdktrace.SpanExporter
	metrics sdkmetric.Exporter
	logs    sdklog.Exporter
}

func open(ctx context.Context, protocol, endpoint string, gzip bool) (found exporters, err error) {
	elapsed := time.Minute
	if protocol == "grpc" {
		endpoint = strings.TrimPrefix(endpoint, "http://")
		spans := []otlptracegrpc.Option{otlptracegrpc.WithInsecure(), otlptracegrpc.WithEndpoint(endpoint),
			otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig{Enabled: true, InitialInterval: first, MaxInterval: longest, MaxElapsedTime: elapsed})}
		metrics := []otlpmetricgrpc.Option{otlpmetricgrpc.WithInsecure(), otlpmetricgrpc.WithEndpoint(endpoint),
			otlpmetricgrpc.WithRetry(otlpmetricgrpc.RetryConfig{Enabled: true, InitialInterval: first, MaxInterval: longest, MaxElapsedTime: elapsed})}
		logs := []otlploggrpc.Option{otlploggrpc.WithInsecure(), otlploggrpc.WithEndpoint(endpoint),
			otlploggrpc.WithRetry(otlploggrpc.RetryConfig{Enabled: true, InitialInterval: first, MaxInterval: longest, MaxElapsedTime: elapsed})}
		if gzip {
			spans = append(spans, otlptracegrpc.WithCompressor("gzip"))
			metrics = append(metrics, otlpmetricgrpc.WithCompressor("gzip"))
			logs = append(logs, otlploggrpc.WithCompressor("gzip"))
		}
		if found.spans, err = otlptrace.New(ctx, otlptracegrpc.NewClient(spans...)); err != nil {
			return
		}
		if found.metrics, err = otlpmetricgrpc.New(ctx, metrics...); err != nil {
			return
		}
		found.logs, err = otlploggrpc.New(ctx, logs...)
		return
	}
	spans := []otlptracehttp.Option{otlptracehttp.WithEndpointURL(endpoint + "/v1/traces"),
		otlptracehttp.WithRetry(otlptracehttp.RetryConfig{Enabled: true, InitialInterval: first, MaxInterval: longest, MaxElapsedTime: elapsed})}
	metrics := []otlpmetrichttp.Option{otlpmetrichttp.WithEndpointURL(endpoint + "/v1/metrics"),
		otlpmetrichttp.WithRetry(otlpmetrichttp.RetryConfig{Enabled: true, InitialInterval: first, MaxInterval: longest, MaxElapsedTime: elapsed})}
	logs := []otlploghttp.Option{otlploghttp.WithEndpointURL(endpoint + "/v1/logs"),
		otlploghttp.WithRetry(otlploghttp.RetryConfig{Enabled: true, InitialInterval: first, MaxInterval: longest, MaxElapsedTime: elapsed})}
	if gzip {
		spans = append(spans, otlptracehttp.WithCompression(otlptracehttp.GzipCompression))
		metrics = append(metrics, otlpmetrichttp.WithCompression(otlpmetrichttp.GzipCompression))
		logs = append(logs, otlploghttp.WithCompression(otlploghttp.GzipCompression))
	}
	if found.spans, err = otlptrace.New(ctx, otlptracehttp.NewClient(spans...)); err != nil {
		return
	}
	if found.metrics, err = otlpmetrichttp.New(ctx, metrics...); err != nil {
		return
	}
	found.logs, err = otlploghttp.New(ctx, logs...)
	return
}

type object = map[string]any

// Keeps every finished span.
type ledger struct {
	mutex sync.Mutex
	spans []object
}

func (l *ledger) OnStart(context.Context, sdktrace.ReadWriteSpan) {}
func (l *ledger) Shutdown(context.Context) error                  { return nil }
func (l *ledger) ForceFlush(context.Context) error                { return nil }

func (l *ledger) OnEnd(span sdktrace.ReadOnlySpan) {
	var parent any
	if span.Parent().IsValid() {
		parent = span.Parent().SpanID().String()
	}
	attributes := object{}
	for _, pair := range span.Attributes() {
		attributes[string(pair.Key)] = pair.Value.AsInterface()
	}
	events, links := []object{}, []object{}
	for _, event := range span.Events() {
		events = append(events, object{"name": event.Name, "time_unix_nano": nanos(event.Time)})
	}
	for _, link := range span.Links() {
		links = append(links, object{"trace_id": link.SpanContext.TraceID().String(), "span_id": link.SpanContext.SpanID().String()})
	}
	status := map[codes.Code]int{codes.Unset: 0, codes.Ok: 1, codes.Error: 2}[span.Status().Code]
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.spans = append(l.spans, object{
		"trace_id": span.SpanContext().TraceID().String(), "span_id": span.SpanContext().SpanID().String(),
		"parent_span_id": parent, "name": span.Name(), "kind": int(span.SpanKind()),
		"start_unix_nano": nanos(span.StartTime()), "end_unix_nano": nanos(span.EndTime()),
		"status_code": status, "status_message": span.Status().Description,
		"attributes": attributes, "events": events, "links": links,
	})
}

func nanos(moment time.Time) string { return strconv.FormatInt(moment.UnixNano(), 10) }

func run() error {
	protocol, endpoint, service, gzip := os.Args[1], os.Args[2], os.Args[3], os.Args[4] == "gzip"
	ctx := context.Background()
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { fmt.Fprintln(os.Stderr, err) }))
	to, err := open(ctx, protocol, endpoint, gzip)
	if err != nil {
		return err
	}
	about := resource.NewSchemaless(attribute.String("service.name", service), attribute.String("service.version", "1.2.3"),
		attribute.String("deployment.environment.name", "test"))

	var held ledger
	tracers := sdktrace.NewTracerProvider(sdktrace.WithResource(about), sdktrace.WithSpanProcessor(&held),
		sdktrace.WithBatcher(to.spans, sdktrace.WithExportTimeout(time.Minute)))
	tracer := tracers.Tracer("hodoscope.test", trace.WithInstrumentationVersion("0.1.0"))

	reader := sdkmetric.NewPeriodicReader(to.metrics, sdkmetric.WithInterval(10*time.Minute), sdkmetric.WithTimeout(time.Minute))
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithResource(about), sdkmetric.WithReader(reader))
	meter := meters.Meter("hodoscope.test")
	orders, err := meter.Int64Counter("orders", metric.WithUnit("{order}"), metric.WithDescription("orders taken"))
	if err != nil {
		return err
	}
	weight, err := meter.Float64Histogram("order.weight", metric.WithUnit("kg"), metric.WithDescription("weight of an order"))
	if err != nil {
		return err
	}
	stock, err := meter.Int64Gauge("stock.level", metric.WithUnit("{item}"), metric.WithDescription("items left"))
	if err != nil {
		return err
	}
	loggers := sdklog.NewLoggerProvider(sdklog.WithResource(about),
		sdklog.WithProcessor(sdklog.NewBatchProcessor(to.logs, sdklog.WithExportTimeout(time.Minute))))
	logger := loggers.Logger("hodoscope.test")
	flush := func() error {
		for _, force := range []func(context.Context) error{tracers.ForceFlush, meters.ForceFlush, loggers.ForceFlush} {
			if err := force(ctx); err != nil {
				return err
			}
		}
		return nil
	}

	logs, sum := []object{}, 0.0
	var previous trace.SpanContext
	for i := range rounds {
		if i == rounds/2 {
			if err := flush(); err != nil {
				return err
			}
			fmt.Println("half")
			if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
				return err
			}
		}
		options := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindServer)}
		if previous.IsValid() {
			options = append(options, trace.WithLinks(trace.Link{SpanContext: previous,
				Attributes: []attribute.KeyValue{attribute.String("link.reason", "previous")}}))
		}
		status := 201
		if i%5 == 4 {
			status = 500
		}
		inServer, server := tracer.Start(ctx, "POST /orders", options...)
		server.SetAttributes(attribute.String("http.request.method", "POST"), attribute.String("http.route", "/orders"),
			attribute.Int("http.response.status_code", status), attribute.Int("order.number", i),
			attribute.Float64("order.weight", float64(i)+0.5), attribute.Bool("order.express", i%2 == 0),
			attribute.StringSlice("order.items", []string{"pear", "äpfel", "梨"}))
		_, client := tracer.Start(inServer, "INSERT orders", trace.WithSpanKind(trace.SpanKindClient))
		client.SetAttributes(attribute.String("db.system.name", "postgresql"), attribute.String("db.collection.name", "orders"))
		client.AddEvent("row written", trace.WithAttributes(attribute.Int("rows", 1)))
		if i%5 == 4 {
			client.SetStatus(codes.Error, "deadlock detected")
		}
		client.End()
		var record log.Record
		body := fmt.Sprintf("order %d taken", i)
		record.SetTimestamp(time.Now())
		record.SetSeverity(log.SeverityInfo)
		record.SetSeverityText("INFO")
		record.SetBody(attribute.StringValue(body))
		record.AddAttributes(attribute.Int("order.number", i))
		logger.Emit(inServer, record)
		previous = server.SpanContext()
		logs = append(logs, object{"body": body, "trace_id": previous.TraceID().String(), "span_id": previous.SpanID().String(), "severity_number": 9})
		shop := "south"
		if i%2 == 0 {
			shop = "north"
		}
		orders.Add(ctx, 1, metric.WithAttributes(attribute.String("shop", shop)))
		weight.Record(ctx, float64(i)+0.5)
		stock.Record(ctx, int64(100-i))
		sum += float64(i) + 0.5
		server.End()
	}
	if err := flush(); err != nil {
		return err
	}
	for _, shutdown := range []func(context.Context) error{tracers.Shutdown, meters.Shutdown, loggers.Shutdown} {
		if err := shutdown(ctx); err != nil {
			return err
		}
	}
	return json.NewEncoder(os.Stdout).Encode(object{"spans": held.spans, "logs": logs, "orders_total": rounds,
		"weight_count": rounds, "weight_sum": sum, "stock_level": 100 - (rounds - 1)})
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
