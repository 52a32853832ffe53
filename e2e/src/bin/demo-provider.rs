//! A small OpenAI-compatible provider to try the gateway with: `demo-provider --listen 127.0.0.1:PORT
//! --name NAME [--flaky]`.
//!
//! A healthy one streams a friendly answer word by word; a flaky one answers in turn with 503, 429 with
//! `retry-after`, an error event inside a 200, silence, and a proper answer.

use std::error::Error;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use sluice_e2e::script::Script;
use sluice_e2e::upstream::Upstream;

struct Options {
    listen: String,
    name: String,
    is_flaky: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = options(std::env::args().skip(1))?;
    let upstream = Upstream::listen(&options.name, &options.listen, None)?;
    upstream.remember_nothing();
    match options.is_flaky {
        true => upstream.in_turn(tricks(&options.name)),
        false => upstream.script(healthy(&options.name)),
    }
    eprintln!("{} provider listens on {}", options.name, upstream.address());
    Signals::new([SIGINT, SIGTERM])?.forever().next();
    Ok(())
}

fn options(mut words: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options { listen: "127.0.0.1:0".to_owned(), name: "demo".to_owned(), is_flaky: false };
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        match word.as_str() {
            "--listen" => options.listen = value()?,
            "--name" => options.name = value()?,
            "--flaky" => options.is_flaky = true,
            _ => return Err(format!("unknown option {word}; use --listen ADDRESS --name NAME [--flaky]")),
        }
    }
    Ok(options)
}

fn healthy(name: &str) -> Script {
    let say =
        format!("Hello! This is the {name} demo provider, streaming one word at a time. Your gateway works.");
    Script { say: Some(say), gap_ms: 60, ..Script::default() }
}

fn tricks(name: &str) -> [Script; 5] {
    let error_event = Script { error_first: true, ..Script::default() };
    let stall = Script { hang_first_token: true, ..Script::default() };
    let limited = Script::status(429).header("retry-after", "1");
    [Script::status(503), limited, error_event, stall, healthy(name)]
}
