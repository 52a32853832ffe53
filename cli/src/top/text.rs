//! A view as plain text, all of it.

use std::fmt::Write as _;

use super::controls::Controls;
use super::view::View;
use super::words::{self, Entry};

/// A view as plain text: what a screen shows, and what does not fit there.
#[must_use]
pub fn text(address: &str, view: &View, controls: &Controls) -> String {
    let mut text = format!("{}\n\n", words::heading(address, view));
    let [now, total] = words::COUNTS;
    line(&mut text, "", &[now, total], &[12, 10]);
    for Entry { what, now, total, .. } in words::counts(view) {
        line(&mut text, &what, &[&now, &total], &[12, 10]);
    }
    text.push('\n');
    line(&mut text, "", &["p50", "p95", "p99", "total p50", "p95", "p99"], &[12, 10, 10, 12, 10, 10]);
    for (what, times) in words::times(view) {
        line(&mut text, what, &times.each_ref().map(String::as_str), &[12, 10, 10, 12, 10, 10]);
    }
    let _ = write!(text, "\n{}\n\n", words::standing(view)); // a String takes everything
    table(&mut text, view, controls);
    for pane in words::panes(view).into_iter().filter(|pane| !pane.entries.is_empty()) {
        text.push('\n');
        line(&mut text, pane.title, &[now, total], &[12, 10]);
        for Entry { what, now, total, .. } in pane.entries {
            line(&mut text, &format!("  {what}"), &[&now, &total], &[12, 10]);
        }
    }
    text
}

fn table(text: &mut String, view: &View, controls: &Controls) {
    const WIDTHS: [usize; 7] = [12, 10, 8, 8, 10, 10, 10];
    line(text, controls.by.name(), &words::CAPTIONS, &WIDTHS);
    for row in controls.sorted(view.rows(controls.by)) {
        let cells = words::cells(row);
        line(text, &format!("  {}", words::name(row)), &cells.each_ref().map(String::as_str), &WIDTHS);
    }
}

/// A line: its name, and cells set right in columns.
fn line(text: &mut String, name: &str, cells: &[&str], widths: &[usize]) {
    let mut line = format!("{name:<32}");
    for (cell, width) in cells.iter().zip(widths) {
        let _ = write!(line, " {cell:>width$}"); // a String takes everything
    }
    text.push_str(line.trim_end());
    text.push('\n');
}
