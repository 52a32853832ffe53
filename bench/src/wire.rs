//! HTTP/1.1 over tokio, just as much as client and provider of the lab need: heads, lengths, chunks.

use std::io;
use std::net::SocketAddr;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Most headers of a message; Envoy's own and the gateway's are fewer.
const MAX_HEADERS: usize = 64;

/// Room for one read.
const READ: usize = 16 * 1024;

/// What a head says of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Of a response; 0 for a request.
    pub status: u16,
    /// How the body is delimited.
    pub framing: Framing,
}

/// How a body is delimited, and what is left of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// So many more bytes.
    Length(u64),
    /// So many more bytes of this chunk, then further ones.
    Chunked(u64),
    /// The body is over.
    Ended,
}

/// Which side wrote a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Requests.
    Client,
    /// Responses.
    Server,
}

/// One connection.
pub struct Wire {
    socket: TcpStream,
    input: BytesMut,
}

impl Wire {
    /// Connects.
    ///
    /// # Errors
    /// Nobody listens there.
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        Self::over(TcpStream::connect(address).await?)
    }

    /// Over a connection that was accepted.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn over(socket: TcpStream) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        Ok(Self { socket, input: BytesMut::with_capacity(READ) })
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes).await
    }

    /// Reads the next head; `None` if the connection ended before its first byte.
    ///
    /// # Errors
    /// The connection broke, or this is no HTTP.
    pub async fn head(&mut self, side: Side) -> io::Result<Option<Head>> {
        loop {
            if let Some((length, head)) = parse(&self.input, side)? {
                self.input.advance(length);
                return Ok(Some(head));
            }
            if !self.fill().await? {
                return if self.input.is_empty() {
                    Ok(None)
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                };
            }
        }
    }

    /// Reads the next piece of a body; `None` at its end.
    ///
    /// # Errors
    /// The connection broke, or ended within the body.
    pub async fn piece(&mut self, framing: &mut Framing) -> io::Result<Option<Bytes>> {
        if *framing == Framing::Chunked(0) {
            *framing = self.chunk().await?;
        }
        let (Framing::Length(left) | Framing::Chunked(left)) = *framing else { return Ok(None) };
        if left == 0 {
            *framing = Framing::Ended;
            return Ok(None);
        }
        if self.input.is_empty() && !self.fill().await? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let size = self.input.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let left = left - size as u64;
        *framing = if matches!(framing, Framing::Length(_)) {
            Framing::Length(left)
        } else {
            Framing::Chunked(left)
        };
        Ok(Some(self.input.split_to(size).freeze()))
    }

    /// Reads a whole body into `body`, in place of what it held.
    ///
    /// # Errors
    /// As [`Self::piece`].
    pub async fn body(&mut self, mut framing: Framing, body: &mut Vec<u8>) -> io::Result<()> {
        body.clear();
        while let Some(piece) = self.piece(&mut framing).await? {
            body.extend_from_slice(&piece);
        }
        Ok(())
    }

    /// The head of the next chunk; after the last one, its trailers.
    async fn chunk(&mut self) -> io::Result<Framing> {
        let mut line = self.line().await?;
        if line.is_empty() {
            line = self.line().await?; // the end of the chunk before
        }
        let text = std::str::from_utf8(&line).map_err(io::Error::other)?;
        let size = text.split(';').next().unwrap_or_default().trim();
        match u64::from_str_radix(size, 16).map_err(io::Error::other)? {
            0 => {
                while !self.line().await?.is_empty() {}
                Ok(Framing::Ended)
            }
            size => Ok(Framing::Chunked(size)),
        }
    }

    async fn line(&mut self) -> io::Result<Bytes> {
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.input) {
                let mut line = self.input.split_to(end + 1);
                line.truncate(end.saturating_sub(1));
                return Ok(line.freeze());
            }
            if !self.fill().await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Reads once; false at the end of the connection.
    async fn fill(&mut self) -> io::Result<bool> {
        self.input.reserve(READ);
        Ok(self.socket.read_buf(&mut self.input).await? > 0)
    }
}

/// The head at the beginning of `input` and its length, once it is complete.
fn parse(input: &[u8], side: Side) -> io::Result<Option<(usize, Head)>> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let (parsed, status) = match side {
        Side::Client => (httparse::Request::new(&mut headers).parse(input), 0),
        Side::Server => {
            let mut response = httparse::Response::new(&mut headers);
            (response.parse(input), response.code.unwrap_or_default())
        }
    };
    match parsed.map_err(|error| io::Error::other(error.to_string()))? {
        httparse::Status::Complete(length) => Ok(Some((length, Head { status, framing: framing(&headers) }))),
        httparse::Status::Partial => Ok(None),
    }
}

fn framing(headers: &[httparse::Header<'_>]) -> Framing {
    for header in headers {
        if header.name.eq_ignore_ascii_case("transfer-encoding") {
            return Framing::Chunked(0);
        }
        if header.name.eq_ignore_ascii_case("content-length") {
            let length = std::str::from_utf8(header.value).ok().and_then(|text| text.parse().ok());
            return Framing::Length(length.unwrap_or_default());
        }
    }
    Framing::Length(0)
}

#[cfg(test)]
mod tests {
    use super::{Framing, Head, Side, parse};

    #[test]
    fn a_head_tells_status_and_framing() {
        let table = [
            ("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n", Side::Server, 200, Framing::Length(12)),
            ("HTTP/1.1 429 No\r\ntransfer-encoding: chunked\r\n\r\n", Side::Server, 429, Framing::Chunked(0)),
            ("POST /v1 HTTP/1.1\r\nhost: a\r\n\r\n", Side::Client, 0, Framing::Length(0)),
        ];
        for (text, side, status, framing) in table {
            let (length, head) = parse(text.as_bytes(), side).unwrap().unwrap();
            assert_eq!((length, head), (text.len(), Head { status, framing }), "{text}");
            assert!(parse(&text.as_bytes()[..text.len() - 1], side).unwrap().is_none());
        }
    }
}
