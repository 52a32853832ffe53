//! The `sluice` command.

use std::io::{IsTerminal as _, Write as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use sluice::explain::{Question, add_levels};
use sluice::gateway::{CheckOptions, Gateway};
use sluice::key;
use sluice::render::{self, Rendering};
use sluice::run::{self, Options};

/// Exit status for a mistake in the file, as clap uses it for a mistake in the arguments.
const MISTAKE: u8 = 2;

/// Turns a stock Envoy into an AI gateway, as one gateway.yaml describes it.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
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
    /// Makes and hashes keys of consumers
    #[command(subcommand)]
    Key(Key),
    /// Prints the JSON Schema of gateway.yaml, for editors
    Schema,
}

/// What to do with a key.
#[derive(Subcommand)]
enum Key {
    /// Makes a strong key, and prints it and the line that gateway.yaml holds of it
    New {
        /// Who gets it
        #[arg(long, value_name = "NAME")]
        consumer: String,
    },
    /// Reads a key from standard input, and prints the line that gateway.yaml holds of it
    Hash,
}

/// The file that most subcommands read.
#[derive(clap::Args)]
struct File {
    /// The configuration
    #[arg(default_value = "gateway.yaml", value_name = "FILE")]
    file: PathBuf,
}

/// The request to explain.
#[derive(clap::Args)]
struct Explain {
    #[command(flatten)]
    file: File,
    /// Model that the request names
    #[arg(long)]
    model: String,
    /// Key that the client sends
    #[arg(long)]
    key: Option<String>,
    /// Address that the client calls from
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    from: IpAddr,
    /// Path that the client calls
    #[arg(long, default_value = "/v1/chat/completions")]
    path: String,
    /// Header that the client sends
    #[arg(long = "header", value_name = "NAME:VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// Estimated input tokens of the request
    #[arg(long, value_name = "N", default_value_t = 0)]
    input_tokens: u64,
    /// A running gateway, such as http://127.0.0.1:10000, which is asked how the limits stand
    #[arg(long, value_name = "URL")]
    at: Option<String>,
    /// What else the request holds
    #[arg(long, value_name = "tools|images", value_parser = ["tools", "images"])]
    has: Vec<String>,
    /// Answer as JSON
    #[arg(long)]
    json: bool,
}

/// `NAME:VALUE`, the name in lower case.
fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("write NAME:VALUE, such as x-team:search")?;
    Ok((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Check(File { file }) => check(&file),
        Command::Explain(arguments) => explain(arguments),
        Command::Render { file: File { file }, output } => render(&file, &output),
        Command::Run { file: File { file }, envoy_log, access_log, concurrency } => {
            Ok(run::run(&Options { file, envoy_log, access_log, concurrency }))
        }
        Command::Key(Key::New { consumer }) => new_key(&consumer),
        Command::Key(Key::Hash) => hash_key(),
        Command::Schema => print(sluice::schema::GATEWAY),
    };
    done.unwrap_or_else(|code| code)
}

/// A status to exit with: `Err` ends a subcommand early.
type Done = Result<ExitCode, ExitCode>;

/// Reads the file and says on standard error what is found in it.
fn load(file: &Path) -> Result<Gateway, ExitCode> {
    let loaded = sluice::check::load(file, &CheckOptions::process());
    complain(&loaded.report.to_string());
    loaded.gateway.ok_or_else(|| ExitCode::from(MISTAKE))
}

fn check(file: &Path) -> Done {
    let gateway = load(file)?;
    let (rules, providers) = (gateway.models.len(), gateway.providers.len());
    print(&format!("{}: good (providers: {providers}, rules: {rules})\n", file.display()))
}

fn explain(arguments: Explain) -> Done {
    let gateway = load(&arguments.file.file)?;
    let question = Question {
        model: arguments.model,
        key: arguments.key,
        from: arguments.from,
        path: arguments.path,
        headers: arguments.headers,
        input_tokens: arguments.input_tokens,
        tools: arguments.has.iter().any(|has| has == "tools"),
        images: arguments.has.iter().any(|has| has == "images"),
    };
    let mut explanation =
        sluice::explain::explain(&gateway, &question, &CheckOptions::process()).map_err(failed)?;
    let asked = arguments.at.map_or(Ok(()), |url| add_levels(&mut explanation, &question, &url));
    let text =
        if arguments.json { format!("{:#}\n", explanation.to_json()) } else { explanation.to_string() };
    let printed = print(&text)?;
    asked.map_err(failed).map(|()| printed)
}

fn render(file: &Path, output: &Path) -> Done {
    let gateway = load(file)?;
    write(&gateway, output).map_err(failed)?;
    print(&format!("{}\n", output.join("envoy.yaml").display()))
}

fn write(gateway: &Gateway, output: &Path) -> Result<(), String> {
    let directory = std::path::absolute(output).map_err(|error| error.to_string())?;
    let (module, roots) = (run::module()?, run::roots(gateway)?);
    let rendering = Rendering { directory: &directory, module: &module, roots: &roots, access_log: None };
    let rendered = render::render(gateway, &rendering);
    render::write(&rendered.files(&rendering), &directory)
}

fn new_key(consumer: &str) -> Done {
    let key = key::new_key().map_err(failed)?;
    let done = print(&format!("{key}\n{}\n", key::hash(&key)))?;
    complain(&format!(
        "Give the first line to {consumer}, it is shown only now; write the second, in quotes, under `keys` of \
         consumer {consumer} in gateway.yaml.\n"
    ));
    Ok(done)
}

fn hash_key() -> Done {
    let input = std::io::stdin();
    let read = if input.is_terminal() {
        complain("The key: ");
        let mut line = String::new();
        input.read_line(&mut line).map_err(|error| failed(error.to_string()))?;
        key::read(line.as_bytes())
    } else {
        key::read(input.lock())
    };
    match read {
        Ok(key) => print(&format!("{}\n", key::hash(&key))),
        Err(why) => {
            complain(&format!("sluice: {why}\n"));
            Err(ExitCode::from(MISTAKE))
        }
    }
}

/// A reader that has gone (`sluice schema | head`) is no failure worth words.
fn print(text: &str) -> Done {
    std::io::stdout().write_all(text.as_bytes()).map_err(|_| ExitCode::FAILURE)?;
    Ok(ExitCode::SUCCESS)
}

/// A failure that is not the file's.
fn failed(why: String) -> ExitCode {
    complain(&format!("sluice: {why}\n"));
    ExitCode::FAILURE
}

fn complain(text: &str) {
    // nothing is left to tell it to when standard error is closed
    let _ = std::io::stderr().write_all(text.as_bytes());
}
