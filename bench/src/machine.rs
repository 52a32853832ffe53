//! Where and with what a run was made.

use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};
use sluice_e2e::envoy;

use crate::Failure;

/// File of a results folder that holds [`Run`].
const FILE: &str = "run.json";

/// What a report says about its run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// In UTC.
    pub date: String,
    /// Model of the processor.
    pub cpu: String,
    /// Cores that the lab and Envoy share.
    pub cores: usize,
    /// Of the machine, in MB.
    pub memory_mb: u64,
    /// Name and release of the kernel.
    pub kernel: String,
    /// As it says itself.
    pub envoy: String,
    /// Commit of the checkout; `+` where files were changed.
    pub commit: String,
    /// Compiler.
    pub rustc: String,
    /// How the lab was called.
    pub command: String,
    /// Processes that wanted a processor when the run began and when it ended, of which one is the lab.
    pub load: Vec<String>,
}

impl Run {
    /// The facts of a run that begins now, called with `arguments`.
    #[must_use]
    pub fn begin(arguments: &[String]) -> Self {
        let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let changed = say("git", &["status", "--porcelain", "--untracked-files=no"]);
        let mark = if changed.is_empty() { "" } else { "+" };
        Self {
            date: say("date", &["-u", "+%F %H:%M UTC"]),
            cpu: field(&cpuinfo, "model name"),
            cores: std::thread::available_parallelism().map_or(1, Into::into),
            memory_mb: field(&meminfo, "MemTotal").trim_end_matches(" kB").parse::<u64>().unwrap_or_default()
                / 1024,
            kernel: say("uname", &["-sr"]),
            envoy: version(&say(&envoy::binary().to_string_lossy(), &["--version"])),
            commit: say("git", &["rev-parse", "--short", "HEAD"]) + mark,
            rustc: say("rustc", &["--version"]),
            command: format!("scripts/bench {}", arguments.join(" ")).trim_end().to_owned(),
            load: vec![load()],
        }
    }

    /// Takes note of the end and writes `run.json` into `folder`.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn end(mut self, folder: &Path) -> Result<(), Failure> {
        self.load.push(load());
        Ok(std::fs::write(folder.join(FILE), serde_json::to_string_pretty(&self)? + "\n")?)
    }

    /// Reads `run.json` of `folder`.
    ///
    /// # Errors
    /// There is none, or it is none.
    pub fn read(folder: &Path) -> Result<Self, Failure> {
        let file = folder.join(FILE);
        let text = std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        Ok(serde_json::from_str(&text)?)
    }
}

/// What a command prints; nothing if it cannot be run.
fn say(command: &str, arguments: &[&str]) -> String {
    let output = Command::new(command).args(arguments).current_dir(envoy::checkout()).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

/// Value of the first line `NAME : VALUE`.
fn field(text: &str, name: &str) -> String {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':'));
    line.unwrap_or_default().trim().to_owned()
}

/// `1.40.0` of `… version: <commit>/1.40.0/Clean/RELEASE/BoringSSL`.
fn version(text: &str) -> String {
    text.split('/')
        .find(|part| part.starts_with(|first: char| first.is_ascii_digit()) && part.contains('.'))
        .unwrap_or(text)
        .to_owned()
}

/// Mean of the last minute.
fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::{field, version};

    #[test]
    fn facts_are_found_in_what_the_system_says() {
        assert_eq!(field("processor\t: 0\nmodel name\t: Xeon(R)\n", "model name"), "Xeon(R)");
        assert_eq!(field("MemTotal:       16384 kB\n", "MemTotal"), "16384 kB");
        assert_eq!(field("", "MemTotal"), "");
        assert_eq!(version("envoy  version: 9e8ab41ee5cc/1.40.0/Clean/RELEASE/BoringSSL"), "1.40.0");
    }
}
