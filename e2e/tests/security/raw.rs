//! Bytes that are nearly a request, sent to a gateway, and what became of them at its providers and in its log.

use std::net::SocketAddr;

use serde_json::{Value, json};
use sluice_e2e::bed::Bed;
use sluice_e2e::client::{self, Connection, Reply};
use sluice_e2e::upstream::{Seen, Upstream};
use sluice_e2e::wait;

pub(crate) const CHAT: &str = "/v1/chat/completions";

/// Begins the models of all that is sent from here.
const ROW: &str = "gpt-row-";

/// Stands in the model of every request that is hidden in another one.
pub(crate) const HIDDEN: &str = "gpt-hidden";

/// A question to `model`.
pub(crate) fn question(model: &str) -> String {
    json!({"model": model, "messages": [], "user": model}).to_string()
}

/// A whole request that hides in a body, and so must stay a part of that body.
pub(crate) fn hidden() -> String {
    let body = question(HIDDEN);
    let head = format!("POST {CHAT} HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\n");
    format!("{head}content-length: {}\r\n\r\n{body}", body.len())
}

/// What may become of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    /// An error or nothing at all; no provider hears of it.
    Refused,
    /// One request, at one provider, with one record.
    One,
}

/// What became of it.
pub(crate) struct Came {
    model: String,
    /// Of the answer; none: the gateway has closed instead.
    status: Option<u16>,
    /// Requests of its model that reached a provider, and where.
    seen: Vec<(SocketAddr, Seen)>,
}

impl Came {
    /// What became of the request for `model` that was answered so.
    pub(crate) fn of(bed: &Bed, model: &str, status: Option<u16>) -> Self {
        Self { model: model.to_owned(), status, seen: Self::seen(bed, model) }
    }

    /// Requests for `model` that reached a provider.
    pub(crate) fn seen(bed: &Bed, model: &str) -> Vec<(SocketAddr, Seen)> {
        let of = |provider: &Upstream| -> Vec<(SocketAddr, Seen)> {
            provider.of_user(model).into_iter().map(|seen| (provider.address(), seen)).collect()
        };
        bed.providers.iter().flat_map(of).collect()
    }

    /// Whether it is what was wanted.
    ///
    /// # Errors
    /// What is wrong.
    pub(crate) fn judge(&self, want: Want) -> Result<(), String> {
        let is_wanted = match want {
            Want::Refused => self.seen.is_empty() && self.status.is_none_or(|status| status >= 400),
            Want::One => self.seen.len() == 1 && self.status == Some(200),
        };
        if !is_wanted {
            return Err(format!("wanted {want:?}, got {:?}, {} seen", self.status, self.seen.len()));
        }
        self.seen.iter().try_for_each(|(provider, seen)| self.is_clean(*provider, seen))
    }

    /// The provider got the question and nothing that it could read in another way.
    fn is_clean(&self, provider: SocketAddr, seen: &Seen) -> Result<(), String> {
        let count = |name: &str| seen.headers.iter().filter(|(known, _)| known == name).count();
        let is_plain = |text: &str| text.bytes().all(|byte| byte == b'\t' || !byte.is_ascii_control());
        let clear = seen.headers.iter().all(|(name, value)| is_plain(name) && is_plain(value));
        let whole = seen.body == question(&self.model).as_bytes() && seen.trailers.is_empty();
        let framed = count("content-length") + count("transfer-encoding") == 1;
        let host = count("host") == 1 && seen.header("host") == Some(&provider.to_string());
        let line = (seen.method.as_str(), seen.path.as_str()) == ("POST", CHAT);
        let clean = clear && whole && framed && host && line;
        if clean { Ok(()) } else { Err(format!("the provider got {seen:?}")) }
    }
}

/// Sends `bytes`, then a request like any other on the same connection, which must get its own answer or none.
#[track_caller]
pub(crate) fn send(bed: &Bed, model: &str, bytes: &[u8]) -> Came {
    let mut client = Connection::open(bed.gateway.address()).expect("the gateway listens");
    let reply = client.write(bytes).ok().and_then(|()| read(model, &mut client));
    if reply.is_some() {
        after(model, &mut client);
    }
    Came::of(bed, model, reply.map(|reply| reply.status))
}

/// An answer; `None` where the gateway closes instead. A gateway that waits for more is a hang.
#[track_caller]
fn read(model: &str, client: &mut Connection) -> Option<Reply> {
    match client.read() {
        Ok(reply) => Some(reply),
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("{model}: no answer"),
        Err(_) => None,
    }
}

/// The answer to another request on the connection is that request's, or the connection is closed.
#[track_caller]
fn after(model: &str, client: &mut Connection) {
    let next = format!("{model}-next");
    let headers = [("content-type", "application/json")];
    let request = client::request("POST", CHAT, &headers, question(&next).as_bytes());
    if client.write(&request).is_err() {
        return;
    }
    let Some(reply) = read(model, client) else { return };
    let named = reply.json()["model"].as_str().unwrap_or_default().to_owned();
    assert!(named.starts_with(&next), "{model}: the next request got {}: {}", reply.status, reply.text());
}

/// Of these requests each provider has seen what the records name, one by one, and nothing else.
#[track_caller]
pub(crate) fn assert_recorded(bed: &Bed) {
    let mut seen: Vec<(String, String)> = Vec::new();
    for provider in &bed.providers {
        let rows = provider.requests().into_iter().filter(|seen| seen.user.starts_with(ROW));
        let id = |seen: Seen| seen.header("x-request-id").unwrap_or_default().to_owned();
        seen.extend(rows.map(|one| (id(one), provider.name().to_owned())));
    }
    seen.sort();
    let named = || {
        let records = bed.gateway.access_log().into_iter().map(|line| line["ai_log"].clone());
        let rows =
            records.filter(|record| record["model"].as_str().is_some_and(|model| model.starts_with(ROW)));
        let mut named: Vec<(String, String)> = rows.flat_map(|record| attempts(&record)).collect();
        named.sort();
        named
    };
    let same = wait::poll(wait::PATIENCE, || (named() == seen).then_some(()));
    assert!(same.is_some(), "providers saw {seen:?}, records name {:?}", named());
}

fn attempts(record: &Value) -> Vec<(String, String)> {
    let id = record["request_id"].as_str().unwrap_or_default();
    let attempts = record["attempts"].as_array().cloned().unwrap_or_default();
    attempts
        .iter()
        .map(|one| (id.to_owned(), one["provider"].as_str().unwrap_or_default().to_owned()))
        .collect()
}
