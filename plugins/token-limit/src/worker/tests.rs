use sluice_core::filter::Headers;
use sluice_core::testing::FakeHost;

use super::*;

/// It has lifted the bucket by 2 above its limit.
const TAKEN: &str = "*3\r\n:1\r\n:-1\r\n:2\r\n";

fn worker() -> Worker {
    let raw = RawRedis { cluster: "sluice.redis".to_owned(), timeout_ms: 50, on_error: OnError::Local };
    Worker::check(raw).unwrap()
}

fn settlement() -> Settlement {
    let owed =
        Owed { key: "sluice:{a}:l:a", window: Some(Window::new(60_000)), limit: 9, held: 5, actual: 3 };
    Settlement::new("lease", std::iter::once(("l", owed)), 0)
}

/// Settles, and lets the last callout end so.
fn settle(host: &mut FakeHost, worker: &Worker, reply: Result<&str, CalloutError>) {
    WAITING.with_borrow_mut(VecDeque::clear);
    worker.settle(host, settlement());
    let id = CalloutId(u32::try_from(host.callouts.len()).unwrap());
    let answer = |body: &str| CalloutReply {
        status: 200,
        headers: Headers::default(),
        body: body.as_bytes().to_vec(),
    };
    worker.ended(host, id, reply.map(answer));
}

/// Of the settlements that wait, whether Redis may have each already.
fn waiting() -> Vec<bool> {
    WAITING.with_borrow(|waiting| waiting.iter().map(|settlement| settlement.sent).collect())
}

#[test]
fn only_the_scripts_answer_takes_a_settlement() {
    for (reply, want) in [
        (Ok(TAKEN), vec![]),
        (Ok("*2\r\n$8\r\nHTTP/1.1\r\n$3\r\n400\r\n"), vec![true]),
        (Ok("+OK\r\n"), vec![true]),
        (Ok("*2\r\n:1\r\n:-1\r\n"), vec![true]),
        (Ok("*3\r\n:1\r\n:-1\r\n:-2\r\n"), vec![true]),
        (Ok("-ERR user_script:1: no\r\n"), vec![true]),
        (Ok("-upstream failure\r\n"), vec![true]),
        (Err(CalloutError::NotAnswered), vec![true]),
        (Ok("-LOADING Redis is loading\r\n"), vec![false]),
        (Ok("-OOM command not allowed\r\n"), vec![false]),
    ] {
        let mut host = FakeHost::default();
        settle(&mut host, &worker(), reply);
        assert_eq!(waiting(), want, "{reply:?}");
        let overshoot = host.counters.get("token_limit_overshoot_total;limit=l").copied();
        assert_eq!(overshoot, want.is_empty().then_some(2), "{reply:?}");
    }
}

#[test]
fn what_redis_may_have_stays_so_whatever_it_says_later() {
    let (mut host, worker) = (FakeHost::default(), worker());
    settle(&mut host, &worker, Err(CalloutError::NotAnswered));
    worker.woken(&mut host);
    let id = CalloutId(u32::try_from(host.callouts.len()).unwrap());
    let body = b"-LOADING Redis is loading\r\n".to_vec();
    worker.ended(&mut host, id, Ok(CalloutReply { status: 200, headers: Headers::default(), body }));
    assert_eq!(waiting(), [true]);
}

#[test]
fn what_is_under_way_when_its_configuration_goes_is_sent_by_the_next() {
    WAITING.with_borrow_mut(VecDeque::clear);
    let (mut host, before) = (FakeHost::default(), worker());
    before.settle(&mut host, settlement());
    assert!(waiting().is_empty());
    drop(before);
    assert_eq!(waiting(), [true]);
    let after = worker();
    after.woken(&mut host);
    assert_eq!((host.callouts.len(), waiting().len()), (2, 0));
}

#[test]
fn what_books_nothing_takes_no_place_of_what_is_owed() {
    WAITING.with_borrow_mut(VecDeque::clear);
    let mut host = FakeHost::default();
    let nothing = || {
        let mut nothing = settlement();
        nothing.dues.iter_mut().for_each(|due| due.actual = 0);
        nothing
    };
    (0..MAX_WAITING).for_each(|_| wait(&mut host, nothing()));
    assert_eq!(waiting().len(), MAX_WAITING / 2);
    (0..MAX_WAITING / 2).for_each(|_| wait(&mut host, settlement()));
    assert_eq!((waiting().len(), host.counters.get(UNSETTLED)), (MAX_WAITING, None));
    wait(&mut host, settlement());
    assert_eq!((waiting().len(), host.counters.get(UNSETTLED)), (MAX_WAITING, Some(&1)));
}
