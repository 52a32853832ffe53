//! Commands as Redis reads them, and scripts that it may know by their digest.

use std::sync::Arc;

use sha1::{Digest as _, Sha1};

/// A Lua script with its digest; clones share both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script(Arc<Source>);

#[derive(Debug, PartialEq, Eq)]
struct Source {
    text: Box<str>,
    sha1: String,
}

impl Script {
    /// Takes the source, as `EVAL` does, and computes its digest.
    #[must_use]
    pub fn new(source: &str) -> Self {
        let sha1 = Sha1::digest(source).iter().fold(String::with_capacity(40), |mut hex, byte| {
            hex.extend([byte >> 4, byte & 15].map(|digit| char::from_digit(digit.into(), 16).unwrap_or('0')));
            hex
        });
        Self(Arc::new(Source { text: source.into(), sha1 }))
    }

    /// The source.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.0.text
    }

    /// SHA-1 of the source, 40 hex digits in lower case, as `EVALSHA` takes it.
    #[must_use]
    pub fn sha1(&self) -> &str {
        &self.0.sha1
    }
}

/// One command with its arguments, any bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    name: Name,
    args: Vec<Vec<u8>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Name {
    Plain(String),
    Eval(Script),
}

impl Command {
    /// A command without arguments.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { name: Name::Plain(name.to_owned()), args: Vec::new() }
    }

    /// A call of `script`, by digest first and with its source where the digest is unknown. `redis_proxy` demands
    /// at least one key; in a cluster all keys must be of one hash slot. What [`Self::arg`] adds is `ARGV`.
    #[must_use]
    pub fn eval<K: AsRef<[u8]>>(script: &Script, keys: &[K]) -> Self {
        let count = keys.len().to_string().into_bytes();
        let keys = keys.iter().map(|key| key.as_ref().to_vec());
        Self { name: Name::Eval(script.clone()), args: std::iter::once(count).chain(keys).collect() }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<[u8]>) -> Self {
        self.args.push(arg.as_ref().to_vec());
        self
    }

    /// Whether it calls a script.
    pub(super) fn is_script(&self) -> bool {
        matches!(self.name, Name::Eval(_))
    }

    /// Appends it in RESP; a script with its source instead of its digest if `with_source`.
    pub(super) fn encode(&self, with_source: bool, out: &mut Vec<u8>) {
        let head: &[&str] = match &self.name {
            Name::Plain(name) => &[name],
            Name::Eval(script) if with_source => &["EVAL", script.source()],
            Name::Eval(script) => &["EVALSHA", script.sha1()],
        };
        let count = head.len().saturating_add(self.args.len());
        out.extend_from_slice(format!("*{count}\r\n").as_bytes());
        for part in head.iter().map(|part| part.as_bytes()).chain(self.args.iter().map(Vec::as_slice)) {
            out.extend_from_slice(format!("${}\r\n", part.len()).as_bytes());
            out.extend_from_slice(part);
            out.extend_from_slice(b"\r\n");
        }
    }
}
