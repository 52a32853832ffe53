//! `sluice run` with a gateway.yaml of the test's own: started, changed live, watched through its log, stopped.

mod options;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::client::{self, Reply};
use crate::envoy;
use crate::ports::Port;
use crate::process::{self, Process};
use crate::records;
use crate::wait;

pub use options::Options;

/// A running gateway; stops when dropped.
pub struct Gateway {
    process: Process,
    port: Port,
    admin: Port,
    folder: TempDir,
    checked: Mutex<usize>,
    may_trap: bool,
}

/// The `sluice` command to test: `SLUICE_BIN`, or the one that cargo built beside this test.
#[must_use]
#[track_caller]
pub fn binary() -> PathBuf {
    if let Some(path) = envoy::named("SLUICE_BIN") {
        return path;
    }
    let test = std::env::current_exe().expect("this test's own path");
    let path = test.ancestors().nth(2).expect("a target folder").join("sluice");
    assert!(path.is_file(), "{} is missing: run `cargo build -p sluice`, or set SLUICE_BIN", path.display());
    path
}

impl Gateway {
    /// Starts a gateway with one worker and waits until it is ready. `yaml` leaves out `version`, `listen` and
    /// `admin`: ports are the harness's business.
    #[must_use]
    #[track_caller]
    pub fn start(yaml: &str) -> Self {
        Options::default().start(yaml)
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port.number()).into()
    }

    /// Base URL for OpenAI's libraries.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address())
    }

    /// Envoy's admin interface.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.admin.number()).into()
    }

    /// Posts JSON to `/v1{path}`.
    #[track_caller]
    pub fn post(&self, path: &str, body: &Value) -> Reply {
        client::post(self.address(), &format!("/v1{path}"), body)
    }

    /// Posts a chat completion.
    #[track_caller]
    pub fn chat(&self, body: &Value) -> Reply {
        self.post("/chat/completions", body)
    }

    /// What `sluice run` has said on standard error.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.process.stderr()
    }

    /// Envoy's log.
    #[must_use]
    pub fn envoy_log(&self) -> String {
        process::read(&self.folder.path().join("envoy.log"))
    }

    /// The access log as text. Every record in it is as the published schema says, or the test fails.
    #[must_use]
    #[track_caller]
    pub fn access_text(&self) -> String {
        let text = process::read(&self.folder.path().join("access.log"));
        let mut checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        let complete = text.rfind('\n').map_or(0, |end| end + 1);
        let new = text.get(*checked..complete).unwrap_or_default();
        *checked = complete; // a mistake is told once
        drop(checked);
        records::assert_lines(new);
        text
    }

    /// The access log, one JSON object a line.
    #[must_use]
    #[track_caller]
    pub fn access_log(&self) -> Vec<Value> {
        let text = self.access_text();
        let complete = text.rfind('\n').map_or("", |end| &text[..end]);
        complete
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
            .collect()
    }

    /// Waits for the access-log line that `is_it` accepts.
    #[track_caller]
    pub fn log_line(&self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        wait::until(&format!("a log line of {what}"), || {
            self.access_log().into_iter().find(|line| is_it(line))
        })
    }

    /// Waits for the `ai_log` of the request that asked for `model`.
    #[track_caller]
    pub fn ai_log(&self, model: &str) -> Value {
        self.log_line(model, |line| line["ai_log"]["model"] == model)["ai_log"].clone()
    }

    /// A counter or gauge of the filters by its name, `;label=value` in it, 0 before it has counted.
    #[must_use]
    #[track_caller]
    pub fn counter(&self, series: &str) -> u64 {
        // What Envoy joins of a name and of labels that are told apart, and what is the whole name of a Wasm filter's.
        let name = if filters_are("native") { series.replace([';', '='], ".") } else { series.to_owned() };
        let stats = client::get(self.admin(), &format!("/stats?filter=^wasmcustom.{name}$")).text();
        let line = stats.lines().find_map(|line| line.strip_prefix(&format!("wasmcustom.{name}: ")));
        line.and_then(|value| value.parse().ok()).unwrap_or(0)
    }

    /// Does not fail the test when a filter traps: for filters that do so on purpose.
    pub fn allow_traps(&mut self) {
        self.may_trap = true;
    }

    /// A filter that traps fails one request, and its VM starts anew: that must not pass for a good test.
    #[track_caller]
    pub fn assert_no_trap(&self) {
        // what a native filter says when it panics goes past Envoy's log
        envoy::assert_no_trap(&(self.envoy_log() + &self.stderr()));
    }

    /// Prints the end of all logs, as is done when a test fails.
    pub fn show(&self) {
        self.process.show();
    }

    /// Tells the gateway to read its files again.
    pub fn hang_up(&self) {
        self.process.signal(Signal::HUP);
    }

    /// The folder of gateway.yaml, and of the logs.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Replaces a file beside gateway.yaml as editors do: a new file, renamed.
    pub fn replace(&self, name: &str, content: &str) {
        replace(&self.folder.path().join(name), content);
    }

    /// Replaces gateway.yaml; the gateway takes the change up by itself.
    pub fn rewrite(&self, yaml: &str) {
        self.replace("gateway.yaml", &complete(yaml, &self.port, &self.admin, self.folder.path()));
    }

    /// Replaces gateway.yaml and waits until `is_applied` holds.
    #[track_caller]
    pub fn rewrite_and_wait(&self, yaml: &str, is_applied: impl Fn(&Self) -> bool) {
        self.rewrite(yaml);
        wait::until("the new gateway.yaml to be applied", || is_applied(self).then_some(()));
    }

    /// Kills Envoy, not the command that started it, as a crash does: nothing is drained or told.
    #[track_caller]
    pub fn kill_envoy(&self) {
        kill_process(self.envoy(), Signal::KILL).expect("Envoy runs");
    }

    /// Memory that Envoy has in use, in bytes: its resident set.
    #[must_use]
    #[track_caller]
    pub fn envoy_memory(&self) -> u64 {
        let status = process::read(Path::new(&format!("/proc/{}/status", self.envoy())));
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib =
            resident.and_then(|rest| rest.trim().strip_suffix(" kB")).and_then(|kib| kib.parse::<u64>().ok());
        kib.expect("Envoy runs, on Linux") * 1024
    }

    /// Files and connections that Envoy has open.
    #[must_use]
    #[track_caller]
    pub fn envoy_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.envoy())).expect("Envoy runs, on Linux").count()
    }

    /// Envoy's process.
    #[must_use]
    #[track_caller]
    pub fn envoy(&self) -> Pid {
        let children = format!("/proc/{0}/task/{0}/children", self.process.id());
        let children = process::read(Path::new(&children));
        let envoy = children.split_whitespace().filter_map(|id| id.parse().ok()).find_map(Pid::from_raw);
        envoy.expect("Envoy is the command's child")
    }

    /// Sends SIGTERM; the gateway must drain and exit 0.
    #[track_caller]
    pub fn stop(mut self) {
        let status = self.process.stop();
        assert!(status.is_some_and(|status| status.success()), "after SIGTERM: {status:?}");
    }

    /// Everything that anybody could read of this gateway: both logs, standard error, Envoy's config dump and
    /// statistics. A secret must not be in it.
    #[must_use]
    #[track_caller]
    pub fn everything_readable(&self) -> String {
        let admin = |path| client::get(self.admin(), path).text();
        [
            self.access_text(),
            self.envoy_log(),
            self.stderr(),
            admin("/config_dump?include_eds"),
            admin("/stats"),
        ]
        .concat()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            if !self.may_trap {
                self.assert_no_trap();
            }
            let _ = self.access_text(); // holds the last records against the schema
        }
    }
}

/// Whether this is the form in which filters are loaded, as `SLUICE_FILTERS` says.
#[must_use]
pub fn filters_are(form: &str) -> bool {
    std::env::var("SLUICE_FILTERS").is_ok_and(|how| how == form)
}

/// A port nobody listens on, as long as this lives: connecting to it is refused.
#[must_use]
pub fn closed_port() -> Port {
    Port::free()
}

fn complete(yaml: &str, port: &Port, admin: &Port, folder: &Path) -> String {
    let yaml = yaml.replace("{folder}", &folder.display().to_string());
    let (port, admin) = (port.number(), admin.number());
    let filters = std::env::var("SLUICE_FILTERS").map_or(String::new(), |how| format!("filters: {how}\n"));
    format!("version: 1\nlisten: 127.0.0.1:{port}\nadmin: 127.0.0.1:{admin}\n{filters}{yaml}")
}

fn replace(path: &Path, content: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, content).expect("a file in the test's folder");
    std::fs::rename(&new, path).expect("a file in the test's folder");
}
