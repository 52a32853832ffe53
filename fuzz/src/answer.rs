//! Any answer through the provider stage: what the client gets and what is recorded do not depend on the chunks.

use fallback::Fallback;
use provider_adapter::ProviderAdapter;
use sluice_core::config::RouteConfigs;
use sluice_core::context;
use sluice_core::filter::{Filter, Next, Side};
use sluice_core::target::{ATTRIBUTE, Target};
use sluice_core::testing::FakeHost;

use crate::exchange::{Gone, pass};
use crate::parts::{chunks, first};

const PATHS: [&str; 5] =
    ["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses", "/v1/messages"];

/// First byte: operation; 64: a stream was asked for; 128: and comes.
struct Case {
    path: &'static str,
    asked: bool,
    comes: bool,
}

impl Case {
    fn of(number: usize) -> Self {
        Self { path: PATHS[number % 64 % PATHS.len()], asked: number & 64 != 0, comes: number & 128 != 0 }
    }

    fn host(&self) -> FakeHost {
        let headers = [
            (":method", "POST"),
            (":path", self.path),
            ("content-type", "application/json"),
            ("x-envoy-attempt-count", "1"),
        ];
        let mut host = FakeHost::with_request(&headers);
        let target = Target { provider: "p".into(), host: "h".into(), attempts: 2, ..Target::default() };
        host.set_attribute(&ATTRIBUTE.join("."), &target.to_metadata());
        context::STREAM.set(&mut host, if self.asked { "true" } else { "false" });
        host
    }

    fn answer(&self, host: &mut FakeHost) {
        let kind = if self.comes { "text/event-stream" } else { "application/json" };
        host.respond(&[(":status", "200"), ("content-type", kind)]);
    }
}

fn new<F: Filter>() -> F {
    F::new(RouteConfigs::parse(b"{}", |raw| F::check(raw, &|_| None)).unwrap().get(""))
}

/// What comes out of both filters, and the facts in the end.
fn run(case: &Case, body: &[u8], size: usize) -> (Gone, FakeHost) {
    let mut host = case.host();
    let (mut adapter, mut gate): (ProviderAdapter, Fallback) = (new(), new());
    assert_eq!(gate.on_request_headers(&mut host, false), Next::Pass);
    let asked = if case.asked { &br#"{"model":"m","stream":true}"#[..] } else { br#"{"model":"m"}"# };
    assert!(matches!(pass(&mut adapter, &mut host, Side::Request, asked, 1_000), Gone::On(_)));
    case.answer(&mut host);
    let Gone::On(metered) = pass(&mut adapter, &mut host, Side::Response, body, size) else { panic!("held") };
    let gone = pass(&mut gate, &mut host, Side::Response, &metered, size);
    adapter.on_done(&mut host);
    gate.on_done(&mut host);
    (gone, host)
}

/// A number as in `Case`, the size of a chunk, and the answer.
pub fn check(input: &[u8]) {
    let (number, input) = first(input);
    let (size, body) = chunks(input);
    let case = Case::of(number);
    let (gone, host) = run(&case, body, body.len().max(1));
    let (in_chunks, other) = run(&case, body, size);
    assert_eq!(host.facts, other.facts);
    assert_eq!(host.response, other.response);
    assert_eq!(gone, in_chunks);
    assert_ne!(gone, Gone::Waits);
}
