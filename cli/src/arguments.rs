//! What the command line may say.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Parser, Subcommand};
use sluice::file::parse_duration;
use sluice::top::snapshot::By;

/// Turns a stock Envoy into an AI gateway, as one gateway.yaml describes it.
#[derive(Parser)]
#[command(version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Finds every mistake in a gateway.yaml
    Check(File),
    /// Shows what would happen to a request, and why
    Explain(Explain),
    /// Writes Envoy's configuration
    Render {
        #[command(flatten)]
        file: File,
        /// Folder to write to; made if it is missing
        #[arg(short, long, value_name = "DIR")]
        output: PathBuf,
    },
    /// Runs Envoy with it, and takes over every change of the file
    Run {
        #[command(flatten)]
        file: File,
        /// Envoy's own log [default: standard error]
        #[arg(long, value_name = "PATH")]
        envoy_log: Option<PathBuf>,
        /// One line of JSON for each request [default: standard output]
        #[arg(long, value_name = "PATH")]
        access_log: Option<PathBuf>,
        /// Worker threads [default: one for each core]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
        concurrency: Option<u32>,
    },
    /// Shows what another gateway.yaml would change for the requests of an access log
    Replay(Replay),
    /// Shows and clears the cache of the gateway that runs
    #[command(subcommand)]
    Cache(Cache),
    /// Shows live what the gateway that runs does
    Top(Top),
    /// Makes and hashes keys of consumers
    #[command(subcommand)]
    Key(Key),
    /// Prints the JSON Schema of gateway.yaml, for editors
    Schema,
}

/// What to do with a key.
#[derive(Subcommand)]
pub(crate) enum Key {
    /// Makes a strong key, and prints it and the line that gateway.yaml holds of it
    New {
        /// Who gets it
        #[arg(long, value_name = "NAME")]
        consumer: String,
    },
    /// Reads a key from standard input, and prints the line that gateway.yaml holds of it
    Hash,
}

/// What to do with the cache.
#[derive(Subcommand)]
pub(crate) enum Cache {
    /// Shows what it holds and how often it is hit
    Stats {
        #[command(flatten)]
        file: File,
        /// Answer as JSON
        #[arg(long)]
        json: bool,
    },
    /// Makes it forget what it holds: everything, or what the options name
    Clear {
        #[command(flatten)]
        file: File,
        /// Only what this consumer has
        #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
        consumer: Option<String>,
        /// Only answers to requests for this model, as clients name it
        #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
        model: Option<String>,
        /// Answer as JSON
        #[arg(long)]
        json: bool,
    },
}

/// The gateway to look at, and how.
#[derive(clap::Args)]
pub(crate) struct Top {
    /// Its configuration, which names its admin interface [default: gateway.yaml, if there is one]
    #[arg(short, long, value_name = "FILE", conflicts_with = "admin")]
    pub(crate) config: Option<PathBuf>,
    /// Its admin interface, such as http://127.0.0.1:9901
    #[arg(long, value_name = "URL", value_parser = url)]
    pub(crate) admin: Option<String>,
    /// Time between two looks, 1s to 1h [default: 2s; with --once 6s]
    #[arg(long, value_name = "TIME", value_parser = interval)]
    pub(crate) every: Option<Duration>,
    /// Look for one interval, print plain text, and end; as when standard output is no terminal
    #[arg(long)]
    pub(crate) once: bool,
    /// What requests are told apart by
    #[arg(long, value_enum, default_value_t)]
    pub(crate) by: By,
}

/// The file that most subcommands read.
#[derive(clap::Args)]
pub(crate) struct File {
    /// The configuration
    #[arg(default_value = "gateway.yaml", value_name = "FILE")]
    pub(crate) file: PathBuf,
}

/// The request to explain.
#[derive(clap::Args)]
pub(crate) struct Explain {
    #[command(flatten)]
    pub(crate) file: File,
    /// Model that the request names
    #[arg(long)]
    pub(crate) model: String,
    /// Key that the client sends
    #[arg(long)]
    pub(crate) key: Option<String>,
    /// Address that the client calls from
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub(crate) from: IpAddr,
    /// Path that the client calls
    #[arg(long, default_value = "/v1/chat/completions")]
    pub(crate) path: String,
    /// Header that the client sends
    #[arg(long = "header", value_name = "NAME:VALUE", value_parser = header)]
    pub(crate) headers: Vec<(String, String)>,
    /// Estimated input tokens of the request
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) input_tokens: u64,
    /// A running gateway, such as http://127.0.0.1:10000, which is asked how the limits stand
    #[arg(long, value_name = "URL")]
    pub(crate) at: Option<String>,
    /// What else the request holds
    #[arg(long, value_name = "tools|images", value_parser = ["tools", "images"])]
    pub(crate) has: Vec<String>,
    /// Answer as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `http://HOST:PORT`; `http://` may be left out.
fn url(text: &str) -> Result<String, String> {
    let host = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
    if host.is_empty() || host.contains(['/', '?', '#', '@', ' ']) {
        return Err("write http://HOST:PORT, such as http://127.0.0.1:9901".to_owned());
    }
    Ok(format!("http://{host}"))
}

fn interval(text: &str) -> Result<Duration, String> {
    let range = Duration::from_secs(1)..=Duration::from_secs(3_600);
    let every = parse_duration(text)?;
    if range.contains(&every) { Ok(every) } else { Err("write a time from 1s to 1h".to_owned()) }
}

/// The requests to replay, and under which configuration.
#[derive(clap::Args)]
pub(crate) struct Replay {
    /// Access log of a gateway; `-`: standard input
    #[arg(long, value_name = "PATH")]
    pub(crate) log: PathBuf,
    /// The configuration to replay it under
    #[arg(long, default_value = "gateway.yaml", value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Requests named for each change
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(crate) examples: usize,
    /// Exit with status 1 if anything changes
    #[arg(long)]
    pub(crate) exit_code: bool,
    /// Answer as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `NAME:VALUE`, the name in lower case.
fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("write NAME:VALUE, such as x-team:search")?;
    Ok((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
}
