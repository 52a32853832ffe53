//! The screen: laid out for 80 columns and 24 lines, and for more where there is more.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Cell, Clear, Paragraph, Row as Cells, Table};

use super::controls::{Column, Controls};
use super::history::Point;
use super::number::{count, curve};
use super::view::View;
use super::words::{self, Entry, Pane};

/// Columns from which times in all stand beside those of late.
const WIDE: u16 = 110;
/// Columns from which there are three columns of panes.
const WIDER: u16 = 132;

/// What the keys do.
const HELP: &str = "\
Tab, arrows    by consumer, model, provider, route
up, down       further rows; Home: the first ones
s, S           sort by the next column, the one before
r              the other way round
p, space       stand still, and go on
q, Esc, Ctrl-C end

now    the last ten seconds, or one interval if longer
total  since Envoy began
ttft   time to the first token
answer from the request to the end of its answer
gateway  what of that Sluice itself took";

/// Everything that a screen shows.
#[derive(Clone, Copy, Debug)]
pub struct Screen<'a> {
    /// Whom the numbers are from.
    pub address: &'a str,
    /// The numbers; `None` before there are any.
    pub view: Option<&'a View>,
    /// Why there are no newer ones.
    pub trouble: Option<&'a str>,
    /// What the keys have chosen.
    pub controls: &'a Controls,
    /// Colours may be used. Nothing is told by colour alone.
    pub is_coloured: bool,
}

impl Screen<'_> {
    /// Draws it all.
    pub fn draw(&self, frame: &mut Frame<'_>) {
        let tall = frame.area().height.saturating_sub(24) / 2;
        let [head, summary, curves, table, panes, foot] = Layout::vertical([
            Constraint::Length(1),
            Constraint::Length(5),
            Constraint::Length(2),
            Constraint::Min(2),
            Constraint::Length(tall.saturating_add(7)),
            Constraint::Length(1),
        ])
        .areas(frame.area());
        self.head(frame, head);
        match self.view {
            Some(view) => {
                self.summary(frame, summary, view);
                self.curves(frame, curves, view);
                self.table(frame, table, view);
                self.panes(frame, panes, view);
            }
            None if self.trouble.is_none() => frame.render_widget("asking ...", summary),
            None => {}
        }
        self.foot(frame, foot, table.height);
        if self.controls.help {
            help(frame);
        }
    }

    fn head(&self, frame: &mut Frame<'_>, area: Rect) {
        let known = match self.view {
            Some(view) => words::heading(self.address, view),
            None => format!("sluice top  {}", self.address),
        };
        let paused = if self.controls.paused { "  PAUSED" } else { "" };
        let line = match self.trouble {
            Some(trouble) => Line::styled(format!("{trouble}{paused}"), self.bad()),
            None => Line::from(format!("{known}{paused}")),
        };
        frame.render_widget(line.style(Modifier::REVERSED), area);
    }

    fn foot(&self, frame: &mut Frame<'_>, area: Rect, room: u16) {
        let keys = "Tab by  s sort  r reverse  p pause  ? help  q quit";
        frame.render_widget(Line::styled(keys, Modifier::DIM), area);
        let rows = self.view.map_or(0, |view| view.rows(self.controls.by).len());
        if rows > usize::from(room.saturating_sub(1)) {
            frame.render_widget(Line::from(format!("{rows} rows: up, down")).right_aligned(), area);
        }
    }

    fn summary(&self, frame: &mut Frame<'_>, area: Rect, view: &View) {
        let [left, _, right] =
            Layout::horizontal([Constraint::Length(36), Constraint::Length(2), Constraint::Fill(1)])
                .areas(area);
        let rows = words::counts(view).map(|entry| {
            Cells::new([Cell::from(entry.what), end(entry.now), end(entry.total)])
                .style(self.mark(entry.is_bad))
        });
        let widths = [Constraint::Fill(1), Constraint::Length(11), Constraint::Length(8)];
        frame.render_widget(Table::new(rows, widths), left);

        let fitting = usize::from(right.width.saturating_sub(9) / 10);
        let shown = if area.width >= WIDE { 6 } else { fitting.min(3) };
        let captions = ["p50", "p95", "p99", "total p50", "p95", "p99"].map(str::to_owned);
        let rows = [("", captions)].into_iter().chain(words::times(view));
        let rows = rows.map(|(what, times)| {
            Cells::new([Cell::from(what)].into_iter().chain(times.into_iter().take(shown).map(end)))
        });
        let widths = vec![Constraint::Length(9); shown.saturating_add(1)];
        let [times, standing] = Layout::vertical([Constraint::Length(4), Constraint::Length(1)]).areas(right);
        frame.render_widget(Table::new(rows, widths), times);
        frame.render_widget(words::standing(view), standing);
    }

    fn curves(&self, frame: &mut Frame<'_>, area: Rect, view: &View) {
        let width = usize::from(area.width.saturating_sub(24));
        let line = |what: &str, pick: fn(&Point) -> f64| {
            let values: Vec<f64> = view.points.iter().map(pick).collect();
            let shown = values.get(values.len().saturating_sub(width)..).unwrap_or_default();
            let top = shown.iter().copied().fold(0.0, f64::max);
            Line::from(vec![
                Span::raw(format!("{what:<11}")),
                Span::styled(format!("{:>width$}", curve(&values, width)), self.colour(Color::Cyan)),
                Span::raw(format!(" top {:>6}/s", count(top))),
            ])
        };
        let lines = [line("requests", |point| point.requests), line("tokens", |point| point.tokens)];
        frame.render_widget(Paragraph::new(lines.to_vec()), area);
    }

    fn table(&self, frame: &mut Frame<'_>, area: Rect, view: &View) {
        let controls = self.controls;
        let rows = controls.sorted(view.rows(controls.by));
        let room = usize::from(area.height.saturating_sub(1));
        let skip = controls.skip.min(rows.len().saturating_sub(room));
        let captions = [format!("by {}", controls.by.name())].into_iter();
        let captions = captions.chain(words::CAPTIONS.map(str::to_owned)).zip(Column::ALL);
        let captions = captions.map(|(caption, column)| {
            let arrow = if controls.reversed { "^" } else { "v" };
            let caption = if controls.sort == column { format!("{arrow}{caption}") } else { caption };
            if column == Column::Name { Cell::from(caption) } else { end(caption) }
        });
        let fitting = words::fitting(area.width);
        let captions = captions.take(fitting.len().saturating_add(1));
        let cells = rows.into_iter().skip(skip).map(|row| {
            let name = [Cell::from(words::name(row).to_owned())];
            let numbers = words::cells(row).map(end).into_iter().take(fitting.len());
            Cells::new(name.into_iter().chain(numbers)).style(self.mark(row.errors > Some(ALARMING)))
        });
        let widths = [Constraint::Fill(1)].into_iter().chain(fitting.iter().copied().map(Constraint::Length));
        frame.render_widget(Table::new(cells, widths).header(Cells::new(captions).style(title())), area);
    }

    fn panes(&self, frame: &mut Frame<'_>, area: Rect, view: &View) {
        let panes = words::panes(view);
        let number = if area.width >= WIDER { 3 } else { 2 };
        let columns = Layout::horizontal(vec![Constraint::Fill(1); number]).spacing(2).split(area);
        let share = panes.len().div_ceil(number);
        for (column, panes) in columns.iter().zip(panes.chunks(share)) {
            self.pane(frame, *column, panes);
        }
    }

    /// Panes one below the other; what does not fit is counted.
    fn pane(&self, frame: &mut Frame<'_>, area: Rect, panes: &[Pane]) {
        let titles = panes.iter().map(|pane| pane.title).collect::<Vec<_>>().join(", ");
        let [now, total] = words::COUNTS.map(|caption| end(caption.to_owned()));
        let room = usize::from(area.height.saturating_sub(1));
        let (shown, hidden) = fit(panes, room);
        let rows = shown.into_iter().map(|entry| {
            Cells::new([Cell::from(entry.what.clone()), end(entry.now.clone()), end(entry.total.clone())])
                .style(self.mark(entry.is_bad))
        });
        let more = (hidden > 0).then(|| Cells::new([format!("{hidden} more")]).style(Modifier::DIM));
        let widths = [Constraint::Fill(1), Constraint::Length(5), Constraint::Length(6)];
        let header = Cells::new([Cell::from(titles), now, total]).style(title());
        frame.render_widget(Table::new(rows.chain(more), widths).header(header), area);
    }

    fn mark(&self, is_bad: bool) -> Style {
        if is_bad { self.bad() } else { Style::new() }
    }

    fn bad(&self) -> Style {
        self.colour(Color::Red).add_modifier(Modifier::BOLD)
    }

    fn colour(&self, colour: Color) -> Style {
        if self.is_coloured { Style::new().fg(colour) } else { Style::new() }
    }
}

/// Errors of a hundred requests from which a row is marked.
const ALARMING: f64 = 5.0;

fn title() -> Style {
    Style::new().add_modifier(Modifier::BOLD | Modifier::UNDERLINED)
}

fn end(text: String) -> Cell<'static> {
    Cell::from(Line::from(text).right_aligned())
}

/// The entries that there is room for, every pane's first ones before any other's second, and how many there is none for.
fn fit(panes: &[Pane], room: usize) -> (Vec<&Entry>, usize) {
    let all: usize = panes.iter().map(|pane| pane.entries.len()).sum();
    let room = if all > room { room.saturating_sub(1) } else { room };
    let mut shares = vec![0_usize; panes.len()];
    for turn in (0..room).flat_map(|_| 0..panes.len()) {
        let used: usize = shares.iter().sum();
        if let (Some(share), Some(pane)) = (shares.get_mut(turn), panes.get(turn))
            && used < room
            && *share < pane.entries.len()
        {
            *share = share.saturating_add(1);
        }
    }
    let shown = panes.iter().zip(shares).flat_map(|(pane, share)| pane.entries.iter().take(share));
    let shown: Vec<_> = shown.collect();
    let hidden = all.saturating_sub(shown.len());
    (shown, hidden)
}

fn help(frame: &mut Frame<'_>) {
    let area = frame.area().centered(Constraint::Length(62), Constraint::Length(15));
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(HELP).block(Block::bordered().title("sluice top")), area);
}

#[cfg(test)]
mod tests;
