//! HTTP/1.1 as bytes: reading heads and bodies of either side, writing chunks.

use std::io::{self, BufRead, BufReader, Read, Write};

/// Longest piece of a `content-length` body returned at once.
const PIECE: usize = 64 * 1024;

/// Header or trailer fields in wire order, names in lower case.
pub type Fields = Vec<(String, String)>;

/// The first line and the headers of a message.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// Request line or status line.
    pub start: String,
    /// Name in lower case and value, in wire order.
    pub headers: Fields,
}

impl Head {
    /// First value of `name` (lower case).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// How the body that follows is delimited. `response` bodies without either header end with the
    /// connection.
    #[must_use]
    pub fn framing(&self, response: bool) -> Framing {
        if self.header("transfer-encoding").is_some_and(|v| v.contains("chunked")) {
            return Framing::Chunked;
        }
        match self.header("content-length").and_then(|v| v.parse().ok()) {
            Some(length) => Framing::Length(length),
            None if response => Framing::UntilClose,
            None => Framing::Length(0),
        }
    }
}

/// How a body is delimited, and what is left of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// So many more bytes.
    Length(u64),
    /// Chunks, then trailers.
    Chunked,
    /// Everything up to the end of the connection.
    UntilClose,
    /// The body has ended.
    Ended,
}

/// The reading half of a connection.
pub struct Reader {
    inner: BufReader<Box<dyn Read + Send>>,
}

impl Reader {
    /// Reads from `stream`.
    #[must_use]
    pub fn new(stream: Box<dyn Read + Send>) -> Self {
        Self { inner: BufReader::new(stream) }
    }

    /// Next head, or `None` if the connection ended before its first byte.
    ///
    /// # Errors
    /// The connection broke, or ended within the head.
    pub fn head(&mut self) -> io::Result<Option<Head>> {
        if self.inner.fill_buf()?.is_empty() {
            return Ok(None);
        }
        let start = self.line()?;
        Ok(Some(Head { start, headers: self.fields()? }))
    }

    /// Next piece of a body (a chunk, where it is chunked); `None` at its end. Trailers go to `trailers`.
    ///
    /// # Errors
    /// The connection broke or ended within the body.
    pub fn piece(&mut self, framing: &mut Framing, trailers: &mut Fields) -> io::Result<Option<Vec<u8>>> {
        match *framing {
            Framing::Ended | Framing::Length(0) => {
                *framing = Framing::Ended;
                Ok(None)
            }
            Framing::Length(left) => {
                let piece = self.some(usize::try_from(left).unwrap_or(PIECE))?;
                if piece.is_empty() {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                *framing = Framing::Length(left - piece.len() as u64);
                Ok(Some(piece))
            }
            Framing::UntilClose => {
                let piece = self.some(PIECE)?;
                Ok((!piece.is_empty()).then_some(piece))
            }
            Framing::Chunked => self.chunk(framing, trailers),
        }
    }

    /// Whole body and its trailers.
    ///
    /// # Errors
    /// As [`Self::piece`].
    pub fn body(&mut self, mut framing: Framing) -> io::Result<(Vec<u8>, Fields)> {
        let (mut body, mut trailers) = (Vec::new(), Vec::new());
        while let Some(piece) = self.piece(&mut framing, &mut trailers)? {
            body.extend_from_slice(&piece);
        }
        Ok((body, trailers))
    }

    /// Reads and drops until the peer closes or the socket is shut down.
    pub fn drain(&mut self) {
        let _ = io::copy(&mut self.inner, &mut io::sink());
    }

    fn chunk(&mut self, framing: &mut Framing, trailers: &mut Fields) -> io::Result<Option<Vec<u8>>> {
        let line = self.line()?;
        let digits = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(digits, 16).map_err(io::Error::other)?;
        if size == 0 {
            *framing = Framing::Ended;
            trailers.extend(self.fields()?);
            return Ok(None);
        }
        let mut piece = vec![0; size];
        self.inner.read_exact(&mut piece)?;
        self.line()?;
        Ok(Some(piece))
    }

    fn some(&mut self, limit: usize) -> io::Result<Vec<u8>> {
        let available = self.inner.fill_buf()?;
        let piece = available[..available.len().min(limit)].to_vec();
        self.inner.consume(piece.len());
        Ok(piece)
    }

    fn fields(&mut self) -> io::Result<Fields> {
        let mut fields = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(fields);
            }
            let (name, value) = line.split_once(':').unwrap_or((&line, ""));
            fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        self.inner.read_until(b'\n', &mut line)?;
        if line.pop() != Some(b'\n') {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        line.pop_if(|last| *last == b'\r');
        Ok(String::from_utf8_lossy(&line).into_owned())
    }
}

/// Writes one chunk of a chunked body.
///
/// # Errors
/// The connection broke.
pub fn write_chunk(stream: &mut dyn Write, data: &[u8]) -> io::Result<()> {
    let mut chunk = format!("{:x}\r\n", data.len()).into_bytes();
    chunk.extend_from_slice(data);
    chunk.extend_from_slice(b"\r\n");
    stream.write_all(&chunk)
}

/// Ends a chunked body.
///
/// # Errors
/// The connection broke.
pub fn write_end(stream: &mut dyn Write, trailers: &[(&str, &str)]) -> io::Result<()> {
    let fields: String = trailers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    stream.write_all(format!("0\r\n{fields}\r\n").as_bytes())
}

/// Makes the next close of `socket` a reset (RST) instead of a tidy end.
pub fn reset_on_close(socket: &std::net::TcpStream) {
    let _ = socket2::SockRef::from(socket).set_linger(Some(std::time::Duration::ZERO));
}
