//! The Envoy process.

use std::fs::OpenOptions;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use super::deadline::Deadline;
use super::{Failure, Options};

/// How long Envoy may take to end once it is told to.
const END: Duration = Duration::from_secs(10);
/// How often Envoy writes its access log out, in milliseconds; its own default is 10 s.
const FLUSH_MS: &str = "200";

/// A running Envoy; killed when dropped.
pub(super) struct Envoy {
    child: Child,
    ended: bool,
}

impl Envoy {
    /// Starts the Envoy at `path`.
    pub(super) fn start(path: &Path, directory: &Path, options: &Options) -> Result<Self, String> {
        let mut command = Command::new(path);
        command.arg("-c").arg(directory.join("envoy.yaml"));
        command.args(["--use-dynamic-base-id", "--log-level", "warning"]);
        command.args(["--file-flush-interval-msec", FLUSH_MS]);
        if let Some(log) = &options.envoy_log {
            // Envoy ends without a word when it cannot open its log.
            OpenOptions::new()
                .create(true)
                .append(true)
                .open(log)
                .map_err(|e| format!("{}: {e}", log.display()))?;
            command.arg("--log-path").arg(log);
        }
        if let Some(workers) = options.concurrency {
            command.args(["--concurrency", &workers.to_string()]);
        }
        // A process group of its own: Ctrl-C in a terminal is sluice's to handle, which lets requests end first.
        let child = command.stdin(Stdio::null()).process_group(0).spawn();
        let child = child.map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self { child, ended: false })
    }

    /// Envoy still runs.
    pub(super) fn check(&mut self) -> Result<(), String> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => {
                self.ended = true;
                Err(ended(status))
            }
            Err(error) => Err(error.to_string()),
        }
    }

    /// Ends Envoy, and waits for it.
    pub(super) fn stop(&mut self) -> Result<(), Failure> {
        self.signal();
        let deadline = Deadline::after(END);
        while !deadline.has_passed() {
            match self.child.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(20)),
                Ok(Some(_)) => {
                    self.ended = true;
                    return Ok(());
                }
                Err(error) => return Err(Failure::Other(error.to_string())),
            }
        }
        self.kill();
        Ok(())
    }

    fn signal(&self) {
        if let Ok(pid) = i32::try_from(self.child.id())
            && let Some(pid) = rustix::process::Pid::from_raw(pid)
        {
            // an Envoy that has ended by itself needs no signal
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
    }

    pub(super) fn kill(&mut self) {
        // both fail only when Envoy has ended already
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.ended = true;
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        if !self.ended {
            self.kill();
        }
    }
}

fn ended(status: ExitStatus) -> String {
    format!("Envoy ended by itself ({status}); its log says why")
}
