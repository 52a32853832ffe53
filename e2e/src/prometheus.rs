//! A Prometheus for tests, configured as the one of compose.yaml but for its haste, and what its queries ask for.
//!
//! `PROMETHEUS_BIN` names the program; left out, it is the `prometheus` of `PATH`.

pub mod selector;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::client;
use crate::envoy;
use crate::ports::Port;
use crate::process::{self, Process};

/// A running server; stops when dropped.
pub struct Prometheus {
    _process: Process,
    port: Port,
    _folder: TempDir,
}

/// The program to test with.
#[must_use]
#[track_caller]
pub fn binary() -> PathBuf {
    if let Some(named) = std::env::var_os("PROMETHEUS_BIN") {
        return named.into();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found =
        std::env::split_paths(&path).map(|folder| folder.join("prometheus")).find(|file| file.is_file());
    found.expect("Prometheus is missing: install it, or name it in PROMETHEUS_BIN")
}

impl Prometheus {
    /// Starts a server that scrapes `gateway`, an admin interface, every second, and waits until it answers.
    #[must_use]
    #[track_caller]
    pub fn start(gateway: SocketAddr) -> Self {
        let (port, folder) = (Port::free(), TempDir::new().expect("a temporary folder"));
        let config = folder.path().join("prometheus.yml");
        std::fs::write(&config, configuration(gateway)).expect("a file in the test's folder");
        let mut command = Command::new(binary());
        command.arg(format!("--config.file={}", config.display())).arg("--log.level=warn");
        command.arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()));
        command.arg(format!("--web.listen-address=127.0.0.1:{}", port.number()));
        let mut process = Process::start("prometheus", &mut command, folder.path());
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.number()));
        process.until("Prometheus answers", |_| {
            client::Connection::open(address).ok()?;
            (client::get(address, "/-/ready").status == 200).then_some(())
        });
        Self { _process: process, port, _folder: folder }
    }

    /// The result of a query at this moment.
    ///
    /// # Errors
    /// What Prometheus finds wrong with it.
    pub fn query(&self, expr: &str) -> Result<Vec<Value>, String> {
        let data = self.ask("query", "query", expr)?;
        match &data["result"] {
            Value::Array(result) if data["resultType"] == "vector" => Ok(result.clone()),
            _ => Err(format!("no vector: {data}")),
        }
    }

    /// The labels of each series that a selector such as `up{job="sluice"}` selects.
    ///
    /// # Errors
    /// What Prometheus finds wrong with it.
    pub fn series(&self, selector: &str) -> Result<Vec<BTreeMap<String, String>>, String> {
        let data = self.ask("series", "match[]", selector)?;
        serde_json::from_value(data).map_err(|error| error.to_string())
    }

    /// The alerts that it knows, as its API tells them.
    #[must_use]
    #[track_caller]
    pub fn alerts(&self) -> Vec<Value> {
        let data = self.ask("rules", "type", "alert").expect("rules");
        let groups = data["groups"].as_array().into_iter().flatten();
        groups.filter_map(|group| group["rules"].as_array()).flatten().cloned().collect()
    }

    fn ask(&self, what: &str, name: &str, value: &str) -> Result<Value, String> {
        let path = format!("/api/v1/{what}?{}={}", encoded(name), encoded(value));
        let mut answer = client::get((Ipv4Addr::LOCALHOST, self.port.number()).into(), &path).json();
        match answer["status"].as_str() {
            Some("success") => Ok(answer["data"].take()),
            _ => Err(format!("{}: {value}", answer["error"].as_str().unwrap_or("no answer"))),
        }
    }
}

/// That of compose.yaml, for this gateway, with its rules, and every second.
#[track_caller]
fn configuration(gateway: SocketAddr) -> String {
    let folder = envoy::checkout().join("monitoring/prometheus");
    let mut config = process::read(&folder.join("prometheus.yml"));
    let rules = folder.join("alerts.yml").display().to_string();
    for (what, with) in
        [("interval: 15s", "interval: 1s"), ("127.0.0.1:9901", &gateway.to_string()), ("alerts.yml", &rules)]
    {
        assert!(config.contains(what), "prometheus.yml says nothing of {what}");
        config = config.replace(what, with);
    }
    config
}

/// A part of a query as it stands in a URL.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut text, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => text.push(byte.into()),
            _ => write!(text, "%{byte:02X}").expect("a string takes all"),
        }
        text
    })
}
