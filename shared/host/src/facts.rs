//! The facts of one exchange, kept in the worker's memory: a read of Envoy's filter state costs a microsecond or more
//! (1.40), a read here some fifty nanoseconds.
//!
//! A chain that is told what to publish keeps its facts here, and one that joins it in the provider stage finds them by
//! a name that stands in filter state. In another VM they are not found; what is published stands in filter state, too.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ops::Range;
use std::rc::{Rc, Weak};

use crate::{abi, platform};

/// The property that names an exchange's facts, for the other stage.
const NAME: &[u8] = b"ai.facts";

thread_local! {
    static EXCHANGES: RefCell<HashMap<u32, Weak<Facts>>> = RefCell::default();
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
#[derive(Default)]
struct Table {
    bytes: Vec<u8>,
    facts: Vec<Entry>,
}

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

impl Table {
    fn get(&self, name: &str) -> Option<&[u8]> {
        let entry = self.facts.iter().find(|entry| self.is(entry, name))?;
        self.bytes.get(entry.value.clone())
    }

    fn set(&mut self, name: &str, value: &[u8]) {
        let at = self.facts.iter().position(|entry| self.is(entry, name));
        if at.and_then(|at| self.overwrite(at, value)).is_some() {
            return;
        }
        let value = self.keep(value);
        let room = value.end;
        match at.and_then(|at| self.facts.get_mut(at)) {
            Some(entry) => *entry = Entry { name: entry.name.clone(), value, room },
            None => {
                let name = self.keep(name.as_bytes());
                self.facts.push(Entry { name, value, room });
            }
        }
    }

    /// Puts `value` where the old one stands, if there is room.
    fn overwrite(&mut self, at: usize, value: &[u8]) -> Option<()> {
        let entry = self.facts.get_mut(at)?;
        let end = entry.value.start.checked_add(value.len()).filter(|end| *end <= entry.room)?;
        entry.value.end = end;
        self.bytes.get_mut(entry.value.clone())?.copy_from_slice(value);
        Some(())
    }

    fn is(&self, entry: &Entry, name: &str) -> bool {
        self.bytes.get(entry.name.clone()) == Some(name.as_bytes())
    }

    fn keep(&mut self, part: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(part);
        start..self.bytes.len()
    }
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
