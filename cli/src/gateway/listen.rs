//! Sections `listen`, `tls` and `admin`: where the gateway itself can be reached.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use sha2::{Digest as _, Sha256};
use sluice_core::config::shown;

use super::secret::{self, resolve};
use super::{ADMIN, LISTEN, Sources};
use crate::file::tree::Content;
use crate::file::{Cursor, Fields};

/// The gateway's certificate. Both files were readable when the configuration was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// File of the certificate chain in PEM, the gateway's own first.
    pub cert: PathBuf,
    /// File of the private key in PEM.
    pub key: PathBuf,
    /// First 16 hex digits of the SHA-256 of both files' contents: a renewed certificate has another. Tells nothing
    /// of the key.
    pub digest: String,
}

/// What the three sections say together.
pub(super) struct Listen {
    pub(super) address: SocketAddr,
    pub(super) tls: Option<Tls>,
    pub(super) admin: SocketAddr,
}

/// Reads `listen: HOST:PORT` with `tls:` beside it, or `listen: {address, tls}`.
pub(super) fn read(fields: &mut Fields<'_>, sources: &Sources<'_>) -> Option<Listen> {
    let listen = fields.optional("listen");
    let beside = fields.optional("tls");
    let (address, inside) = match &listen {
        Some(at) if matches!(at.content(), Content::Map(_)) => mapping(at),
        Some(at) => (Some(at.clone()), None),
        None => (None, None),
    };
    let tls = match (&beside, inside) {
        (Some(at), Some(_)) => at.refuse("is written inside `listen` too; keep one of them"),
        (at, inside) => at.clone().or(inside).map_or(Some(None), |at| tls(&at, sources).map(Some)),
    };
    let written = listen.is_some();
    let address = if written { address.and_then(|at| socket(&at, LISTEN)) } else { LISTEN.parse().ok() };
    let admin = match fields.optional("admin") {
        Some(at) => socket(&at, ADMIN).and_then(|admin| distinct(&at, admin, address)),
        None => ADMIN.parse().ok(),
    };
    Some(Listen { address: address?, tls: tls?, admin: admin? })
}

fn mapping<'a>(at: &Cursor<'a>) -> (Option<Cursor<'a>>, Option<Cursor<'a>>) {
    let Some(mut fields) = at.fields("an address such as 127.0.0.1:10000") else {
        return (None, None);
    };
    let found = (fields.required("address", "`address: 127.0.0.1:10000`"), fields.optional("tls"));
    fields.finish();
    found
}

/// Two listeners cannot share an address.
fn distinct(at: &Cursor<'_>, admin: SocketAddr, listen: Option<SocketAddr>) -> Option<SocketAddr> {
    match listen {
        Some(listen) if listen == admin => at.refuse("is the address of `listen` too; write another port"),
        _ => Some(admin),
    }
}

/// An IP address and a port: Envoy's listeners take no names.
fn socket(at: &Cursor<'_>, example: &str) -> Option<SocketAddr> {
    let text = at.text(&format!("an IP address and a port such as {example}"))?;
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() == 0 => {
            at.refuse(format!("{text} has port 0; write a port from 1 to 65535"))
        }
        Ok(address) => Some(address),
        Err(_) => {
            at.refuse(format!("{:?} is no IP address and port; write {}", shown(text), advice(text, example)))
        }
    }
}

/// What was probably meant by an address that cannot be read.
fn advice(text: &str, example: &str) -> String {
    let port = |port: &str| port.parse::<u16>().ok().filter(|port| *port > 0);
    let (host, number) = text.rsplit_once(':').unwrap_or(("", text));
    match (host, port(number)) {
        ("localhost", Some(port)) => format!("127.0.0.1:{port}"),
        ("" | "*", Some(port)) => format!("127.0.0.1:{port}, or 0.0.0.0:{port} for every address"),
        _ => example.to_owned(),
    }
}

fn tls(at: &Cursor<'_>, sources: &Sources<'_>) -> Option<Tls> {
    let mut fields = at.fields("`{cert: PATH, key: PATH}`")?.quiet();
    let cert = fields.required("cert", "the path of a PEM file with the certificate chain");
    let key = fields.required("key", "the path of a PEM file with the private key");
    let cert = cert.and_then(|at| pem(&at, sources, "CERTIFICATE-----", "certificate"));
    let key = key.and_then(|at| {
        let pem = pem(&at, sources, "PRIVATE KEY-----", "private key")?;
        secret::warn_if_readable_by_others(&at, &pem.path);
        Some(pem)
    });
    fields.finish();
    let (cert, key) = (cert?, key?);
    let digest = digest(&[&cert.text, &key.text]);
    Some(Tls { cert: cert.path, key: key.path, digest })
}

/// What moves from one text to the next makes another digest.
fn digest(texts: &[&str]) -> String {
    let mut whole = Sha256::new();
    for text in texts {
        whole.update(Sha256::digest(text.as_bytes()));
    }
    whole.finalize().iter().take(8).fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// A file in PEM.
struct Pem {
    path: PathBuf,
    text: String,
}

/// A file that holds `marker`. The text is not repeated unless it can be a path.
fn pem(at: &Cursor<'_>, sources: &Sources<'_>, marker: &str, what: &str) -> Option<Pem> {
    let text = at.text("the path of a PEM file")?;
    if text.contains("-----") || text.contains('\n') {
        return at.refuse(format!("is a {what} itself; write it to a file and its path here"));
    }
    let path = resolve(text.strip_prefix("file:").unwrap_or(text), sources);
    match secret::content(&path, sources) {
        Ok(text) if text.contains(marker) => Some(Pem { path, text }),
        Ok(_) => at.refuse(format!("holds no {what} in PEM; name a file with one")),
        Err(why) => at.refuse(format!("{why}; write the path of a PEM file")),
    }
}
