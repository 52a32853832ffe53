//! Clients by the thousand that come and go, send half of what they promise, or do not read what they asked for.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use sluice_e2e::client::Connection;
use sluice_e2e::gateway::Options;
use sluice_e2e::wire;
use sluice_e2e::{wait, wild};

use crate::bed::{Bed, TIMEOUTS, rounds};
use crate::books::{Allowed, Peak};
use crate::client::Ask;
use crate::traffic;

/// Connections open at the same time: with both their ends fewer than many systems grant a process.
const AT_ONCE: usize = 250;

/// Batches of them: five thousand connections in all.
const BATCHES: usize = 20;

/// What a client does with its connection before it drops it.
fn misuse(bed: &Bed, socket: &mut TcpStream, n: usize) {
    let whole = Ask::new(bed, "gpt").bytes();
    let body = whole.windows(4).position(|four| four == b"\r\n\r\n").map_or(0, |at| at + 4);
    let sent: &[u8] = match n % 7 {
        0 => b"",
        1 => &whole[..20],
        2 => &whole[..body],
        3 => &whole[..whole.len() - 9],
        4 => &whole,
        5 => b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 not HTTP",
        _ => b"GET / HTTP/1.1\r\nhost: a\r\nno colon\r\n\r\n",
    };
    let _ = socket.write_all(sent);
}

#[test]
fn five_thousand_connections_that_come_and_go_harm_nobody() {
    let bed = Bed::start(&Options::default().workers(2), TIMEOUTS);
    let got = traffic::during(&bed, || {
        let before = bed.sent();
        for n in 0..BATCHES * rounds() {
            let mut open: Vec<TcpStream> = (0..AT_ONCE)
                .map(|_| TcpStream::connect(bed.gateway.address()).expect("the gateway listens"))
                .collect();
            bed.may_have_sent(AT_ONCE);
            for (which, socket) in open.iter_mut().enumerate() {
                misuse(&bed, socket, which);
                if (which + n).is_multiple_of(2) {
                    wire::reset_on_close(socket);
                }
            }
        }
        wait::until("others to be served", || (bed.sent() > before + 100).then_some(()));
    });
    for (kind, got) in &got {
        assert!(kind.is_fine(got), "{kind:?}: {got:?}");
    }
    bed.balance(&format!("5,000 connections beside {} requests", got.len()), Allowed::default());
}

#[test]
fn a_request_that_never_comes_whole_ends_with_the_deadline() {
    let bed = Bed::start(&Options::default(), "timeouts: {request: 3s}\n");
    let whole = Ask::new(&bed, "gpt").bytes();
    let body = whole.windows(4).position(|four| four == b"\r\n\r\n").map_or(0, |at| at + 4);
    let mut open: Vec<(usize, Connection)> = [20, body, body + 5, whole.len() - 1]
        .into_iter()
        .cycle()
        .take(32)
        .map(|cut| {
            let mut client = Connection::open(bed.gateway.address()).expect("the gateway listens");
            client.write(&whole[..cut]).expect("a part of a request");
            bed.count_sent();
            (cut, client)
        })
        .collect();
    for (cut, client) in &mut open {
        let reply = client.read().expect("an answer");
        assert_eq!(reply.status, 408, "after {cut} bytes of {}: {}", whole.len(), reply.text());
    }
    bed.balance("requests that never come whole", Allowed { unrecorded: 8, ..Allowed::default() });
}

/// Streams of a gibibyte whose clients have read no more than their heads.
fn unread(bed: &Bed, count: usize) -> Vec<(Connection, wire::Framing)> {
    let begin = |_| {
        let ask = Ask::new(bed, "wild").stream(true).wild(wild::LARGE[0]);
        bed.count_sent();
        let mut client = Connection::open(bed.gateway.address()).expect("the gateway listens");
        client.write(&ask.bytes()).expect("a request");
        let framing = client.read_head().expect("a head").framing(true);
        (client, framing)
    };
    (0..count).map(begin).collect()
}

/// Waits until Envoy's memory has not changed for a while: it takes no more from providers.
#[track_caller]
fn fills_up(bed: &Bed) {
    let (mut last, mut since) = (0, Instant::now());
    wait::until("Envoy to take no more", || {
        let now = bed.gateway.envoy_memory();
        if now.abs_diff(last) > 1 << 20 {
            (last, since) = (now, Instant::now());
        }
        (since.elapsed() > Duration::from_secs(2)).then_some(())
    });
}

#[test]
fn who_does_not_read_for_a_while_makes_envoy_hold_a_bounded_part_and_loses_nothing() {
    const READERS: usize = 8;
    const READ: usize = 48 << 20;
    let bed = Bed::start(&Options::default(), "max_request_body: 1MiB\n");
    let ((), peak) = Peak::during(&bed.gateway, || {
        let mut clients = unread(&bed, READERS);
        fills_up(&bed);
        for (client, framing) in &mut clients {
            let mut bytes = 0;
            while bytes < READ {
                bytes += client.read_piece(framing).expect("a stream").expect("no end yet").len();
            }
        }
        clients.into_iter().for_each(|(client, _)| client.abort());
    });
    let grown = peak.saturating_sub(bed.before.memory());
    eprintln!("{READERS} streams that nobody reads: {} MB more", grown >> 20);
    assert!(grown < 128 << 20, "{} MB more", grown >> 20);
    bed.balance("slow readers", Allowed::default());
}

#[test]
fn who_does_not_read_for_longer_than_a_stream_may_be_idle_is_let_go() {
    let bed = Bed::start(&Options::default(), "max_request_body: 1MiB\ntimeouts: {idle: 1s, request: 60s}\n");
    let mut clients = unread(&bed, 4);
    wait::until("the streams to be broken off", || {
        let log = bed.gateway.access_log();
        (log.iter().filter(|line| line["ai_log"]["end"] == "timeout").count() == clients.len()).then_some(())
    });
    for (client, framing) in &mut clients {
        while let Ok(Some(_)) = client.read_piece(framing) {}
        assert_ne!(*framing, wire::Framing::Ended, "it does not end as if it were whole");
    }
    bed.balance("clients that do not read", Allowed::default());
}
