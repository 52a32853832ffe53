//! An HTTP/2 client with prior knowledge (h2c): one request over a connection of its own.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request};

use crate::client::{End, Reply};

/// As in the HTTP/1 client: longer is a hang.
const HANG: Duration = Duration::from_secs(20);

/// Posts `pieces`, each a DATA frame, as JSON; then `trailers`, if any.
#[track_caller]
pub fn post(address: SocketAddr, path: &str, pieces: &[&[u8]], trailers: &[(&'static str, &str)]) -> Reply {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let exchange = exchange(address, path, pieces, trailers);
    let reply = runtime.block_on(async { tokio::time::timeout(HANG, exchange).await });
    reply.expect("an answer in time").expect("an answer")
}

async fn exchange(
    address: SocketAddr,
    path: &str,
    pieces: &[&[u8]],
    trailers: &[(&'static str, &str)],
) -> Result<Reply, h2::Error> {
    let began = Instant::now();
    let socket = tokio::net::TcpStream::connect(address).await.expect("the server listens");
    let (mut client, connection) = h2::client::handshake(socket).await?;
    let driver = tokio::spawn(connection);
    let request = Request::post(format!("http://gateway{path}"))
        .header("content-type", "application/json")
        .body(())
        .expect("a request");
    let (response, mut body) = client.send_request(request, pieces.is_empty() && trailers.is_empty())?;
    for (index, piece) in pieces.iter().enumerate() {
        let is_last = index + 1 == pieces.len() && trailers.is_empty();
        body.send_data(Bytes::copy_from_slice(piece), is_last)?;
    }
    if !trailers.is_empty() {
        body.send_trailers(fields(trailers))?;
    }
    let reply = receive(response.await?, began).await;
    driver.abort();
    Ok(reply)
}

fn fields(trailers: &[(&'static str, &str)]) -> HeaderMap {
    trailers
        .iter()
        .map(|(name, value)| ((*name).parse().expect("a name"), value.parse().expect("a value")))
        .collect()
}

async fn receive(response: http::Response<h2::RecvStream>, began: Instant) -> Reply {
    let (head, mut stream) = response.into_parts();
    let (mut body, mut end) = (Vec::new(), End::Clean);
    while let Some(data) = stream.data().await {
        let Ok(data) = data else {
            end = End::Broken;
            break;
        };
        body.extend_from_slice(&data);
        let _ = stream.flow_control().release_capacity(data.len());
    }
    let trailers = stream.trailers().await.ok().flatten().unwrap_or_default();
    let (headers, trailers) = (pairs(&head.headers), pairs(&trailers));
    Reply { status: head.status.as_u16(), headers, body, trailers, end, took: began.elapsed() }
}

fn pairs(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect()
}
