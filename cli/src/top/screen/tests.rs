//! The screen as text, at several sizes.

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;

use super::super::history::History;
use super::super::snapshot::{By, Snapshot};
use super::*;

const FIRST: &str = include_str!("../testdata/first.prom");
const SECOND: &str = include_str!("../testdata/second.prom");
const ADDRESS: &str = "http://127.0.0.1:9901";

fn view() -> View {
    let mut history = History::default();
    for (page, at) in [(FIRST, 0.0), (FIRST, 2.0), (SECOND, 4.0), (SECOND, 10.0)] {
        history.push(Snapshot::read(page, at).unwrap());
    }
    history.view().unwrap()
}

fn screen<'a>(view: Option<&'a View>, controls: &'a Controls) -> Screen<'a> {
    Screen { address: ADDRESS, view, trouble: None, controls, is_coloured: false }
}

fn drawn(screen: &Screen<'_>, width: u16, height: u16) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| screen.draw(frame)).unwrap();
    terminal.backend().buffer().clone()
}

fn text(buffer: &Buffer) -> String {
    let lines = buffer.content.chunks(usize::from(buffer.area.width).max(1));
    let line = |cells: &[ratatui::buffer::Cell]| cells.iter().map(|cell| cell.symbol()).collect::<String>();
    lines.map(|cells| line(cells).trim_end().to_owned() + "\n").collect()
}

/// `UPDATE_SCREENS=1 cargo test -p sluice` writes what is drawn.
#[track_caller]
fn assert_is(drawn: &str, name: &str, kept: &str) {
    if std::env::var_os("UPDATE_SCREENS").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/top/testdata/");
        std::fs::write(format!("{path}{name}"), drawn).unwrap();
    } else {
        assert_eq!(drawn, kept, "{name}:\n{drawn}");
    }
}

#[test]
fn a_terminal_of_80_columns_and_24_lines_shows_everything() {
    let (view, controls) = (view(), Controls::default());
    let drawn = text(&drawn(&screen(Some(&view), &controls), 80, 24));
    assert_is(&drawn, "80x24.txt", include_str!("../testdata/80x24.txt"));
}

#[test]
fn a_narrow_one_leaves_columns_out_and_cuts_no_number() {
    let (view, controls) = (view(), Controls::default());
    for width in 0..80 {
        let drawn = text(&drawn(&screen(Some(&view), &controls), width, 24));
        let row = drawn.lines().find(|line| line.starts_with("mobile-app")).unwrap_or("mobile-app");
        let known = ["mobile-app", "4", "5%", "2k", "500", "$3.60"];
        let numbers: Vec<_> = row.split_whitespace().collect();
        assert!(width < 12 || drawn.contains("mobile-app"), "{width}:\n{drawn}");
        assert!(numbers.iter().zip(known).all(|(own, known)| *own == known), "{width}:\n{drawn}");
        let times: Vec<_> = drawn
            .lines()
            .filter_map(|line| line.split_once("answer ")?.1.split_whitespace().next())
            .collect();
        assert!(times.iter().all(|time| *time == "480ms"), "{width}: {times:?}");
    }
}

#[test]
fn a_larger_one_shows_more() {
    let (view, controls) = (view(), Controls { by: By::Route, sort: Column::Cost, ..Controls::default() });
    let drawn = text(&drawn(&screen(Some(&view), &controls), 140, 36));
    assert_is(&drawn, "140x36.txt", include_str!("../testdata/140x36.txt"));
}

#[test]
fn plain_text_has_it_all() {
    let drawn = super::super::text::text(ADDRESS, &view(), &Controls::default());
    assert_is(&drawn, "once.txt", include_str!("../testdata/once.txt"));
}

#[test]
fn trouble_is_told_with_the_last_numbers_below_it() {
    let (view, controls) = (view(), Controls { paused: true, ..Controls::default() });
    let told = "no answer from http://127.0.0.1:9901: connection refused; asking again every 2s";
    let trouble = Some(told);
    let shown = text(&drawn(&Screen { trouble, ..screen(Some(&view), &controls) }, 100, 24));
    assert!(shown.starts_with(&format!("{told}  PAUSED\n")), "{shown}");
    assert!(shown.contains("mobile-app"), "{shown}");
    let shown = text(&drawn(&Screen { trouble, ..screen(None, &controls) }, 100, 24));
    assert!(shown.contains("asking again every 2s") && !shown.contains("asking ..."), "{shown}");
    let shown = text(&drawn(&screen(None, &controls), 100, 24));
    assert!(shown.contains("asking ..."), "{shown}");
}

#[test]
fn a_gateway_that_nobody_asked_has_no_numbers() {
    let mut history = History::default();
    history.push(Snapshot::default());
    let (view, controls) = (history.view(), Controls::default());
    let shown = text(&drawn(&screen(view.as_ref(), &controls), 80, 24));
    assert!(shown.contains("no rates yet") && shown.contains("by consumer"), "{shown}");
}

#[test]
fn help_names_the_keys() {
    let (view, controls) = (view(), Controls { help: true, ..Controls::default() });
    let shown = text(&drawn(&screen(Some(&view), &controls), 80, 24));
    assert!(HELP.lines().all(|line| shown.contains(line.trim_end())), "{shown}");
}

#[test]
fn rows_that_do_not_fit_are_counted_and_can_be_reached() {
    let page: String =
        (10..60).map(|n| format!("ai_log_requests_total{{consumer=\"team-{n}\"}} {n}\n")).collect();
    let mut history = History::default();
    history.push(Snapshot::read(&page, 0.0).unwrap());
    let view = history.view();
    let shown =
        |skip| text(&drawn(&screen(view.as_ref(), &Controls { skip, ..Controls::default() }), 80, 24));
    assert!(
        shown(0).trim_end().ends_with("q quit             50 rows: up, down") && shown(0).contains("team-59"),
        "{}",
        shown(0)
    );
    assert!(shown(1).contains("team-58") && !shown(1).contains("team-59"), "{}", shown(1));
    let last = shown(usize::MAX);
    assert!(last.contains("team-10") && last.contains("team-16") && !last.contains("team-17"), "{last}");
}

#[test]
fn no_size_is_too_small() {
    let (view, controls) = (view(), Controls { help: true, ..Controls::default() });
    for (width, height) in [(1, 1), (5, 3), (20, 8), (79, 10), (200, 2), (109, 23)] {
        for view in [None, Some(&view)] {
            drawn(&screen(view, &controls), width, height);
        }
    }
}

#[test]
fn without_colour_nothing_is_coloured() {
    let (view, controls) = (view(), Controls::default());
    let colours = |is_coloured| {
        let screen = Screen { is_coloured, ..screen(Some(&view), &controls) };
        drawn(&screen, 80, 24).content.iter().any(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset)
    };
    assert_eq!((colours(false), colours(true)), (false, true));
}
