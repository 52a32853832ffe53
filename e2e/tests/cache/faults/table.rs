//! What was seen of faults, as the document that tells of them.

use serde_json::Value;
use sluice_e2e::cache::label;
use sluice_e2e::client::{End, Reply};
use sluice_e2e::{envoy, sse};

/// One outcome.
#[derive(Debug)]
pub(crate) struct Row {
    fault: String,
    form: &'static str,
    client: String,
    label: String,
    kept: &'static str,
    log: String,
}

impl Row {
    pub(crate) fn new(
        fault: &str,
        stream: bool,
        reply: Option<&Reply>,
        record: &Value,
        again: &Reply,
    ) -> Self {
        Self {
            fault: fault.to_owned(),
            form: if stream { "stream" } else { "document" },
            client: reply.map_or_else(|| "nothing, it has left".to_owned(), outcome),
            label: reply.map_or_else(String::new, |reply| format!("`{}`", label(reply))),
            kept: if label(again).starts_with("hit") { "yes" } else { "no" },
            log: record["cache"].as_str().map_or_else(String::new, |label| format!("`{label}`")),
        }
    }

    /// Of requests that meet: they ask for documents.
    pub(crate) fn of_flight(fault: &str, reply: Option<&Reply>, record: &Value, again: &Reply) -> Self {
        Self { form: "", ..Self::new(fault, false, reply, record, again) }
    }
}

/// What a client got.
fn outcome(reply: &Reply) -> String {
    let events = reply.events();
    let is_whole = sse::is_done(&events) || reply.json()["choices"].is_array();
    match (reply.status, reply.end) {
        (200, End::Broken) => "200, broken off".to_owned(),
        (200, End::Clean) if !sse::errors(&events).is_empty() => "200, an error event at its end".to_owned(),
        (200, End::Clean) if is_whole => "200, the whole answer".to_owned(),
        (200, End::Clean) => "200, as it came".to_owned(),
        (status, _) => match reply.header("x-sluice-error") {
            Some(code) => format!("{status} `{code}`"),
            None => format!("{status}, the provider's own error"),
        },
    }
}

const HEAD: &str = "# What the cache makes of faults

Seen on a real Envoy, and written by `e2e/tests/cache/faults.rs`: the test fails where the gateway does anything else.
`SLUICE_BLESS=1 cargo test -p sluice-e2e --test cache faults` writes this file anew.

There is one provider here, and it is asked once: where others can be tried, a fault is what is left when they were.
The last columns: whether the same request, asked again, is answered from the cache; and `cache` in the record of `ai-log`.
";

/// The whole document.
pub(crate) fn render(memory: &[Row], flights: &[Row], redis: &[Row]) -> String {
    let mut text = HEAD.to_owned();
    text.push_str("\n## Answers kept in memory\n\n");
    text.push_str(&rendered(memory));
    text.push_str("\n## Requests that ask the same at the same time\n\nDocuments, and streams with `coalesce_streams`.\n\n");
    text.push_str(&rendered(flights));
    text.push_str("\n## Answers kept in Redis\n\nWhatever Redis does, no request waits for it longer than `timeout`.\n\n");
    text.push_str(&rendered(redis));
    text
}

fn rendered(rows: &[Row]) -> String {
    let has_form = rows.iter().any(|row| !row.form.is_empty());
    let form = |text: &str| if has_form { format!(" {text} |") } else { String::new() };
    let mut text =
        format!("| fault |{} what the client gets | `x-ai-cache` | kept | `cache` |\n", form("form"));
    text.push_str(&format!("| --- |{} --- | --- | --- | --- |\n", form("---")));
    for row in rows {
        let Row { fault, client, label, kept, log, .. } = row;
        text.push_str(&format!("| {fault} |{} {client} | {label} | {kept} | {log} |\n", form(row.form)));
    }
    text
}

/// Fails if the document tells anything else; with `SLUICE_BLESS` it is written.
#[track_caller]
pub(crate) fn compare(want: &str) {
    let file = envoy::checkout().join("docs/faults/response-cache.md");
    if std::env::var_os("SLUICE_BLESS").is_some() {
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        std::fs::write(&file, want).expect("a document");
        return;
    }
    let told = std::fs::read_to_string(&file).unwrap_or_default();
    let differ: Vec<String> = diff(&told, want);
    assert!(
        differ.is_empty(),
        "{} tells something else (SLUICE_BLESS=1 writes it anew):\n{}",
        file.display(),
        differ.join("\n")
    );
}

/// Lines that only one of them has.
fn diff(told: &str, seen: &str) -> Vec<String> {
    let only = |one: &str, other: &str, sign: char| {
        let lines = one.lines().filter(|line| !other.lines().any(|known| known == *line));
        lines.map(|line| format!("{sign} {line}")).collect::<Vec<_>>()
    };
    let lines = [only(told, seen, '-'), only(seen, told, '+')].concat();
    if lines.is_empty() && told != seen { vec!["the lines stand in another order".to_owned()] } else { lines }
}
