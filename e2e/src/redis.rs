//! Redis for tests: a real one on a port of its own, three of them as a cluster, and faults on the way there.
//!
//! `REDIS_BIN` names the server; left out, it is the `redis-server` or `valkey-server` of `PATH`.

mod faults;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use redis::{
    Client, Connection, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, RedisConnectionInfo,
};
use rustix::process::Signal;
use tempfile::TempDir;

pub use self::faults::{Fault, Faults};
use crate::ports::Port;
use crate::process::Process;
use crate::wait;

/// A command of a test that takes longer is a hang, and fails the test.
const HANG: Duration = Duration::from_secs(20);

/// How a server is started.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Password of the default user.
    pub password: Option<String>,
    /// Further arguments, such as `["--maxmemory", "3mb"]`.
    pub args: Vec<String>,
}

impl Options {
    /// With a password.
    #[must_use]
    pub fn password(password: &str) -> Self {
        Self { password: Some(password.to_owned()), ..Self::default() }
    }

    /// With one more argument for each word of `args`.
    #[must_use]
    pub fn args(mut self, args: &str) -> Self {
        self.args.extend(args.split_whitespace().map(str::to_owned));
        self
    }
}

/// A running server; stops when dropped, with all it held.
pub struct Redis {
    process: Option<Process>,
    port: Port,
    folder: TempDir,
    options: Options,
}

/// The server to test with.
#[must_use]
#[track_caller]
pub fn binary() -> PathBuf {
    if let Some(named) = std::env::var_os("REDIS_BIN") {
        return named.into();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = ["redis-server", "valkey-server"].iter().find_map(|name| {
        std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
    });
    found.expect("Redis is missing: install redis-server or valkey-server, or name one in REDIS_BIN")
}

impl Redis {
    /// Starts a server and waits until it answers.
    #[must_use]
    #[track_caller]
    pub fn start(options: &Options) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let mut redis = Self { process: None, port: Port::free(), folder, options: options.clone() };
        redis.restart();
        redis
    }

    /// Starts it again, empty, on the same port.
    #[track_caller]
    pub fn restart(&mut self) {
        self.kill();
        let mut command = Command::new(binary());
        command.args(["--bind", "127.0.0.1", "--port", &self.port.number().to_string(), "--save", ""]);
        command.args(["--daemonize", "no", "--appendonly", "no"]).arg("--dir").arg(self.folder.path());
        if let Some(password) = &self.options.password {
            command.args(["--requirepass", password, "--masterauth", password]);
        }
        command.args(&self.options.args);
        let mut process = Process::start("redis", &mut command, self.folder.path());
        process.until("Redis answers", |_| self.try_connect());
        self.process = Some(process);
    }

    /// Kills it, if it runs.
    pub fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            process.signal(Signal::KILL);
        }
    }

    /// Stops it where it stands, its connections open, until [`Self::resume`].
    pub fn pause(&self) {
        self.process.iter().for_each(|process| process.signal(Signal::STOP));
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.process.iter().for_each(|process| process.signal(Signal::CONT));
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port.number()).into()
    }

    /// A connection for assertions.
    #[must_use]
    #[track_caller]
    pub fn connect(&self) -> Connection {
        self.try_connect().expect("Redis answers")
    }

    fn try_connect(&self) -> Option<Connection> {
        let address = ConnectionAddr::Tcp(Ipv4Addr::LOCALHOST.to_string(), self.port.number());
        let mut login = RedisConnectionInfo::default();
        if let Some(password) = &self.options.password {
            login = login.set_password(password);
        }
        let info: ConnectionInfo = address.into_connection_info().ok()?.set_redis_settings(login);
        let mut connection = Client::open(info).ok()?.get_connection_with_timeout(HANG).ok()?;
        connection.set_read_timeout(Some(HANG)).ok()?;
        redis::cmd("PING").query::<String>(&mut connection).ok()?;
        Some(connection)
    }
}

/// Three masters that share the hash slots.
pub struct Cluster {
    /// The masters, in the order of their slots.
    pub nodes: Vec<Redis>,
    _bus: Vec<Port>,
}

impl Cluster {
    /// Starts it and waits until every node finds it complete.
    #[must_use]
    #[track_caller]
    pub fn start(options: &Options) -> Self {
        const SLOTS: [[u16; 2]; 3] = [[0, 5460], [5461, 10922], [10923, 16383]];
        let bus: Vec<Port> = SLOTS.iter().map(|_| Port::free()).collect();
        let nodes: Vec<Redis> = bus.iter().map(|port| Redis::start(&as_node(options, port))).collect();
        for (node, [first, last]) in nodes.iter().zip(SLOTS) {
            let slots = redis::cmd("CLUSTER").arg("ADDSLOTSRANGE").arg(first).arg(last).to_owned();
            slots.exec(&mut node.connect()).expect("free slots");
        }
        for (other, bus) in nodes.iter().zip(&bus).skip(1) {
            let port = other.address().port();
            let meet =
                redis::cmd("CLUSTER").arg("MEET").arg("127.0.0.1").arg(port).arg(bus.number()).to_owned();
            meet.exec(&mut nodes[0].connect()).expect("a meeting");
        }
        for node in &nodes {
            wait::until("the cluster is complete", || is_complete(node).then_some(()));
        }
        Self { nodes, _bus: bus }
    }
}

fn as_node(options: &Options, bus: &Port) -> Options {
    let own =
        format!("--cluster-enabled yes --cluster-config-file nodes.conf --cluster-port {}", bus.number());
    options.clone().args(&own).args("--cluster-announce-ip 127.0.0.1 --cluster-node-timeout 2000")
}

fn is_complete(node: &Redis) -> bool {
    let info: String = redis::cmd("CLUSTER").arg("INFO").query(&mut node.connect()).unwrap_or_default();
    info.contains("cluster_state:ok")
        && info.contains("cluster_known_nodes:3")
        && info.contains("cluster_size:3")
}
