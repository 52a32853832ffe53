//! A provider below HTTP: reads requests as it should and answers with whatever bytes it is told to.
//!
//! What to do stands in the request: `"metadata": {"wild": "<act>"}`, one of [`steps`]. Everything it sends that is an
//! answer at all reports the same usage, [`INPUT`] and [`OUTPUT`].

mod acts;

use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::Value;

pub use self::acts::{BROKEN, HEADS, INPUT, LARGE, LARGE_BYTES, OUTPUT, SILENT, WHOLE, steps};
use crate::wire::{self, Reader};

/// Connections served at once; more are closed.
const MAX_CONNECTIONS: usize = 512;

/// One thing to do with the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Sends them one by one.
    Trickle(Vec<u8>),
    /// Sends them so many times.
    Repeat(Vec<u8>, usize),
    /// Sends nothing more until the other side goes away.
    Stall,
    /// Closes the connection with a reset.
    Reset,
    /// Closes it tidily.
    Close,
}

/// A running provider; stops when dropped.
pub struct Wild {
    state: Arc<State>,
    address: SocketAddr,
}

#[derive(Default)]
struct State {
    asked: AtomicUsize,
    stopped: AtomicBool,
    open: Mutex<Vec<(u64, TcpStream)>>,
}

impl State {
    fn open(&self) -> MutexGuard<'_, Vec<(u64, TcpStream)>> {
        self.open.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Wild {
    /// Starts it on a port of its own.
    #[must_use]
    #[track_caller]
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State::default());
        let server = Arc::clone(&state);
        std::thread::spawn(move || listen(&server, &listener));
        Self { state, address }
    }

    /// Base URL as gateway.yaml takes it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Requests that have come so far.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.state.asked.load(Ordering::Relaxed)
    }
}

impl Drop for Wild {
    fn drop(&mut self) {
        self.state.stopped.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
        for (_, socket) in self.state.open().iter() {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

fn listen(state: &Arc<State>, listener: &TcpListener) {
    for (number, socket) in (0..).zip(listener.incoming()) {
        if state.stopped.load(Ordering::Relaxed) {
            return;
        }
        let Ok(socket) = socket else { continue };
        let Ok(kept) = socket.try_clone() else { continue };
        if state.open().len() >= MAX_CONNECTIONS {
            continue;
        }
        state.open().push((number, kept));
        let state = Arc::clone(state);
        std::thread::spawn(move || {
            // An error is a peer that went away, which is what all this is about.
            let _ = serve(&state, &socket);
            state.open().retain(|(other, _)| *other != number);
        });
    }
}

fn serve(state: &State, socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut reader = Reader::new(Box::new(socket.try_clone()?));
    while let Some(head) = reader.head()? {
        let (body, _) = reader.body(head.framing(false))?;
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        state.asked.fetch_add(1, Ordering::Relaxed);
        let act = body["metadata"]["wild"].as_str().unwrap_or("good");
        for step in steps(act, body["stream"] == true) {
            if !perform(socket, &mut reader, &step)? {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Whether the connection is still of use.
fn perform(mut socket: &TcpStream, reader: &mut Reader, step: &Step) -> io::Result<bool> {
    match step {
        Step::Send(bytes) => socket.write_all(bytes)?,
        Step::Trickle(bytes) => bytes.chunks(1).try_for_each(|byte| socket.write_all(byte))?,
        Step::Repeat(bytes, times) => (0..*times).try_for_each(|_| socket.write_all(bytes))?,
        Step::Stall => {
            reader.drain();
            return Ok(false);
        }
        Step::Reset => {
            wire::reset_on_close(socket);
            return Ok(false);
        }
        Step::Close => {
            socket.shutdown(Shutdown::Write)?;
            reader.drain();
            return Ok(false);
        }
    }
    Ok(true)
}
