//! The charts of the report; one without figures is left out.

use super::chart::{Bar, Bars, Line, lines};
use crate::goals::WHOLE;
use crate::record::{BARE, Figures, GATEWAY, MICRO, PEERS};
use crate::stats::median;

/// A chart that is ready.
pub(super) struct Chart {
    /// Its name in the folder of charts.
    pub(super) file: &'static str,
    /// What it shows, for who cannot see it.
    pub(super) alt: &'static str,
    /// Its content.
    pub(super) svg: String,
}

/// All that there are figures for.
pub(super) fn all(figures: &Figures) -> Vec<Chart> {
    let bars = [
        ("cpu.svg", "processor time per request beside a bare Envoy", cpu(figures)),
        ("peers.svg", "processor time per request of gateways", peers(figures)),
        ("plugins.svg", "processor time that each filter adds alone", plugins(figures)),
        ("ttft.svg", "added time to first token", ttft(figures)),
        ("redis.svg", "processor time with Redis near, far and dead", redis(figures)),
        ("micro.svg", "speed of the pure cores", micro(figures)),
    ];
    let ready = bars.into_iter().filter(|(_, _, bars)| !bars.bars.is_empty());
    let mut charts: Vec<_> = ready.map(|(file, alt, bars)| Chart { file, alt, svg: bars.svg() }).collect();
    charts.extend(memory(figures));
    charts
}

fn cpu(figures: &Figures) -> Bars {
    let workloads = ["chat-1k", "chat-16k", "chat-128k", "stream-20"];
    let names = |workload| figures.names(GATEWAY, workload).into_iter().filter(|name| *name != BARE);
    let pairs = workloads.into_iter().flat_map(|workload| names(workload).map(move |name| (workload, name)));
    let bar = |(workload, name): (&str, &str)| {
        let value = median(&figures.ratios(GATEWAY, workload, name, "cpu"))?;
        Some(Bar { label: format!("{workload}, {name}"), value, kind: usize::from(name != WHOLE) * 2 })
    };
    Bars {
        title: "CPU per request, as a multiple of bare Envoy's".to_owned(),
        unit: "×".to_owned(),
        bars: pairs.filter_map(bar).collect(),
        mark: Some((2.0, "goal of the whole chain")),
        log: false,
    }
}

/// Peers and our own whole chain, each by its ratio to the bare Envoy of its own run.
fn peers(figures: &Figures) -> Bars {
    let of = |suite, name, kind| {
        let value = median(&figures.ratios(suite, "chat-1k", name, "cpu"))?;
        let label = if suite == GATEWAY { format!("Sluice, {name} chain") } else { name.to_owned() };
        Some(Bar { label, value, kind })
    };
    let names = figures.names(PEERS, "chat-1k");
    let others = names.iter().filter(|name| **name != BARE).filter_map(|name| of(PEERS, name, 1));
    let mut bars: Vec<_> = others.collect();
    if !bars.is_empty() {
        bars.extend(of(GATEWAY, WHOLE, 0));
    }
    bars.sort_by(|one, other| one.value.total_cmp(&other.value));
    Bars {
        title: "CPU per 1 KB request of gateways, × bare Envoy (logarithmic)".to_owned(),
        unit: "×".to_owned(),
        bars,
        mark: None,
        log: true,
    }
}

fn plugins(figures: &Figures) -> Bars {
    let names = figures.names(GATEWAY, "plugins-1k");
    let bar = |name: &&str| {
        let value = median(&figures.added(GATEWAY, "plugins-1k", name, "cpu"))?;
        Some(Bar { label: (*name).to_owned(), value: value.max(0.0), kind: 0 })
    };
    Bars {
        title: "CPU that each filter alone adds to a 1 KB request".to_owned(),
        unit: "µs".to_owned(),
        bars: names.iter().filter(|name| **name != BARE).filter_map(bar).collect(),
        ..Bars::default()
    }
}

fn ttft(figures: &Figures) -> Bars {
    let rows = [("stream-50-steady", "10 streams/s"), ("stream-50-crowd", "64 open at once")];
    let bar = |(workload, called): (&str, &str), metric: &str, share: &str, kind| {
        let value = median(&figures.added(GATEWAY, workload, WHOLE, metric))?;
        Some(Bar { label: format!("{called}, {share}"), value: value.max(0.0), kind })
    };
    let both =
        rows.into_iter().flat_map(|row| [bar(row, "ttft_p50", "p50", 0), bar(row, "ttft_p99", "p99", 2)]);
    Bars {
        title: "Time to first token that the whole chain adds".to_owned(),
        unit: "ms".to_owned(),
        bars: both.flatten().collect(),
        ..Bars::default()
    }
}

fn redis(figures: &Figures) -> Bars {
    let names = figures.names(GATEWAY, "redis");
    let bar = |name: &&str| {
        let value = median(&figures.ratios(GATEWAY, "redis", name, "cpu"))?;
        Some(Bar { label: (*name).to_owned(), value, kind: usize::from(*name != "local") * 2 })
    };
    Bars {
        title: "CPU per request where limits are counted in Redis, × bare Envoy".to_owned(),
        unit: "×".to_owned(),
        bars: names.iter().filter(|name| **name != BARE).filter_map(bar).collect(),
        ..Bars::default()
    }
}

/// What is told in bytes a second, of which most is best.
fn micro(figures: &Figures) -> Bars {
    let is_rate = |workload: &&str| {
        figures.all().iter().any(|figure| figure.workload == **workload && figure.unit == "MB/s")
    };
    let workloads = figures.workloads(MICRO).into_iter().filter(is_rate);
    let bar = |workload: &str, (name, kind): (&str, usize)| {
        let value = median(&figures.values(MICRO, workload, name, "rate"))?;
        Some(Bar { label: format!("{workload}, {name}"), value, kind })
    };
    let both = workloads.flat_map(|workload| [("native", 1), ("wasm", 0)].map(|name| bar(workload, name)));
    Bars {
        title: "Pure cores, bytes a second (logarithmic)".to_owned(),
        unit: "MB/s".to_owned(),
        bars: both.flatten().collect(),
        mark: None,
        log: true,
    }
}

fn memory(figures: &Figures) -> Option<Chart> {
    let course = |workload: &str, name: &str, label: &str| {
        let values = figures.values(GATEWAY, workload, name, "rss");
        (!values.is_empty()).then(|| Line { label: label.to_owned(), values })
    };
    let both = [
        course("requests", WHOLE, "requests"),
        course("reloads", WHOLE, "reloads"),
        course("requests", BARE, "bare"),
    ];
    let all: Vec<_> = both.into_iter().flatten().collect();
    let svg = (!all.is_empty()).then(|| {
        lines(
            "Resident memory over 1,000,000 requests, then 1,000 reloads",
            "MB",
            "twenty looks at each",
            &all,
        )
    })?;
    Some(Chart { file: "memory.svg", alt: "resident memory over requests and reloads", svg })
}
