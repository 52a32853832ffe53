//! Sections `consumers`, `anonymous` and `credentials`: who may call, and how a caller is known.

mod key;
mod reader;
mod value;

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use sluice_core::config::shown;

pub use key::{ConsumerKey, Origin, sha256_hex};
pub(super) use reader::read;

use crate::file::{Cursor, did_you_mean};

/// Most names that are searched for the one that was meant.
const MAX_COMPARED: usize = 10_000;

/// One caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumer {
    /// Its name, unique in the file: 1 to 128 bytes without white space.
    pub name: String,
    /// What it may present itself with; no key belongs to two consumers. Empty: nobody can be it but callers without
    /// a key, where `anonymous` names it.
    pub keys: Vec<ConsumerKey>,
    /// Its tier, for conditions.
    pub tier: Option<String>,
    /// Globs of the models that it may use; empty: every model.
    pub models: Vec<String>,
    /// Globs of the paths that it may call, each beginning with `/`; empty: every path.
    pub routes: Vec<String>,
    /// Addresses that it may call from; empty: anywhere.
    pub from: Vec<IpNet>,
    /// Seconds since the epoch from which on it is refused.
    pub expires_s: Option<u64>,
    /// Refused for now.
    pub disabled: bool,
    /// Free facts for the access log, at most 2 KiB as JSON.
    pub metadata: BTreeMap<String, String>,
}

/// Where keys are looked for besides the usual headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// Names of headers in lower case.
    pub headers: Vec<String>,
    /// Name of a parameter of the query.
    pub query: Option<String>,
}

/// What the three sections say together.
pub(super) struct Callers {
    pub(super) consumers: Vec<Consumer>,
    pub(super) anonymous: Option<String>,
    pub(super) credentials: Credentials,
}

/// Names and tiers that conditions may use, known even while a consumer has a mistake.
#[derive(Default)]
pub(super) struct Known {
    /// The section is there.
    written: bool,
    /// Its consumers could be listed.
    listed: bool,
    names: BTreeSet<String>,
    tiers: BTreeSet<String>,
}

impl Known {
    /// Whether there are consumers.
    pub(super) fn any(&self) -> bool {
        self.written
    }

    /// Reads the name of a consumer.
    pub(super) fn consumer(&self, at: &Cursor<'_>) -> Option<String> {
        let name = self.text(at, "the name of a consumer")?;
        if !self.listed || self.names.contains(name) {
            return Some(name.to_owned());
        }
        let names = self.names.iter().map(String::as_str).take(MAX_COMPARED);
        let advice = did_you_mean(name, names, "name one of `consumers`");
        at.refuse(format!("no consumer named {:?}{advice}", shown(name)))
    }

    /// Reads the name of a tier. One that nobody has is a warning: the last consumer of a tier must be removable.
    pub(super) fn tier(&self, at: &Cursor<'_>) -> Option<String> {
        let name = self.text(at, "the name of a tier")?;
        if self.listed && !self.tiers.contains(name) {
            let tiers = self.tiers.iter().map(String::as_str).take(MAX_COMPARED);
            let advice = did_you_mean(name, tiers, "write the tier of a consumer");
            at.warn(format!("never holds, as no consumer has the tier {:?}{advice}", shown(name)));
        }
        Some(name.to_owned())
    }

    fn text<'c>(&self, at: &'c Cursor<'_>, want: &str) -> Option<&'c str> {
        if self.written {
            return at.text(want);
        }
        at.refuse("can never hold, as there are no `consumers`; add them or remove the condition")
    }
}
