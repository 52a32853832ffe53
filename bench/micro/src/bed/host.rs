//! The calls of [`Bed`].

use sluice_core::filter::{
    Callout, CalloutError, CalloutId, Conflict, Headers, Host, Level, Note, Shared, Side, StreamId,
};

use super::{Bed, Call, Written};

impl Host for Bed {
    fn headers(&self, side: Side) -> Headers {
        self.tally(Call::Headers);
        self.seen(side)
    }

    fn header(&self, side: Side, name: &str) -> Option<Vec<u8>> {
        self.tally(Call::Header);
        self.seen(side).get(name).map(<[u8]>::to_vec)
    }

    fn set_header(&mut self, side: Side, name: &str, value: &str) {
        self.tally(Call::SetHeader);
        self.headers.push(Written { side, name: name.to_owned(), value: Some(value.as_bytes().to_vec()) });
    }

    fn remove_header(&mut self, side: Side, name: &str) {
        self.tally(Call::SetHeader);
        self.headers.push(Written { side, name: name.to_owned(), value: None });
    }

    fn set_body(&mut self, _: Side, body: &[u8]) {
        self.tally(Call::SetBody);
        self.body = Some(body.to_vec());
    }

    fn append_body(&mut self, _: Side, bytes: &[u8]) {
        self.tally(Call::SetBody);
        self.appended.extend_from_slice(bytes);
    }

    fn attribute(&self, path: &[&str]) -> Option<Vec<u8>> {
        self.tally(Call::Attribute);
        let is_asked = |name: &str| name.split('.').eq(path.iter().copied());
        self.base.attributes.iter().find(|(name, _)| is_asked(name)).map(|(_, value)| value.clone())
    }

    fn fact(&self, name: &str) -> Option<Vec<u8>> {
        self.tally(Call::Fact);
        let written = self.facts.iter().rev().find(|(fact, _)| fact == name).map(|(_, value)| value);
        written.or_else(|| self.base.facts.get(name)).cloned()
    }

    fn set_fact(&mut self, name: &str, value: &[u8]) {
        self.tally(Call::SetFact);
        self.facts.push((name.to_owned(), value.to_vec()));
    }

    fn now_ns(&self) -> u64 {
        self.tally(Call::Clock);
        self.base.now_ns + self.later_ns
    }

    fn idle_ms(&self, _: Side) -> u64 {
        self.tally(Call::Other);
        0
    }

    fn wake_after(&mut self, _: u64) {
        self.tally(Call::Other);
    }

    fn stream(&self) -> StreamId {
        StreamId(1)
    }

    fn hasten(&mut self, _: StreamId) {
        self.tally(Call::Other);
    }

    fn callout(&mut self, _: &Callout<'_>) -> Result<CalloutId, CalloutError> {
        self.tally(Call::Other);
        Err(CalloutError::NotSent)
    }

    fn callout_detached(&mut self, _: &Callout<'_>, note: Note) -> Result<(), Note> {
        self.tally(Call::Other);
        Err(note)
    }

    fn wake_detached_after(&mut self, _: u64) {
        self.tally(Call::Other);
    }

    fn shared(&self, key: &str) -> Shared {
        self.tally(Call::Shared);
        self.shared.get(key).cloned().unwrap_or_default()
    }

    fn set_shared(&mut self, key: &str, value: &[u8], version: u32) -> Result<(), Conflict> {
        self.tally(Call::SetShared);
        let entry = self.shared.entry(key.to_owned()).or_default();
        if entry.version != version {
            return Err(Conflict);
        }
        entry.value.clear();
        entry.value.extend_from_slice(value);
        entry.version = version.wrapping_add(1).max(1);
        Ok(())
    }

    fn count(&mut self, _: &str, _: u64) {
        self.tally(Call::Metric);
    }

    fn observe(&mut self, _: &str, _: u64) {
        self.tally(Call::Metric);
    }

    fn adjust(&mut self, _: &str, _: i64) {
        self.tally(Call::Metric);
    }

    fn log(&mut self, _: Level, _: &str) {
        self.tally(Call::Other);
    }
}
