//! The facts of one exchange, kept in the worker's memory: a read of Envoy's filter state costs a microsecond or more
//! (1.40), a read here some fifty nanoseconds.
//!
//! A chain that is told what to publish keeps its facts here, and one that joins it in the provider stage finds them by
//! a name that stands in filter state. In another VM they are not found; what is published stands in filter state, too.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use sluice_core::context::{self, Fact};

use crate::by_number::ByNumber;
use crate::{abi, platform};

/// The fact that names an exchange's facts, for the other stage.
const NAME: &str = "ai.facts";

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

/// What a fact is called.
#[derive(Clone, Copy)]
pub(crate) enum Name<'a> {
    /// One of the registry.
    Known(Fact),
    /// Any other.
    Other(&'a str),
}

/// The values, those of known facts in one piece of memory.
struct Table {
    bytes: Vec<u8>,
    known: [Option<Place>; context::ALL.len()],
    others: Vec<(String, Vec<u8>)>,
}

/// Where a value lies.
#[derive(Clone, Copy)]
struct Place {
    start: usize,
    end: usize,
    /// End of the room for the value: one that is set again and again, as the tokens of a stream are, moves only to grow.
    room: usize,
}

/// Room for the values of a usual exchange, in bytes.
const USUAL: usize = 512;

impl<'a> Name<'a> {
    pub(crate) fn of(name: &'a str) -> Self {
        Fact::named(name).map_or(Self::Other(name), Self::Known)
    }

    fn text(self) -> &'a str {
        match self {
            Self::Known(fact) => fact.0,
            Self::Other(name) => name,
        }
    }
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

    /// Shows the fact to `read`, which sets none.
    pub(crate) fn read(&self, name: Name<'_>, read: &mut dyn FnMut(&[u8])) {
        match self {
            Self::FilterState => abi::fact(name.text()).iter().for_each(|value| read(value)),
            Self::Memory(facts) => facts.table.borrow().get(name).into_iter().for_each(read),
        }
    }

    pub(crate) fn set(&self, name: Name<'_>, value: &[u8]) {
        if let Self::Memory(facts) = self {
            facts.table.borrow_mut().set(name, value);
            if !facts.publish.iter().any(|published| published == name.text()) {
                return;
            }
        }
        abi::set_fact(name.text(), value);
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
    let name = abi::fact(NAME)?;
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
        abi::set_fact(NAME, &[&context.to_le_bytes()[..], &VM.get().to_le_bytes()].concat());
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
        let known = [None; context::ALL.len()];
        Self { bytes: Vec::with_capacity(USUAL), known, others: Vec::new() }
    }
}

impl Table {
    fn get(&self, name: Name<'_>) -> Option<&[u8]> {
        match name {
            Name::Known(fact) => {
                let Place { start, end, .. } = (*self.known.get(fact.place())?)?;
                self.bytes.get(start..end)
            }
            Name::Other(name) => {
                self.others.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
            }
        }
    }

    fn set(&mut self, name: Name<'_>, value: &[u8]) {
        match name {
            Name::Known(fact) => {
                let Some(place) = self.known.get_mut(fact.place()) else { return };
                *place = Some(put(&mut self.bytes, *place, value));
            }
            Name::Other(name) => match self.others.iter_mut().find(|(known, _)| known == name) {
                Some((_, known)) => value.clone_into(known),
                None => self.others.push((name.to_owned(), value.to_vec())),
            },
        }
    }
}

/// Puts `value` where the old one stands, if there is room, and else behind all others.
fn put(bytes: &mut Vec<u8>, old: Option<Place>, value: &[u8]) -> Place {
    if let Some(Place { start, room, .. }) = old
        && let Some(end) = start.checked_add(value.len()).filter(|end| *end <= room)
        && let Some(place) = bytes.get_mut(start..end)
    {
        place.copy_from_slice(value);
        return Place { start, end, room };
    }
    let start = bytes.len();
    bytes.extend_from_slice(value);
    Place { start, end: bytes.len(), room: bytes.len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fact_has_the_last_value_it_was_given() {
        let mut table = Table::default();
        assert_eq!(table.get(Name::of("ai.model")), None);
        for (name, value) in
            [("ai.model", "a"), ("ai.tier", ""), ("ai.model", "bcd"), ("my.own", "e"), ("my.own", "fg")]
        {
            table.set(Name::of(name), value.as_bytes());
            assert_eq!(table.get(Name::of(name)), Some(value.as_bytes()));
        }
        assert_eq!(table.get(Name::Known(context::MODEL)), Some(&b"bcd"[..]));
        assert_eq!(table.get(Name::Known(context::TIER)), Some(&b""[..]));
        assert_eq!(table.get(Name::of("my")), None);
    }

    #[test]
    fn a_fact_that_changes_for_ever_takes_bounded_room() {
        let mut table = Table::default();
        for tokens in 0..100_000_u32 {
            table.set(Name::Known(context::OUTPUT_TOKENS), tokens.to_string().as_bytes());
            table.set(Name::Known(context::TIER), if tokens % 2 == 0 { b"a" } else { b"abc" });
        }
        assert_eq!(table.get(Name::of("ai.usage.output")), Some(&b"99999"[..]));
        assert!(table.bytes.len() < 64, "{}", table.bytes.len());
    }
}
