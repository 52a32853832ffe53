//! A child process with its output in files: awaited by line, stopped when dropped, shown when a test fails.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::wait;

/// How long a process may take to stop after SIGTERM.
const STOP: Duration = Duration::from_secs(15);

/// Lines of each output shown when a test fails.
const TAIL: usize = 80;

/// Stops process `$1` and removes folder `$2` when the test process ends without doing so, however it ends:
/// then the pipe to its standard input closes.
const WATCHDOG: &str = r#"
cat >/dev/null
kill -TERM "$1"
for _ in $(seq 100); do kill -0 "$1" 2>/dev/null || break; sleep 0.1; done
rm -rf -- "$2"
"#;

/// A running child.
pub struct Process {
    child: Child,
    watchdog: Child,
    name: String,
    folder: PathBuf,
}

impl Process {
    /// Starts `command`; its outputs go to `stdout` and `stderr` in `folder`.
    #[track_caller]
    pub fn start(name: &str, command: &mut Command, folder: &Path) -> Self {
        let output =
            |file: &str| Stdio::from(File::create(folder.join(file)).expect("a file in the test's folder"));
        let child = command.stdin(Stdio::null()).stdout(output("stdout")).stderr(output("stderr")).spawn();
        let child = child.unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let mut watchdog = Command::new("sh");
        watchdog.args(["-c", WATCHDOG, "watchdog", &child.id().to_string()]).arg(folder);
        let watchdog = watchdog.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let watchdog = watchdog.expect("a shell");
        Self { child, watchdog, name: name.to_owned(), folder: folder.to_owned() }
    }

    /// What it has written to standard error.
    #[must_use]
    pub fn stderr(&self) -> String {
        read(&self.folder.join("stderr"))
    }

    /// Process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for `probe` to find something; fails as soon as the process is gone.
    #[track_caller]
    pub fn until<T>(&mut self, what: &str, probe: impl FnMut(&Self) -> Option<T>) -> T {
        self.until_within(wait::PATIENCE, what, probe)
    }

    /// As [`Self::until`], for what may take longer than [`wait::PATIENCE`].
    #[track_caller]
    pub fn until_within<T>(
        &mut self,
        patience: Duration,
        what: &str,
        mut probe: impl FnMut(&Self) -> Option<T>,
    ) -> T {
        let found = wait::poll(patience, || {
            if let Some(found) = probe(self) {
                return Some(found);
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("{} ended ({status}) before {what}", self.name);
            }
            None
        });
        found.unwrap_or_else(|| panic!("waited {patience:?} in vain for {what}"))
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, signal);
        }
    }

    /// Sends SIGTERM and waits for the end; `None` if it does not come.
    pub fn stop(&mut self) -> Option<ExitStatus> {
        self.signal(Signal::TERM);
        wait::poll(STOP, || self.child.try_wait().ok().flatten())
    }

    /// Prints the end of every file in its folder.
    pub fn show(&self) {
        for file in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            if file.path().is_file() {
                let text = read(&file.path());
                let lines: Vec<&str> = text.lines().collect();
                let tail = &lines[lines.len().saturating_sub(TAIL)..];
                eprintln!("--- {} {}\n{}", self.name, file.file_name().display(), tail.join("\n"));
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.watchdog.kill();
        let _ = self.watchdog.wait();
        if std::thread::panicking() {
            self.show();
        }
        if self.stop().is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A file's text, empty if there is none yet.
#[must_use]
pub fn read(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}
