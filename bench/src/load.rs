//! The load: so many connections, each of which asks again as soon as it is answered.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::Failure;
use crate::provider::{MARK, now_ns};
use crate::request::Template;
use crate::wire::{Framing, Side, Wire};

/// Longest wait for one load to end: whoever takes longer hangs.
const HANG: Duration = Duration::from_secs(300);

/// Digits of an event's time.
const TIME: usize = 20;

/// What came of a load.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Requests, all answered with 200.
    pub requests: u64,
    /// From the first request to the last answer.
    pub took: Duration,
    /// For each request the time to the end of its answer, in milliseconds.
    pub whole_ms: Vec<f64>,
    /// For each request the time to the first byte of its answer's body, in milliseconds.
    pub first_ms: Vec<f64>,
    /// For each event but a stream's first how long it was on its way from the provider, in milliseconds.
    pub event_ms: Vec<f64>,
}

impl Outcome {
    /// Requests a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.requests as f64 / self.took.as_secs_f64()
    }

    /// Takes over what came of another load.
    pub fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.whole_ms.extend(other.whole_ms);
        self.first_ms.extend(other.first_ms);
        self.event_ms.extend(other.event_ms);
    }
}

/// What is asked, where, how often.
#[derive(Clone, Debug)]
pub struct Load {
    /// Who is asked.
    pub address: SocketAddr,
    /// What.
    pub template: Arc<Template>,
    /// Connections at the same time.
    pub connections: u32,
    /// Requests in all.
    pub requests: u64,
    /// Number of the first request.
    pub first: u64,
    /// How much later each connection begins than the one before.
    pub stagger: Duration,
}

impl Load {
    /// Asks as often as told, and waits for every answer.
    ///
    /// # Errors
    /// A connection broke, an answer was not 200, or the load did not end.
    pub fn run(&self) -> Result<Outcome, Failure> {
        block_on(self.ask())
    }

    async fn ask(&self) -> Result<Outcome, Failure> {
        let next = Arc::new(AtomicU64::new(0));
        let mut clients = JoinSet::new();
        let began = Instant::now();
        for connection in 0..self.connections {
            clients.spawn(client(self.clone(), self.stagger * connection, Arc::clone(&next)));
        }
        let mut sum = Outcome::default();
        while let Some(client) = clients.join_next().await {
            sum.add(client??);
        }
        Ok(Outcome { took: began.elapsed(), ..sum })
    }
}

/// Runs `work` on a runtime of its own in this thread, for at most `HANG`.
///
/// # Errors
/// Those of `work`, or it did not end.
pub fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { tokio::time::timeout(HANG, work).await? })
}

async fn client(load: Load, later: Duration, next: Arc<AtomicU64>) -> Result<Outcome, Failure> {
    tokio::time::sleep(later).await;
    let mut client = Client::open(load.address).await?;
    let mut outcome = Outcome::default();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= load.requests {
            return Ok(outcome);
        }
        client.ask(&load.template, load.first + number, &mut outcome).await?;
    }
}

/// One connection, with room for what is sent and read.
pub struct Client {
    wire: Wire,
    request: Vec<u8>,
    body: Vec<u8>,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// Nobody listens there.
    pub async fn open(address: SocketAddr) -> Result<Self, Failure> {
        Ok(Self { wire: Wire::open(address).await?, request: Vec::new(), body: Vec::new() })
    }

    /// Asks once, reads the whole answer, and adds what came of it to `outcome`.
    ///
    /// # Errors
    /// The connection broke, or the answer was not 200.
    pub async fn ask(
        &mut self,
        template: &Template,
        number: u64,
        outcome: &mut Outcome,
    ) -> Result<(), Failure> {
        template.fill(number, &mut self.request);
        let began = Instant::now();
        let mut framing = self.send().await?;
        let (mut first, mut events) = (None, Events::default());
        while let Some(piece) = self.wire.piece(&mut framing).await? {
            let first = *first.get_or_insert_with(|| began.elapsed());
            self.body.extend_from_slice(&piece);
            if outcome.first_ms.len() as u64 == outcome.requests {
                outcome.first_ms.push(milliseconds(first));
            }
            events.arrive(&self.body, now_ns(), &mut outcome.event_ms);
        }
        outcome.requests += 1;
        outcome.whole_ms.push(milliseconds(began.elapsed()));
        Ok(())
    }

    /// Asks for a stream and reads its first piece; the stream stays open as long as the client lives.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub async fn begin(&mut self, template: &Template, number: u64) -> Result<(), Failure> {
        template.fill(number, &mut self.request);
        let mut framing = self.send().await?;
        self.wire.piece(&mut framing).await?.ok_or("the stream ended at once")?;
        Ok(())
    }

    /// Sends the request and reads the head of the answer.
    async fn send(&mut self) -> Result<Framing, Failure> {
        self.body.clear();
        self.wire.write(&self.request).await?;
        let head = self.wire.head(Side::Server).await?.ok_or("the connection ended before an answer")?;
        if head.status == 200 {
            return Ok(head.framing);
        }
        self.wire.body(head.framing, &mut self.body).await?;
        Err(format!("status {}: {}", head.status, String::from_utf8_lossy(&self.body)).into())
    }
}

/// Finds the events of a stream in what has come of it so far.
#[derive(Debug, Default)]
struct Events {
    /// So many bytes have been looked at.
    seen: usize,
    /// Whether the first event has come, which [`Outcome::first_ms`] tells of.
    begun: bool,
}

impl Events {
    /// Adds to `event_ms` how long each new event of `body` was on its way until `now` (ns).
    fn arrive(&mut self, body: &[u8], now: u64, event_ms: &mut Vec<f64>) {
        while let Some(at) =
            body.get(self.seen..).and_then(|rest| memchr::memmem::find(rest, MARK.as_bytes()))
        {
            let digits = self.seen + at + MARK.len();
            let Some(time) = body.get(digits..digits + TIME) else { return };
            self.seen = digits + TIME;
            let time =
                std::str::from_utf8(time).ok().and_then(|text| text.parse::<u64>().ok()).unwrap_or_default();
            if std::mem::replace(&mut self.begun, true) && time > 0 {
                event_ms.push(milliseconds(Duration::from_nanos(now.saturating_sub(time))));
            }
        }
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

#[cfg(test)]
mod tests {
    use super::Events;
    use crate::provider::MARK;

    #[test]
    fn events_are_found_wherever_the_stream_is_cut() {
        let stream: String =
            [5_u64, 1_000_000, 3_000_000].map(|time| format!("{MARK}{time:020} word\"\n\n")).concat();
        for cut in 0..stream.len() {
            let (mut events, mut delays) = (Events::default(), Vec::new());
            events.arrive(&stream.as_bytes()[..cut], 4_000_000, &mut delays);
            events.arrive(stream.as_bytes(), 4_000_000, &mut delays);
            assert_eq!(delays, [3.0, 1.0], "cut at {cut}");
        }
    }
}
