//! One connection to a scripted provider: requests in, answers out, misbehaviour included.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustls::{ServerConnection, StreamOwned};
use serde_json::{Value, json};

use super::{Seen, Served, Shared};
use crate::answer::{Answer, Asked, Step};
use crate::moderation;
use crate::reported;
use crate::script::Script;
use crate::wire::{self, Head, Reader};

/// Both halves of a TLS connection, used by one thread in turn.
#[derive(Clone)]
struct Tls(Arc<Mutex<StreamOwned<ServerConnection, TcpStream>>>);

impl Read for Tls {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.lock().map_err(|_| io::ErrorKind::Other)?.read(buffer)
    }
}

impl Write for Tls {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.lock().map_err(|_| io::ErrorKind::Other)?.write(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.lock().map_err(|_| io::ErrorKind::Other)?.flush()
    }
}

struct Connection<'a> {
    shared: &'a Shared,
    number: u64,
    socket: &'a TcpStream,
    reader: Reader,
    writer: Box<dyn Write>,
    server_name: Option<String>,
}

/// Time between two looks at whether delayed answers are let go.
const LOOK: Duration = Duration::from_millis(5);

/// Whether the connection is good for another request.
#[derive(PartialEq, Eq)]
enum After {
    KeepAlive,
    Close,
}

/// Serves requests until either side is done.
pub(super) fn serve(shared: &Shared, number: u64, socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    shared.state().sockets.insert(number, socket.try_clone()?);
    let mut connection = open(shared, number, socket)?;
    while let Some(head) = connection.reader.head()? {
        let mut seen = connection.receive(head)?;
        if connection.respond(&mut seen)? == After::Close {
            break;
        }
    }
    Ok(())
}

fn open<'a>(shared: &'a Shared, number: u64, socket: &'a TcpStream) -> io::Result<Connection<'a>> {
    let Some(config) = &shared.tls else {
        let reader = Reader::new(Box::new(socket.try_clone()?));
        let writer = Box::new(socket.try_clone()?);
        return Ok(Connection { shared, number, socket, reader, writer, server_name: None });
    };
    let mut tls = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
    let mut stream = socket.try_clone()?;
    while tls.is_handshaking() {
        tls.complete_io(&mut stream)?;
    }
    let server_name = tls.server_name().map(str::to_owned);
    let tls = Tls(Arc::new(Mutex::new(StreamOwned::new(tls, stream))));
    let reader = Reader::new(Box::new(tls.clone()));
    Ok(Connection { shared, number, socket, reader, writer: Box::new(tls), server_name })
}

impl Connection<'_> {
    fn receive(&mut self, head: Head) -> io::Result<Seen> {
        if head.header("expect").is_some() {
            self.writer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let (body, trailers) = self.reader.body(head.framing(false))?;
        let mut words = head.start.split(' ').map(str::to_owned);
        Ok(Seen {
            method: words.next().unwrap_or_default(),
            path: words.next().unwrap_or_default(),
            headers: head.headers,
            trailers,
            body,
            at: Instant::now(),
            connection: self.number,
            server_name: self.server_name.clone(),
            user: String::new(),
        })
    }

    fn respond(&mut self, seen: &mut Seen) -> io::Result<After> {
        if seen.path == "/__requests" {
            return self.report();
        }
        let body = seen.json();
        seen.user = body["user"].as_str().unwrap_or_default().to_owned();
        let mut script = self.choose(seen, &body);
        if script.body.is_none() && script.status < 400 {
            script.body = moderation::answer(&seen.path, &body);
        }
        let released = self.shared.state().released;
        self.shared.state().remember(seen);
        let answer = Answer::new(&self.shared.name, &Asked::new(&seen.path, &body), &script);
        self.delay(Duration::from_millis(script.delay_ms), released);
        let sent = self.perform(&script, &answer);
        self.note(seen, &answer, sent.is_ok());
        if sent.is_err() {
            self.shared.state().abandoned += 1;
        }
        sent
    }

    fn note(&self, seen: &Seen, answer: &Answer, sent: bool) {
        let whole = sent && !answer.body.contains(&Step::Reset);
        let tokens = reported::tokens(&answer.bytes());
        let user = seen.user.clone();
        self.shared.state().note(Served { user, status: answer.status, whole, tokens });
    }

    fn choose(&self, seen: &Seen, body: &Value) -> Script {
        let told = body.get("x_mock").unwrap_or(&body["metadata"]["x_mock"]);
        let header = seen.header("x-mock").and_then(|text| serde_json::from_str(text).ok());
        let told = header.as_ref().or_else(|| told.get(&self.shared.name)).or_else(|| told.get("*"));
        if let Some(told) = told {
            return Script::json(told.clone());
        }
        self.shared.state().next_script(seen.key(), &seen.user)
    }

    fn perform(&mut self, script: &Script, answer: &Answer) -> io::Result<After> {
        if script.reset {
            return self.reset();
        }
        if script.hang {
            return self.hang();
        }
        self.writer.write_all(head(answer).as_bytes())?;
        for step in &answer.body {
            match step {
                Step::Data(data) if answer.length.is_none() => wire::write_chunk(&mut self.writer, data)?,
                Step::Data(data) => self.writer.write_all(data)?,
                Step::Pause(time) => std::thread::sleep(*time),
                Step::Hang => return self.hang(),
                Step::Reset => {
                    self.writer.write_all(b"ff\r\ndata: {\"id\":")?;
                    return self.reset();
                }
            }
        }
        if answer.length.is_none() {
            wire::write_end(&mut self.writer, &answer.trailers)?;
        }
        Ok(After::KeepAlive)
    }

    /// Waits so long, unless all are let go that were delayed when `released` was what it was.
    fn delay(&self, time: Duration, released: usize) {
        let deadline = Instant::now() + time;
        while self.shared.state().released == released {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(LOOK));
        }
    }

    /// Waits for the other side to go away.
    fn hang(&mut self) -> io::Result<After> {
        self.reader.drain();
        Err(io::ErrorKind::ConnectionAborted.into())
    }

    /// Lets what was written go out before the reset: a close with unsent data would lose it.
    fn reset(&mut self) -> io::Result<After> {
        self.writer.flush()?;
        wire::reset_on_close(self.socket);
        Ok(After::Close)
    }

    fn report(&mut self) -> io::Result<After> {
        let seen: Vec<Value> = self.shared.state().seen.iter().map(Seen::to_json).collect();
        let body = json!(seen).to_string();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        self.writer.write_all((head + &body).as_bytes())?;
        Ok(After::KeepAlive)
    }
}

fn head(answer: &Answer) -> String {
    let mut head = format!("HTTP/1.1 {} Scripted\r\n", answer.status);
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    match answer.length {
        Some(length) => head.push_str(&format!("content-length: {length}\r\n")),
        None => head.push_str("transfer-encoding: chunked\r\n"),
    }
    head + "\r\n"
}
