//! How to point a sender at this server, to be copied from the empty page.

/// One way to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Snippet {
    /// What it is for.
    pub(crate) title: &'static str,
    /// Text to copy.
    pub(crate) text: String,
}

/// Three ways: any SDK by environment, an OpenTelemetry Collector, a first span with curl.
///
/// `grpc` and `http` are the addresses the server listens on, as `/api/status` names them; `trace_id` and
/// `span_id` are fresh hex ids, `now` is in nanoseconds: the curl line makes a span that is found at once.
pub(crate) fn snippets(grpc: &str, http: &str, trace_id: &str, span_id: &str, now: i64) -> [Snippet; 3] {
    let (grpc, http) = (reachable(grpc), reachable(http));
    let start = now.saturating_sub(150_000_000);
    [
        Snippet {
            title: "Any OpenTelemetry SDK",
            text: format!(
                "export OTEL_EXPORTER_OTLP_ENDPOINT=http://{grpc}\n\
                 export OTEL_EXPORTER_OTLP_PROTOCOL=grpc\n\
                 export OTEL_SERVICE_NAME=my-service"
            ),
        },
        Snippet {
            title: "OpenTelemetry Collector",
            text: format!(
                "exporters:\n  otlp/hodoscope:\n    endpoint: {grpc}\n    tls:\n      insecure: true\n\
                 service:\n  pipelines:\n    traces:\n      exporters: [otlp/hodoscope]"
            ),
        },
        Snippet {
            title: "One span with curl",
            text: format!(
                "curl http://{http}/v1/traces -H 'Content-Type: application/json' -d '{{\"resourceSpans\":[{{\
                 \"resource\":{{\"attributes\":[{{\"key\":\"{}\",\"value\":{{\"stringValue\":\"hello\"}}}}]}},\
                 \"scopeSpans\":[{{\"spans\":[{{\"traceId\":\"{trace_id}\",\"spanId\":\"{span_id}\",\"name\":\"first span\",\"kind\":2,\
                 \"startTimeUnixNano\":\"{start}\",\"endTimeUnixNano\":\"{now}\"}}]}}]}}]}}'",
                model::semconv::key::SERVICE_NAME
            ),
        },
    ]
}

/// An address a sender can connect to: a server that listens everywhere is reached on localhost.
fn reachable(address: &str) -> String {
    match address.rsplit_once(':') {
        Some(("0.0.0.0" | "[::]" | "", port)) => format!("localhost:{port}"),
        _ => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "5b8efff798038103d269b633813fc60c";

    #[test]
    fn snippets_name_this_server() {
        let all = snippets("127.0.0.1:4317", "0.0.0.0:4318", TRACE, "eee19b7ec3c1b174", 1_795_185_667_229_000_000);
        assert!(all[0].text.contains("http://127.0.0.1:4317"));
        assert!(all[1].text.contains("endpoint: 127.0.0.1:4317"));
        assert!(all[2].text.contains("http://localhost:4318/v1/traces"));
    }

    /// The body of the curl line is OTLP/JSON.
    #[test]
    fn the_curl_body_is_json() {
        let all = snippets("a:1", "a:2", TRACE, "eee19b7ec3c1b174", 1_795_185_667_229_000_000);
        let body = all[2].text.split('\'').nth(3).expect("has a body");
        let body: serde_json::Value = serde_json::from_str(body).expect("is JSON");
        let span = &body["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
        assert_eq!(span["traceId"], TRACE);
        assert_eq!(span["startTimeUnixNano"], "1795185667079000000");
    }
}
