//! Commands and their replies, however they are cut.

use std::time::Instant;

use sluice_core::redis::{Command, RedisError, Reply, Script};
use sluice_e2e::client::{self, Connection};
use sluice_e2e::redis::{Options, Redis};

use crate::road::{Asker, Road, Spec, command, resp};

#[test]
fn commands_are_answered() {
    let redis = Redis::start(&Options::default());
    let road = Road::to(redis.address());
    let mut asker = Asker::new(&road, 250);
    let ok = || Reply::Simple(b"OK".to_vec());
    let cases = [
        ("PING", Ok(Reply::Simple(b"PONG".to_vec()))),
        ("GET absent", Ok(Reply::Nil)),
        ("SET k v", Ok(ok())),
        ("GET k", Ok(Reply::Bulk(b"v".to_vec()))),
        ("INCR n", Ok(Reply::Integer(1))),
        ("INCR k", Err(RedisError::Other("ERR".to_owned()))),
        ("LPUSH k x", Err(RedisError::Other("WRONGTYPE".to_owned()))),
        ("MGET k n", Ok(Reply::Array(vec![Ok(Reply::Bulk(b"v".to_vec())), Ok(Reply::Bulk(b"1".to_vec()))]))),
        (
            "EVAL return{1,{KEYS[1]}} 1 k",
            Ok(Reply::Array(vec![
                Ok(Reply::Integer(1)),
                Ok(Reply::Array(vec![Ok(Reply::Bulk(b"k".to_vec()))])),
            ])),
        ),
        ("EVALSHA 0123456789012345678901234567890123456789 1 k", Err(RedisError::NoScript)),
        ("NOSUCH k", Err(RedisError::Other("ERR".to_owned()))),
    ];
    for (words, want) in cases {
        assert_eq!(asker.ask(vec![command(words)]), Ok(vec![want]), "{words}");
    }
    let time = asker.one(command("TIME")).expect("a time");
    assert_eq!(time.array().map(<[_]>::len), Some(2));
}

#[test]
fn any_bytes_come_back_as_they_went() {
    let redis = Redis::start(&Options::default());
    let road = Road::to(redis.address());
    let mut asker = Asker::new(&road, 1_000);
    for value in
        [vec![], b"\r\n".to_vec(), b"$3\r\n*1\r\n".to_vec(), (0..=255).collect(), vec![b'x'; 900_000]]
    {
        let set = Command::new("SET").arg("k").arg(&value);
        let replies = asker.ask(vec![set, command("GET k")]).expect("an answer");
        assert!(replies[1] == Ok(Reply::Bulk(value)), "{} bytes", replies.len());
    }
}

#[test]
fn a_pipeline_is_answered_in_order() {
    let redis = Redis::start(&Options::default());
    let road = Road::to(redis.address());
    let mut asker = Asker::new(&road, 1_000);
    let commands =
        (0..500).map(|n| if n % 100 == 99 { command("NOSUCH k") } else { command("INCR n") }).collect();
    let replies = asker.ask(commands).expect("an answer");
    let want = |n: i64| {
        if n % 100 == 99 {
            Err(RedisError::Other("ERR".to_owned()))
        } else {
            Ok(Reply::Integer(n + 1 - n / 100))
        }
    };
    assert_eq!(replies, (0..500).map(want).collect::<Vec<_>>());
    assert_eq!(asker.host.callouts.len(), 1);
}

#[test]
fn a_request_in_single_bytes_is_answered() {
    let redis = Redis::start(&Options::default());
    let road = Road::to(redis.address());
    let body = resp(&[&[b"SET", b"k", b"a value"], &[b"GET", b"k"]]);
    let mut client = Connection::open(road.envoy.address()).expect("Envoy listens");
    for round in 0..2 {
        for byte in client::request("POST", "/10000", &[], &body) {
            client.write(&[byte]).expect("a connection");
        }
        let reply = client.read().expect("an answer");
        assert_eq!((reply.status, reply.text().as_str()), (200, "+OK\r\n$7\r\na value\r\n"), "round {round}");
    }
}

#[test]
fn a_script_is_sent_whole_only_where_it_is_unknown() {
    let redis = Redis::start(&Options::default());
    let road = Road::to(redis.address());
    let mut asker = Asker::new(&road, 1_000);
    let script = Script::new("return redis.call('INCRBY', KEYS[1], ARGV[1])");
    let run = || Command::eval(&script, &["n"]).arg("2");
    for (want, callouts) in [(2, 2), (4, 3), (6, 4)] {
        assert_eq!(asker.one(run()), Ok(Reply::Integer(want)));
        assert_eq!(asker.host.callouts.len(), callouts);
    }
    redis::cmd("SCRIPT").arg("FLUSH").exec(&mut redis.connect()).expect("a flush");
    let replies = asker.ask(vec![command("GET n"), run(), command("GET n")]).expect("an answer");
    assert_eq!(replies[1], Ok(Reply::Integer(8)));
    assert_eq!(asker.host.callouts.len(), 6, "the others are not sent again");
    let failing = Script::new("return redis.call('LPUSH', KEYS[1], 'x')");
    let failed = asker.ask(vec![Command::eval(&failing, &["n"])]).expect("an answer");
    assert!(matches!(&failed[0], Err(RedisError::Other(_))), "{failed:?}");
}

#[test]
fn connections_are_kept() {
    const CALLS: usize = 2_000;
    let redis = Redis::start(&Options::default());
    let road = Road::to(redis.address());
    let body = resp(&[&[b"INCR", b"n"]]);
    let mut client = Connection::open(road.envoy.address()).expect("Envoy listens");
    let began = Instant::now();
    for n in 1..=CALLS {
        client.write(&client::request("POST", "/10000", &[], &body)).expect("a connection");
        assert_eq!(client.read().expect("an answer").text(), format!(":{n}\r\n"));
    }
    eprintln!("{CALLS} calls one after the other took {:?}", began.elapsed());
    assert_eq!(road.stat("cluster.sluice.redis.upstream_cx_total"), 1);
    assert_eq!(road.stat("cluster.sluice.redis.nodes.upstream_cx_total"), 1);
}

#[test]
fn http_and_network_filters_share_a_vm() {
    let redis = Redis::start(&Options::default());
    let node = [redis.address()];
    let road = Road::start(&Spec { suite: true, ..Spec::new(&node) });
    assert_eq!(road.post(&resp(&[&[b"PING"]])).text(), "+PONG\r\n");
    // The one that is copied, the main thread's and the worker's; with two `vm_id`s there would be six.
    assert_eq!(road.stat("wasm.envoy.wasm.runtime.v8.active"), 3);
}
