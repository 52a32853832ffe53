//! What the cache asks of Redis, on a real one: entries, locks, what was cleared, and where memory is short.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use std::cell::RefCell;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use response_cache::entry::{Entry, Form};
use response_cache::fingerprint::Key;
use response_cache::store::clear::{Clear, Clears};
use response_cache::store::redis::{self as cache, Acquired, SCRIPT};
use sluice_core::filter::{CalloutReply, Headers};
use sluice_core::openai::Operation;
use sluice_core::redis::{
    Command, DecodeError, Options as ClientOptions, Outcome, Redis as Client, RedisError, Reply, Script,
    Unavailable, decode,
};
use sluice_core::testing::FakeHost;
use sluice_e2e::redis::{Cluster, Options, Redis};
use sluice_e2e::wait;

const NOW_MS: u64 = 1_790_000_000_000;
const LEASE_MS: u64 = 30_000;
const LONG_MS: u64 = 300_000;

/// The plugin's client, with a connection in place of Envoy.
struct Store {
    script: Script,
    client: Client,
    connection: RefCell<TcpStream>,
}

impl Store {
    fn at(server: &Redis) -> Self {
        let options = ClientOptions { cluster: "redis".to_owned(), timeout_ms: 50 };
        let connection = TcpStream::connect(server.address()).expect("redis listens");
        Self {
            script: Script::new(SCRIPT),
            client: Client::new(options),
            connection: RefCell::new(connection),
        }
    }

    fn run(&self, command: Command) -> Result<Reply, RedisError> {
        let mut host = FakeHost::default();
        let mut call = self.client.call(&mut host, vec![command]).expect("sent");
        loop {
            let sent = host.callouts.last().expect("a callout").body.clone();
            let reply = CalloutReply { status: 200, headers: Headers::default(), body: self.answer(&sent) };
            match call.read(&mut host, Ok(reply)) {
                Outcome::Done(mut replies) => return replies.remove(0),
                Outcome::Again(next) => call = next,
                Outcome::Failed(Unavailable::Refused(error)) => return Err(error),
                Outcome::Failed(why) => panic!("{why}"),
            }
        }
    }

    fn answer(&self, command: &[u8]) -> Vec<u8> {
        let mut connection = self.connection.borrow_mut();
        connection.write_all(command).expect("written");
        let (mut answer, mut part) = (Vec::new(), vec![0; 65_536]);
        while answer.is_empty() || decode(&answer, 1) == Err(DecodeError::Incomplete) {
            let length = connection.read(&mut part).expect("an answer");
            assert_ne!(length, 0, "an answer");
            answer.extend_from_slice(&part[..length]);
        }
        answer
    }

    fn ask(&self, words: &[&str]) -> Reply {
        let command = words[1..].iter().fold(Command::new(words[0]), |command, word| command.arg(word));
        self.run(command).expect("no error")
    }

    fn number(&self, command: Command) -> i64 {
        self.run(command).expect("no error").integer().expect("a number")
    }

    fn acquire(&self, key: u8, token: &str, lookup: bool) -> Acquired {
        let reply = self.run(cache::acquire(&self.script, &of(key), token, LEASE_MS, lookup));
        cache::acquired(&reply.expect("no error")).expect("an answer of the script")
    }

    fn keep(&self, key: u8, token: &str, entry: &Entry) -> Result<Reply, RedisError> {
        self.run(cache::store(&self.script, &of(key), token, entry, NOW_MS))
    }

    fn release(&self, key: u8, token: &str) -> i64 {
        self.number(cache::release(&self.script, &of(key), token))
    }
}

fn of(key: u8) -> Key {
    Key::from([key; 32])
}

fn entry(body: &[u8]) -> Entry {
    Entry {
        form: Form::Stream,
        operation: Operation::Chat,
        content_type: "text/event-stream".to_owned(),
        stored_ms: NOW_MS,
        expires_ms: NOW_MS + 60_000,
        consumer_tag: 1,
        model_tag: 2,
        input_tokens: 3,
        output_tokens: 4,
        finish_reason: "stop".to_owned(),
        model: "gpt-4o".to_owned(),
        has_usage: false,
        body: body.to_vec(),
    }
}

fn hit(body: &[u8]) -> Acquired {
    Acquired::Hit(Box::new(entry(body)))
}

fn waits(acquired: &Acquired) -> bool {
    matches!(acquired, Acquired::Wait { lease_ms } if (1..=LONG_MS).contains(lease_ms))
}

#[test]
fn one_of_many_asks_and_all_get_what_it_stores() {
    let server = Redis::start(&Options::default());
    let stores = [0; 3].map(|_| Store::at(&server));
    let body: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    assert_eq!(stores[0].acquire(1, "a", true), Acquired::Leader);
    for store in &stores {
        assert!(waits(&store.acquire(1, "b", true)));
        assert_eq!(cache::found(&store.run(cache::look(&of(1))).expect("no error")), None);
    }
    assert_eq!(stores[1].acquire(2, "b", true), Acquired::Leader, "another key");
    stores[0].keep(1, "a", &entry(&body)).expect("kept");
    for store in &stores {
        assert_eq!(store.acquire(1, "b", true), hit(&body));
        let found = cache::found(&store.run(cache::look(&of(1))).expect("no error"));
        assert_eq!(found, Some(entry(&body)));
    }
    let key = format!("sluice:cache:{{{}}}", of(1).hex());
    let left_ms = stores[0].ask(&["PTTL", &key]).integer().expect("a number");
    assert!((50_000..=60_000).contains(&left_ms), "{left_ms}");
    // The lock is free again for whoever does not want that entry.
    assert_eq!(stores[1].acquire(1, "b", false), Acquired::Leader);
    assert!(waits(&stores[2].acquire(1, "c", false)));
    assert_eq!(stores[2].acquire(1, "c", true), hit(&body));
}

#[test]
fn a_lock_is_given_back_and_renewed_by_its_owner_only() {
    let server = Redis::start(&Options::default());
    let store = Store::at(&server);
    let renew = |token: &str, ms| store.number(cache::renew(&store.script, &of(1), token, ms));
    assert_eq!((store.release(1, "a"), renew("a", LEASE_MS)), (0, 0), "there is none");
    assert_eq!(store.acquire(1, "a", true), Acquired::Leader);
    assert_eq!((store.release(1, "b"), renew("b", LEASE_MS)), (0, 0));
    assert!(waits(&store.acquire(1, "b", true)));
    assert_eq!(renew("a", LONG_MS), 1);
    let Acquired::Wait { lease_ms } = store.acquire(1, "b", true) else { panic!("the lock is taken") };
    assert!(lease_ms > LEASE_MS);
    // Another one's answer is kept, and the lock stays its owner's.
    store.keep(1, "b", &entry(b"b")).expect("kept");
    assert!(waits(&store.acquire(1, "c", false)));
    assert_eq!(store.acquire(1, "c", true), hit(b"b"));
    assert_eq!(store.release(1, "a"), 1);
    assert_eq!(store.acquire(1, "c", false), Acquired::Leader);
}

#[test]
fn entries_and_locks_of_those_who_are_gone_expire() {
    let server = Redis::start(&Options::default());
    let store = Store::at(&server);
    let acquire = cache::acquire(&store.script, &of(1), "a", 30, true);
    assert_eq!(cache::acquired(&store.run(acquire).expect("no error")), Some(Acquired::Leader));
    wait::until("the lock to expire", || (store.acquire(1, "b", true) == Acquired::Leader).then_some(()));
    assert_eq!(store.number(cache::renew(&store.script, &of(1), "a", LEASE_MS)), 0, "it is another's now");
    store.keep(1, "a", &Entry { expires_ms: NOW_MS + 30, ..entry(b"x") }).expect("kept");
    wait::until("the entry to expire", || waits(&store.acquire(1, "c", true)).then_some(()));
    store.keep(1, "a", &Entry { expires_ms: 0, ..entry(b"x") }).expect("one that has expired is no error");
}

#[test]
fn what_was_cleared_is_written_unless_somebody_else_did() {
    let server = Redis::start(&Options::default());
    let store = Store::at(&server);
    let read = || cache::cleared(&store.run(cache::clears()).expect("no error"));
    let swap = |old: &Clears, new: &Clears| store.number(cache::swap_clears(&store.script, old, new));
    let with = |old: &Clears, consumer| {
        let mut clears = old.clone();
        clears.add(Clear { consumer: Some(consumer), model: None }, NOW_MS, 60_000);
        clears
    };
    let none = read();
    assert_eq!(none, Clears::default());
    let (one, other) = (with(&none, 1), with(&none, 7));
    assert_eq!((swap(&none, &one), swap(&none, &other)), (1, 0));
    assert_eq!(read(), one);
    assert!(one.hides(&entry(b"x")) && !other.hides(&entry(b"x")));
    let both = with(&one, 7);
    assert_eq!((swap(&one, &both), read()), (1, both));
}

#[test]
fn where_memory_is_short_nothing_is_kept_and_the_lock_still_goes() {
    let server = Redis::start(&Options::default().args("--maxmemory-policy noeviction"));
    let store = Store::at(&server);
    assert_eq!(store.acquire(1, "a", true), Acquired::Leader);
    store.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    assert_eq!(store.keep(1, "a", &entry(b"x")), Err(RedisError::OutOfMemory));
    let lock = format!("sluice:cache:{{{}}}:lock", of(1).hex());
    assert_eq!(store.ask(&["EXISTS", &lock]).integer(), Some(0));
    store.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(store.acquire(1, "b", true), Acquired::Leader);
}

#[test]
fn what_somebody_else_put_there_is_no_entry() {
    let server = Redis::start(&Options::default());
    let store = Store::at(&server);
    let key = format!("sluice:cache:{{{}}}", of(1).hex());
    store.ask(&["SET", &key, "garbage"]);
    let acquire = |lookup| cache::acquire(&store.script, &of(1), "a", LEASE_MS, lookup);
    assert_eq!(cache::acquired(&store.run(acquire(true)).expect("no error")), None);
    assert_eq!(store.acquire(1, "a", false), Acquired::Leader);
    store.keep(1, "a", &entry(b"x")).expect("kept in its place");
    assert_eq!(store.acquire(1, "b", true), hit(b"x"));
    store.ask(&["DEL", &key]);
    store.ask(&["LPUSH", &key, "a list"]);
    assert_eq!(store.run(acquire(true)), Err(RedisError::Other("WRONGTYPE".to_owned())));
}

#[test]
fn an_entry_and_its_lock_are_on_one_node_of_a_cluster() {
    let cluster = Cluster::start(&Options::default());
    for key in 0..20 {
        // With a client each time: the breaker of one that is always sent away would open.
        let answers = cluster
            .nodes
            .iter()
            .map(Store::at)
            .map(|node| node.run(cache::acquire(&node.script, &of(key), "a", LEASE_MS, true)));
        let leaders = answers.filter(|answer| match answer {
            Ok(reply) => cache::acquired(reply) == Some(Acquired::Leader),
            Err(error) => !matches!(error, RedisError::Moved) && panic!("{error}"),
        });
        assert_eq!(leaders.count(), 1, "{key}");
    }
}
