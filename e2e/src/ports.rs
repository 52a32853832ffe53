//! Free loopback ports that no other test, process or outgoing connection takes in the meantime.

use std::fs::File;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below Linux' range for outgoing connections (32768 and up), so that a client socket never takes one.
const FIRST: u16 = 20_000;
const COUNT: u16 = 10_000;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port that is nobody's as long as this lives. Envoy listens with `SO_REUSEPORT`, so that a second one
/// would silently share the port; a locked file per port keeps test processes apart.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _lock: File,
}

impl Port {
    /// Takes a free port. Nothing listens on it yet.
    #[must_use]
    pub fn free() -> Self {
        let start = u16::try_from(std::process::id() % 100).unwrap_or(0) * 100;
        for _ in 0..COUNT {
            let offset = (start + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT) % COUNT;
            if let Some(port) = Self::take(FIRST + offset) {
                return port;
            }
        }
        panic!("none of the ports from {FIRST} on is free");
    }

    /// The port number.
    #[must_use]
    pub const fn number(&self) -> u16 {
        self.number
    }

    fn take(number: u16) -> Option<Self> {
        let folder = std::env::temp_dir().join("sluice-e2e-ports");
        std::fs::create_dir_all(&folder).ok()?;
        let lock = File::create(folder.join(number.to_string())).ok()?;
        lock.try_lock().ok()?;
        TcpListener::bind(("127.0.0.1", number)).ok()?;
        Some(Self { number, _lock: lock })
    }
}
