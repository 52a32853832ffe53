//! What outlives a stream: Envoy lets only the main thread send a callout that belongs to no stream.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex};

use sluice_core::chain::OF_MAIN_THREAD;
use sluice_core::filter::Callout;

use super::{config, current, hostcalls, lock};
use crate::detached::Errand;

/// The event by which a configuration is asked to do its errands.
pub(crate) const EVENT: u64 = u64::MAX - 1;

/// A callout that outlives the stream: the main thread sends it.
pub(crate) struct Letter {
    cluster: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    timeout_ms: u32,
}

/// An errand, and whose it is.
pub(crate) struct Mail {
    /// Place of the filter in its chain.
    pub(crate) at: usize,
    /// The route whose configuration it has.
    pub(crate) route: String,
    pub(crate) errand: Errand,
}

static POST: LazyLock<Mutex<HashMap<u32, Vec<Mail>>>> = LazyLock::new(Mutex::default);

impl Letter {
    /// Takes over a callout; that it cannot be sent shows later.
    pub(crate) fn of(callout: &Callout<'_>, _root: u32, _context: u32) -> Option<Self> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Some(Self {
            cluster: callout.cluster.to_owned(),
            headers: callout.headers.iter().map(owned).collect(),
            body: callout.body.to_vec(),
            timeout_ms: callout.timeout_ms,
        })
    }

    /// Sends it, from the main thread; the token that names it when it ends.
    pub(crate) fn send(self) -> Option<u32> {
        let headers = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let of_main_thread = format!("{}{OF_MAIN_THREAD}", self.cluster);
        let callout =
            Callout { cluster: &of_main_thread, headers, body: &self.body, timeout_ms: self.timeout_ms };
        hostcalls::send_callout(&callout)
            .or_else(|| hostcalls::send_callout(&Callout { cluster: &self.cluster, ..callout }))
    }
}

/// Hands an errand of a worker to the main thread; back if this is the main thread.
pub(crate) fn mail(root: u32, at: usize, route: &str, errand: Errand) -> Option<Errand> {
    if current::stream().is_none() {
        return Some(errand);
    }
    // Locked first, so that a configuration that ends meanwhile takes this along ([`take`]). Of one that Envoy has no longer
    // nobody does errands; its notes say what that means.
    let mut post = lock(&POST);
    let scheduler = config::scheduler(root)?;
    post.entry(root).or_default().push(Mail { at, route: route.to_owned(), errand });
    drop(post);
    scheduler.post(EVENT);
    None
}

/// The errands of a configuration, which are taken with that.
pub(crate) fn take(config: u32) -> Vec<Mail> {
    lock(&POST).remove(&config).unwrap_or_default()
}
