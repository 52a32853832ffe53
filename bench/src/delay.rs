//! A TCP proxy that lets everything pass, what comes back some time later: a Redis that is far away.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::Instant;

/// What came at which time.
type Piece = (Instant, Bytes);

/// Starts a proxy to `to` on a free port and a thread of its own, which live as long as the process.
///
/// # Errors
/// There is no free port.
pub fn start(to: SocketAddr, delay: Duration) -> io::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let work = accept(listener, to, delay);
    std::thread::Builder::new().name("delay".to_owned()).spawn(move || runtime.block_on(work))?;
    Ok(address)
}

async fn accept(listener: std::net::TcpListener, to: SocketAddr, delay: Duration) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (client, _) = listener.accept().await?;
        client.set_nodelay(true)?;
        let server = TcpStream::connect(to).await?;
        server.set_nodelay(true)?;
        let (mut from_client, to_client) = client.into_split();
        let (from_server, mut to_server) = server.into_split();
        tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
        let (sender, receiver) = unbounded_channel();
        tokio::spawn(read(from_server, sender));
        tokio::spawn(write(to_client, receiver, delay));
    }
}

async fn read(mut from: OwnedReadHalf, pieces: UnboundedSender<Piece>) -> io::Result<()> {
    loop {
        let mut piece = BytesMut::with_capacity(16 * 1024);
        if from.read_buf(&mut piece).await? == 0 || pieces.send((Instant::now(), piece.freeze())).is_err() {
            return Ok(());
        }
    }
}

async fn write(
    mut to: OwnedWriteHalf,
    mut pieces: UnboundedReceiver<Piece>,
    delay: Duration,
) -> io::Result<()> {
    while let Some((came, piece)) = pieces.recv().await {
        tokio::time::sleep_until(came + delay).await;
        to.write_all(&piece).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::time::{Duration, Instant};

    #[test]
    fn what_comes_back_comes_whole_and_no_sooner_than_told() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = super::start(server.local_addr().unwrap(), Duration::from_millis(20)).unwrap();
        let mut client = TcpStream::connect(proxy).unwrap();
        let (mut peer, _) = server.accept().unwrap();
        let began = Instant::now();
        client.write_all(b"PING").unwrap();
        let mut heard = [0; 4];
        peer.read_exact(&mut heard).unwrap();
        peer.write_all(b"PONG").unwrap();
        client.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"PONG");
        assert!(began.elapsed() >= Duration::from_millis(20));
    }
}
