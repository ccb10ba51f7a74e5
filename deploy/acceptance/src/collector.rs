//! A collector of traces, as small as can be: it takes what is sent over OTLP/gRPC and keeps it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf, Bytes, BytesMut};
use h2::server;
use hyper::{HeaderMap, Response, http::HeaderValue};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Attribute;
use prost::Message;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// A byte that says whether a message is compressed, and four with its length, stand before each message of gRPC.
const PREFIX_BYTES: usize = 5;

/// A running collector.
pub struct Collector {
    address: SocketAddr,
    spans: Arc<Mutex<Vec<Span>>>,
    task: AbortHandle,
}

/// A span that was sent.
#[derive(Clone, Debug)]
pub struct Span {
    /// The program that sent it.
    pub service: String,
    /// What it is called.
    pub name: String,
    /// What it has to do with others: 2 serves a caller, 3 calls somebody, 4 writes into a log, 5 reads out of one.
    pub kind: i32,
    /// Its trace, in hexadecimal digits.
    pub trace_id: String,
    /// Itself.
    pub id: String,
    /// What it is part of; empty for the first of its trace.
    pub parent: String,
    /// The spans that it is work of: trace and id.
    pub links: Vec<(String, String)>,
    /// What it stands for failed.
    pub failed: bool,
    /// What is said about it.
    pub attributes: HashMap<String, String>,
}

impl Collector {
    /// A collector on a free port.
    ///
    /// # Panics
    /// There is none.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let spans = Arc::<Mutex<Vec<Span>>>::default();
        let kept = spans.clone();
        let listening = async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, kept.clone()));
            }
        };
        Self { address, spans, task: tokio::spawn(listening).abort_handle() }
    }

    /// The settings of a program that sends all its spans here, soon after they end.
    #[must_use]
    pub fn settings(&self) -> [(String, String); 2] {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), format!("http://{}", self.address));
        [endpoint, ("OTEL_BSP_SCHEDULE_DELAY".to_owned(), "100".to_owned())]
    }

    /// What has come so far.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves one program until it ends; what it did not send whole is not kept.
async fn serve(stream: TcpStream, kept: Arc<Mutex<Vec<Span>>>) {
    let Ok(mut connection) = server::handshake(stream).await else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        let kept = kept.clone();
        tokio::spawn(async move {
            if let Some(spans) = read(request.into_body()).await {
                kept.lock().unwrap_or_else(PoisonError::into_inner).extend(spans);
            }
            drop(answer(respond));
        });
    }
}

async fn read(mut body: h2::RecvStream) -> Option<Vec<Span>> {
    let mut received = BytesMut::new();
    while let Some(piece) = body.data().await {
        let piece = piece.ok()?;
        body.flow_control().release_capacity(piece.len()).ok()?;
        received.extend_from_slice(&piece);
    }
    received.advance(PREFIX_BYTES.min(received.len()));
    Some(spans(ExportTraceServiceRequest::decode(received).ok()?))
}

fn answer(mut respond: server::SendResponse<Bytes>) -> Result<(), h2::Error> {
    let mut message = BytesMut::zeroed(PREFIX_BYTES);
    ExportTraceServiceResponse::default().encode(&mut message).expect("there is room");
    let mut head = Response::new(());
    head.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    let mut body = respond.send_response(head, false)?;
    body.send_data(message.freeze(), false)?;
    body.send_trailers(HeaderMap::from_iter([("grpc-status".parse().expect("a name"), HeaderValue::from_static("0"))]))
}

fn spans(request: ExportTraceServiceRequest) -> Vec<Span> {
    let mut all = Vec::new();
    for resource in request.resource_spans {
        let own = resource.resource.map(|resource| texts(resource.attributes)).unwrap_or_default();
        let service = own.get("service.name").cloned().unwrap_or_default();
        for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            all.push(Span {
                service: service.clone(),
                name: span.name,
                kind: span.kind,
                trace_id: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
                links: span.links.iter().map(|link| (hex(&link.trace_id), hex(&link.span_id))).collect(),
                failed: span.status.is_some_and(|status| status.code == 2),
                attributes: texts(span.attributes),
            });
        }
    }
    all
}

fn texts(attributes: Vec<opentelemetry_proto::tonic::common::v1::KeyValue>) -> HashMap<String, String> {
    let text = |value| match value {
        Attribute::StringValue(text) => text,
        Attribute::IntValue(number) => number.to_string(),
        Attribute::BoolValue(flag) => flag.to_string(),
        other => format!("{other:?}"),
    };
    let pair = |attribute: opentelemetry_proto::tonic::common::v1::KeyValue| {
        Some((attribute.key, text(attribute.value?.value?)))
    };
    attributes.into_iter().filter_map(pair).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
