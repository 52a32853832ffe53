//! The provider of the lab: answers by the model it is asked for, as fast as it can or at a steady pace.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::wire::{Side, Wire};

/// Answers whole, about 1 KB.
pub const WHOLE: &str = "gpt-whole";
/// Answers with [`BURST_EVENTS`] events at once.
pub const BURST: &str = "gpt-burst";
/// Answers with [`PACED_EVENTS`] events, [`PACE`] apart.
pub const PACED: &str = "gpt-paced";
/// Answers with one event, and leaves the stream open until the client goes.
pub const OPEN: &str = "gpt-open";

/// Events with content of a [`BURST`].
pub const BURST_EVENTS: usize = 20;
/// Events with content of a [`PACED`] stream.
pub const PACED_EVENTS: usize = 50;
/// Between two events of a [`PACED`] stream.
pub const PACE: Duration = Duration::from_millis(2);

/// Where in a request the model stands: clients put it first, and nothing on the way moves it far.
const MODEL_WITHIN: usize = 256;

/// Bytes of content in a whole answer.
const ANSWER: usize = 750;

/// Beginning of the content of an event, before its time.
pub const MARK: &str = "\"content\":\"t";

/// Nanoseconds on a clock that all processes of the machine share.
#[must_use]
pub fn now_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let [seconds, nanoseconds] =
        [now.tv_sec, now.tv_nsec].map(|part| u64::try_from(part).unwrap_or_default());
    seconds * 1_000_000_000 + nanoseconds
}

/// Starts the provider on a free port and a thread of its own, which live as long as the process.
///
/// # Errors
/// There is no free port.
pub fn start() -> io::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new()
        .name("provider".to_owned())
        .spawn(move || runtime.block_on(accept(listener)))?;
    Ok(address)
}

async fn accept(listener: std::net::TcpListener) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let answers = std::sync::Arc::new(Answers::new());
    loop {
        let (socket, _) = listener.accept().await?;
        let answers = std::sync::Arc::clone(&answers);
        tokio::spawn(async move {
            // Whoever goes away in the middle has been measured.
            let _ = serve(Wire::over(socket)?, &answers).await;
            io::Result::Ok(())
        });
    }
}

async fn serve(mut wire: Wire, answers: &Answers) -> io::Result<()> {
    let mut body = Vec::new();
    while let Some(head) = wire.head(Side::Client).await? {
        wire.body(head.framing, &mut body).await?;
        let usage = memchr::memmem::find(&body, b"\"include_usage\":true").is_some();
        match model(&body) {
            BURST => wire.write(answers.burst(usage)).await?,
            PACED => pace(&mut wire, usage).await?,
            OPEN => {
                wire.write(format!("{STREAM}{}", chunk(&event(0))).as_bytes()).await?;
                // Nothing more comes from Envoy until it closes.
                let _ = wire.head(Side::Client).await;
                return Ok(());
            }
            _ => wire.write(&answers.whole).await?,
        }
    }
    Ok(())
}

/// The model a request names, if it is one of ours.
fn model(body: &[u8]) -> &'static str {
    let beginning = body.get(..MODEL_WITHIN).unwrap_or(body);
    let named = |model: &&str| memchr::memmem::find(beginning, model.as_bytes()).is_some();
    [WHOLE, BURST, PACED, OPEN].into_iter().find(|model| named(model)).unwrap_or(WHOLE)
}

async fn pace(wire: &mut Wire, usage: bool) -> io::Result<()> {
    wire.write(format!("{STREAM}{}", chunk(&event(now_ns()))).as_bytes()).await?;
    let mut ticks = interval_at(Instant::now() + PACE, PACE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for _ in 1..PACED_EVENTS {
        ticks.tick().await;
        wire.write(chunk(&event(now_ns())).as_bytes()).await?;
    }
    wire.write(ending(usage).as_bytes()).await
}

const STREAM: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

/// An event whose content is the time at which it was made.
fn event(time: u64) -> String {
    format!(
        "data: {{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"gpt\",\"choices\":[{{\"index\":0,\
         \"delta\":{{{MARK}{time:020} word\"}},\"finish_reason\":null}}]}}\n\n"
    )
}

/// How a stream ends: why, what it has used if that was asked for, and the terminator.
fn ending(usage: bool) -> String {
    let head = "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"gpt\",";
    let stop = format!("{head}\"choices\":[{{\"index\":0,\"delta\":{{}},\"finish_reason\":\"stop\"}}]}}\n\n");
    let used = format!("{head}\"choices\":[],\"usage\":{USAGE}}}\n\n");
    let used = if usage { chunk(&used) } else { String::new() };
    [chunk(&stop), used, chunk("data: [DONE]\n\n"), "0\r\n\r\n".to_owned()].concat()
}

const USAGE: &str = "{\"prompt_tokens\":230,\"completion_tokens\":160,\"total_tokens\":390}";

fn chunk(data: &str) -> String {
    format!("{:x}\r\n{data}\r\n", data.len())
}

/// Answers that are the same every time.
struct Answers {
    whole: Vec<u8>,
    burst: [Vec<u8>; 2],
}

impl Answers {
    fn new() -> Self {
        let content = "Water finds its way, gates decide how much. ".repeat(ANSWER / 44);
        let body = format!(
            "{{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion\",\"created\":1700000000,\"model\":\"gpt\",\"choices\":[{{\"index\":0,\"message\":\
             {{\"role\":\"assistant\",\"content\":\"{content}\"}},\"finish_reason\":\"stop\"}}],\"usage\":{USAGE}}}"
        );
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let events = chunk(&event(0)).repeat(BURST_EVENTS);
        let burst = [false, true].map(|usage| [STREAM, &events, &ending(usage)].concat().into_bytes());
        Self { whole: (head + &body).into_bytes(), burst }
    }

    fn burst(&self, usage: bool) -> &[u8] {
        let [without, with] = &self.burst;
        if usage { with } else { without }
    }
}

#[cfg(test)]
mod tests {
    use super::{BURST, MARK, WHOLE, chunk, event, model};

    #[test]
    fn the_model_is_found_near_the_beginning() {
        assert_eq!(model(br#"{"model":"gpt-burst","stream":true}"#), BURST);
        assert_eq!(model(br#"{"stream_options":{"include_usage":true},"model":"gpt-burst"}"#), BURST);
        assert_eq!(model(b"{}"), WHOLE);
    }

    #[test]
    fn an_event_is_json_that_tells_its_time() {
        let event = event(42);
        let json: serde_json::Value =
            serde_json::from_str(event.trim().trim_start_matches("data: ")).unwrap();
        assert_eq!(json["choices"][0]["delta"]["content"], "t00000000000000000042 word");
        assert!(event.contains(MARK));
        assert_eq!(chunk("abc"), "3\r\nabc\r\n");
    }
}
