//! An Envoy with a configuration written by hand, for plugins loaded one by one.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::ports::Port;
use crate::process::{self, Process};
use crate::{client, wait};

/// A running Envoy; stops when dropped.
pub struct Envoy {
    process: Process,
    port: Port,
    admin: Port,
    folder: TempDir,
    may_trap: bool,
}

/// The path in an environment variable, absolute: programs are started from folders of their own.
#[must_use]
pub fn named(variable: &str) -> Option<PathBuf> {
    std::path::absolute(std::env::var_os(variable)?).ok()
}

/// The Envoy to test, from `ENVOY_BIN`.
#[must_use]
#[track_caller]
pub fn binary() -> PathBuf {
    named("ENVOY_BIN").expect("ENVOY_BIN names the Envoy to test with")
}

/// The folder of modules: `SLUICE_DIST`, else the checkout's `dist`.
#[must_use]
pub fn modules() -> PathBuf {
    named("SLUICE_DIST").unwrap_or_else(|| checkout().join("dist"))
}

/// The module of a plugin, as `scripts/build-wasm` made it.
#[must_use]
#[track_caller]
pub fn module(plugin: &str) -> PathBuf {
    let path = modules().join(format!("{plugin}.wasm"));
    assert!(path.is_file(), "{} is missing: run scripts/build-wasm", path.display());
    path
}

/// Root of the checkout.
#[must_use]
pub fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace").to_owned()
}

impl Envoy {
    /// Starts Envoy with `config`, in which `{listen}` and `{admin}` stand for port numbers; waits until it
    /// takes connections.
    #[must_use]
    #[track_caller]
    pub fn start(config: &str) -> Self {
        Self::start_workers(config, 1)
    }

    /// As [`Self::start`], with so many workers: each has VMs of its own.
    #[must_use]
    #[track_caller]
    pub fn start_workers(config: &str, workers: u32) -> Self {
        let (port, admin) = (Port::free(), Port::free());
        let folder = TempDir::new().expect("a temporary folder");
        let file = folder.path().join("envoy.yaml");
        let config = config.replace("{listen}", &port.number().to_string());
        let config = config.replace("{admin}", &admin.number().to_string());
        std::fs::write(&file, config).expect("a file in the test's folder");
        let mut command = Command::new(binary());
        // With hot restart Envoy (1.40) would end with the thread that started it, which is that of one test.
        command.arg("-c").arg(&file).args(["--disable-hot-restart", "--concurrency", &workers.to_string()]);
        // Access logs are written every 10 s unless told otherwise.
        command.args(["--file-flush-interval-msec", "10"]);
        let process = Process::start("envoy", &mut command, folder.path());
        let mut envoy = Self { process, port, admin, folder, may_trap: false };
        let admin = envoy.admin();
        envoy.process.until("Envoy is ready", |_| is_live(admin).then_some(()));
        envoy
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port.number()).into()
    }

    /// Envoy's admin interface.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.admin.number()).into()
    }

    /// Does not fail the test when a filter traps: for filters that do so on purpose.
    pub fn allow_traps(&mut self) {
        self.may_trap = true;
    }

    /// What Envoy has logged.
    #[must_use]
    pub fn log(&self) -> String {
        process::read(&self.folder.path().join("stderr"))
    }

    /// Waits until Envoy's log contains `text`.
    #[track_caller]
    pub fn wait_log(&self, text: &str) {
        wait::until(&format!("{text:?} in Envoy's log"), || self.log().contains(text).then_some(()));
    }
}

/// Fails if a filter has trapped, according to Envoy's log.
#[track_caller]
pub fn assert_no_trap(log: &str) {
    for sign in ["panicked at", "Uncaught RuntimeError", "wasm trap"] {
        assert!(!log.contains(sign), "a filter trapped: {sign:?} is in Envoy's log");
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        if !std::thread::panicking() && !self.may_trap {
            assert_no_trap(&self.log());
        }
    }
}

fn is_live(admin: SocketAddr) -> bool {
    std::net::TcpStream::connect(admin).is_ok() && client::get(admin, "/ready").status == 200
}
