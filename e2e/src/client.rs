//! A blocking HTTP/1.1 client that can send what it should not, and tells how an answer ended.

use std::io::{self, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;
use socket2::{Domain, Socket, Type};

use crate::sse::{self, Event};
use crate::wire::{self, Framing, Head, Reader};

/// A read that takes longer than this is a hang, and fails the test.
const HANG: Duration = Duration::from_secs(20);

/// How the body of a response ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Complete by its own framing.
    Clean,
    /// The connection broke, or ended too early.
    Broken,
}

/// A whole response.
#[derive(Clone, Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Name in lower case and value, in wire order.
    pub headers: Vec<(String, String)>,
    /// Body as far as it came.
    pub body: Vec<u8>,
    /// Trailers.
    pub trailers: Vec<(String, String)>,
    /// How it ended.
    pub end: End,
    /// From the request to the end of the response.
    pub took: Duration,
}

impl Reply {
    /// First value of header `name` (lower case).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Body as JSON, `Null` where it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Body as events.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        sse::events(&self.body)
    }

    /// `error.code` of the body, empty where there is none.
    #[must_use]
    pub fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// One keep-alive connection.
pub struct Connection {
    socket: TcpStream,
    reader: Reader,
    began: Instant,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// Nobody listens there.
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        Self::over(TcpStream::connect(address)?)
    }

    /// Connects from an address of the test's choice: all of 127.0.0.0/8 are its own.
    ///
    /// # Errors
    /// Nobody listens there, or the address is not this machine's.
    pub fn open_from(own: IpAddr, address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.bind(&SocketAddr::new(own, 0).into())?;
        socket.connect(&address.into())?;
        Self::over(socket.into())
    }

    fn over(socket: TcpStream) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(HANG))?;
        let reader = Reader::new(Box::new(socket.try_clone()?));
        Ok(Self { socket, reader, began: Instant::now() })
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// The connection broke.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.began = Instant::now();
        self.socket.write_all(bytes)
    }

    /// Sends a chunked request: head, each piece as a chunk (and a packet) of its own, trailers.
    ///
    /// # Errors
    /// The connection broke.
    pub fn write_chunked(
        &mut self,
        path: &str,
        pieces: &[&[u8]],
        trailers: &[(&str, &str)],
    ) -> io::Result<()> {
        let fields = "content-type: application/json\r\ntransfer-encoding: chunked\r\n";
        self.write(format!("POST {path} HTTP/1.1\r\nhost: gateway\r\n{fields}\r\n").as_bytes())?;
        for piece in pieces {
            wire::write_chunk(&mut self.socket, piece)?;
        }
        wire::write_end(&mut self.socket, trailers)
    }

    /// Reads the head of the next response, informational ones left out.
    ///
    /// # Errors
    /// The connection broke or ended.
    pub fn read_head(&mut self) -> io::Result<Head> {
        loop {
            let head = self.reader.head()?.ok_or(io::ErrorKind::UnexpectedEof)?;
            if status(&head) >= 200 {
                return Ok(head);
            }
        }
    }

    /// Reads the next piece of a body; `None` at its end.
    ///
    /// # Errors
    /// The connection broke.
    pub fn read_piece(&mut self, framing: &mut Framing) -> io::Result<Option<Vec<u8>>> {
        self.reader.piece(framing, &mut Vec::new())
    }

    /// Reads a whole response. One that breaks off is a reply too, with [`End::Broken`].
    ///
    /// # Errors
    /// There is no response head.
    pub fn read(&mut self) -> io::Result<Reply> {
        let head = self.read_head()?;
        let mut framing = head.framing(true);
        let (mut body, mut trailers) = (Vec::new(), Vec::new());
        let end = loop {
            match self.reader.piece(&mut framing, &mut trailers) {
                Ok(Some(piece)) => body.extend_from_slice(&piece),
                Ok(None) => break End::Clean,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
                Err(_) => break End::Broken,
            }
        };
        let took = self.began.elapsed();
        Ok(Reply { status: status(&head), headers: head.headers, body, trailers, end, took })
    }

    /// Goes away at once, as a client that was killed.
    pub fn abort(self) {
        wire::reset_on_close(&self.socket);
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

/// A request as it stands on the wire.
#[must_use]
pub fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let fields: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = if method == "GET" { String::new() } else { format!("content-length: {}\r\n", body.len()) };
    let mut bytes = format!("{method} {path} HTTP/1.1\r\nhost: gateway\r\n{fields}{length}\r\n").into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// Sends one request over a connection of its own.
#[track_caller]
pub fn send(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    let mut connection = Connection::open(address).expect("the server listens");
    // A refusal may arrive, and the connection close, before the whole body is written.
    let _ = connection.write(&request(method, path, headers, body));
    connection.read().expect("an answer")
}

/// Posts JSON.
#[track_caller]
pub fn post(address: SocketAddr, path: &str, body: &Value) -> Reply {
    send(address, "POST", path, &[("content-type", "application/json")], body.to_string().as_bytes())
}

/// Gets a path.
#[track_caller]
pub fn get(address: SocketAddr, path: &str) -> Reply {
    send(address, "GET", path, &[], b"")
}

fn status(head: &Head) -> u16 {
    head.start.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0)
}
