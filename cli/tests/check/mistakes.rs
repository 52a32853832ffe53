//! A table of bad configurations and the exact lines that name their mistakes.
//!
//! Each table holds one case after the other: a name, a file, `--->`, the lines without `gateway.yaml:`. A
//! file that does not begin with `!bare` gets a provider and a rule at its end unless it has its own. With
//! `SLUICE_BLESS=1` the test writes what it found into the tables, for a human to judge.

use super::checked;

/// The tables by name.
const TABLES: [(&str, &str); 7] = [
    ("mistakes.txt", include_str!("mistakes.txt")),
    ("consumers.txt", include_str!("consumers.txt")),
    ("limits.txt", include_str!("limits.txt")),
    ("redis.txt", include_str!("redis.txt")),
    ("cache.txt", include_str!("cache.txt")),
    ("guard.txt", include_str!("guard.txt")),
    ("tracing.txt", include_str!("tracing.txt")),
];
const PROVIDERS: &str = "providers: {a: {url: http://a/v1}}\n";
const MODELS: &str = "models: [{match: \"*\", targets: [{provider: a}]}]\n";

struct Case {
    name: String,
    file: String,
    want: String,
}

fn cases() -> Vec<Case> {
    TABLES.iter().flat_map(|(_, table)| cases_of(table)).collect()
}

fn cases_of(table: &str) -> Vec<Case> {
    let cases = table.split("### ").filter(|case| !case.trim().is_empty());
    let case = |case: &str| {
        let (name, rest) = case.split_once('\n').unwrap();
        let (file, want) = rest.split_once("--->\n").unwrap();
        Case { name: name.into(), file: file.into(), want: want.trim_end().into() }
    };
    cases.map(case).collect()
}

fn completed(file: &str) -> String {
    if let Some(bare) = file.strip_prefix("!bare\n") {
        return bare.into();
    }
    let has = |section: &str| file.lines().any(|line| line.starts_with(section));
    let add = |section: &str, text: &'static str| if has(section) { "" } else { text };
    format!("{file}{}{}", add("providers:", PROVIDERS), add("models:", MODELS))
}

fn found(file: &str) -> String {
    let (gateway, report) = checked(completed(file).as_bytes());
    assert_eq!(gateway.is_none(), report.has_mistakes());
    let lines = report.to_string();
    let lines: Vec<&str> = lines.lines().map(|line| line.strip_prefix("gateway.yaml:").unwrap()).collect();
    lines.join("\n")
}

#[test]
fn every_mistake_is_named_with_its_place_and_what_to_write_instead() {
    if std::env::var_os("SLUICE_BLESS").is_some() {
        for (name, table) in TABLES {
            let case = |c: &Case| format!("### {}\n{}--->\n{}\n", c.name, c.file, found(&c.file));
            let blessed: Vec<String> = cases_of(table).iter().map(case).collect();
            std::fs::write(format!("tests/check/{name}"), blessed.join("\n")).unwrap();
        }
        return;
    }
    let wrong: Vec<String> = cases()
        .iter()
        .map(|case| (case, found(&case.file)))
        .filter(|(case, found)| case.want != *found)
        .map(|(case, found)| format!("{}\nwant:\n{}\nfound:\n{found}\n", case.name, case.want))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_line_says_what_to_write_instead() {
    for line in cases().iter().flat_map(|case| case.want.lines()) {
        let (_, text) = line.split_once(": ").unwrap();
        assert!(text.contains(": ") && text.contains("; "), "{line}");
        assert!(!text.contains("canary"), "{line}");
    }
}
