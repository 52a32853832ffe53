//! The `sluice` command.

mod arguments;

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;
use sluice::explain::{Question, add_levels};
use sluice::gateway::{CheckOptions, Gateway};
use sluice::key;
use sluice::operator::{self, Clear};
use sluice::render::{self, Rendering};
use sluice::run::{self, Options};
use sluice::top;

use crate::arguments::{Arguments, Cache, Command, Explain, File, Key, Replay, Top};

/// Exit status for a mistake in the file, as clap uses it for a mistake in the arguments.
const MISTAKE: u8 = 2;

/// Where Envoy's admin interface is unless gateway.yaml says otherwise.
const ADMIN: &str = "http://127.0.0.1:9901";

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Check(File { file }) => check(&file),
        Command::Explain(arguments) => explain(arguments),
        Command::Render { file: File { file }, output } => render(&file, &output),
        Command::Run { file: File { file }, envoy_log, access_log, concurrency } => {
            Ok(run::run(&Options { file, envoy_log, access_log, concurrency }))
        }
        Command::Replay(arguments) => replay(&arguments),
        Command::Cache(Cache::Stats { file: File { file }, json }) => cache_stats(&file, json),
        Command::Cache(Cache::Clear { file: File { file }, consumer, model, json }) => {
            clear_cache(&file, &Clear { consumer, model }, json)
        }
        Command::Top(arguments) => look(arguments),
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
    load_with(file, &CheckOptions::process())
}

fn load_with(file: &Path, options: &CheckOptions<'_>) -> Result<Gateway, ExitCode> {
    let loaded = sluice::check::load(file, options);
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

fn replay(arguments: &Replay) -> Done {
    // Nothing is sent, so the providers' keys need not be here; callers are told by name where theirs are not.
    let env = |name: &str| std::env::var(name).ok().or_else(|| Some(format!("unset-{name}")));
    let options = CheckOptions { env: &env };
    let gateway = load_with(&arguments.config, &options)?;
    let (log, examples) = (&arguments.log, arguments.examples);
    let report = sluice::replay::replay(&gateway, log, examples, &options).map_err(failed)?;
    let printed =
        print(&if arguments.json { format!("{:#}\n", report.to_json()) } else { report.to_string() })?;
    if arguments.exit_code && report.changed() > 0 { Ok(ExitCode::FAILURE) } else { Ok(printed) }
}

fn render(file: &Path, output: &Path) -> Done {
    let gateway = load(file)?;
    write(&gateway, output).map_err(failed)?;
    print(&format!("{}\n", output.join("envoy.yaml").display()))
}

fn write(gateway: &Gateway, output: &Path) -> Result<(), String> {
    let directory = std::path::absolute(output).map_err(|error| error.to_string())?;
    let (module, roots) = (run::module(gateway.filters)?, run::roots(gateway)?);
    run::fits_directory(gateway, &directory)?;
    let rendering = Rendering { directory: &directory, module: &module, roots: &roots, access_log: None };
    let rendered = render::render(gateway, &rendering);
    render::write(&rendered.files(&rendering), &directory)
}

fn cache_stats(file: &Path, json: bool) -> Done {
    let stats = operator::stats(&load(file)?).map_err(failed)?;
    print(&if json { format!("{:#}\n", stats.to_json()) } else { stats.to_string() })
}

fn clear_cache(file: &Path, clear: &Clear, json: bool) -> Done {
    let gateway = load(file)?;
    if let Some(doubt) = clear.doubt(&gateway) {
        complain(&format!("sluice: warning: {doubt}\n"));
    }
    let cleared = operator::clear(&gateway, clear).map_err(failed)?;
    print(&if json { format!("{cleared:#}\n") } else { format!("cleared {clear}\n") })
}

fn look(arguments: Top) -> Done {
    let default = Path::new("gateway.yaml");
    let Top { config, admin, every, once, by } = arguments;
    let admin = match (admin, config) {
        (Some(url), _) => url,
        (None, Some(file)) => top::Options::url(load(&file)?.admin),
        (None, None) if default.exists() => top::Options::url(load(default)?.admin),
        (None, None) => ADMIN.to_owned(),
    };
    top::run(&top::Options { admin, every, once, by }).map_err(failed).map(|()| ExitCode::SUCCESS)
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
