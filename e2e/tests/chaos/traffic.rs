//! Mixed requests, each with what must come of it: the load under which things go wrong.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::json;

use crate::bed::Bed;
use crate::client::{self, Ask, Got};

/// Clients of a load.
const CLIENTS: usize = 6;

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Plain,
    Stream,
    /// Runs for more than a second.
    Long,
    Fallback,
    Mistaken,
    Leaves,
    ErrorEvent,
    Trickle,
    WildReset,
}

use Kind::{ErrorEvent, Fallback, Leaves, Long, Mistaken, Plain, Stream, Trickle, WildReset};

const KINDS: [Kind; 11] =
    [Plain, Stream, Long, Fallback, Plain, Mistaken, Leaves, Stream, ErrorEvent, Trickle, WildReset];

impl Kind {
    fn ask(self, bed: &Bed) -> Ask {
        let gpt = || Ask::new(bed, "gpt");
        match self {
            Plain => gpt(),
            Stream => gpt().stream(true),
            Long => gpt().stream(true).mock(json!({"*": {"events": 40, "gap_ms": 30}})),
            Fallback => gpt().mock(json!({"a": {"status": 503}})),
            Mistaken => gpt().mock(json!({"*": {"status": 400}})),
            Leaves => gpt().stream(true).mock(json!({"*": {"hang_after": 3}})).leaves_after(100),
            ErrorEvent => gpt().stream(true).mock(json!({"*": {"error_after": 3}})),
            Trickle => Ask::new(bed, "wild").stream(true).wild("trickle"),
            WildReset => Ask::new(bed, "wild").stream(true).wild("reset"),
        }
    }

    /// Whether this may come of it when nothing else is wrong.
    pub(crate) fn is_fine(self, got: &Got) -> bool {
        match self {
            Plain | Stream | Long | Fallback | Trickle | WildReset => got.is_whole(),
            Mistaken => got.status == 400 && got.clean,
            Leaves => got.status == 200,
            ErrorEvent => got.is_broken(),
        }
    }
}

/// All kinds, some times each, so that whatever is built on first use is.
#[track_caller]
pub(crate) fn warm(bed: &Bed) {
    for _ in 0..3 {
        let asks: Vec<Ask> = KINDS.iter().map(|kind| kind.ask(bed)).collect();
        client::send_all(bed, &asks);
    }
}

/// Sends mixed requests for as long as `meanwhile` runs. Returns what came of each.
#[track_caller]
pub(crate) fn during(bed: &Bed, meanwhile: impl FnOnce()) -> Vec<(Kind, Got)> {
    let (over, next, all) = (AtomicBool::new(false), AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        let _ends = Ends(&over); // however `meanwhile` ends
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let kind = KINDS[next.fetch_add(1, Ordering::Relaxed) % KINDS.len()];
                    let got = kind.ask(bed).send(bed);
                    all.lock().expect("nobody panics").push((kind, got));
                }
            });
        }
        meanwhile();
    });
    all.into_inner().expect("nobody panics")
}

/// Tells a load to end.
pub(crate) struct Ends<'a>(pub(crate) &'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
