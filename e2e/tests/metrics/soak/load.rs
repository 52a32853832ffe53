//! Sends requests at a steady pace, whatever becomes of them.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::bed::Metered;
use crate::client::{self, Got};
use crate::traffic::Planned;

/// Clients at the same time: enough that a few which wait for a hung provider hold up nobody.
const CLIENTS: usize = 12;

/// How fast, and for how long at a time.
#[derive(Clone, Copy)]
pub(super) struct Pace {
    /// Requests a second.
    pub(super) rate: u32,
    /// Length of a round.
    pub(super) round: Duration,
}

impl Pace {
    /// Requests of one round.
    pub(super) fn requests(&self) -> usize {
        usize::try_from(self.round.as_secs()).expect("minutes") * self.rate as usize
    }

    /// When the `n`th is due.
    fn due(&self, began: Instant, n: usize) -> Instant {
        began + Duration::from_secs(1) / self.rate * u32::try_from(n).expect("a round's requests")
    }
}

/// What came of all of them, in their order; `meanwhile` runs beside them.
pub(super) fn send(
    bed: &Metered,
    planned: &[Planned],
    pace: &Pace,
    meanwhile: impl FnOnce() + Send,
) -> Vec<Got> {
    let (next, got) = (AtomicUsize::new(0), Mutex::new(vec![Got::default(); planned.len()]));
    let began = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(meanwhile);
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut kept = None;
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let Some(one) = planned.get(n) else { return };
                    std::thread::sleep(pace.due(began, n).saturating_duration_since(Instant::now()));
                    let answer = client::ask(bed, one, &mut kept);
                    got.lock().expect("nobody panics")[n] = answer;
                }
            });
        }
    });
    got.into_inner().expect("nobody panics")
}
