//! What the keys have chosen.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::snapshot::By;
use super::view::Row;

/// A column of the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Column {
    /// Name.
    Name,
    /// Requests a second.
    #[default]
    Requests,
    /// Share of errors.
    Errors,
    /// Tokens read a second.
    Input,
    /// Tokens written a second.
    Output,
    /// Dollars an hour.
    Cost,
    /// Dollars in all.
    Spent,
    /// Time to the first token.
    FirstToken,
}

impl Column {
    /// All, in the order shown.
    pub const ALL: [Self; 8] = [
        Self::Name,
        Self::Requests,
        Self::Errors,
        Self::Input,
        Self::Output,
        Self::Cost,
        Self::Spent,
        Self::FirstToken,
    ];

    fn value(self, row: &Row) -> f64 {
        use super::buckets::Quantile::{About, Above};
        let value = match self {
            Self::Name => None,
            Self::Requests => row.requests,
            Self::Errors => row.errors,
            Self::Input => row.input,
            Self::Output => row.output,
            Self::Cost => row.cost,
            Self::Spent => Some(row.total.cost),
            Self::FirstToken => row.first_token().map(|(About(ms) | Above(ms))| ms),
        };
        value.unwrap_or(-1.0) // what is not known comes last
    }
}

/// What the keys have chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Controls {
    /// What the rows of the table are.
    pub by: By,
    /// What they are sorted by, the largest first; names from A.
    pub sort: Column,
    /// The other way round.
    pub reversed: bool,
    /// Rows left out at the top.
    pub skip: usize,
    /// The screen stands still.
    pub paused: bool,
    /// The keys are shown.
    pub help: bool,
}

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Nothing more than another look.
    Look,
    /// To end.
    Quit,
}

impl Controls {
    /// A key was pressed.
    pub fn press(&mut self, key: KeyEvent) -> Asked {
        if key.kind == KeyEventKind::Release {
            return Asked::Look;
        }
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c' | 'd') if control => return Asked::Quit,
            KeyCode::Char('q') => return Asked::Quit,
            KeyCode::Esc if self.help => self.help = false,
            KeyCode::Esc => return Asked::Quit,
            KeyCode::Tab | KeyCode::Right => self.turn(By::ALL.into_iter()),
            KeyCode::BackTab | KeyCode::Left => self.turn(By::ALL.into_iter().rev()),
            KeyCode::Up => self.skip = self.skip.saturating_sub(1),
            KeyCode::Down => self.skip = self.skip.saturating_add(1),
            KeyCode::Home => self.skip = 0,
            KeyCode::Char('s') => self.sort = next(Column::ALL.into_iter(), self.sort),
            KeyCode::Char('S') => self.sort = next(Column::ALL.into_iter().rev(), self.sort),
            KeyCode::Char('r') => self.reversed = !self.reversed,
            KeyCode::Char('p' | ' ') => self.paused = !self.paused,
            KeyCode::Char('?' | 'h') => self.help = !self.help,
            _ => {}
        }
        Asked::Look
    }

    /// Rows in the order asked for. Equal ones are ordered by their requests in all, then by name.
    #[must_use]
    pub fn sorted<'a>(&self, rows: &'a [Row]) -> Vec<&'a Row> {
        let mut rows: Vec<_> = rows.iter().collect();
        rows.sort_by(|a, b| {
            let order = match self.sort {
                Column::Name => a.name.cmp(&b.name),
                column => column.value(b).total_cmp(&column.value(a)),
            };
            let order = if self.reversed { order.reverse() } else { order };
            order.then(b.total.requests.total_cmp(&a.total.requests)).then_with(|| a.name.cmp(&b.name))
        });
        rows
    }

    fn turn(&mut self, all: impl Iterator<Item = By> + Clone) {
        (self.by, self.skip) = (next(all, self.by), 0);
    }
}

/// The one after `current`, which is followed by the first.
fn next<T: Copy + PartialEq>(all: impl Iterator<Item = T> + Clone, current: T) -> T {
    all.clone().chain(all).skip_while(|one| *one != current).nth(1).unwrap_or(current)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(controls: &mut Controls, code: KeyCode) -> Asked {
        controls.press(KeyEvent::new(code, KeyModifiers::NONE))
    }

    #[test]
    fn keys_turn_what_is_shown() {
        let mut controls = Controls::default();
        for (code, want) in [
            (KeyCode::Tab, By::Model),
            (KeyCode::Right, By::Provider),
            (KeyCode::Tab, By::Route),
            (KeyCode::Tab, By::Consumer),
            (KeyCode::Left, By::Route),
        ] {
            assert_eq!((press(&mut controls, code), controls.by), (Asked::Look, want));
        }
        press(&mut controls, KeyCode::Char('s'));
        assert_eq!(controls.sort, Column::Errors);
        press(&mut controls, KeyCode::Char('S'));
        assert_eq!(controls.sort, Column::Requests);
        press(&mut controls, KeyCode::Up);
        assert_eq!(controls.skip, 0);
    }

    #[test]
    fn three_ways_lead_out() {
        let mut controls = Controls::default();
        assert_eq!(press(&mut controls, KeyCode::Char('q')), Asked::Quit);
        assert_eq!(press(&mut controls, KeyCode::Esc), Asked::Quit);
        let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(controls.press(control_c), Asked::Quit);
        assert_eq!(press(&mut controls, KeyCode::Char('c')), Asked::Look);
    }

    #[test]
    fn escape_closes_the_help_first() {
        let mut controls = Controls::default();
        press(&mut controls, KeyCode::Char('?'));
        assert!(controls.help);
        assert_eq!((press(&mut controls, KeyCode::Esc), controls.help), (Asked::Look, false));
    }

    #[test]
    fn rows_are_sorted_by_what_is_asked() {
        let row = |name: &str, requests, errors| Row {
            name: name.to_owned(),
            requests: Some(requests),
            errors,
            ..Row::default()
        };
        let rows = [row("b", 1.0, Some(3.0)), row("c", 2.0, None), row("a", 1.0, Some(0.0))];
        let order = |sort, reversed| {
            let controls = Controls { sort, reversed, ..Controls::default() };
            controls.sorted(&rows).iter().map(|row| row.name.as_str()).collect::<String>()
        };
        assert_eq!(order(Column::Requests, false), "cab");
        assert_eq!(order(Column::Errors, false), "bac");
        assert_eq!(order(Column::Errors, true), "cab");
        assert_eq!(order(Column::Name, false), "abc");
    }
}
