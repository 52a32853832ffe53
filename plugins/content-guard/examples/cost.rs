//! What the local checks cost: 16 KiB of text against 10,000 keywords and all detectors, beside `memchr` over the same
//! text. Each column but the first includes the folding. `scripts/bench-guard` runs it natively and in V8.

#![allow(clippy::print_stdout, reason = "a report is what it is for")]
#![allow(clippy::disallowed_methods, reason = "it measures time")]
#![allow(
    clippy::as_conversions,
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    reason = "no part of a filter"
)]

use std::hint::black_box;
use std::time::Instant;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use content_guard::local::{Applies, Local, LocalCheck, LocalRule};
use sluice_core::detect::{Detector, Form, fold};

const SIZE: usize = 16 * 1024;
const KEYWORDS: usize = 10_000;
const ROUNDS: usize = 301;
const SYLLABLES: [&str; 24] = [
    "in", "ter", "nal", "co", "de", "na", "me", "pro", "ject", "con", "fi", "den", "tial", "ra", "lu", "mi",
    "so", "ka", "vex", "tor", "ban", "el", "qui", "zon",
];
const ENGLISH: &str = "Please summarise the notes of our meeting on Tuesday (see v1.2.3 of the document):\n\n- Alice wrote to \
    alice@example.com about invoice 2024-0117; call her at +1 415 555 2671.\n- The project costs $12,400.50, of which 30% is due \
    by 2025-03-01.\n- Nobody knows whether the migration (commit 9f86d081884c7d659a2feaa0c55ad015) will be done in time.\n\n";
const CHINESE: &str = "请总结我们周二会议的记录：张三在邮件里提到发票的问题，他的电话是13812345678，邮箱是zhang@example.com。\n\
    项目预算为12400.50元，其中百分之三十应在2025年3月1日前支付；没有人知道迁移能否按时完成。\n\n";
const PROGRAM: &str = "{\"id\": \"550e8400-e29b-41d4-a716-446655440000\", \"created\": 1700000000, \"items\": [1, 2, 3.14159, -7]}\n\
    fn main() -> Result<(), Error> {\n    let user_name = env::var(\"USER_NAME\")?; // 0xDEADBEEF\n    connect(\"10.0.0.1:8080\", &user_name)\n}\n";

fn main() {
    let words = keywords();
    builds(&words);
    let local = local(words);
    let only_keywords = Applies::new([0]);
    let applies = Applies::new(0..2);
    let expression = Applies::new([2]);
    println!("\nmicroseconds for {SIZE} bytes, median of {ROUNDS}:");
    println!("             memchr      fold  keywords  expression  keywords and detectors");
    for (name, part) in [("English", ENGLISH), ("Chinese", CHINESE), ("a program", PROGRAM)] {
        let text = filled(part);
        let memchr = median(|| memchr::memchr_iter(b'@', text.as_bytes()).count());
        let folded = median(|| fold(&text, Form::Plain).text().len());
        let keywords = median(|| local.find(&only_keywords, Form::Plain, &text, 0).len());
        let all = median(|| local.find(&applies, Form::Plain, &text, 0).len());
        let expression = median(|| local.find(&expression, Form::Plain, &text, 0).len());
        println!("{name:<12} {memchr:>6.1} {folded:>9.1} {keywords:>9.1} {expression:>11.1} {all:>23.1}");
    }
    for detector in Detector::ALL {
        let text = fold(&filled(ENGLISH), Form::Plain).text().to_owned();
        let time = median(|| {
            let mut found = Vec::new();
            detector.find(&text, 0, &mut found);
            found.len()
        });
        println!("{:<12} {time:>12.1}", detector.name());
    }
}

/// What each kind of automaton takes for the keywords.
fn builds(words: &[String]) {
    println!("{KEYWORDS} keywords    built in ms   takes KiB");
    for kind in [AhoCorasickKind::NoncontiguousNFA, AhoCorasickKind::ContiguousNFA, AhoCorasickKind::DFA] {
        let start = Instant::now();
        let automaton =
            AhoCorasick::builder().kind(Some(kind)).prefilter(false).build(words).expect("keywords build");
        let time = start.elapsed().as_secs_f64() * 1e3;
        println!("{:<16} {time:>12.1} {:>11}", format!("{kind:?}"), automaton.memory_usage() / 1024);
    }
}

fn local(words: Vec<String>) -> Local {
    let rules = [
        LocalRule::Keywords { words, whole_words: false },
        LocalRule::Detect(Detector::ALL.to_vec()),
        LocalRule::Regex(vec![r"\bPROJ-[0-9]{3,6}\b".to_owned()]),
    ];
    let start = Instant::now();
    let checks = rules.into_iter().enumerate().map(|(check, rule)| LocalCheck { check, rule });
    let local = Local::new(checks.collect()).expect("checks build");
    println!("all checks built in {:.1} ms", start.elapsed().as_secs_f64() * 1e3);
    local
}

/// Words and phrases of two to five syllables, the same in every run.
fn keywords() -> Vec<String> {
    let mut state = 1_u64;
    let mut next = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut words = std::collections::BTreeSet::new();
    while words.len() < KEYWORDS {
        let mut word = String::new();
        for index in 0..3 + next(4) {
            if index == 3 && next(2) == 0 {
                word.push(' ');
            }
            word.push_str(SYLLABLES.get(next(24) as usize).copied().unwrap_or_default());
        }
        words.insert(word);
    }
    words.into_iter().collect()
}

/// `part` over and over, [`SIZE`] bytes of it.
fn filled(part: &str) -> String {
    let text = part.repeat(SIZE / part.len() + 1);
    let end = (0..=SIZE).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text.get(..end).unwrap_or_default().to_owned()
}

/// Median time of many runs, in microseconds.
fn median(mut run: impl FnMut() -> usize) -> f64 {
    let mut times: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            black_box(run());
            start.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times.get(ROUNDS / 2).copied().unwrap_or_default()
}
