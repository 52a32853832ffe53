//! `sluice top` at a gateway that runs: as text, and at a terminal.
#![allow(clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use sluice_e2e::bed::{self, Bed};
use sluice_e2e::gateway::{Options, binary, closed_port};
use sluice_e2e::wait;

const CONSUMERS: &str =
    "consumers: [{name: mobile-app, keys: [sk-e2e-mobile-app-0123456789abcdef]}]\nanonymous: mobile-app\n";

/// A gateway that has served two requests of `mobile-app`, one of them with a fallback from `a` to `b`.
fn bed() -> Bed {
    let bed = Bed::start(&Options::default(), CONSUMERS);
    bed.ask("top-good", false, serde_json::json!({}));
    bed.ask("top-bad", true, serde_json::json!({"a": {"status": 503}}));
    bed.ai_log("top-good");
    bed.ai_log("top-bad");
    bed
}

fn top(arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.arg("top").args(arguments).env_remove("NO_COLOR").env("TERM", "xterm");
    command
}

fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn one_look_prints_what_was_asked_and_what_came_of_it() {
    let bed = bed();
    let admin = format!("http://{}", bed.gateway.admin());
    // Standard output is no terminal, so it looks once without being told.
    let by_model = top(&["--admin", &admin, "--every", "1s", "--by", "model"]).output().expect("it starts");
    let (status, out, err) = said(&by_model);
    assert_eq!((status, err.as_str()), (Some(0), ""));
    let first = |words: &str| {
        let line = out.lines().find(|line| line.trim_start().starts_with(words));
        line.unwrap_or_else(|| panic!("no {words} in {out}"))
            .split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(first("requests "), ["requests", "0/s", "2"], "{out}");
    assert_eq!(first("errors "), ["errors", "-", "0"], "{out}");
    assert_eq!(first("a>b "), ["a>b", "status_503", "0", "1"], "{out}");
    assert_eq!(first(&bed::model("top-good")).first(), Some(&bed::model("top-good")));

    let yaml = bed.gateway.folder().join("gateway.yaml");
    let by_file = top(&["--once", "--every", "1s", "-c"]).arg(yaml).output().expect("it starts");
    let (status, out, _) = said(&by_file);
    assert_eq!(status, Some(0));
    assert!(out.contains("consumer ") && out.contains("\n  mobile-app "), "{out}");
}

#[test]
fn nobody_there_is_status_1_and_names_the_address() {
    let port = closed_port();
    let admin = format!("127.0.0.1:{}", port.number());
    let (status, out, err) = said(&top(&["--once", "--admin", &admin]).output().expect("it starts"));
    assert_eq!((status, out.as_str()), (Some(1), ""));
    assert_eq!(err, format!("sluice: no answer from http://{admin}: connection refused\n"));
}

#[test]
fn somebody_else_there_is_told_from_a_gateway() {
    let bed = bed();
    let admin = format!("http://{}", bed.gateway.address());
    let (status, _, err) = said(&top(&["--once", "--admin", &admin]).output().expect("it starts"));
    assert_eq!(status, Some(1));
    assert!(err.contains(&admin), "{err}");
}

/// What was written, with one space for every run of blanks and of sequences that move, colour or clear.
fn words(written: &str) -> String {
    let mut pieces = written.split("\u{1b}[");
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let end = piece.find(|char: char| char.is_ascii_alphabetic()).unwrap_or(piece.len());
        text.push(' ');
        text.push_str(piece.get(end.saturating_add(1)..).unwrap_or_default());
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `sluice top` at a terminal of 80 columns and 24 lines.
struct Terminal {
    child: Child,
    keyboard: File,
    device: OwnedFd,
    screen: Arc<Mutex<String>>,
}

impl Terminal {
    fn start(admin: &str) -> Self {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudo-terminal");
        grantpt(&keyboard).expect("a pseudo-terminal");
        unlockpt(&keyboard).expect("a pseudo-terminal");
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&keyboard, size).expect("a pseudo-terminal");
        let name = ptsname(&keyboard, Vec::new()).expect("a pseudo-terminal").into_string().expect("a path");
        let device = File::options().read(true).write(true).open(name).expect("a pseudo-terminal");
        let end = || Stdio::from(device.try_clone().expect("a file"));
        let child =
            top(&["--admin", admin, "--every", "1s"]).stdin(end()).stdout(end()).stderr(end()).spawn();
        let keyboard = File::from(keyboard);
        let screen = Arc::new(Mutex::new(String::new()));
        let (mut output, written) = (keyboard.try_clone().expect("a file"), Arc::clone(&screen));
        std::thread::spawn(move || {
            let mut bytes = [0; 4_096];
            while let Ok(length @ 1..) = output.read(&mut bytes) {
                let text = String::from_utf8_lossy(bytes.get(..length).unwrap_or_default()).into_owned();
                written.lock().expect("the lock").push_str(&text);
            }
        });
        Self { child: child.expect("it starts"), keyboard, device: device.into(), screen }
    }

    /// Everything written so far.
    fn written(&self) -> String {
        self.screen.lock().expect("the lock").clone()
    }

    #[track_caller]
    fn until(&self, what: &str) {
        let found = wait::poll(wait::PATIENCE, || words(&self.written()).contains(what).then_some(()));
        assert!(found.is_some(), "no {what:?} in {}", words(&self.written()));
    }

    fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("a terminal");
    }

    /// Waits for its end; the terminal must be as it was found.
    #[track_caller]
    fn assert_left_well(mut self) {
        let status = wait::poll(wait::PATIENCE, || self.child.try_wait().ok().flatten());
        assert!(status.is_some_and(|status| status.success()), "{status:?}");
        let is_back = || self.written().contains("\u{1b}[?1049l").then_some(());
        assert!(wait::poll(wait::PATIENCE, is_back).is_some(), "the screen is back");
        let modes = tcgetattr(&self.device).expect("a terminal").local_modes;
        assert!(modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG), "{modes:?}");
        let written = self.written();
        assert!(
            written.rfind("\u{1b}[?25h") > written.rfind("\u{1b}[?25l"),
            "the cursor is hidden: {written:?}"
        );
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_terminal_shows_what_was_asked_and_is_left_as_it_was_found() {
    let bed = bed();
    let mut terminal = Terminal::start(&format!("http://{}", bed.gateway.admin()));
    for what in ["mobile-app", "a>b", "by consumer"] {
        terminal.until(what);
    }
    terminal.press("\t");
    terminal.until(&bed::model("top-good"));
    terminal.press("?");
    terminal.until("further");
    terminal.press("?q");
    terminal.assert_left_well();
}

#[test]
fn a_gateway_that_is_gone_is_awaited_and_a_signal_ends_the_wait() {
    let port = closed_port();
    let admin = format!("http://127.0.0.1:{}", port.number());
    let terminal = Terminal::start(&admin);
    terminal.until("refused; asking again every 1s");
    let pid = i32::try_from(terminal.child.id()).ok().and_then(Pid::from_raw).expect("a process");
    kill_process(pid, Signal::TERM).expect("it runs");
    terminal.assert_left_well();
}
