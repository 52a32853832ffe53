//! The facts of one exchange, kept in the worker's memory: a read of Envoy's filter state costs a microsecond or more
//! (1.40), a read here some fifty nanoseconds.
//!
//! A chain that is told what to publish keeps its facts here, and one that joins it in the provider stage finds them by
//! a name that stands in filter state. In another VM they are not found; what is published stands in filter state, too.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use sluice_core::context::{self, Fact};
use sluice_core::digits::Digits;

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
    known: [Option<Value>; context::ALL.len()],
    others: Vec<(String, Vec<u8>)>,
}

/// A value.
#[derive(Clone, Copy)]
enum Value {
    Text(Place),
    Number(u64),
}

/// Where a text lies.
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
            Self::Memory(facts) => facts.table.borrow().read(name, read),
        }
    }

    /// The fact as a number.
    pub(crate) fn number(&self, fact: Fact) -> Option<u64> {
        if let Self::Memory(facts) = self
            && let Some(Value::Number(number)) = facts.table.borrow().value(fact)
        {
            return Some(number);
        }
        let mut number = None;
        self.read(Name::Known(fact), &mut |value| number = Digits::read(value));
        number
    }

    pub(crate) fn set_number(&self, fact: Fact, number: u64) {
        if let Self::Memory(facts) = self {
            facts.table.borrow_mut().set_number(fact, number);
            if !facts.publishes(fact.0) {
                return;
            }
        }
        abi::set_fact(fact.0, Digits::of(number).as_str().as_bytes());
    }

    pub(crate) fn set(&self, name: Name<'_>, value: &[u8]) {
        if let Self::Memory(facts) = self {
            facts.table.borrow_mut().set(name, value);
            if !facts.publishes(name.text()) {
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

    fn publishes(&self, name: &str) -> bool {
        self.publish.iter().any(|published| published == name)
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
    fn value(&self, fact: Fact) -> Option<Value> {
        *self.known.get(fact.place())?
    }

    fn read(&self, name: Name<'_>, read: &mut dyn FnMut(&[u8])) {
        match name {
            Name::Known(fact) => match self.value(fact) {
                Some(Value::Text(Place { start, end, .. })) => {
                    read(self.bytes.get(start..end).unwrap_or_default());
                }
                Some(Value::Number(number)) => read(Digits::of(number).as_str().as_bytes()),
                None => {}
            },
            Name::Other(name) => {
                self.others.iter().filter(|(known, _)| known == name).for_each(|(_, value)| read(value));
            }
        }
    }

    fn set_number(&mut self, fact: Fact, number: u64) {
        if let Some(value) = self.known.get_mut(fact.place()) {
            *value = Some(Value::Number(number));
        }
    }

    fn set(&mut self, name: Name<'_>, value: &[u8]) {
        match name {
            Name::Known(fact) => {
                let Some(known) = self.known.get_mut(fact.place()) else { return };
                let old = known.and_then(Value::place);
                *known = Some(Value::Text(put(&mut self.bytes, old, value)));
            }
            Name::Other(name) => match self.others.iter_mut().find(|(known, _)| known == name) {
                Some((_, known)) => value.clone_into(known),
                None => self.others.push((name.to_owned(), value.to_vec())),
            },
        }
    }
}

impl Value {
    fn place(self) -> Option<Place> {
        match self {
            Self::Text(place) => Some(place),
            Self::Number(_) => None,
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

    fn get(table: &Table, name: &str) -> Option<Vec<u8>> {
        let mut value = None;
        table.read(Name::of(name), &mut |read| value = Some(read.to_vec()));
        value
    }

    #[test]
    fn a_fact_has_the_last_value_it_was_given() {
        let mut table = Table::default();
        assert_eq!(get(&table, "ai.model"), None);
        for (name, value) in
            [("ai.model", "a"), ("ai.tier", ""), ("ai.model", "bcd"), ("my.own", "e"), ("my.own", "fg")]
        {
            table.set(Name::of(name), value.as_bytes());
            assert_eq!(get(&table, name).as_deref(), Some(value.as_bytes()));
        }
        assert_eq!(get(&table, "ai.model").as_deref(), Some(&b"bcd"[..]));
        assert_eq!(get(&table, "ai.tier").as_deref(), Some(&b""[..]));
        assert_eq!(get(&table, "my"), None);
        table.set_number(context::MODEL, 40);
        assert_eq!(get(&table, "ai.model").as_deref(), Some(&b"40"[..]));
        table.set(Name::Known(context::MODEL), b"");
        assert_eq!(get(&table, "ai.model").as_deref(), Some(&b""[..]));
    }

    #[test]
    fn a_fact_that_changes_for_ever_takes_bounded_room() {
        let mut table = Table::default();
        for tokens in 0..100_000_u32 {
            table.set(Name::Known(context::OUTPUT_TOKENS), tokens.to_string().as_bytes());
            table.set(Name::Known(context::TIER), if tokens % 2 == 0 { b"a" } else { b"abc" });
            table.set_number(context::INPUT_TOKENS, tokens.into());
        }
        assert_eq!(get(&table, "ai.usage.output").as_deref(), Some(&b"99999"[..]));
        assert_eq!(get(&table, "ai.usage.input").as_deref(), Some(&b"99999"[..]));
        assert!(table.bytes.len() < 64, "{}", table.bytes.len());
    }
}
