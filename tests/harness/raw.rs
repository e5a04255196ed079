//! gRPC with bytes that need not be a message.

use bytes::{Buf as _, BufMut as _, Bytes};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Endpoint;
use tonic::{Request, Status};

use super::Server;

/// Calls `Export` of a signal with these bytes as the message; answers the bytes of the response.
pub async fn export(server: &Server, signal: &str, message: Vec<u8>) -> Result<Vec<u8>, Status> {
    let service = match signal {
        "traces" => "trace.v1.TraceService",
        "metrics" => "metrics.v1.MetricsService",
        _ => "logs.v1.LogsService",
    };
    call(server, &format!("/opentelemetry.proto.collector.{service}/Export"), message).await
}

/// Calls a method by its path with these bytes as the message; answers the bytes of the response.
pub async fn call(server: &Server, path: &str, message: Vec<u8>) -> Result<Vec<u8>, Status> {
    let endpoint = Endpoint::from_shared(format!("http://{}", server.otlp_grpc)).expect("an address");
    let channel = endpoint.connect().await.expect("the collector listens");
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.expect("the channel is open");
    client
        .unary(Request::new(message), path.parse().expect("a path"), BytesCodec)
        .await
        .map(tonic::Response::into_inner)
}

/// Passes bytes on as they are.
#[derive(Debug, Default)]
struct BytesCodec;

impl Codec for BytesCodec {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for BytesCodec {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(Bytes::from(item));
        Ok(())
    }
}

impl Decoder for BytesCodec {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut bytes = vec![0; buffer.remaining()];
        buffer.copy_to_slice(&mut bytes);
        Ok(Some(bytes))
    }
}
