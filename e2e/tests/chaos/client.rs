//! Clients that remember how an answer ended, not what it said: some answers are a gibibyte long.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sluice_e2e::cache::{CHAT, JSON};
use sluice_e2e::client::{self, Connection};

use crate::bed::Bed;

/// Clients at the same time, at most: fewer than the limit lets in flight.
const CLIENTS: usize = 16;

/// Nothing may take longer than the gateway's own deadline, and what a machine that builds is late by. Large answers take
/// as long as they take.
const DEADLINE: Duration = Duration::from_secs(60);

/// The last bytes of an answer, which tell how it ended.
const TAIL: usize = 4 * 1024;

/// A request in the making.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    /// Asked for, and the name by which its record and its provider's books are found.
    pub(crate) model: String,
    pub(crate) body: Value,
    pub(crate) headers: Vec<(String, String)>,
    /// Goes away when so many bytes of the answer have come.
    pub(crate) leaves_after: Option<usize>,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Got {
    /// 0: no answer.
    pub(crate) status: u16,
    /// Complete by its framing.
    pub(crate) clean: bool,
    /// Bytes of the body.
    pub(crate) bytes: usize,
    /// The last of them.
    pub(crate) tail: String,
    /// Header `x-sluice-error`.
    pub(crate) code: String,
    /// Header `x-ai-cache`.
    pub(crate) cache: String,
    pub(crate) took: Duration,
}

impl Got {
    /// An answer with its terminator, and no error in it.
    pub(crate) fn is_whole(&self) -> bool {
        let ended = self.tail.ends_with("data: [DONE]\n\n") || self.tail.trim_end().ends_with('}');
        self.status == 200 && self.clean && ended && !self.tail.contains("\"error\"")
    }

    /// Begun, and visibly not ended well.
    pub(crate) fn is_broken(&self) -> bool {
        self.status == 200 && (!self.clean || self.tail.contains("\"error\""))
    }

    /// One clean error of the gateway.
    pub(crate) fn is_refused(&self) -> bool {
        self.status >= 400 && self.clean && !self.code.is_empty() && self.tail.contains("\"error\"")
    }
}

impl Ask {
    /// A chat whose estimates are right: eleven tokens in, five out.
    pub(crate) fn new(bed: &Bed, family: &str) -> Self {
        let model = bed.model(family);
        let mut body = sluice_e2e::limits::body(&model);
        body["user"] = json!(model);
        Self { model, body, headers: vec![(JSON.0.to_owned(), JSON.1.to_owned())], leaves_after: None }
    }

    pub(crate) fn stream(mut self, stream: bool) -> Self {
        self.body["stream"] = json!(stream);
        self
    }

    /// What each scripted provider does.
    pub(crate) fn mock(mut self, script: Value) -> Self {
        self.body["metadata"] = json!({"x_mock": script});
        self
    }

    /// What the wild one does.
    pub(crate) fn wild(mut self, act: &str) -> Self {
        self.body["metadata"] = json!({"wild": act});
        self
    }

    pub(crate) fn says(mut self, text: &str) -> Self {
        self.body["messages"][0]["content"] = json!(text);
        self
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn leaves_after(mut self, bytes: usize) -> Self {
        self.leaves_after = Some(bytes);
        self
    }

    /// The request as it stands on the wire.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let headers: Vec<(&str, &str)> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        client::request("POST", CHAT, &headers, self.body.to_string().as_bytes())
    }

    /// Sends it over a connection of its own. A hang fails the test.
    #[track_caller]
    pub(crate) fn send(&self, bed: &Bed) -> Got {
        let mut client = Connection::open(bed.gateway.address()).expect("the gateway listens");
        self.send_over(bed, &mut client)
    }

    /// Sends it over this connection, which is good for another request if the answer ended clean.
    #[track_caller]
    pub(crate) fn send_over(&self, bed: &Bed, client: &mut Connection) -> Got {
        let began = Instant::now();
        bed.count_sent();
        let mut got = Got::default();
        if client.write(&self.bytes()).is_ok() {
            self.read(client, &mut got);
        }
        got.took = began.elapsed();
        assert!(got.took < DEADLINE, "{} took {:?}: {}", self.model, got.took, self.body["metadata"]);
        got
    }

    fn read(&self, client: &mut Connection, got: &mut Got) {
        let Ok(head) = client.read_head() else { return };
        let header = |name: &str| head.header(name).unwrap_or_default().to_owned();
        got.status = head.start.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
        (got.code, got.cache) = (header("x-sluice-error"), header("x-ai-cache"));
        let (mut framing, mut tail) = (head.framing(true), Vec::new());
        while self.leaves_after.is_none_or(|bytes| got.bytes < bytes) {
            match client.read_piece(&mut framing) {
                Ok(Some(piece)) => {
                    got.bytes += piece.len();
                    tail.extend_from_slice(&piece[piece.len().saturating_sub(TAIL)..]);
                    tail.drain(..tail.len().saturating_sub(TAIL));
                }
                Ok(None) => {
                    got.clean = true;
                    break;
                }
                Err(error) => {
                    assert!(error.kind() != std::io::ErrorKind::WouldBlock, "{} hangs", self.model);
                    break;
                }
            }
        }
        got.tail = String::from_utf8_lossy(&tail).into_owned();
    }
}

/// What came of each, in their order; several are sent at a time.
#[track_caller]
pub(crate) fn send_all(bed: &Bed, asks: &[Ask]) -> Vec<Got> {
    let (next, got) = (AtomicUsize::new(0), Mutex::new(vec![Got::default(); asks.len()]));
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS.min(asks.len()) {
            scope.spawn(|| {
                while let Some((n, ask)) = (|n| Some((n, asks.get(n)?)))(next.fetch_add(1, Ordering::Relaxed))
                {
                    let one = ask.send(bed);
                    got.lock().expect("nobody panics")[n] = one;
                }
            });
        }
    });
    got.into_inner().expect("nobody panics")
}
