//! Metrics: counted in memory, and handed to Envoy a little later by its main thread, on a timer, so that no count calls it.
//!
//! Envoy makes labels into a name at each count (1.40), which costs a microsecond or two; here a count is an addition.
#![allow(unsafe_code, reason = "Envoy's functions are foreign")]

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, Once, OnceLock};

use sluice_core::metric::{self, Family, Kind};

use super::ffi::{self, Bytes, Handle};
use super::hostcalls::log;
use super::lock;
use super::process::process;
use crate::abi::{Level, MetricType};

/// Most values of one histogram that wait to be told: more than a thread can record in the time.
const MAX_VALUES: usize = 100_000;

/// Every family that a filter of the module counts by, in the order in which they are defined.
static FAMILIES: OnceLock<Vec<&'static Family>> = OnceLock::new();

/// One series of a family.
#[derive(Debug)]
struct Series {
    family: usize,
    kind: Kind,
    /// Values, in the order of the family's labels.
    labels: Vec<Box<str>>,
    by: AtomicI64,
    values: Mutex<Vec<u64>>,
    has_changed: AtomicBool,
}

static SERIES: LazyLock<Mutex<HashMap<Box<str>, Arc<Series>>>> = LazyLock::new(Mutex::default);
static CHANGED: Mutex<Vec<Arc<Series>>> = Mutex::new(Vec::new());

thread_local! {
    /// Those that this thread knows, by the number that it has for each.
    static KNOWN: RefCell<Vec<Arc<Series>>> = const { RefCell::new(Vec::new()) };
}

/// Takes down the families of the module.
pub(crate) fn declare(families: impl Iterator<Item = &'static Family>) {
    let mut all: Vec<&'static Family> = vec![&metric::HELD_BYTES];
    for family in families {
        if all.iter().all(|known| known.name != family.name) {
            all.push(family);
        }
    }
    let _ = FAMILIES.set(all);
}

fn families() -> &'static [&'static Family] {
    FAMILIES.get().map_or(&[], Vec::as_slice)
}

/// Defines all families; Envoy's number for each.
pub(crate) fn define(config: Handle) -> Vec<usize> {
    families().iter().map(|family| define_family(config, family)).collect()
}

fn define_family(config: Handle, family: &Family) -> usize {
    let labels: Vec<Bytes> = family.labels.iter().map(|label| Bytes::of(label.name().as_bytes())).collect();
    let define = match family.kind {
        Kind::Counter => ffi::envoy_dynamic_module_callback_bootstrap_extension_config_define_counter,
        Kind::Gauge => ffi::envoy_dynamic_module_callback_bootstrap_extension_config_define_gauge,
        Kind::Histogram => ffi::envoy_dynamic_module_callback_bootstrap_extension_config_define_histogram,
    };
    let mut id = 0;
    // SAFETY: Envoy keeps the configuration that it is making, and copies what is pointed to.
    unsafe { define(config, Bytes::of(family.name.as_bytes()), labels.as_ptr(), labels.len(), &raw mut id) };
    id
}

/// This thread's number for a series; `None`: no filter has declared it.
pub(crate) fn number(kind: MetricType, name: &str) -> Option<u32> {
    let kind = match kind {
        MetricType::Counter => Kind::Counter,
        MetricType::Gauge => Kind::Gauge,
        MetricType::Histogram => Kind::Histogram,
    };
    let series = find(kind, name)?;
    KNOWN.with_borrow_mut(|known| {
        let number = u32::try_from(known.len()).ok()?;
        known.push(series);
        Some(number)
    })
}

fn find(kind: Kind, name: &str) -> Option<Arc<Series>> {
    let mut all = lock(&SERIES);
    if let Some(series) = all.get(name) {
        return Some(Arc::clone(series));
    }
    let family = families().iter().position(|family| family.holds(kind, name))?;
    let labels = families().get(family)?.labels.iter();
    let (_, given) = metric::parse(name);
    let given: HashMap<&str, &str> = given.collect();
    let value = |label: &metric::Label| given.get(label.name()).copied().unwrap_or_default().into();
    let series = Arc::new(Series {
        family,
        kind,
        labels: labels.map(value).collect(),
        by: AtomicI64::new(0),
        values: Mutex::default(),
        has_changed: AtomicBool::new(false),
    });
    all.insert(name.into(), Arc::clone(&series));
    Some(series)
}

/// Adds to the counter or gauge of this number.
pub(crate) fn add(number: u32, by: i64) {
    with(number, |series| {
        series.by.fetch_add(by, Ordering::Relaxed);
    });
}

/// Records a value in the histogram of this number.
pub(crate) fn record(number: u32, value: u64) {
    with(number, |series| {
        let mut values = lock(&series.values);
        if values.len() < MAX_VALUES {
            values.push(value);
        }
    });
}

fn with(number: u32, change: impl FnOnce(&Series)) {
    let at = usize::try_from(number).unwrap_or(usize::MAX);
    KNOWN.with_borrow(|known| {
        let Some(series) = known.get(at) else { return };
        // Where nobody is ever told, nothing is kept.
        if process().is_none() {
            return missing();
        }
        change(series);
        if !series.has_changed.swap(true, Ordering::AcqRel) {
            lock(&CHANGED).push(Arc::clone(series));
        }
    });
}

fn missing() {
    static TOLD: Once = Once::new();
    TOLD.call_once(|| log(Level::Error, "no metrics: the module is not among Envoy's bootstrap_extensions"));
}

/// Tells Envoy of all that has changed; on the main thread.
pub(crate) fn tell(config: Handle, ids: &[usize]) {
    let changed = std::mem::take(&mut *lock(&CHANGED));
    for series in changed {
        series.has_changed.store(false, Ordering::Release);
        if let Some(id) = ids.get(series.family) {
            series.tell(config, *id);
        }
    }
}

impl Series {
    fn tell(&self, config: Handle, id: usize) {
        let labels: Vec<Bytes> = self.labels.iter().map(|value| Bytes::of(value.as_bytes())).collect();
        let by = self.by.swap(0, Ordering::AcqRel);
        let call = |tell: unsafe extern "C" fn(Handle, usize, *const Bytes, usize, u64) -> u32,
                    value: u64| {
            // SAFETY: Envoy keeps the configuration of the event at hand, and copies what is pointed to.
            unsafe { tell(config, id, labels.as_ptr(), labels.len(), value) };
        };
        match self.kind {
            Kind::Counter if by > 0 => {
                call(
                    ffi::envoy_dynamic_module_callback_bootstrap_extension_config_increment_counter,
                    by.unsigned_abs(),
                );
            }
            Kind::Gauge if by < 0 => {
                call(
                    ffi::envoy_dynamic_module_callback_bootstrap_extension_config_decrement_gauge,
                    by.unsigned_abs(),
                );
            }
            // By nothing, too: what has gone up and down again is a gauge that stands at 0, and Envoy is to know of it.
            Kind::Gauge => {
                call(
                    ffi::envoy_dynamic_module_callback_bootstrap_extension_config_increment_gauge,
                    by.unsigned_abs(),
                );
            }
            Kind::Histogram => {
                for value in std::mem::take(&mut *lock(&self.values)) {
                    call(
                        ffi::envoy_dynamic_module_callback_bootstrap_extension_config_record_histogram_value,
                        value,
                    );
                }
            }
            Kind::Counter => {}
        }
    }
}
