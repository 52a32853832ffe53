//! A provider on loopback that speaks the OpenAI API, does what its [`Script`]s say and remembers every request.
//!
//! A request's script is, first found: its header `x-mock` (JSON); the member `x_mock` of its body, or of the body's
//! `metadata` (which is no text to content-guard), under the provider's name or `*`; the next for its user
//! ([`Upstream::tell`]); the next of [`Upstream::once`];
//! the one for its key; the next of those in turn. It is a moderation service as well, see [`crate::moderation`].
//! `GET /__requests` tells what arrived, for clients in other languages.

mod connection;
mod state;

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rustls::ServerConfig;
use serde_json::{Value, json};

use crate::reported::Tokens;
use crate::script::Script;
use crate::wait;
use state::State;

/// Connections served at once; more are closed, so that a runaway client cannot exhaust the machine.
const MAX_CONNECTIONS: usize = 512;

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Method.
    pub method: String,
    /// Path with query.
    pub path: String,
    /// Name in lower case and value, in wire order.
    pub headers: Vec<(String, String)>,
    /// Trailers.
    pub trailers: Vec<(String, String)>,
    /// Whole body, untouched.
    pub body: Vec<u8>,
    /// When its last byte arrived.
    pub at: Instant,
    /// Number of the connection, from 0.
    pub connection: u64,
    /// Server name the client asked for in the TLS handshake.
    pub server_name: Option<String>,
    /// `user` of its body, empty where there is none.
    pub user: String,
}

impl Seen {
    /// First value of header `name` (lower case).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Bearer token.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.header("authorization")?.strip_prefix("Bearer ")
    }

    /// Body as JSON, `Null` where it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    fn to_json(&self) -> Value {
        let headers: serde_json::Map<_, _> =
            self.headers.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        json!({"method": self.method, "path": self.path, "headers": headers, "json": self.json(),
               "body": String::from_utf8_lossy(&self.body), "connection": self.connection})
    }
}

/// One answer as it was sent.
#[derive(Clone, Debug)]
pub struct Served {
    /// `user` of the request's body, empty where there is none.
    pub user: String,
    /// HTTP status.
    pub status: u16,
    /// Whether all of it went out that was to, and no reset followed.
    pub whole: bool,
    /// What it says it used, as far as that was to be sent.
    pub tokens: Option<Tokens>,
}

/// A running provider; stops when dropped.
pub struct Upstream {
    shared: Arc<Shared>,
    address: SocketAddr,
}

struct Shared {
    name: String,
    tls: Option<Arc<ServerConfig>>,
    is_stopped: AtomicBool,
    state: Mutex<State>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Upstream {
    /// Starts a healthy provider on a port of its own.
    #[must_use]
    pub fn start(name: &str) -> Self {
        Self::listen(name, "127.0.0.1:0", None).expect("a loopback port")
    }

    /// Starts a provider that speaks TLS.
    #[must_use]
    pub fn start_tls(name: &str, tls: Arc<ServerConfig>) -> Self {
        Self::listen(name, "127.0.0.1:0", Some(tls)).expect("a loopback port")
    }

    /// Starts a provider at `address`.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub fn listen(name: &str, address: &str, tls: Option<Arc<ServerConfig>>) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let state = Mutex::default();
        let shared =
            Arc::new(Shared { name: name.to_owned(), tls, is_stopped: AtomicBool::new(false), state });
        let server = Arc::clone(&shared);
        std::thread::spawn(move || serve(&server, &listener));
        Ok(Self { shared, address })
    }

    /// Its name: in its answers' `model` and `system_fingerprint`, and the key of `x_mock`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Address it listens on.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Base URL as gateway.yaml takes it.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.shared.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}/v1", self.address)
    }

    /// From now on answers by `script`.
    pub fn script(&self, script: Script) {
        self.in_turn([script]);
    }

    /// From now on answers by each of `scripts` in turn, again and again.
    pub fn in_turn(&self, scripts: impl IntoIterator<Item = Script>) {
        self.shared.state().scripts = scripts.into_iter().collect();
    }

    /// Remembers no requests: for a provider that runs for long.
    pub fn remember_nothing(&self) {
        self.shared.state().memory = 0;
    }

    /// Answers one request by `script`; several calls queue up.
    pub fn once(&self, script: Script) {
        self.shared.state().once.push_back(script);
    }

    /// From now on answers requests with this bearer token by `script`.
    pub fn for_key(&self, key: &str, script: Script) {
        self.shared.state().by_key.insert(key.to_owned(), script);
    }

    /// What has arrived of this `user`, oldest first.
    #[must_use]
    pub fn of_user(&self, user: &str) -> Vec<Seen> {
        self.shared.state().seen.iter().filter(|seen| seen.user == user).cloned().collect()
    }

    /// From now on answers requests of this `user` by each of `scripts`, the last of them again and again: for tests
    /// whose requests must be the same to the byte.
    pub fn tell(&self, user: &str, scripts: impl IntoIterator<Item = Script>) {
        self.shared.state().by_user.insert(user.to_owned(), scripts.into_iter().collect());
    }

    /// Lets all answers go that are being delayed (`delay_ms`), so that tests need not guess how long.
    pub fn release(&self) {
        self.shared.state().released += 1;
    }

    /// What was answered, in the order in which it ended.
    #[must_use]
    pub fn served(&self) -> Vec<Served> {
        self.shared.state().served.clone()
    }

    /// Everything that has arrived, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<Seen> {
        self.shared.state().seen.clone()
    }

    /// What has arrived with `tag` somewhere in its body, oldest first.
    #[must_use]
    pub fn tagged(&self, tag: &str) -> Vec<Seen> {
        let state = self.shared.state();
        let has_tag = |seen: &&Seen| match std::str::from_utf8(&seen.body) {
            Ok(text) => text.contains(tag), // much faster, and large bodies are text
            Err(_) => seen.body.windows(tag.len()).any(|part| part == tag.as_bytes()),
        };
        state.seen.iter().filter(has_tag).cloned().collect()
    }

    /// Waits until `count` requests have arrived.
    #[track_caller]
    pub fn wait_for(&self, count: usize) -> Vec<Seen> {
        let what = format!("{count} requests at {}", self.name());
        wait::until(&what, || Some(self.requests()).filter(|seen| seen.len() >= count))
    }

    /// Forgets what has arrived and what was answered.
    pub fn forget(&self) {
        let mut state = self.shared.state();
        state.seen.clear();
        state.served.clear();
    }

    /// Responses that the other side gave up before their end.
    #[must_use]
    pub fn abandoned(&self) -> usize {
        self.shared.state().abandoned
    }

    /// Open connections.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.state().sockets.len()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.shared.is_stopped.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
        for socket in self.shared.state().sockets.values() {
            let _ = socket.shutdown(std::net::Shutdown::Both);
        }
    }
}

fn serve(shared: &Arc<Shared>, listener: &TcpListener) {
    for (number, socket) in (0..).zip(listener.incoming()) {
        if shared.is_stopped.load(Ordering::Relaxed) {
            return;
        }
        let Ok(socket) = socket else { continue };
        if shared.state().sockets.len() < MAX_CONNECTIONS {
            let shared = Arc::clone(shared);
            std::thread::spawn(move || {
                // An error here is a peer that went away, and that is what some tests are about.
                let _ = connection::serve(&shared, number, &socket);
                shared.state().sockets.remove(&number);
            });
        }
    }
}

#[cfg(test)]
mod tests;
