//! Any facts, headers and bodies: the record is one line of JSON as its schema says, and repeats no credential.

use std::cell::LazyCell;
use std::rc::Rc;

use ai_log::{AiLog, Config};
use jsonschema::Validator;
use serde_json::Value;
use sluice_core::config::RouteConfigs;
use sluice_core::context::{self, Fact};
use sluice_core::filter::{Filter, Side};
use sluice_core::testing::FakeHost;

use crate::exchange::pass;
use crate::parts::first;

const CONFIG: &str = r#"{"prompts": "truncated", "max_chars": 40, "headers": ["x-a"], "models": ["m*"],
    "prices": [{"match": "m*", "input": 1000, "output": 2000}]}"#;

/// What Envoy says of an exchange: status, flags, and why it ended in words.
const STATUS: &str = "response.code";
const FLAGS: &str = "response.flags";
const DETAILS: &str = "response.code_details";

/// Facts that hold fingerprints of keys.
const FINGERPRINTS: [Fact; 2] = [context::KEY_ID, context::PROVIDER_KEY];

/// Facts that hold only what our own filters write: closed lists, numbers, JSON.
const OURS: [Fact; 10] = [
    context::OPERATION,
    context::ATTEMPT_BROKE,
    context::ERROR,
    context::LIMIT,
    context::CACHE,
    context::GUARD,
    context::ATTEMPTS,
    context::METADATA,
    context::USAGE_SOURCE,
    context::STREAM_END,
];

thread_local! {
    static SCHEMA: LazyCell<Validator> = const {
        LazyCell::new(|| {
            let schema = serde_json::from_str(include_str!("../../docs/ai_log.schema.json")).unwrap();
            jsonschema::validator_for(&schema).unwrap()
        })
    };
    static CHECKED: LazyCell<Rc<Config>> = const {
        LazyCell::new(|| {
            RouteConfigs::parse(CONFIG.as_bytes(), |raw| AiLog::check(raw, &|_| None)).unwrap().get("")
        })
    };
}

/// Puts one part where its first byte says.
fn put(host: &mut FakeHost, part: &[u8], bodies: &mut [Vec<u8>; 2]) {
    let (number, value) = first(part);
    match number {
        0..=127 => {
            let fact = context::ALL[number % context::ALL.len()];
            let is_fingerprint = FINGERPRINTS.iter().any(|one| one.0 == fact.0);
            let value = if is_fingerprint { fingerprint(value) } else { value.to_vec() };
            host.facts.insert(fact.0.to_owned(), value);
        }
        128..=143 => {
            let status = u64::from(u16::from_le_bytes([byte(value, 0), byte(value, 1)]) % 1_000);
            host.attributes.insert(STATUS.to_owned(), status.to_le_bytes().to_vec());
        }
        144..=159 => {
            let flags: [u8; 8] = std::array::from_fn(|at| byte(value, at));
            host.attributes.insert(FLAGS.to_owned(), flags.to_vec());
        }
        160..=175 => {
            host.attributes.insert(DETAILS.to_owned(), value.to_vec());
        }
        176..=207 => {
            let name = [
                ":path",
                "x-request-id",
                "user-agent",
                "x-a",
                "content-type",
                ":method",
                "x-ai-retry",
                "x-b",
            ];
            host.request.push((name[number % 8].to_owned(), value.to_vec()));
        }
        208..=223 => bodies[0] = value.to_vec(),
        224..=239 => bodies[1] = value.to_vec(),
        _ => {
            let name = [":status", "content-type", "content-encoding", "x-ai-cache"];
            host.response.push((name[number % 4].to_owned(), value.to_vec()));
        }
    }
}

/// As filters write one.
fn fingerprint(value: &[u8]) -> Vec<u8> {
    let bytes: [u8; 4] = std::array::from_fn(|at| byte(value, at));
    format!("{:08x}", u32::from_be_bytes(bytes)).into_bytes()
}

fn byte(value: &[u8], at: usize) -> u8 {
    value.get(at).copied().unwrap_or(0)
}

/// Parts with a NUL between them: what the first byte of each names, and its value.
pub fn check(input: &[u8]) {
    let mut host = FakeHost::with_request(&[(":method", "POST"), (":path", "/v1/chat/completions?key=kA1")]);
    host.now_ns = 1_700_000_000_123_456_789;
    let mut bodies = [Vec::new(), Vec::new()];
    input.split(|byte| *byte == 0).for_each(|part| put(&mut host, part, &mut bodies));
    let forged = OURS.iter().any(|fact| host.facts.contains_key(fact.0));
    let mut filter = CHECKED.with(|config| AiLog::new(Rc::clone(config)));
    pass(&mut filter, &mut host, Side::Request, &bodies[0], 7);
    host.advance_ms(20);
    pass(&mut filter, &mut host, Side::Response, &bodies[1], 7);
    filter.on_done(&mut host);
    let record = context::AI_LOG.get(&host).expect("always one");
    assert!(!record.contains(['\n', '\r']), "{record}");
    let json: Value = serde_json::from_str(&record).unwrap_or_else(|error| panic!("{error}: {record}"));
    if forged {
        return; // by nobody but this target: the schema need not hold
    }
    SCHEMA.with(|schema| {
        let errors: Vec<_> = schema.iter_errors(&json).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?}: {record}");
    });
}
