//! A TCP proxy in front of Redis that misbehaves as told, and can be told otherwise at any time.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crate::wire::reset_on_close;

/// Time between two looks at whether a hang is over.
const PAUSE: Duration = Duration::from_millis(5);

/// What becomes of what Redis answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It passes.
    None,
    /// It passes later.
    Delay(Duration),
    /// It is held until there is another fault.
    Hang,
    /// Connections are reset, those that are open at once.
    Reset,
    /// These bytes come instead of it.
    Instead(Vec<u8>),
}

/// A running proxy; stops when dropped.
pub struct Faults {
    state: Arc<State>,
    address: SocketAddr,
}

struct State {
    redis: SocketAddr,
    fault: Mutex<Fault>,
    open: Mutex<Vec<TcpStream>>,
    accepted: AtomicUsize,
    over: AtomicBool,
}

impl Faults {
    /// A proxy to `redis` that lets everything pass, on a port of its own.
    #[must_use]
    #[track_caller]
    pub fn before(redis: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State {
            redis,
            fault: Mutex::new(Fault::None),
            open: Mutex::default(),
            accepted: AtomicUsize::new(0),
            over: AtomicBool::new(false),
        });
        let shared = Arc::clone(&state);
        std::thread::spawn(move || shared.accept(&listener));
        Self { state, address }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on this happens.
    pub fn set(&self, fault: Fault) {
        let reset = fault == Fault::Reset;
        *lock(&self.state.fault) = fault;
        if reset {
            self.state.reset();
        }
    }

    /// How many connections it has been asked for.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.state.accepted.load(Ordering::Relaxed)
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        self.state.over.store(true, Ordering::Relaxed);
        self.set(Fault::Reset);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

impl State {
    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for client in listener.incoming().flatten() {
            if self.over.load(Ordering::Relaxed) {
                return;
            }
            self.accepted.fetch_add(1, Ordering::Relaxed);
            if self.fault() == Fault::Reset || self.connect(&client).is_err() {
                reset_on_close(&client);
            }
        }
    }

    fn connect(self: &Arc<Self>, client: &TcpStream) -> std::io::Result<()> {
        let redis = TcpStream::connect(self.redis)?;
        client.set_nodelay(true)?;
        redis.set_nodelay(true)?;
        lock(&self.open).extend([client.try_clone()?, redis.try_clone()?]);
        let (mut from, mut to) = (client.try_clone()?, redis.try_clone()?);
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Both);
        });
        let (state, client) = (Arc::clone(self), client.try_clone()?);
        std::thread::spawn(move || {
            let _ = state.answer(&redis, &client);
            let _ = client.shutdown(Shutdown::Both);
        });
        Ok(())
    }

    fn answer(&self, mut redis: &TcpStream, mut client: &TcpStream) -> std::io::Result<()> {
        let mut chunk = vec![0; 65_536];
        loop {
            let size = redis.read(&mut chunk)?;
            if size == 0 {
                return Ok(());
            }
            while self.fault() == Fault::Hang {
                std::thread::sleep(PAUSE);
            }
            match self.fault() {
                Fault::Instead(bytes) => client.write_all(&bytes)?,
                Fault::Delay(time) => {
                    std::thread::sleep(time);
                    client.write_all(&chunk[..size])?;
                }
                Fault::None | Fault::Hang => client.write_all(&chunk[..size])?,
                Fault::Reset => return Ok(()),
            }
        }
    }

    fn fault(&self) -> Fault {
        lock(&self.fault).clone()
    }

    fn reset(&self) {
        for socket in lock(&self.open).drain(..) {
            reset_on_close(&socket);
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
