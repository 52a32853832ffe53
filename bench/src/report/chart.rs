//! Horizontal bars and lines over time as SVG, plain enough to be read as text.

use std::fmt::Write as _;

use super::number;

/// Pixels of a whole chart.
const WIDTH: f64 = 760.0;
/// Where bars begin.
const LEFT: f64 = 230.0;
/// Room behind the longest bar, for its value.
const RIGHT: f64 = 90.0;
/// From one bar to the next.
const STEP: f64 = 26.0;
/// Above the first bar.
const TOP: f64 = 52.0;
/// Height of the plot of lines.
const PLOT: f64 = 220.0;

/// What we measure, what it is measured by, what comes third.
const COLOURS: [&str; 4] = ["#1f6feb", "#8b949e", "#bf8700", "#1a7f37"];

/// One bar.
#[derive(Clone, Debug)]
pub(super) struct Bar {
    /// What stands before it.
    pub(super) label: String,
    /// How long it is.
    pub(super) value: f64,
    /// Which colour it has; those of one kind have one.
    pub(super) kind: usize,
}

/// A chart of bars.
#[derive(Clone, Debug, Default)]
pub(super) struct Bars {
    /// Above everything.
    pub(super) title: String,
    /// Behind every value.
    pub(super) unit: String,
    /// From top to bottom.
    pub(super) bars: Vec<Bar>,
    /// A line across at this value, and what it says.
    pub(super) mark: Option<(f64, &'static str)>,
    /// Each step is ten times the one before: for what differs a hundredfold.
    pub(super) log: bool,
}

impl Bars {
    /// The whole SVG.
    pub(super) fn svg(&self) -> String {
        let height = TOP + STEP * self.bars.len() as f64 + 14.0;
        let mut svg = begin(&self.title, height);
        let most = self
            .bars
            .iter()
            .map(|bar| bar.value)
            .chain(self.mark.map(|(value, _)| value))
            .fold(0.0, f64::max);
        let length = |value: f64| (WIDTH - LEFT - RIGHT) * self.share(value, most);
        for (index, bar) in self.bars.iter().enumerate() {
            let y = TOP + STEP * index as f64;
            let colour = COLOURS.get(bar.kind).unwrap_or(&COLOURS[0]);
            let end = LEFT + length(bar.value);
            text(&mut svg, LEFT - 8.0, y + 13.0, "end", &bar.label);
            let _ = writeln!(
                svg,
                "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{:.1}\" height=\"18\" rx=\"2\" fill=\"{colour}\"/>",
                length(bar.value).max(1.0)
            );
            text(&mut svg, end + 6.0, y + 13.0, "start", &format!("{} {}", number(bar.value), self.unit));
        }
        if let Some((value, says)) = self.mark {
            let x = LEFT + length(value);
            let _ = writeln!(
                svg,
                "<line x1=\"{x:.1}\" y1=\"{:.1}\" x2=\"{x:.1}\" y2=\"{:.1}\" stroke=\"#cf222e\" stroke-dasharray=\"4 3\"/>",
                TOP - 6.0,
                height - 10.0
            );
            text(&mut svg, x, TOP - 10.0, "middle", says);
        }
        svg + "</svg>\n"
    }

    /// Which part of the full length a value has.
    fn share(&self, value: f64, most: f64) -> f64 {
        if !self.log {
            return (value / most.max(f64::MIN_POSITIVE)).clamp(0.0, 1.0);
        }
        let least = self.bars.iter().map(|bar| bar.value).fold(most, f64::min) / 2.0;
        let (value, least, most) = (value.max(least).ln(), least.max(1e-9).ln(), most.max(1e-9).ln());
        ((value - least) / (most - least).max(1e-9)).clamp(0.0, 1.0)
    }
}

/// A line over the course of a run.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// Which one it is.
    pub(super) label: String,
    /// In even steps.
    pub(super) values: Vec<f64>,
}

/// Lines from zero up, over even steps.
pub(super) fn lines(title: &str, unit: &str, below: &str, lines: &[Line]) -> String {
    let mut svg = begin(title, TOP + PLOT + 40.0);
    let most =
        lines.iter().flat_map(|line| line.values.iter().copied()).fold(f64::MIN_POSITIVE, f64::max) * 1.1;
    let width = WIDTH - 60.0 - RIGHT;
    let bottom = TOP + PLOT;
    let _ = writeln!(
        svg,
        "<path d=\"M60 {TOP}V{bottom}H{:.1}\" fill=\"none\" stroke=\"#8b949e\"/>",
        60.0 + width
    );
    text(&mut svg, 54.0, TOP + 10.0, "end", &number(most));
    text(&mut svg, 54.0, bottom, "end", &format!("0 {unit}"));
    text(&mut svg, 60.0 + width / 2.0, bottom + 22.0, "middle", below);
    for (index, line) in lines.iter().enumerate() {
        let step = width / line.values.len().saturating_sub(1).max(1) as f64;
        let point = |(at, value): (usize, &f64)| {
            format!("{:.1},{:.1}", 60.0 + step * at as f64, bottom - PLOT * value / most)
        };
        let points: Vec<_> = line.values.iter().enumerate().map(point).collect();
        let colour = COLOURS.get(index).unwrap_or(&COLOURS[0]);
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            points.join(" ")
        );
        let last = bottom - PLOT * line.values.last().copied().unwrap_or_default() / most;
        text(&mut svg, 66.0 + width, last + 4.0, "start", &line.label);
    }
    svg + "</svg>\n"
}

/// White below everything: the page around may be dark.
fn begin(title: &str, height: f64) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"system-ui, sans-serif\" \
         font-size=\"13\" fill=\"#1f2328\">\n<rect width=\"{WIDTH}\" height=\"{height}\" rx=\"6\" fill=\"#ffffff\"/>\n"
    );
    let _ = writeln!(
        svg,
        "<text x=\"16\" y=\"24\" font-size=\"15\" font-weight=\"600\">{}</text>",
        escaped(title)
    );
    svg
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, says: &str) {
    let _ =
        writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>", escaped(says));
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
