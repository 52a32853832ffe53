use std::thread;

use sluice_core::filter::Headers;
use sluice_core::testing::FakeHost;
use sluice_core::window::Window;

use super::*;
use crate::store::Owed;

/// It has lifted the bucket by 2 above its limit.
const TAKEN: &str = "*3\r\n:1\r\n:-1\r\n:2\r\n";

fn worker() -> Worker {
    let raw = RawRedis { cluster: "sluice.redis".to_owned(), timeout_ms: 50, on_error: OnError::Local };
    Worker { waiting: Box::leak(Box::default()), ..Worker::check(raw).unwrap() }
}

/// Another worker of the same process.
fn beside(one: &Worker) -> Worker {
    Worker { waiting: one.waiting, ..worker() }
}

fn settlement() -> Settlement {
    let owed =
        Owed { key: "sluice:{a}:l:a", window: Some(Window::new(60_000)), limit: 9, held: 5, actual: 3 };
    Settlement::new("lease", std::iter::once(("l", owed)), 0)
}

/// Settles, and lets the last callout end so, read by another worker of the process.
fn settle(host: &mut FakeHost, worker: &Worker, reply: Result<&str, CalloutError>) {
    worker.settle(host, settlement());
    let reader = beside(worker);
    end(host, &reader, reply);
}

/// Lets the last callout end so.
fn end(host: &mut FakeHost, worker: &Worker, reply: Result<&str, CalloutError>) {
    let (_, note) = host.notes.pop_last().unwrap();
    let answer = |body: &str| CalloutReply {
        status: 200,
        headers: Headers::default(),
        body: body.as_bytes().to_vec(),
    };
    worker.ended(host, note, reply.map(answer));
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
        (Err(CalloutError::NotSent), vec![false]),
        (Ok("-LOADING Redis is loading\r\n"), vec![false]),
        (Ok("-OOM command not allowed\r\n"), vec![false]),
    ] {
        let (mut host, worker) = (FakeHost::default(), worker());
        settle(&mut host, &worker, reply);
        assert_eq!(worker.waiting.sent(), want, "{reply:?}");
        let overshoot = host.counters.get("token_limit_overshoot_total;limit=l").copied();
        assert_eq!(overshoot, want.is_empty().then_some(2), "{reply:?}");
    }
}

#[test]
fn what_redis_may_have_stays_so_whatever_it_says_later() {
    let (mut host, worker) = (FakeHost::default(), worker());
    settle(&mut host, &worker, Err(CalloutError::NotAnswered));
    worker.woken(&mut host);
    end(&mut host, &worker, Ok("-LOADING Redis is loading\r\n"));
    assert_eq!(worker.waiting.sent(), [true]);
}

#[test]
fn what_is_under_way_when_its_holder_goes_is_sent_at_the_next_occasion() {
    let (mut host, before) = (FakeHost::default(), worker());
    before.settle(&mut host, settlement());
    assert!(before.waiting.sent().is_empty());
    let after = beside(&before);
    drop((before, host));
    assert_eq!(after.waiting.sent(), [true]);
    let mut host = FakeHost::default();
    after.woken(&mut host);
    assert_eq!((host.callouts.len(), after.waiting.sent().len()), (1, 0));
    end(&mut host, &after, Ok(TAKEN));
    assert!(after.waiting.sent().is_empty() && !host.counters.contains_key(UNSETTLED));
}

#[test]
fn what_cannot_be_sent_is_not_taken_for_sent_and_keeps_its_place() {
    let (mut host, worker) = (FakeHost::default(), worker());
    settle(&mut host, &worker, Err(CalloutError::NotAnswered));
    host.refuse_callouts = true;
    worker.settle(&mut host, settlement());
    assert_eq!(worker.waiting.sent(), [true, false]);
    worker.woken(&mut host);
    assert_eq!(worker.waiting.sent(), [true, false]);
    assert_eq!((host.wake_detached_after, host.notes.len()), (Some(500), 0));
}

#[test]
fn what_is_too_old_is_given_up_and_counted() {
    let (mut host, worker) = (FakeHost::default(), worker());
    settle(&mut host, &worker, Err(CalloutError::NotAnswered));
    host.advance_ms(MAX_AGE_MS + 1);
    worker.woken(&mut host);
    assert_eq!((host.callouts.len(), worker.waiting.sent().len()), (1, 0));
    assert_eq!(host.counters.get(UNSETTLED), Some(&1));
}

#[test]
fn all_workers_of_a_process_have_the_same_settlements_waiting() {
    let waiting = || {
        let raw = RawRedis { cluster: "sluice.redis".to_owned(), timeout_ms: 50, on_error: OnError::Local };
        Worker::check(raw).unwrap().waiting
    };
    assert!(std::ptr::eq(waiting(), waiting()));
}

#[test]
fn a_settlement_that_ends_on_another_thread_is_counted_or_waits_there() {
    for (reply, want) in [(Ok(TAKEN), 0), (Err(CalloutError::NotAnswered), 1)] {
        let (mut host, sender) = (FakeHost::default(), worker());
        sender.settle(&mut host, settlement());
        let waiting = sender.waiting;
        let read = thread::spawn(move || {
            let reader = Worker { waiting, ..worker() };
            end(&mut host, &reader, reply);
            host
        });
        let host = read.join().unwrap();
        assert_eq!((sender.waiting.sent().len(), host.wake_detached_after.is_some()), (want, want > 0));
        assert_eq!(host.counters.contains_key("token_limit_overshoot_total;limit=l"), want == 0);
    }
}
