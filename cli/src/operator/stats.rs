//! What a cache holds and how often it was hit, as text and as JSON.

use std::fmt;

use serde_json::{Value, json};

/// What a cache holds and how often it was hit. Displays as text for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Where it is kept: `memory` or `redis`.
    pub store: String,
    /// How many answers; `None`: the store does not tell.
    pub entries: Option<u64>,
    /// Their bytes.
    pub bytes: Option<u64>,
    /// Bytes that there is room for.
    pub capacity_bytes: Option<u64>,
    /// Requests that got an answer from it, since Envoy began.
    pub hits: u64,
    /// Of these, those that waited for the answer to an identical request.
    pub coalesced: u64,
    /// Requests that were looked up in vain.
    pub misses: u64,
    /// Answers that were stored.
    pub stored: u64,
    /// Requests that were not looked up.
    pub bypasses: u64,
    /// Input tokens that hits would have cost.
    pub saved_input_tokens: u64,
    /// Output tokens that hits would have cost.
    pub saved_output_tokens: u64,
}

impl Stats {
    /// Reads what the cache says and what Envoy has counted; `None` if it is no cache.
    pub(super) fn read(held: &Value, counted: &Value) -> Option<Self> {
        let number = |name: &str| held.get(name).and_then(Value::as_u64);
        let count = |name: &str| count(counted, name);
        Some(Self {
            store: held.get("store")?.as_str()?.to_owned(),
            entries: number("entries"),
            bytes: number("bytes"),
            capacity_bytes: number("capacity_bytes"),
            hits: count("hits"),
            coalesced: count("coalesced"),
            misses: count("misses"),
            stored: count("stored"),
            bypasses: count("bypasses"),
            saved_input_tokens: count("saved_input_tokens"),
            saved_output_tokens: count("saved_output_tokens"),
        })
    }

    /// The same as one JSON object.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "store": self.store,
            "entries": self.entries,
            "bytes": self.bytes,
            "capacity_bytes": self.capacity_bytes,
            "hits": self.hits,
            "coalesced": self.coalesced,
            "misses": self.misses,
            "stored": self.stored,
            "bypasses": self.bypasses,
            "saved_input_tokens": self.saved_input_tokens,
            "saved_output_tokens": self.saved_output_tokens,
        })
    }
}

/// A counter of response-cache; 0 before it has counted anything.
fn count(counted: &Value, name: &str) -> u64 {
    let name = format!("wasmcustom.response_cache_{name}_total");
    let all = counted.get("stats").and_then(Value::as_array).into_iter().flatten();
    let own = all.filter(|stat| stat.get("name").and_then(Value::as_str) == Some(&name));
    own.filter_map(|stat| stat.get("value").and_then(Value::as_u64)).fold(0, u64::saturating_add)
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let room = self.capacity_bytes.map(|bytes| format!(", room for {}", about(bytes)));
        writeln!(f, "store         {}{}", self.store, room.unwrap_or_default())?;
        if let Some(entries) = self.entries {
            let bytes = self.bytes.map(|bytes| format!(", {}", about(bytes)));
            writeln!(f, "entries       {entries}{}", bytes.unwrap_or_default())?;
        }
        let looked = self.hits.saturating_add(self.misses);
        let share = self.hits.saturating_mul(1000).checked_div(looked).unwrap_or_default();
        let (hits, share) = (self.hits, tenths(share));
        writeln!(f, "hits          {hits} ({share} %), {} of them while it was on its way", self.coalesced)?;
        writeln!(f, "misses        {}, {} answers stored", self.misses, self.stored)?;
        writeln!(f, "bypasses      {}", self.bypasses)?;
        let (input, output) = (self.saved_input_tokens, self.saved_output_tokens);
        writeln!(f, "saved tokens  {input} input, {output} output")
    }
}

/// A size to a tenth of its unit.
fn about(bytes: u64) -> String {
    let units = [("GiB", 30_u32), ("MiB", 20), ("KiB", 10)];
    match units.into_iter().find(|(_, shift)| bytes >> shift > 0) {
        Some((unit, shift)) => format!("{}{unit}", tenths(bytes.saturating_mul(10) >> shift)),
        None => format!("{bytes} bytes"),
    }
}

fn tenths(tenths: u64) -> String {
    let (whole, rest) =
        (tenths.checked_div(10).unwrap_or_default(), tenths.checked_rem(10).unwrap_or_default());
    if rest == 0 { whole.to_string() } else { format!("{whole}.{rest}") }
}
