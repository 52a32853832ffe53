//! Runs cases in interleaved rounds and writes what each took.
//!
//! Its own, because criterion and divan do not run under WASI, and both halves of a comparison must be measured alike.

use std::io::{self, Write};
use std::rc::Rc;
use std::time::Duration;

use serde_json::json;

use crate::clock;

/// Least time of a batch: the clock of wasm counts microseconds.
const BATCH: Duration = Duration::from_millis(2);
/// How long a case runs before its first round, at least.
const WARM_UP: Duration = Duration::from_millis(10);

/// What one run of a case gets done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Something whole, such as a request: told as nanoseconds for each.
    Once,
    /// A decision: told as decisions per second.
    Decision,
    /// So many bytes: told as megabytes per second.
    Bytes(usize),
}

/// Something to measure.
pub(crate) struct Case {
    /// What is done, in a few words.
    pub(crate) workload: Rc<str>,
    work: Work,
    run: Box<dyn FnMut()>,
}

impl Case {
    /// `run` does the work once; what it makes goes through [`std::hint::black_box`].
    pub(crate) fn new(workload: impl Into<String>, work: Work, run: impl FnMut() + 'static) -> Self {
        Self { workload: workload.into().into(), work, run: Box::new(run) }
    }

    fn time(&mut self, times: u32) -> Duration {
        let start = clock::now();
        for _ in 0..times {
            (self.run)();
        }
        clock::now().saturating_sub(start)
    }

    /// How often it has to run in a batch; warms it up.
    fn calibrate(&mut self) -> u32 {
        let (mut times, mut spent) = (1_u32, Duration::ZERO);
        loop {
            let took = self.time(times);
            spent += took;
            if took >= BATCH && spent >= WARM_UP {
                return times;
            }
            if took < BATCH {
                times = times.saturating_mul(2);
            }
        }
    }

    fn figure(&self, took: Duration, times: u32) -> Figure {
        let each = took.as_secs_f64() / f64::from(times);
        match self.work {
            Work::Once => Figure { metric: "time", unit: "ns", value: each * 1e9 },
            Work::Decision => Figure { metric: "rate", unit: "1/s", value: 1.0 / each },
            Work::Bytes(bytes) => Figure { metric: "rate", unit: "MB/s", value: bytes as f64 / each / 1e6 },
        }
    }
}

/// What a case took in one round.
pub(crate) struct Line {
    workload: Rc<str>,
    round: u32,
    figure: Figure,
}

struct Figure {
    metric: &'static str,
    unit: &'static str,
    value: f64,
}

/// Measures every case once in each round, the rounds in changing order.
pub(crate) fn measure(cases: &mut [Case], rounds: u32) -> Vec<Line> {
    let times: Vec<u32> = cases.iter_mut().map(Case::calibrate).collect();
    let mut order: Vec<usize> = (0..cases.len()).collect();
    let (mut random, mut lines) = (Random(1), Vec::new());
    for round in 1..=rounds {
        random.shuffle(&mut order);
        for index in &order {
            let (Some(case), Some(times)) = (cases.get_mut(*index), times.get(*index)) else { continue };
            let took = case.time(*times);
            lines.push(Line {
                workload: Rc::clone(&case.workload),
                round,
                figure: case.figure(took, *times),
            });
        }
    }
    lines
}

/// A line of JSON for each.
pub(crate) fn write(lines: &[Line], name: &str, out: &mut impl Write) -> io::Result<()> {
    for Line { workload, round, figure: Figure { metric, unit, value } } in lines {
        let value = (value * 10.0).round() / 10.0;
        let line = json!({"suite": "micro", "workload": &**workload, "name": name, "metric": metric, "unit": unit,
                          "round": round, "value": value});
        writeln!(out, "{line}")?;
    }
    Ok(())
}

/// The median of each case, and its best and worst round.
pub(crate) fn table(lines: &[Line], out: &mut impl Write) -> io::Result<()> {
    let mut cases: Vec<(&str, &str, Vec<f64>)> = Vec::new();
    for Line { workload, figure, .. } in lines {
        match cases.iter_mut().find(|(name, ..)| *name == &**workload) {
            Some((_, _, values)) => values.push(figure.value),
            None => cases.push((workload, figure.unit, vec![figure.value])),
        }
    }
    cases.sort_by_key(|(name, ..)| *name);
    for (name, unit, mut values) in cases {
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or_default();
        let (least, median, most) = (at(0), at(values.len() / 2), at(values.len().saturating_sub(1)));
        writeln!(out, "{name:<48} {median:>12.0} {unit:<5} {least:>12.0} to {most:.0}")?;
    }
    Ok(())
}

/// The same numbers in every run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound.max(1)
    }

    fn shuffle(&mut self, order: &mut [usize]) {
        for last in (1..order.len()).rev() {
            order.swap(last, self.below(last + 1));
        }
    }
}
