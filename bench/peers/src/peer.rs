//! A gateway of somebody else's, as its program in `bench/peers/programs` starts it.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use sluice_bench::load::{Client, Outcome, block_on};
use sluice_bench::request::{Template, key};
use sluice_bench::{Failure, lab, provider};
use sluice_e2e::ports::Port;
use sluice_e2e::wait;
use tempfile::TempDir;

use crate::tree;

/// Longest start: Python compiles what it loads for the first time.
const START: Duration = Duration::from_secs(180);

/// Those that there are.
pub(crate) const ALL: [&str; 4] = ["vllm-router", "smg", "portkey", "litellm"];

/// A running gateway on a processor of its own; ends with all its processes when dropped.
pub(crate) struct Peer {
    /// As it stands in the report.
    pub(crate) name: &'static str,
    /// As it calls itself.
    pub(crate) version: String,
    headers: Vec<(String, String)>,
    port: Port,
    folder: TempDir,
    child: Child,
}

impl Peer {
    /// Starts it and waits until it has answered a request.
    ///
    /// # Errors
    /// It is not installed, or does not answer; in words.
    pub(crate) fn start(name: &'static str, provider: SocketAddr) -> Result<Self, Failure> {
        let version = output(name, &["version"]).map_err(|_| "not installed: bench/peers/install")?;
        let (port, folder, to) = (Port::free(), TempDir::new()?, provider.port().to_string());
        let headers = output(name, &["headers", &to])?;
        let pairs = headers.lines().filter_map(|line| line.split_once(": "));
        let headers = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let log = File::create(folder.path().join("log"))?;
        let mut command = Command::new(program(name));
        command.arg("serve").arg(port.number().to_string()).arg(&to).arg(folder.path());
        command
            .env("PEER_KEY", key(0))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0);
        let child = lab::beside(lab::Room::One, || command.spawn())?;
        let mut peer = Self { name, version, headers, port, folder, child };
        peer.wait()?;
        Ok(peer)
    }

    fn wait(&mut self) -> Result<(), Failure> {
        let ready = wait::poll(START, || match self.child.try_wait() {
            Ok(None) => self.ask().ok().map(Ok),
            _ => Some(Err(())),
        });
        if ready == Some(Ok(())) {
            return Ok(());
        }
        let why = self.ask().err().map(|error| error.to_string()).unwrap_or_default();
        Err(format!("does not answer: {why}; its log ends with: {}", self.last_words()).into())
    }

    fn ask(&self) -> Result<(), Failure> {
        let (template, mut outcome) = (self.template(provider::WHOLE), Outcome::default());
        block_on(async { Client::open(self.address()).await?.ask(&template, 0, &mut outcome).await })
    }

    fn last_words(&self) -> String {
        let log = fs::read(self.folder.path().join("log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        lines.get(lines.len().saturating_sub(3)..).unwrap_or_default().join(" / ")
    }

    /// The lab's request of 1 KB for `model`, with what this gateway wants to be told.
    pub(crate) fn template(&self, model: &str) -> Arc<Template> {
        let template = Template::chat(model, 1_024, model != provider::WHOLE, 1);
        let headers = self.headers.iter();
        Arc::new(headers.fold(template, |template, (name, value)| template.with_header(name, value)))
    }

    /// Where clients connect.
    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port.number()).into()
    }

    /// Processor time of all its processes so far.
    pub(crate) fn cpu(&self) -> Result<Duration, Failure> {
        tree::cpu(self.child.id())
    }

    /// Memory of all its processes, in bytes.
    pub(crate) fn resident(&self) -> Result<u64, Failure> {
        tree::resident(self.child.id())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

fn program(name: &str) -> PathBuf {
    lab::folder().join("peers/programs").join(name)
}

/// What its program prints.
fn output(name: &str, arguments: &[&str]) -> Result<String, Failure> {
    let output = Command::new(program(name)).args(arguments).stderr(Stdio::null()).output()?;
    if !output.status.success() {
        return Err(format!("{name} {arguments:?} fails").into());
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
