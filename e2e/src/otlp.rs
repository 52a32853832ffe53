//! A collector on loopback: takes spans by OTLP over HTTP, remembers them, and misbehaves as told.
//!
//! <https://opentelemetry.io/docs/specs/otlp/#otlphttp>

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1 as proto;
use prost::Message as _;

use crate::wait;
use crate::wire::{Fields, Reader};

/// Names and values, as text.
pub type Attributes = BTreeMap<String, String>;

/// How the collector answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manner {
    /// Takes everything.
    #[default]
    Good,
    /// Refuses with this status.
    Refuse(u16),
    /// Reads, and never answers.
    Hang,
}

/// One span.
#[derive(Clone, Debug)]
pub struct Span {
    /// Hex digits of its trace.
    pub trace: String,
    /// Its own hex digits.
    pub id: String,
    /// Those of the span above it; empty for the first of a trace.
    pub parent: String,
    /// Its name.
    pub name: String,
    /// `SPAN_KIND_SERVER`, `SPAN_KIND_CLIENT`.
    pub kind: String,
    /// What it tells.
    pub attributes: Attributes,
    /// What is told of who sent it.
    pub resource: Attributes,
}

impl Span {
    /// An attribute; empty where there is none.
    #[must_use]
    pub fn get(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }

    /// Whether it is an attempt's.
    #[must_use]
    pub fn is_attempt(&self) -> bool {
        self.kind == "SPAN_KIND_CLIENT"
    }
}

/// One export.
struct Export {
    headers: Fields,
    body: Vec<u8>,
}

#[derive(Default)]
struct State {
    manner: Manner,
    exports: Vec<Export>,
    sockets: Vec<TcpStream>,
}

/// A running collector.
pub struct Collector {
    state: Arc<Mutex<State>>,
    address: SocketAddr,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Collector {
    /// Starts a good one on a port of its own.
    #[must_use]
    #[track_caller]
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                // an error here is Envoy's going away
                thread::spawn(move || drop(serve(&shared, &socket)));
            }
        });
        Self { state, address }
    }

    /// The whole URL, as gateway.yaml takes it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/v1/traces", self.address)
    }

    /// From now on answers like this; connections that are open end.
    pub fn behave(&self, manner: Manner) {
        let mut state = lock(&self.state);
        state.manner = manner;
        for socket in state.sockets.drain(..) {
            let _ = socket.shutdown(std::net::Shutdown::Both);
        }
    }

    /// How many exports have come.
    #[must_use]
    pub fn exports(&self) -> usize {
        lock(&self.state).exports.len()
    }

    /// All spans that have come.
    #[must_use]
    #[track_caller]
    pub fn spans(&self) -> Vec<Span> {
        let state = lock(&self.state);
        state.exports.iter().flat_map(|export| decode(&export.body)).collect()
    }

    /// Waits for the request's span that `is_it` accepts, and gives it with its attempts, the first one first. All
    /// that Envoy tells of a request goes into exports of a second, so a span is waited for, never its absence.
    #[track_caller]
    pub fn trace(&self, what: &str, is_it: impl Fn(&Span) -> bool) -> (Span, Vec<Span>) {
        wait::until(&format!("the trace of {what}"), || {
            let spans = self.spans();
            let whole = spans.iter().find(|span| !span.is_attempt() && is_it(span))?.clone();
            let count: usize = whole.get("sluice.attempts").parse().ok()?;
            let of_it = spans.into_iter().filter(|span| span.is_attempt() && span.parent == whole.id);
            let attempts: Vec<Span> = of_it.collect();
            (attempts.len() == count).then_some((whole, attempts))
        })
    }

    /// Header `name` of the last export.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        let state = lock(&self.state);
        let headers = &state.exports.last()?.headers;
        headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone())
    }

    /// All bytes that have come, bodies as text as far as they are text: to look for what must not be there.
    #[must_use]
    pub fn everything(&self) -> String {
        let state = lock(&self.state);
        state.exports.iter().fold(String::new(), |mut all, export| {
            let _ = writeln!(all, "{:?} {}", export.headers, String::from_utf8_lossy(&export.body));
            all
        })
    }
}

fn serve(state: &Mutex<State>, socket: &TcpStream) -> io::Result<()> {
    lock(state).sockets.push(socket.try_clone()?);
    let mut reader = Reader::new(Box::new(socket.try_clone()?));
    let mut writer = socket.try_clone()?;
    while let Some(head) = reader.head()? {
        let (body, _) = reader.body(head.framing(false))?;
        let manner = lock(state).manner;
        let status = match manner {
            Manner::Hang => continue,
            Manner::Refuse(status) => status,
            Manner::Good => 200,
        };
        if status == 200 {
            lock(state).exports.push(Export { headers: head.headers, body });
        }
        write!(
            writer,
            "HTTP/1.1 {status} x\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n"
        )?;
    }
    Ok(())
}

#[track_caller]
fn decode(body: &[u8]) -> Vec<Span> {
    let request = ExportTraceServiceRequest::decode(body).expect("an export of spans");
    let of_resource = |spans: proto::ResourceSpans| {
        let resource = attributes(spans.resource.map(|resource| resource.attributes).unwrap_or_default());
        let all = spans.scope_spans.into_iter().flat_map(|scope| scope.spans);
        all.map(move |span| read(span, resource.clone())).collect::<Vec<_>>()
    };
    request.resource_spans.into_iter().flat_map(of_resource).collect()
}

fn read(span: proto::Span, resource: Attributes) -> Span {
    Span {
        kind: span.kind().as_str_name().to_owned(),
        trace: hex(&span.trace_id),
        id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        name: span.name,
        attributes: attributes(span.attributes),
        resource,
    }
}

fn attributes(all: Vec<KeyValue>) -> Attributes {
    all.into_iter().map(|one| (one.key, text(one.value))).collect()
}

fn text(value: Option<AnyValue>) -> String {
    match value.and_then(|value| value.value) {
        Some(any_value::Value::StringValue(text)) => text,
        other => format!("{other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
