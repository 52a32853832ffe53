//! The fault matrix: what was seen, as a table that stands in the documentation.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::Value;
use sluice_e2e::client::{End, Reply};

use crate::bed::REFUSAL;
use crate::speech::{Speech, error_code};

const HEAD: &str = "# What content-guard does when something fails

Each row was seen on a real Envoy: `e2e/tests/guard/faults.rs` makes the fault, looks at what the client gets and at the
record, writes this table, and fails where the file says something else (`SLUICE_BLESS=1` writes it anew).

Two gateways were asked, alike but for two settings: **deny** has `on_error: deny` and `refusal: {as: error}`, **allow** has
`on_error: allow` and `refusal: {as: completion}`. A local check, `banned`, blocks a phrase both ways. Checks named after a fault
ask a moderation service (`timeout: 150ms`) that has it: `dead` refuses connections, `slow` answers after the deadline, `hung`
never does, `garbage` answers a web page, `broken` answers status 500. `ai_log` is its members `end`, `error` and `guard`
(check, what it found, what was done).

";

/// What was seen of one fault at one gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) client: String,
    pub(crate) record: String,
}

/// All that was seen: by number of the fault, what it was called and where it was, and for each gateway the outcome.
pub(crate) type Seen = BTreeMap<usize, (&'static str, &'static str, [Option<Outcome>; 2])>;

/// The whole file.
pub(crate) fn render(seen: &Seen) -> String {
    let mut text = HEAD.to_owned();
    for (part, title) in [("request", "Requests"), ("answer", "Whole answers"), ("stream", "Streams")] {
        let _ = write!(
            text,
            "## {title}\n\n| fault | gateway | client gets | `ai_log` |\n| --- | --- | --- | --- |\n"
        );
        for (fault, _, outcomes) in seen.values().filter(|(_, of, _)| *of == part) {
            let [deny, allow] = outcomes.clone().map(|outcome| outcome.expect("both gateways were asked"));
            if deny == allow {
                let _ = writeln!(text, "| {fault} | both | {} | {} |", deny.client, deny.record);
                continue;
            }
            for (name, outcome) in [("deny", deny), ("allow", allow)] {
                let _ = writeln!(text, "| {fault} | {name} | {} | {} |", outcome.client, outcome.record);
            }
        }
        text.push('\n');
    }
    text.trim_end().to_owned() + "\n"
}

/// Where it stands.
pub(crate) fn path() -> PathBuf {
    sluice_e2e::envoy::checkout().join("docs/faults/content-guard.md")
}

/// What a client got, of an answer that would have said `whole`.
pub(crate) fn told(speech: Speech, reply: &Reply, whole: &str) -> String {
    if reply.status != 200 {
        let code = error_code(&reply.json()).unwrap_or_else(|| "no code".to_owned());
        return format!("{} `{code}`", reply.status);
    }
    if let Some(encoding) = reply.header("content-encoding") {
        return format!("200, the whole answer as it was sent ({encoding})");
    }
    let said = speech.said(reply);
    let part = match said.as_str() {
        _ if said == whole => "the whole answer",
        REFUSAL => "a refusal in its place",
        "" => "nothing of the answer",
        _ if whole.starts_with(&said) => "the answer up to there",
        _ => "another answer",
    };
    let ending = match reply.end {
        End::Broken => "broken off".to_owned(),
        End::Clean => match speech.ending(reply) {
            ending if ending == "nothing" => "without an end".to_owned(),
            ending => match ending.strip_prefix("error ") {
                Some(code) => format!("then an error event `{code}`"),
                None => format!("`{ending}`"),
            },
        },
    };
    format!("200, {part}, {ending}")
}

/// What a record says of it.
pub(crate) fn recorded(record: &Value) -> String {
    let mut parts = vec![format!("`{}`", record["end"].as_str().unwrap_or("no end"))];
    parts.extend(record["error"].as_str().map(|error| format!("`{error}`")));
    let mut verdicts: Vec<String> = record["guard"].as_array().into_iter().flatten().map(verdict).collect();
    verdicts.sort();
    parts.extend(verdicts);
    parts.join(", ")
}

fn verdict(verdict: &Value) -> String {
    let text = |name: &str| verdict[name].as_str().unwrap_or_default();
    format!("{}: {}, {}", text("check"), text("category"), text("action"))
}
