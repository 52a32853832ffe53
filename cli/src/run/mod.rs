//! `sluice run`: Envoy with the configuration of a gateway.yaml, kept in step with the file.

mod deadline;
mod envoy;
mod find;
mod live;
mod native;
mod watch;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::check::load;
use crate::gateway::{CheckOptions, Filters, Loaded};
use crate::render::Rendering;

use deadline::Deadline;
use envoy::Envoy;
pub use find::{module, roots};
use live::Live;
pub use native::fits_directory;
use watch::Watch;

/// Exit status when gateway.yaml has a mistake.
const MISTAKE: u8 = 2;
/// How often files and Envoy are looked after.
const TURN: Duration = Duration::from_millis(200);
/// How long no request must have been running before Envoy is ended: connections that are kept open may bring
/// another, whose answer then closes them.
const QUIET: Duration = Duration::from_millis(400);
/// Longest wait for Envoy to serve its first request.
const START: Duration = Duration::from_secs(60);

/// What `sluice run` is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// The gateway.yaml.
    pub file: PathBuf,
    /// Where Envoy's own log goes; `None`: standard error.
    pub envoy_log: Option<PathBuf>,
    /// Where the access log goes; `None`: standard output.
    pub access_log: Option<PathBuf>,
    /// Envoy's worker threads; `None`: one for each core.
    pub concurrency: Option<u32>,
}

/// Runs until a signal or Envoy's end.
#[must_use]
pub fn run(options: &Options) -> ExitCode {
    match serve(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Mistake) => ExitCode::from(MISTAKE),
        Err(Failure::Other(why)) => {
            tell(&format!("sluice: {why}"));
            ExitCode::FAILURE
        }
    }
}

/// Why a run ended badly.
enum Failure {
    /// gateway.yaml has a mistake, and it has been said.
    Mistake,
    /// Anything else, in words.
    Other(String),
}

impl From<String> for Failure {
    fn from(why: String) -> Self {
        Self::Other(why)
    }
}

fn serve(options: &Options) -> Result<(), Failure> {
    let signals = signals()?;
    let looked = Watch::new(&options.file);
    let loaded = read(options);
    let gateway = loaded.gateway.ok_or(Failure::Mistake)?;
    let directory =
        tempfile::Builder::new().prefix("sluice-").tempdir().map_err(|error| error.to_string())?;
    let access_log = options.access_log.as_ref().map(std::path::absolute).transpose();
    let access_log = access_log.map_err(|error| error.to_string())?;
    let (module, roots) = (module(gateway.filters)?, roots(&gateway)?);
    let rendering = Rendering {
        directory: directory.path(),
        module: &module,
        roots: &roots,
        access_log: access_log.as_deref(),
    };
    find::free(&gateway)?;
    let path = find::envoy()?;
    if gateway.filters == Filters::Native {
        native::fits_envoy(&path)?;
        fits_directory(&gateway, directory.path())?;
    }
    let mut watch = looked.with(&loaded.files);
    let mut live = Live::write(gateway, rendering)?;
    let mut envoy = Envoy::start(&path, directory.path(), options)?;
    let ready = await_ready(&live, &mut envoy, &signals);
    if !ready? {
        return envoy.stop();
    }
    tell(&format!("ready on {}", live.gateway().listen));
    loop {
        match signals.recv_timeout(TURN) {
            Ok(SIGHUP) => update(options, &mut live, &mut watch),
            Ok(_) | Err(RecvTimeoutError::Disconnected) => break drain(&live, &mut envoy, &signals),
            Err(RecvTimeoutError::Timeout) => {
                envoy.check()?;
                if watch.has_changed() {
                    update(options, &mut live, &mut watch);
                }
                live.prune()?;
            }
        }
    }
}

fn signals() -> Result<Receiver<i32>, String> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP]).map_err(|error| error.to_string())?;
    let (send, receive) = channel();
    std::thread::spawn(move || signals.forever().all(|signal| send.send(signal).is_ok()));
    Ok(receive)
}

/// Reads gateway.yaml and says what is found in it.
fn read(options: &Options) -> Loaded {
    let loaded = load(&options.file, &CheckOptions::process());
    // nothing is left to tell it to when standard error is closed
    let _ = std::io::stderr().write_all(loaded.report.to_string().as_bytes());
    loaded
}

/// Whether Envoy serves; `false` if a signal came first.
fn await_ready(live: &Live<'_>, envoy: &mut Envoy, signals: &Receiver<i32>) -> Result<bool, String> {
    let deadline = Deadline::after(START);
    while !deadline.has_passed() {
        envoy.check()?;
        if live.is_ready()? {
            return Ok(true);
        }
        if matches!(signals.recv_timeout(Duration::from_millis(20)), Ok(SIGTERM | SIGINT)) {
            return Ok(false);
        }
    }
    envoy.kill();
    Err(format!("Envoy did not begin to serve within {} s; its log says why", START.as_secs()))
}

/// Takes over a changed gateway.yaml; a bad one leaves everything as it is.
fn update(options: &Options, live: &mut Live<'_>, watch: &mut Watch) {
    let file = options.file.display();
    let looked = watch.again();
    let loaded = read(options);
    *watch = looked.with(&loaded.files);
    let Some(gateway) = loaded.gateway else {
        tell(&format!("{file}: not applied; the configuration before it stays in force"));
        return;
    };
    match live.apply(gateway) {
        Ok(true) => tell(&format!("{file}: applied")),
        Ok(false) => {}
        Err(why) => tell(&format!("{file}: not applied: {why}; the configuration before it stays in force")),
    }
}

/// Takes no new connections, lets running requests end within their deadline, and ends Envoy. A second signal
/// ends it at once.
fn drain(live: &Live<'_>, envoy: &mut Envoy, signals: &Receiver<i32>) -> Result<(), Failure> {
    live.stop_listening();
    let deadline = Deadline::after(live.gateway().timeouts.request);
    let mut quiet = Deadline::after(QUIET);
    while !deadline.has_passed() && !quiet.has_passed() {
        if live.is_busy() {
            quiet = Deadline::after(QUIET);
        }
        match signals.recv_timeout(Duration::from_millis(50)) {
            Ok(SIGTERM | SIGINT) | Err(RecvTimeoutError::Disconnected) => break,
            _ => {}
        }
    }
    envoy.stop()
}

fn tell(line: &str) {
    // nothing is left to tell it to when standard error is closed
    let _ = writeln!(std::io::stderr(), "{line}");
}
