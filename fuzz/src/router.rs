//! Any request through the router: what is routed is what a provider will read.

use std::cell::LazyCell;
use std::rc::Rc;
use std::str::from_utf8;

use model_router::ModelRouter;
use model_router::config::Config;
use provider_adapter::ProviderAdapter;
use serde_json::{Map, Value};
use sluice_core::config::RouteConfigs;
use sluice_core::context;
use sluice_core::filter::{Filter, Side};
use sluice_core::target::{ATTRIBUTE, Target};
use sluice_core::testing::FakeHost;

use crate::exchange::{Gone, pass};
use crate::parts::pair;

const CONFIG: &str = r#"{"limits": true, "rules": [
    {"match": ["o/*"], "strip_prefix": "o/", "targets": [{"name": "a", "cluster": "a"}]},
    {"match": ["m", "g?[a-c]{x,y}"], "when": {"has": ["images"]}, "targets": [{"name": "b", "cluster": "b"}]},
    {"match": ["*"], "targets": [{"name": "c", "cluster": "c"}]}
]}"#;

thread_local! {
    static CHECKED: LazyCell<Rc<Config>> = const {
        LazyCell::new(|| {
            RouteConfigs::parse(CONFIG.as_bytes(), |raw| ModelRouter::check(raw, &|_| None)).unwrap().get("")
        })
    };
    static ADAPTER: LazyCell<Rc<provider_adapter::Config>> = const {
        LazyCell::new(|| {
            RouteConfigs::parse(b"{}", |raw| ProviderAdapter::check(raw, &|_| None)).unwrap().get("")
        })
    };
}

/// The head's first line is the path, the second, if there is one, the `content-type`.
fn host(head: &str) -> FakeHost {
    let (path, kind) = head.split_once('\n').unwrap_or((head, "application/json"));
    FakeHost::with_request(&[(":method", "POST"), (":path", path), ("content-type", kind)])
}

fn object(body: &[u8]) -> Option<Map<String, Value>> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => Some(object),
        _ => None,
    }
}

/// What the provider's adapter makes of a request that the router has passed.
fn written(mut host: FakeHost, body: &[u8]) -> Option<Vec<u8>> {
    let target =
        Target { provider: "p".into(), model: Some("there".into()), host: "h".into(), ..Target::default() };
    host.set_attribute(&ATTRIBUTE.join("."), &target.to_metadata());
    let mut adapter = ADAPTER.with(|config| ProviderAdapter::new(Rc::clone(config)));
    match pass(&mut adapter, &mut host, Side::Request, body, 1_000_000) {
        Gone::On(body) => Some(body),
        other => panic!("{other:?}"),
    }
}

/// Only the model's name differs, and what is asked for usage.
fn same(mut before: Map<String, Value>, mut after: Map<String, Value>) {
    assert_eq!(after.remove("model"), Some("there".into()));
    before.remove("model");
    if before.get("stream") == Some(&Value::Bool(true)) {
        assert_eq!(other_options(&mut before), other_options(&mut after));
    }
    assert_eq!(before, after);
}

/// Takes out the options of the stream; what they hold besides usage.
fn other_options(request: &mut Map<String, Value>) -> Map<String, Value> {
    let Some(Value::Object(mut options)) = request.remove("stream_options") else { return Map::new() };
    options.retain(|name, _| name.to_uppercase() != "INCLUDE_USAGE");
    options
}

fn route(host: &mut FakeHost, body: &[u8]) -> Gone {
    let mut filter = CHECKED.with(|config| ModelRouter::new(Rc::clone(config)));
    pass(&mut filter, host, Side::Request, body, 1_000_000)
}

/// Path, a line break and the type of the body if it is not JSON; NUL; the body.
pub fn check(input: &[u8]) {
    let (head, body) = pair(input);
    let Ok(head) = from_utf8(head) else { return };
    let mut host = host(head);
    match route(&mut host, body) {
        Gone::On(on) => assert_eq!(on, body),
        Gone::Replied(reply) => {
            let error: Value = serde_json::from_str(&reply.body).unwrap();
            assert_eq!(error["error"]["code"].as_str(), context::ERROR.get(&host).as_deref(), "{error}");
            return;
        }
        other => panic!("{other:?}"),
    }
    if host.request_header("content-type").is_some_and(|kind| kind.starts_with("application/json")) {
        // serde_json is stricter in numbers beyond f64 and in depth, and only there
        if let Some(object) = object(body) {
            let in_body = object.get("model").and_then(Value::as_str).filter(|model| !model.is_empty());
            assert!(in_body.is_none() || context::MODEL.get(&host).as_deref() == in_body);
            assert_eq!(
                context::STREAM.get(&host).as_deref() == Some("true"),
                object.get("stream") == Some(&Value::Bool(true))
            );
            let after = written(host, body).and_then(|body| self::object(&body));
            same(object, after.expect("still JSON"));
        }
    } else if let Some(model) = context::MODEL.get(&host).filter(|_| !head.contains("/deployments/")) {
        // named in the form, not in the path
        let after = written(host, body).unwrap();
        let mut again = self::host(head);
        assert_eq!(route(&mut again, &after), Gone::On(after), "{model}");
        assert!(
            context::BASE_MODEL
                .get(&again)
                .or(context::MODEL.get(&again))
                .is_some_and(|name| name == "there")
        );
    }
}
