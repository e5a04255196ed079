//! One OTLP request over any transport, and the answer in one shape.

use std::time::Duration;

use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use prost::Message as _;
use tonic::transport::{Channel, Endpoint};

use super::{Server, json};

/// How a request travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// OTLP/gRPC.
    Grpc,
    /// OTLP/HTTP with protobuf bodies.
    HttpProtobuf,
    /// OTLP/HTTP with JSON bodies.
    HttpJson,
}

/// A request of one of the three signals.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Spans.
    Traces(ExportTraceServiceRequest),
    /// Metric points.
    Metrics(ExportMetricsServiceRequest),
    /// Log records.
    Logs(ExportLogsServiceRequest),
}

/// What the collector answered: items refused and its message, or why nothing was taken.
pub type Answer = Result<Accepted, Refused>;

/// The request was answered with success.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Accepted {
    /// Items refused in spite of it.
    pub rejected: i64,
    /// Message of the partial success; empty without one.
    pub message: String,
}

/// The request was refused or not answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    /// HTTP status or gRPC code; 0 when there was no answer.
    pub code: u32,
    /// What the collector said.
    pub message: String,
}

impl Transport {
    /// Every transport.
    pub const ALL: [Self; 3] = [Self::Grpc, Self::HttpProtobuf, Self::HttpJson];
}

impl Request {
    /// `traces`, `metrics` or `logs`.
    pub fn signal(&self) -> &'static str {
        match self {
            Self::Traces(_) => "traces",
            Self::Metrics(_) => "metrics",
            Self::Logs(_) => "logs",
        }
    }

    /// Protobuf body.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Traces(request) => request.encode_to_vec(),
            Self::Metrics(request) => request.encode_to_vec(),
            Self::Logs(request) => request.encode_to_vec(),
        }
    }
}

/// Sends one collector's requests; keeps its connections.
#[derive(Clone, Debug)]
pub struct Client {
    channel: Channel,
    http: reqwest::Client,
    otlp_http: String,
    key: Option<String>,
}

impl Client {
    /// A client of this collector; connects with the first request.
    pub fn new(server: &Server) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://{}", server.otlp_grpc)).expect("an address");
        Self {
            channel: endpoint.timeout(Duration::from_secs(60)).connect_lazy(),
            http: reqwest::Client::builder().timeout(Duration::from_secs(60)).build().expect("a plain client"),
            otlp_http: server.otlp_http.clone(),
            key: None,
        }
    }

    /// A client whose gRPC goes through a connection that stands.
    pub fn over(server: &Server, channel: Channel) -> Self {
        Self { channel, ..Self::new(server) }
    }

    /// The same client with an API key.
    pub fn with_key(self, key: &str) -> Self {
        Self { key: Some(key.to_owned()), ..self }
    }

    /// A gRPC request with the key.
    fn keyed<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        if let Some(key) = &self.key {
            let value = format!("Bearer {key}").parse().expect("a key is a header");
            request.metadata_mut().insert("authorization", value);
        }
        request
    }

    /// Sends a request and waits for the answer.
    pub async fn send(&self, transport: Transport, request: &Request) -> Answer {
        match transport {
            Transport::Grpc => self.send_grpc(request.clone()).await,
            Transport::HttpProtobuf => {
                let body = self.post(request.signal(), "application/x-protobuf", request.encode()).await?;
                protobuf_answer(request, &body)
            }
            Transport::HttpJson => {
                let body = json::from_request(request).to_string().into_bytes();
                let body = self.post(request.signal(), "application/json", body).await?;
                json_answer(&body)
            }
        }
    }

    /// Sends and expects that every item is taken without a word. As a sender does: a disk or store that does not answer in time,
    /// because other tests write too, is a reason to try again, for two minutes.
    #[track_caller]
    pub fn send_all<'a>(&'a self, transport: Transport, request: &'a Request) -> impl Future<Output = ()> + use<'a> {
        let caller = std::panic::Location::caller();
        async move {
            for attempt in 1.. {
                match self.send(transport, request).await {
                    Err(Refused { code: 503 | 14, message }) if attempt < 120 => println!("once more: {message}"),
                    answer => {
                        assert_eq!(
                            answer,
                            Ok(Accepted::default()),
                            "{transport:?} {} (from {caller})",
                            request.signal()
                        );
                        return;
                    }
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }

    /// Posts a body to `/v1/SIGNAL`; the answer's body when the status is 200.
    pub async fn post(&self, signal: &str, content_type: &str, body: Vec<u8>) -> Result<Vec<u8>, Refused> {
        let url = format!("http://{}/v1/{signal}", self.otlp_http);
        let request = self.http.post(url).header("content-type", content_type).body(body);
        let request = match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        };
        let sent = request.send().await;
        let response = sent.map_err(|error| Refused { code: 0, message: format!("{error:?}") })?;
        let code = u32::from(response.status().as_u16());
        let answered = response.headers().get("content-type").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let body = response.bytes().await.map_err(|error| Refused { code: 0, message: format!("{error:?}") })?;
        if code != 200 {
            return Err(Refused { code, message: String::from_utf8_lossy(&body).into_owned() });
        }
        assert_eq!(answered.as_deref(), Some(content_type), "T5: the answer speaks the request's encoding");
        Ok(body.to_vec())
    }

    async fn send_grpc(&self, request: Request) -> Answer {
        let (rejected, message) = match request {
            Request::Traces(request) => {
                let request = self.keyed(request);
                let answer = TraceServiceClient::new(self.channel.clone()).export(request).await.map_err(refused)?;
                answer.into_inner().partial_success.map(|part| (part.rejected_spans, part.error_message))
            }
            Request::Metrics(request) => {
                let request = self.keyed(request);
                let answer = MetricsServiceClient::new(self.channel.clone()).export(request).await.map_err(refused)?;
                answer.into_inner().partial_success.map(|part| (part.rejected_data_points, part.error_message))
            }
            Request::Logs(request) => {
                let request = self.keyed(request);
                let answer = LogsServiceClient::new(self.channel.clone()).export(request).await.map_err(refused)?;
                answer.into_inner().partial_success.map(|part| (part.rejected_log_records, part.error_message))
            }
        }
        .unwrap_or_default();
        Ok(Accepted { rejected, message })
    }
}

/// A gRPC refusal in the common shape.
#[allow(clippy::needless_pass_by_value, reason = "fits map_err")]
fn refused(status: tonic::Status) -> Refused {
    // Without an answer of the server tonic makes up a status that carries its source.
    let is_transport = std::error::Error::source(&status).is_some();
    let code = if is_transport { 0 } else { i32::from(status.code()).unsigned_abs() };
    Refused { code, message: format!("{status:?}") }
}

fn protobuf_answer(request: &Request, body: &[u8]) -> Answer {
    let part = match request {
        Request::Traces(_) => ExportTraceServiceResponse::decode(body)
            .map(|answer| answer.partial_success.map(|part| (part.rejected_spans, part.error_message))),
        Request::Metrics(_) => ExportMetricsServiceResponse::decode(body)
            .map(|answer| answer.partial_success.map(|part| (part.rejected_data_points, part.error_message))),
        Request::Logs(_) => ExportLogsServiceResponse::decode(body)
            .map(|answer| answer.partial_success.map(|part| (part.rejected_log_records, part.error_message))),
    };
    let (rejected, message) = part.expect("an OTLP answer").unwrap_or_default();
    Ok(Accepted { rejected, message })
}

fn json_answer(body: &[u8]) -> Answer {
    let answer: serde_json::Value = serde_json::from_slice(body).expect("JSON");
    let Some(part) = answer.get("partialSuccess") else { return Ok(Accepted::default()) };
    let count = |name| part.get(name).map(json::integer);
    let rejected = count("rejectedSpans").or(count("rejectedDataPoints")).or(count("rejectedLogRecords"));
    Ok(Accepted {
        rejected: rejected.unwrap_or_default(),
        message: part.get("errorMessage").and_then(|text| text.as_str()).unwrap_or_default().to_owned(),
    })
}
