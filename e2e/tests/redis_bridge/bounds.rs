//! What is refused, and that nothing after it suffers.

use std::process::Command;

use sluice_core::redis::{Reply, Unavailable};
use sluice_e2e::client::{self, Connection};
use sluice_e2e::envoy;
use sluice_e2e::redis::{Options, Redis};

use crate::road::{Asker, Road, Spec, command, config, resp};

#[test]
fn what_is_no_request_for_redis_is_refused() {
    let redis = Redis::start(&Options::default());
    let road = Road::to(redis.address());
    let get = resp(&[&[b"GET", b"k"]]);
    let cases: [(&str, Vec<u8>, u16); 9] = [
        ("text", b"hello\r\n".to_vec(), 400),
        ("an inline command", b"GET k\r\n".to_vec(), 400),
        ("nothing", vec![], 400),
        ("half a command", get[..get.len() - 3].to_vec(), 400),
        ("an empty command", b"*0\r\n".to_vec(), 400),
        ("a command of numbers", b"*1\r\n:1\r\n".to_vec(), 400),
        ("a transaction", resp(&[&[b"multi"], &[b"EXEC"]]), 400),
        ("a login", resp(&[&[b"AUTH", b"x"]]), 400),
        ("a body beyond the bound", resp(&[&[b"SET", b"k", &vec![b'x'; 1_048_577]]]), 413),
    ];
    for (name, body, status) in cases {
        assert_eq!(road.post(&body).status, status, "{name}");
        assert_eq!(road.post(&get).text(), "$-1\r\n", "after {name}");
    }
    let mut client = Connection::open(road.envoy.address()).expect("Envoy listens");
    client.write_chunked("/10000", &[&get], &[]).expect("a request");
    assert_eq!(client.read().expect("an answer").status, 411);
    let long = "x".repeat(20_000);
    let reply = client::send(road.envoy.address(), "POST", "/10000", &[("x-long", &long)], &get);
    assert_eq!(reply.status, 431);
    assert_eq!(road.stat("wasmcustom.redis_bridge_refused_total"), 11);
}

#[test]
fn replies_beyond_the_bound_are_dropped() {
    let redis = Redis::start(&Options::default());
    let node = [redis.address()];
    let road = Road::start(&Spec { max_reply_bytes: 10_000, ..Spec::new(&node) });
    let mut asker = Asker::new(&road, 1_000);
    // `$9990\r\n`, the value and `\r\n` make 9,999 bytes.
    for (size, fits) in [(9_990, true), (9_991, true), (9_992, false), (900_000, false), (100, true)] {
        redis::cmd("SET").arg("k").arg("x".repeat(size)).exec(&mut redis.connect()).expect("room");
        let reply = asker.one(command("GET k"));
        let want = if fits { Ok(Reply::Bulk(vec![b'x'; size])) } else { Err(Unavailable::ReplyTooLarge) };
        assert!(reply == want, "{size}");
    }
    let many = asker.ask((0..200).map(|_| command("GET k")).collect());
    assert_eq!(many, Err(Unavailable::ReplyTooLarge));
    assert_eq!(asker.counter("redis_failures_total;kind=reply_too_large"), 3);
    assert_eq!(asker.counter("redis_breaker_opened_total"), 0);
}

#[test]
fn a_bound_of_nothing_is_refused() {
    let node = [([127, 0, 0, 1], 1).into()];
    let config = config(&Spec { max_reply_bytes: 0, ..Spec::new(&node) });
    let config = config.replace("{listen}", "1").replace("{admin}", "1");
    let mut validate = Command::new(envoy::binary());
    let output =
        validate.args(["--mode", "validate", "--config-yaml", &config]).output().expect("Envoy runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains("redis-bridge: max_reply_bytes: must be at least 1"),
        "{said}"
    );
}
