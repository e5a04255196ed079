//! S9: a hundred payloads in every field that telemetry has, shown by every view in a real browser: none of them runs.
//!
//! All payloads are in the lists of a page at once; views of one thing are opened for ten of them in the gate and for all of them
//! with `HODOSCOPE_LONG=1`. What counts as running is in `tests/browser/hostile.js`.

use std::process::Command;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics};
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use serde_json::{Value as Json, json};

use crate::browser;
use crate::harness::otlp::Client;
use crate::harness::{Request, Server, Transport, fixtures, generate, tools, whole_machine};

/// How text has become code in other pages: markup, handlers, addresses, templates, ends of what it stands in.
const FORMS: [&str; 50] = [
    "<script>@</script>",
    "<SCRIPT SRC=data:text/javascript,@></SCRIPT>",
    "<img src=x onerror=@>",
    "<img src=`x` onerror=@ x=",
    "<svg onload=@>",
    "<svg><script>@</script></svg>",
    "<svg><animate onbegin=@ attributeName=x dur=1s>",
    "<svg/onload=@//",
    "<iframe src=\"javascript:@\"></iframe>",
    "<iframe srcdoc=\"<script>parent.@</script>\"></iframe>",
    "<body onload=@>",
    "<details open ontoggle=@>",
    "<input autofocus onfocus=@>",
    "<select autofocus onfocus=@>",
    "<video><source onerror=@>",
    "<audio src=x onerror=@>",
    "<marquee onstart=@>",
    "<object data=\"javascript:@\">",
    "<embed src=\"javascript:@\">",
    "<form action=\"javascript:@\"><button>x</button></form>",
    "<math><mi xlink:href=\"javascript:@\">x</mi></math>",
    "<a href=\"javascript:@\">x</a>",
    "<a href=\"data:text/html,<script>@</script>\">x</a>",
    "<base href=\"javascript:@//\">",
    "<link rel=stylesheet href=\"javascript:@\">",
    "<meta http-equiv=refresh content=\"0;url=javascript:@\">",
    "<style>@import 'javascript:@';</style>",
    "<template><script>@</script></template>",
    "<noscript><p title=\"</noscript><img src=x onerror=@>\">",
    "<textarea></textarea><img src=x onerror=@>",
    "</title><script>@</script>",
    "</style><script>@</script>",
    "</script><script>@</script>",
    "</textarea><svg onload=@>",
    "--><script>@</script>",
    "]]><script>@</script>",
    "\"><script>@</script>",
    "'><img src=x onerror=@>",
    "\" onmouseover=\"@\" x=\"",
    "' onfocus='@' autofocus '",
    "` onmouseover=@ `",
    "javascript:@",
    "JaVaScRiPt:@",
    "java\tscript:@",
    "\u{1}javascript:@",
    "data:text/html,<script>@</script>",
    "vbscript:@",
    "{{constructor.constructor('@')()}}",
    "${@}",
    "';@;//",
];

/// Every form twice: as it is, and with the brackets and quotes as other encodings of themselves.
fn payloads() -> Vec<String> {
    let plain = FORMS.iter().enumerate().map(|(n, form)| form.replace('@', &format!("executed({n})")));
    let coded = FORMS.iter().enumerate().map(|(n, form)| {
        let form = form.replace('@', &format!("executed({})", n + FORMS.len()));
        match n % 3 {
            0 => form.replace('<', "&lt;").replace('>', "&gt;"),
            1 => form.replace('<', "\u{ff1c}").replace('>', "\u{ff1e}"),
            _ => form.replace('<', "\\u003c").replace('"', "&quot;"),
        }
    });
    plain.chain(coded).collect()
}

const TRACE_ID: u128 = 0xbad_u128 << 64 | 0x5e;

fn span_id(number: usize) -> u64 {
    0xb000 + u64::try_from(number).expect("small")
}

fn scope(payload: &str) -> InstrumentationScope {
    InstrumentationScope {
        name: payload.to_owned(),
        version: payload.to_owned(),
        attributes: vec![generate::attribute(payload, payload)],
        ..InstrumentationScope::default()
    }
}

/// One trace: each payload is a service that calls the next one, directly or through a broker, and says it in every field.
fn traces(payloads: &[String]) -> Request {
    let n = payloads.len();
    let resource_spans = payloads.iter().enumerate().map(|(number, payload)| {
        let mut span = generate::span(TRACE_ID, span_id(number), payload);
        span.start_time_unix_nano -= (n - number) as u64 * 1_000_000;
        span.end_time_unix_nano += (n - number) as u64 * 1_000_000;
        if number > 0 {
            span.parent_span_id = span_id((number - 1) / 4).to_be_bytes().to_vec();
        }
        span.kind = [2, 3, 4, 5][number % 4];
        span.trace_state = payload.clone();
        let keys = [
            "span-attribute",
            payload,
            "url.full",
            "url.path",
            "http.route",
            "http.request.method",
            "server.address",
            "db.system.name",
            "db.query.text",
            "db.collection.name",
            "rpc.service",
            "rpc.method",
            "error.type",
            "exception.message",
            "messaging.system",
            "messaging.destination.name",
            "messaging.consumer.group.name",
            "messaging.message.id",
            "code.function",
        ];
        span.attributes = keys.iter().map(|key| generate::attribute(key, payload)).collect();
        span.events = vec![Event {
            time_unix_nano: span.start_time_unix_nano + 1,
            name: payload.clone(),
            attributes: ["exception.type", "exception.message", "exception.stacktrace", payload]
                .map(|key| generate::attribute(key, payload))
                .to_vec(),
            ..Event::default()
        }];
        span.links = vec![Link {
            trace_id: (TRACE_ID + 1).to_be_bytes().to_vec(),
            span_id: span_id(number).to_be_bytes().to_vec(),
            trace_state: payload.clone(),
            attributes: vec![generate::attribute(payload, payload)],
            ..Link::default()
        }];
        span.status = Some(Status { code: 2, message: payload.clone() });
        resource_spans(payload, span)
    });
    Request::Traces(ExportTraceServiceRequest { resource_spans: resource_spans.collect() })
}

fn resource_spans(payload: &str, span: Span) -> ResourceSpans {
    let mut resource = generate::service(payload);
    for key in
        ["service.version", "service.namespace", "deployment.environment.name", "host.name", "k8s.pod.name", payload]
    {
        resource.attributes.push(generate::attribute(key, payload));
    }
    let scope_spans =
        vec![ScopeSpans { scope: Some(scope(payload)), spans: vec![span], schema_url: payload.to_owned() }];
    ResourceSpans { resource: Some(resource), scope_spans, schema_url: payload.to_owned() }
}

fn logs(payloads: &[String]) -> Request {
    let resource_logs = payloads.iter().enumerate().map(|(number, payload)| {
        let record = LogRecord {
            time_unix_nano: fixtures::now_nanos(),
            severity_number: 17,
            severity_text: payload.clone(),
            body: generate::attribute("", payload).value,
            attributes: vec![
                generate::attribute(payload, payload),
                generate::attribute("exception.stacktrace", payload),
            ],
            trace_id: TRACE_ID.to_be_bytes().to_vec(),
            span_id: span_id(number).to_be_bytes().to_vec(),
            event_name: payload.clone(),
            ..LogRecord::default()
        };
        let scope_logs =
            vec![ScopeLogs { scope: Some(scope(payload)), log_records: vec![record], ..ScopeLogs::default() }];
        ResourceLogs { resource: Some(generate::service(payload)), scope_logs, ..ResourceLogs::default() }
    });
    Request::Logs(ExportLogsServiceRequest { resource_logs: resource_logs.collect() })
}

fn metrics(payloads: &[String]) -> Request {
    let resource_metrics = payloads.iter().map(|payload| {
        let point = NumberDataPoint {
            time_unix_nano: fixtures::now_nanos() - 1_000_000_000,
            attributes: vec![generate::attribute(payload, payload), generate::attribute("shop", payload)],
            value: Some(Value::AsDouble(1.5)),
            ..NumberDataPoint::default()
        };
        let metric = Metric {
            name: payload.clone(),
            unit: payload.clone(),
            description: payload.clone(),
            data: Some(Data::Gauge(Gauge { data_points: vec![point] })),
            ..Metric::default()
        };
        let scope_metrics =
            vec![ScopeMetrics { scope: Some(scope(payload)), metrics: vec![metric], ..ScopeMetrics::default() }];
        ResourceMetrics { resource: Some(generate::service(payload)), scope_metrics, ..ResourceMetrics::default() }
    });
    Request::Metrics(ExportMetricsServiceRequest { resource_metrics: resource_metrics.collect() })
}

/// A text as a part of a path or of a query.
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test]
async fn s9_a_hundred_payloads_in_every_field_and_view_run_nowhere() {
    let Some((node, modules, chromium)) = browser::tools() else { return };
    let _machine = whole_machine().await;
    let server = Server::start();
    if !browser::has_page(&server).await {
        return;
    }
    let payloads = payloads();
    assert_eq!(payloads.len(), 100);
    let client = Client::new(&server);
    for request in [traces(&payloads), logs(&payloads), metrics(&payloads)] {
        client.send_all(Transport::HttpProtobuf, &request).await;
    }
    // Saved queries have titles that people write.
    let http = reqwest::Client::new();
    for (number, payload) in payloads.iter().enumerate().take(20) {
        let body =
            json!({ "sql": format!("SELECT '{}' AS a", payload.replace('\'', "''")), "title": payload }).to_string();
        let path = server.api(&format!("/api/queries/q{number}"));
        let answer =
            http.put(path).header("content-type", "application/json").body(body).send().await.expect("an answer");
        assert!(answer.status().is_success(), "{payload}: {}", answer.status());
    }
    let trace = format!("{TRACE_ID:032x}");
    let all = encoded(
        "SELECT service_name, name, status_message, attributes, resource, count(*) AS n FROM spans GROUP BY 1, 2, 3, 4, 5",
    );
    let plot = encoded("SELECT service_name, name, count(*) AS n FROM spans GROUP BY 1, 2");
    let views: Vec<String> = [
        "/",
        "/?view=table",
        "/explore?unit=traces",
        "/explore?unit=spans",
        "/explore?unit=logs",
        "/explore?unit=journeys",
        "/map",
        "/map?view=matrix",
        "/map?view=table",
        "/services",
        "/metrics",
        "/sql",
        "/alerts",
        "/system",
    ]
    .map(str::to_owned)
    .into_iter()
    .chain(["", "?tab=flame", "?tab=table", "?tab=logs"].map(|tab| format!("/j/{trace}{tab}")))
    .chain([format!("/t/{trace}"), format!("/compare?a={trace}&b={trace}")])
    .chain([format!("/sql?sql={all}"), format!("/sql?view=plot&sql={plot}")])
    .collect();
    let is_long = std::env::var_os("HODOSCOPE_LONG").is_some();
    let step = if is_long { 1 } else { 10 };
    let chosen = || payloads.iter().enumerate().step_by(step);
    let each: Vec<Json> = chosen()
        .flat_map(|(_, payload)| {
            let start: String = payload.chars().filter(|c| !c.is_control()).take(8).collect();
            let one = encoded(payload);
            let filter = encoded(&format!("service={}", Json::String(payload.clone())));
            [format!("/services/{one}"), format!("/metrics?m={one}"), format!("/explore?unit=spans&q={filter}")]
                .map(|path| json!([path, start]))
        })
        .collect();
    let spans: Vec<Json> =
        chosen().map(|(number, payload)| json!([format!("{:016x}", span_id(number)), payload])).collect();
    let config = json!({
        "url": format!("http://{}", server.http), "chromium": chromium, "is_debug": cfg!(debug_assertions),
        "payloads": payloads, "views": views, "each": each, "spans": spans, "trace_id": trace,
    });
    let script = tools::source("tests/browser/hostile.js");
    let output = Command::new(node).arg(script).arg(config.to_string()).env("NODE_PATH", modules).output();
    let output = output.expect("node can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let counts: Json = serde_json::from_slice(&output.stdout).expect("the script prints counts");
    println!(
        "hostile: {} payloads, {} views and {} spans opened, 0 executions",
        payloads.len(),
        counts["views"],
        counts["spans"]
    );
}
