//! Sends the planned requests, several at a time, and tells what came of each.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use sluice_e2e::client::{Connection, End, Reply};
use sluice_e2e::{sse, wait};

use crate::bed::Metered;
use crate::traffic::{Does, Planned};

/// Clients at the same time.
const CLIENTS: usize = 8;

/// What the client got.
#[derive(Clone, Debug, Default)]
pub(crate) struct Got {
    /// 0: it left before.
    pub(crate) status: u16,
    /// All of it, with its terminator and no error in it.
    pub(crate) whole: bool,
    /// Who answered, by the model that the answer names.
    pub(crate) provider: Option<&'static str>,
    /// From the cache.
    pub(crate) hit: bool,
    /// The gateway's code.
    pub(crate) code: String,
}

/// What came of all of them, in their order.
pub(crate) fn send(bed: &Metered, planned: &[Planned]) -> Vec<Got> {
    let (next, got) = (AtomicUsize::new(0), Mutex::new(vec![Got::default(); planned.len()]));
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut client = None;
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let Some(one) = planned.get(n) else { return };
                    let answer = ask(bed, one, &mut client);
                    got.lock().expect("nobody panics")[n] = answer;
                }
            });
        }
    });
    got.into_inner().expect("nobody panics")
}

/// Sends one request over the connection that is kept, if there is one.
pub(crate) fn ask(bed: &Metered, planned: &Planned, kept: &mut Option<Connection>) -> Got {
    let open = || Connection::open(bed.gateway.address()).expect("the gateway listens");
    if planned.does != Does::Read {
        leave(bed, planned, open());
        return Got::default();
    }
    // What is too large is refused, and the connection may close, before all of it is written.
    let odd = planned.kind == "too-large";
    let mut client = if odd { open() } else { kept.take().unwrap_or_else(open) };
    let written = client.write(&planned.bytes);
    assert!(odd || written.is_ok(), "{}: {written:?}", planned.kind);
    let reply = client.read().unwrap_or_else(|error| panic!("{} {}: {error}", planned.kind, planned.user));
    if !odd && reply.end == End::Clean && reply.header("connection") != Some("close") {
        *kept = Some(client);
    }
    got(&reply)
}

fn leave(bed: &Metered, planned: &Planned, mut client: Connection) {
    client.write(&planned.bytes).expect("a request");
    if planned.does == Does::LeaveBefore {
        wait::until("the provider to be asked", || {
            (!bed.chain[0].of_user(&planned.user).is_empty()).then_some(())
        });
    } else {
        let mut framing = client.read_head().expect("a head").framing(true);
        let mut text = String::new();
        while text.matches("\"word \"").count() < 2 {
            let piece = client.read_piece(&mut framing).expect("a stream").expect("no end yet");
            text += &String::from_utf8_lossy(&piece);
        }
    }
    client.abort();
}

fn got(reply: &Reply) -> Got {
    let text = String::from_utf8_lossy(&reply.body);
    let is_stream = reply.header("content-type").is_some_and(|kind| kind.starts_with("text/event-stream"));
    let ended = ["data: [DONE]\n\n", "\"type\":\"message_stop\"}\n\n"].iter().any(|end| text.ends_with(end))
        || text.contains("event: response.completed\n");
    let sound = !is_stream || (ended && sse::errors(&reply.events()).is_empty());
    let named = ["a", "b", "c", "k"].into_iter().find(|name| text.contains(&format!("@{name}\"")));
    Got {
        status: reply.status,
        whole: reply.status == 200 && reply.end == End::Clean && sound,
        provider: named,
        hit: reply.header("x-ai-cache").is_some_and(|label| label.starts_with("hit")),
        code: reply.header("x-sluice-error").unwrap_or_default().to_owned(),
    }
}
