//! The facts of one exchange, kept in the worker's memory: a read of Envoy's filter state costs a microsecond or more
//! (1.40), a read here some fifty nanoseconds.
//!
//! A chain that is told what to publish keeps its facts here, and one that joins it in the provider stage finds them by
//! a name that stands in filter state. In another VM they are not found; what is published stands in filter state, too.

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::rc::{Rc, Weak};

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

use crate::by_number::ByNumber;
use crate::{abi, platform};

/// The property that names an exchange's facts, for the other stage.
const NAME: &[u8] = b"ai.facts";

thread_local! {
    static EXCHANGES: RefCell<ByNumber<Weak<Facts>>> = RefCell::default();
    /// Tells this VM from others, whose contexts have the same numbers.
    static VM: Cell<u64> = const { Cell::new(0) };
}

/// Where the facts of an exchange are.
pub(crate) enum Store {
    /// In Envoy's filter state, where every filter of any VM finds them.
    FilterState,
    /// In this VM.
    Memory(Rc<Facts>),
}

/// The facts of one exchange, and which of them are published as well.
pub(crate) struct Facts {
    context: u32,
    publish: Rc<[String]>,
    table: RefCell<Table>,
}

/// Names and values in one piece of memory.
struct Table {
    bytes: Vec<u8>,
    facts: HashTable<Entry>,
}

/// Room for the facts of a usual exchange: how many, and bytes of their names and values.
const USUAL: (usize, usize) = (28, 768);

/// Where a fact lies.
struct Entry {
    name: Range<usize>,
    value: Range<usize>,
    /// End of the room for the value: one that is set again and again, as the tokens of a stream are, moves only to grow.
    room: usize,
}

impl Store {
    /// The store of a stream of `context` that publishes `publish`; it `joins` the exchange of a chain before it.
    pub(crate) fn open(context: u32, publish: Option<&Rc<[String]>>, joins: bool) -> Self {
        match publish {
            None => Self::FilterState,
            Some(_) if joins => join().map_or(Self::FilterState, Self::Memory),
            Some(publish) => Self::Memory(Facts::begin(context, publish)),
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<Vec<u8>> {
        match self {
            Self::FilterState => abi::property(name.as_bytes()),
            Self::Memory(facts) => facts.table.borrow().get(name).map(<[u8]>::to_vec),
        }
    }

    /// Shows the fact to `read`, which sets none.
    pub(crate) fn read(&self, name: &str, read: &mut dyn FnMut(&[u8])) {
        match self {
            Self::FilterState => abi::property(name.as_bytes()).iter().for_each(|value| read(value)),
            Self::Memory(facts) => facts.table.borrow().get(name).into_iter().for_each(read),
        }
    }

    pub(crate) fn set(&self, name: &str, value: &[u8]) {
        if let Self::Memory(facts) = self {
            facts.table.borrow_mut().set(name, value);
            if !facts.publish.iter().any(|published| published == name) {
                return;
            }
        }
        abi::set_property(name.as_bytes(), value);
    }
}

/// The facts of the exchange that the stream at hand is an attempt of.
fn join() -> Option<Rc<Facts>> {
    let facts = find()?;
    platform::join(facts.context);
    Some(facts)
}

/// The facts that filter state names, if they are in this VM.
fn find() -> Option<Rc<Facts>> {
    let name = abi::property(NAME)?;
    let (context, vm) = name.split_first_chunk()?;
    let known =
        EXCHANGES.with_borrow(|known| known.get(&u32::from_le_bytes(*context)).and_then(Weak::upgrade));
    known.filter(|_| *vm == VM.get().to_le_bytes())
}

impl Facts {
    fn begin(context: u32, publish: &Rc<[String]>) -> Rc<Self> {
        if VM.get() == 0 {
            VM.set(abi::now_ns());
        }
        let facts = Rc::new(Self { context, publish: Rc::clone(publish), table: RefCell::default() });
        EXCHANGES.with_borrow_mut(|exchanges| exchanges.insert(context, Rc::downgrade(&facts)));
        abi::set_property(NAME, &[&context.to_le_bytes()[..], &VM.get().to_le_bytes()].concat());
        facts
    }
}

impl Drop for Facts {
    fn drop(&mut self) {
        EXCHANGES.with_borrow_mut(|exchanges| exchanges.remove(&self.context));
    }
}

impl Default for Table {
    fn default() -> Self {
        let (facts, bytes) = USUAL;
        Self { bytes: Vec::with_capacity(bytes), facts: HashTable::with_capacity(facts) }
    }
}

impl Table {
    fn get(&self, name: &str) -> Option<&[u8]> {
        let Self { bytes, facts } = self;
        let entry = facts.find(xxh3_64(name.as_bytes()), |entry| entry.is(bytes, name))?;
        bytes.get(entry.value.clone())
    }

    fn set(&mut self, name: &str, value: &[u8]) {
        let Self { bytes, facts } = self;
        let digest = xxh3_64(name.as_bytes());
        if let Some(entry) = facts.find_mut(digest, |entry| entry.is(bytes, name)) {
            return entry.overwrite(bytes, value);
        }
        let (name, value) = (keep(bytes, name.as_bytes()), keep(bytes, value));
        let entry = Entry { name, room: value.end, value };
        let digest_of = |entry: &Entry| xxh3_64(bytes.get(entry.name.clone()).unwrap_or_default());
        facts.insert_unique(digest, entry, digest_of);
    }
}

impl Entry {
    fn is(&self, bytes: &[u8], name: &str) -> bool {
        bytes.get(self.name.clone()) == Some(name.as_bytes())
    }

    /// Puts `value` where the old one stands, if there is room, and else behind all others.
    fn overwrite(&mut self, bytes: &mut Vec<u8>, value: &[u8]) {
        let end = self.value.start.saturating_add(value.len());
        if let Some(place) = bytes.get_mut(self.value.start..end.min(self.room))
            && place.len() == value.len()
        {
            place.copy_from_slice(value);
            self.value.end = end;
        } else {
            self.value = keep(bytes, value);
            self.room = self.value.end;
        }
    }
}

fn keep(bytes: &mut Vec<u8>, part: &[u8]) -> Range<usize> {
    let start = bytes.len();
    bytes.extend_from_slice(part);
    start..bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fact_has_the_last_value_it_was_given() {
        let mut table = Table::default();
        assert_eq!(table.get("ai.model"), None);
        for (name, value) in [("ai.model", "a"), ("ai.tier", ""), ("ai.model", "bcd"), ("ai.mode", "e")] {
            table.set(name, value.as_bytes());
            assert_eq!(table.get(name), Some(value.as_bytes()));
        }
        assert_eq!(table.get("ai.model"), Some(&b"bcd"[..]));
        assert_eq!(table.get("ai.tier"), Some(&b""[..]));
    }

    #[test]
    fn a_fact_that_changes_for_ever_takes_bounded_room() {
        let mut table = Table::default();
        for tokens in 0..100_000_u32 {
            table.set("ai.usage.output", tokens.to_string().as_bytes());
            table.set("ai.tier", if tokens % 2 == 0 { b"a" } else { b"abc" });
        }
        assert_eq!(table.get("ai.usage.output"), Some(&b"99999"[..]));
        assert!(table.bytes.len() < 64, "{}", table.bytes.len());
    }
}
