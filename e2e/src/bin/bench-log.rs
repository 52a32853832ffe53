//! What `ai-log` costs a request: `bench-log [ROUNDS [REQUESTS]]` measures the processor time that Envoy takes for each, bare,
//! with the gateway's chain less `ai-log`, and with the whole chain; in turns, so that all see the same machine.
//!
//! `ENVOY_BIN`, `SLUICE_BIN` and `SLUICE_DIST` are as in the tests. Records go to `/dev/null`.

use std::error::Error;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sluice_e2e::client::{self, Connection};
use sluice_e2e::gateway::closed_port;
use sluice_e2e::ports::Port;
use sluice_e2e::script::Script;
use sluice_e2e::upstream::Upstream;
use sluice_e2e::{envoy, gateway, wait};

type Failure = Box<dyn Error + Send + Sync>;

/// Connections at the same time, each with one request.
const CONNECTIONS: u32 = 4;

/// Microseconds of a clock tick, the unit of `/proc/<pid>/stat`: Linux shows programs 100 a second, everywhere.
const TICK_US: f64 = 10_000.0;

/// Longest start of an Envoy, where others compile as well.
const START: Duration = Duration::from_secs(120);

/// Envoy without a filter of ours.
const BARE: &str = "
admin: {address: {socket_address: {address: 127.0.0.1, port_value: ADMIN}}}
static_resources:
  listeners:
  - address: {socket_address: {address: 127.0.0.1, port_value: LISTEN}}
    filter_chains:
    - filters:
      - name: hcm
        typed_config:
          \"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: bare
          route_config: {virtual_hosts: [{name: all, domains: [\"*\"], routes: [{match: {prefix: /}, route: {cluster: a}}]}]}
          http_filters:
          - name: router
            typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  clusters:
  - name: a
    load_assignment:
      cluster_name: a
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: PROVIDER}}}}]}]
";

/// The gateway: a caller with a key, a rule, a limit and prices.
const GATEWAY: &str = "version: 1
listen: 127.0.0.1:LISTEN
admin: 127.0.0.1:ADMIN
providers: {a: {url: \"http://127.0.0.1:PROVIDER/v1\"}}
models: [{match: \"gpt-*\", targets: [{provider: a}]}]
consumers: [{name: ann, keys: [\"env:BENCH_KEY\"]}]
limits: [{name: calls, by: [consumer], total_tokens: 1000000000000, per: 1h}]
prices: {\"*\": {input: 2.5, output: 10}}
";

const KEY: &str = "sk-bench-0123456789abcdef0123456789abcdef";

/// One Envoy under test; stops when dropped.
struct Bench {
    name: &'static str,
    envoy: Child,
    listen: Port,
}

impl Bench {
    fn start(name: &'static str, folder: &Path, provider: SocketAddr) -> Result<Self, Failure> {
        let [listen, admin] = [closed_port(), closed_port()];
        let filled = |text: &str| {
            let text = text.replace("LISTEN", &listen.number().to_string());
            let text = text.replace("ADMIN", &admin.number().to_string());
            text.replace("PROVIDER", &provider.port().to_string())
        };
        let folder = folder.join(name.replace(' ', "-"));
        std::fs::create_dir(&folder)?;
        let config = folder.join("envoy.yaml");
        match name {
            "bare" => std::fs::write(&config, filled(BARE))?,
            _ => render(&folder, &filled(GATEWAY), name == "with ai-log")?,
        }
        let mut command = Command::new(envoy::binary());
        command.arg("-c").arg(&config).args(["--concurrency", "1", "--disable-hot-restart", "-l", "error"]);
        command.env("BENCH_KEY", KEY).stdin(Stdio::null()).stdout(Stdio::null());
        let bench = Self { name, envoy: command.spawn()?, listen };
        // Envoy listens once its plugins are compiled.
        wait::poll(START, || Connection::open(bench.address()).ok())
            .ok_or_else(|| format!("Envoy {name} does not listen"))?;
        Ok(bench)
    }

    fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.listen.number()).into()
    }

    /// Processor time per request, in microseconds.
    fn measure(&self, requests: u32) -> Result<f64, Failure> {
        let before = self.ticks()?;
        let load = || ask(self.address(), requests / CONNECTIONS);
        std::thread::scope(|scope| -> Result<(), Failure> {
            let threads: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(load)).collect();
            threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a client failed")?)
        })?;
        Ok((self.ticks()? - before) * TICK_US / f64::from(requests))
    }

    /// `utime` and `stime`, <https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html>.
    fn ticks(&self) -> Result<f64, Failure> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.envoy.id()))?;
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        let ticks = after_name.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
        Ok(ticks.sum::<Result<f64, _>>()?)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = self.envoy.kill();
        let _ = self.envoy.wait();
    }
}

/// Writes what Envoy needs for this gateway into `folder`, and takes `ai-log` out of its chain unless it is wanted.
fn render(folder: &Path, yaml: &str, with_log: bool) -> Result<(), Failure> {
    let file = folder.join("gateway.yaml");
    std::fs::write(&file, yaml)?;
    let mut command = Command::new(gateway::binary());
    command
        .current_dir(envoy::checkout())
        .env("BENCH_KEY", KEY)
        .arg("render")
        .arg(&file)
        .arg("-o")
        .arg(folder);
    if !command.stdout(Stdio::null()).status()?.success() {
        return Err("sluice render failed".into());
    }
    if !with_log {
        let file = folder.join("listeners.yaml");
        let listeners = std::fs::read_to_string(&file)?;
        let (before, rest) = listeners.split_once("- name: ai-log\n").ok_or("no ai-log in the chain")?;
        let (_, after) = rest.split_once("- name: consumer-auth\n").ok_or("no filter after ai-log")?;
        std::fs::write(file, [before, "- name: consumer-auth\n", after].concat())?;
    }
    Ok(())
}

/// Asks so often over one connection, one request after the other.
fn ask(address: SocketAddr, requests: u32) -> Result<(), Failure> {
    let body = format!(
        "{{\"model\":\"gpt-4o\",\"messages\":[{{\"role\":\"user\",\"content\":\"{}\"}}]}}",
        "word ".repeat(180)
    );
    let key = format!("Bearer {KEY}");
    let headers = [("content-type", "application/json"), ("authorization", key.as_str())];
    let request = client::request("POST", "/v1/chat/completions", &headers, body.as_bytes());
    let mut client = Connection::open(address)?;
    for _ in 0..requests {
        client.write(&request)?;
        let reply = client.read()?;
        if reply.status != 200 {
            return Err(format!("status {}: {}", reply.status, reply.text()).into());
        }
    }
    Ok(())
}

/// Median, least and most.
fn spread(values: &[f64]) -> [f64; 3] {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |index: usize| sorted.get(index).copied().unwrap_or_default();
    [at(sorted.len() / 2), at(0), at(sorted.len().saturating_sub(1))]
}

fn main() -> Result<(), Failure> {
    let mut numbers = std::env::args().skip(1).map(|number| number.parse::<u32>());
    let rounds = numbers.next().transpose()?.unwrap_or(7).max(1);
    let requests = numbers.next().transpose()?.unwrap_or(8_000);
    let folder = tempfile::TempDir::new()?;
    let provider = Upstream::start("a");
    provider.remember_nothing();
    provider.script(Script::default());
    let names = ["bare", "without ai-log", "with ai-log"];
    let benches = names.map(|name| Bench::start(name, folder.path(), provider.address()));
    let benches = benches.into_iter().collect::<Result<Vec<_>, _>>()?;
    let mut output = std::io::stdout();
    writeln!(
        output,
        "Envoy's processor time per request in µs, {CONNECTIONS} connections, {requests} requests each turn"
    )?;
    let mut taken: Vec<[f64; 3]> = Vec::new();
    for round in 0..=rounds {
        let mut turn = [0.0; 3];
        for (bench, taken) in benches.iter().zip(&mut turn) {
            *taken = bench.measure(requests)?;
        }
        // The first round warms up: connections, compiled code, memory.
        if round > 0 {
            let [bare, without, with] = turn;
            writeln!(output, "round {round}: {bare:.1} bare, {without:.1} without, {with:.1} with ai-log")?;
            taken.push(turn);
        }
    }
    for (index, bench) in benches.iter().enumerate() {
        let values: Vec<f64> = taken.iter().filter_map(|turn| turn.get(index).copied()).collect();
        let [median, least, most] = spread(&values);
        writeln!(output, "{:<15} {median:>6.1} ({least:.1}-{most:.1})", bench.name)?;
    }
    let added: Vec<f64> = taken.iter().map(|[_, without, with]| with - without).collect();
    let ratios: Vec<f64> = taken.iter().map(|[bare, without, with]| (with - without) / bare).collect();
    let [median, least, most] = spread(&added);
    writeln!(output, "ai-log adds      {median:>6.1} ({least:.1}-{most:.1})")?;
    let [median, least, most] = spread(&ratios);
    writeln!(output, "of a bare Envoy  {median:>6.2} ({least:.2}-{most:.2})")?;
    Ok(())
}
