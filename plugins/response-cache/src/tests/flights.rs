//! Requests that ask the same at the same moment.

use serde_json::{Value, json};
use sluice_core::context;
use sluice_core::filter::{Filter as _, Next};

use super::bed::{Bed, Client, document, question, stream, streamed};

/// So many clients ask the same; the first is the leader.
fn crowd(bed: &mut Bed, count: usize, body: &Value) -> Vec<Client> {
    let clients: Vec<_> = (0..count).map(|_| bed.ask(body)).collect();
    assert_eq!(clients[0].next, Next::Pass);
    assert!(clients[1..].iter().all(|client| client.next == Next::Wait));
    clients
}

/// How many of `clients` the provider is asked for.
fn asking(clients: &[Client]) -> usize {
    clients.iter().filter(|client| client.next == Next::Pass).count()
}

fn leave(bed: &mut Bed, mut client: Client) {
    bed.done(&mut client);
}

#[test]
fn a_hundred_identical_requests_are_one() {
    let mut bed = Bed::default();
    let mut clients = crowd(&mut bed, 100, &question("hi"));
    bed.answer(&mut clients[0], "Hello");
    let mut late = bed.ask(&question("hi"));
    assert_eq!(late.label().as_deref(), Some("hit; reason=coalesced"), "it is not kept yet, but there");
    bed.done(&mut late);
    assert_eq!(bed.wake_hastened(&mut clients), 99);
    for client in &mut clients[1..] {
        assert_eq!(client.hit(), Some(document("Hello").as_str()));
        assert_eq!(client.fact(context::CACHE).as_deref(), Some("hit; reason=coalesced"));
        assert_eq!(client.header("age").as_deref(), Some("0"));
    }
    clients.iter_mut().for_each(|client| bed.done(client));
    assert_eq!(["misses", "hits", "coalesced", "stored"].map(|name| bed.count(name)), [1, 100, 100, 1]);
    bed.assert_nothing_under_way();
    assert_eq!(bed.ask(&question("hi")).label().as_deref(), Some("hit"));
}

#[test]
fn streams_follow_only_where_they_are_told_to() {
    for (coalesce, want) in [(false, 3), (true, 1)] {
        let mut bed = Bed::new(json!({"coalesce_streams": coalesce}));
        let mut clients: Vec<_> = (0..3).map(|_| bed.ask(&streamed("hi"))).collect();
        clients.push(bed.ask(&question("hi")));
        assert_eq!(asking(&clients), want, "the document follows a stream either way");
        for client in clients.iter_mut().filter(|client| client.next == Next::Pass) {
            bed.stream(client, &stream(&["Hello"]), 100);
        }
        bed.wake_hastened(&mut clients);
        let whole: Value = serde_json::from_str(clients[3].hit().unwrap()).unwrap();
        assert_eq!(whole["choices"][0]["message"]["content"], "Hello");
        clients.iter_mut().for_each(|client| bed.done(client));
        assert_eq!(bed.count("stored"), 1, "one of them is enough");
        bed.assert_nothing_under_way();
    }
}

#[test]
fn a_leader_that_fails_or_goes_is_followed_by_the_next() {
    type End = fn(&mut Bed, &mut Client);
    let gone: End = |bed, client| bed.done(client);
    let failed: End = |bed, client| bed.serve(client, &[(":status", "503")], "{}", 9);
    let busy: End = |bed, client| bed.serve(client, &[(":status", "429")], "{}", 9);
    let cut: End = |bed, client| {
        bed.serve(client, &[("content-type", "text/event-stream")], "data: {\"choices\":[]}\n\n", 9);
    };
    let reset: End = |bed, client| {
        bed.on(client, |filter, host| {
            host.respond(&[(":status", "200"), ("content-type", "application/json")]);
            filter.on_response_headers(host, false);
            filter.on_response_body(host, b"{", false);
        });
        bed.done(client);
    };
    for (what, end) in [("gone", gone), ("failed", failed), ("busy", busy), ("cut", cut), ("reset", reset)] {
        let mut bed = Bed::default();
        let mut clients = crowd(&mut bed, 5, &question("hi"));
        for leader in 0..3 {
            end(&mut bed, &mut clients[leader]);
            assert_eq!(bed.wake_hastened(&mut clients), 1, "{what}");
            assert_eq!((asking(&clients), &clients[leader + 1].next), (leader + 2, &Next::Pass), "{what}");
            bed.done(&mut clients[leader]);
        }
        bed.answer(&mut clients[3], "Hello");
        bed.wake_hastened(&mut clients);
        assert_eq!(clients[4].hit(), Some(document("Hello").as_str()), "{what}");
        clients.iter_mut().for_each(|client| bed.done(client));
        bed.assert_nothing_under_way();
    }
}

#[test]
fn a_promoted_follower_that_goes_before_it_knows_is_no_end() {
    let mut bed = Bed::default();
    let mut clients = crowd(&mut bed, 4, &question("hi"));
    let rest = clients.split_off(1);
    leave(&mut bed, clients.remove(0));
    let mut rest = rest;
    leave(&mut bed, rest.remove(0));
    bed.wake_hastened(&mut rest);
    assert_eq!((asking(&rest), &rest[0].next), (1, &Next::Pass));
    rest.into_iter().for_each(|client| leave(&mut bed, client));
    bed.assert_nothing_under_way();
}

#[test]
fn followers_that_go_are_missed_by_nobody() {
    let mut bed = Bed::default();
    let mut clients = crowd(&mut bed, 4, &question("hi"));
    leave(&mut bed, clients.remove(1));
    leave(&mut bed, clients.remove(2));
    bed.answer(&mut clients[0], "Hello");
    assert_eq!(bed.wake_hastened(&mut clients), 1);
    clients.into_iter().for_each(|client| leave(&mut bed, client));
    bed.assert_nothing_under_way();
}

#[test]
fn an_answer_for_nobody_else_frees_all_who_wait() {
    for (headers, body) in [
        (&[("cache-control", "no-store")][..], document("Hello")),
        (&[(":status", "400")], "{}".to_owned()),
        (&[("content-type", "text/html")], "<html>".to_owned()),
        (&[], document("Hello").replace("stop", "length")),
        (&[], document(&"x".repeat(4096))),
    ] {
        let mut bed = Bed::new(json!({"max_entry_bytes": 2048}));
        let mut clients = crowd(&mut bed, 4, &question("hi"));
        bed.serve(&mut clients[0], headers, &body, 100);
        assert_eq!(bed.wake_hastened(&mut clients), 3, "{headers:?}");
        assert_eq!(asking(&clients), 4);
        let label = clients[3].fact(context::CACHE);
        assert_eq!(label.as_deref(), Some("miss; reason=unshared"), "{headers:?}");
        clients.into_iter().for_each(|client| leave(&mut bed, client));
        bed.assert_nothing_under_way();
    }
}

#[test]
fn nobody_waits_longer_than_it_is_told_to() {
    let mut bed = Bed::new(json!({"max_wait_ms": 1000}));
    let mut leader = bed.ask(&question("hi"));
    let mut first = bed.ask(&question("hi"));
    bed.host.advance_ms(400);
    let mut second = bed.ask(&question("hi"));
    assert_eq!([first.wakes_in(), second.wakes_in()], [Some(1_000); 2]);
    bed.wake(&mut first);
    assert_eq!((&first.next, first.wakes_in()), (&Next::Wait, Some(600)), "woken too early");
    bed.host.advance_ms(600);
    bed.wake(&mut first);
    assert_eq!(
        (&first.next, first.fact(context::CACHE).as_deref()),
        (&Next::Pass, Some("miss; reason=max-wait"))
    );
    bed.answer(&mut first, "first");
    bed.done(&mut first);
    assert_eq!(second.next, Next::Wait, "it goes on following the leader");
    bed.host.advance_ms(300);
    bed.answer(&mut leader, "leader");
    bed.wake_hastened(std::slice::from_mut(&mut second));
    assert_eq!(second.hit(), Some(document("leader").as_str()));
    [leader, second].into_iter().for_each(|client| leave(&mut bed, client));
    bed.assert_nothing_under_way();
}

#[test]
fn an_entry_that_cannot_be_given_so_is_a_miss() {
    let mut bed = Bed::default();
    let logprobs =
        document("Hello").replace("\"finish_reason\"", "\"unheard_of\":{\"a\":1},\"finish_reason\"");
    let mut first = bed.ask(&streamed("hi"));
    bed.serve(&mut first, &[], "[]", 9); // no answer to a chat request
    bed.done(&mut first);
    let mut client = bed.ask(&question("hi"));
    bed.serve(&mut client, &[], &logprobs, 100);
    bed.done(&mut client);
    let other = bed.ask(&streamed("hi"));
    let label = other.fact(context::CACHE).unwrap();
    assert!(label == "miss; reason=form" || label == "hit", "{label}");
}

#[test]
fn a_change_of_the_configuration_leaves_those_under_way_alone() {
    let mut bed = Bed::default();
    let mut clients = crowd(&mut bed, 2, &question("hi"));
    let old = std::mem::replace(&mut bed.config, super::bed::config(json!({"ttl_ms": 5000})));
    let mut new = bed.ask(&question("hi"));
    assert_eq!(new.next, Next::Pass, "it knows nothing of those before");
    bed.answer(&mut clients[0], "Hello");
    bed.wake_hastened(&mut clients);
    assert!(clients[1].hit().is_some());
    clients.iter_mut().for_each(|client| bed.done(client));
    assert!(old.flights.borrow().is_empty());
    bed.done(&mut new);
    bed.assert_nothing_under_way();
    assert!(bed.ask(&question("hi")).hit().is_some(), "what is kept is kept");
}

#[test]
fn a_fresh_answer_is_for_who_asked_for_it() {
    let mut bed = Bed::default();
    let mut clients = crowd(&mut bed, 2, &question("hi"));
    let body = question("hi").to_string();
    let mut fresh = bed.send("ann", &[("cache-control", "no-cache")], body.as_bytes());
    assert_eq!(fresh.next, Next::Pass, "it does not wait for an answer that has begun before");
    let young = bed.send("ann", &[("cache-control", "max-age=5")], body.as_bytes());
    assert_eq!(young.next, Next::Wait, "one under way is young enough");
    clients.push(young);
    bed.answer(&mut clients[0], "Hello");
    bed.wake_hastened(&mut clients);
    assert!(clients[1].hit().is_some() && clients[2].hit().is_some());
    bed.done(&mut fresh);
    clients.iter_mut().for_each(|client| bed.done(client));
    bed.assert_nothing_under_way();
}
