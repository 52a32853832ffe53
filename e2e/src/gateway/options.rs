//! How a gateway is started.

use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use tempfile::TempDir;

use super::{Gateway, binary, complete, replace};
use crate::envoy;
use crate::ports::Port;
use crate::process::Process;

/// How long a start may take unless told: every worker compiles the plugins, which takes seconds where other tests and
/// builds run.
const START: Duration = Duration::from_secs(60);

/// How to start a gateway.
#[derive(Clone, Debug)]
pub struct Options {
    concurrency: usize,
    environment: Vec<(String, String)>,
    files: Vec<(String, String)>,
    patience: Duration,
}

impl Default for Options {
    fn default() -> Self {
        let (environment, files) = (Vec::new(), Vec::new());
        Self { concurrency: 1, environment, files, patience: START }
    }
}

impl Options {
    /// Envoy workers; 1 unless told.
    #[must_use]
    pub const fn workers(mut self, count: usize) -> Self {
        self.concurrency = count;
        self
    }

    /// Sets an environment variable; `{folder}` in its value is the folder of gateway.yaml.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Writes a file beside gateway.yaml before the start; `{folder}` in the YAML is that folder too.
    #[must_use]
    pub fn file(mut self, name: &str, content: &str) -> Self {
        self.files.push((name.to_owned(), content.to_owned()));
        self
    }

    /// How long it may take until it is ready; a minute unless told.
    #[must_use]
    pub const fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Starts the gateway; see [`Gateway::start`].
    #[must_use]
    #[track_caller]
    pub fn start(&self, yaml: &str) -> Gateway {
        let (port, admin) = (Port::free(), Port::free());
        let folder = TempDir::new().expect("a temporary folder");
        for (name, content) in &self.files {
            replace(&folder.path().join(name), content);
        }
        replace(&folder.path().join("gateway.yaml"), &complete(yaml, &port, &admin, folder.path()));
        let mut command = self.command(folder.path());
        let mut process = Process::start("sluice", &mut command, folder.path());
        let want = format!("ready on 127.0.0.1:{}", port.number());
        process.until_within(self.patience, &want, |process| process.stderr().contains(&want).then_some(()));
        Gateway { process, port, admin, folder, checked: Mutex::default(), may_trap: false }
    }

    fn command(&self, folder: &Path) -> Command {
        let mut command = Command::new(binary());
        command.current_dir(envoy::checkout()).env("ENVOY_BIN", envoy::binary());
        command.arg("run").arg(folder.join("gateway.yaml"));
        command.arg("--access-log").arg(folder.join("access.log"));
        command.arg("--envoy-log").arg(folder.join("envoy.log"));
        command.arg("--concurrency").arg(self.concurrency.to_string());
        for (name, value) in &self.environment {
            command.env(name, value.replace("{folder}", &folder.display().to_string()));
        }
        command
    }
}
