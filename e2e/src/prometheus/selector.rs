//! Finds in a query of Prometheus what it selects. Only what such a check needs is understood: a metric's name always
//! comes before its braces, and `by (…)` before what it groups.
//! <https://prometheus.io/docs/prometheus/latest/querying/basics/>

/// What a part of a query selects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// As it stands there, without range: `up{job="sluice"}`.
    pub text: String,
    /// The metric's name.
    pub metric: String,
    /// Labels that it is matched or grouped by.
    pub labels: Vec<String>,
}

const WORDS: [&str; 7] = ["and", "or", "unless", "offset", "bool", "inf", "nan"];
const MATCHING: [&str; 5] = ["without", "on", "ignoring", "group_left", "group_right"];

/// The selectors of a query, in its order.
#[must_use]
pub fn selectors(query: &str) -> Vec<Selector> {
    let (mut found, mut by, mut rest) = (Vec::new(), Vec::new(), query);
    while let Some(first) = rest.chars().next() {
        match first {
            '"' => rest = &rest[string(rest)..],
            '[' => rest = after(rest, ']'),
            '0'..='9' => rest = rest.trim_start_matches(|c: char| c.is_alphanumeric() || c == '.'),
            'a'..='z' | 'A'..='Z' | '_' | ':' => {
                let (name, behind) = rest.split_at(rest.find(|c| !in_name(c)).unwrap_or(rest.len()));
                rest = behind;
                match behind.trim_start().chars().next() {
                    Some('(') if name == "by" => {
                        by = names(group(behind));
                        rest = after(behind, ')');
                    }
                    Some('(') if MATCHING.contains(&name) => rest = after(behind, ')'),
                    Some('(') => {}
                    _ if is_grouped(behind) => {}
                    _ if WORDS.contains(&name) => {}
                    Some('{') => {
                        let end = braces(behind);
                        let labels = matched(&behind[..end]);
                        found.push(selector(
                            name,
                            &behind[..end],
                            [labels, std::mem::take(&mut by)].concat(),
                        ));
                        rest = &behind[end..];
                    }
                    _ => found.push(selector(name, "", std::mem::take(&mut by))),
                }
            }
            _ => rest = &rest[first.len_utf8()..],
        }
    }
    found
}

fn selector(metric: &str, braces: &str, labels: Vec<String>) -> Selector {
    Selector { text: format!("{metric}{braces}"), metric: metric.to_owned(), labels }
}

/// Whether `by` or `without` follows: then an aggregation stands before it.
fn is_grouped(text: &str) -> bool {
    let text = text.trim_start();
    ["by", "without"]
        .iter()
        .any(|word| text.strip_prefix(word).is_some_and(|rest| !rest.starts_with(in_name)))
}

fn in_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

/// Length of the string in double quotes that `text` begins with.
fn string(text: &str) -> usize {
    let mut escaped = false;
    let end = text.char_indices().skip(1).find(|(_, c)| {
        let ends = *c == '"' && !escaped;
        escaped = *c == '\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |(at, _)| at + 1)
}

/// Length of the matchers in braces that `text` begins with.
fn braces(text: &str) -> usize {
    let mut at = 0;
    while at < text.len() {
        match text.as_bytes()[at] {
            b'"' => at += string(&text[at..]),
            b'}' => return at + 1,
            _ => at += 1,
        }
    }
    at
}

/// The labels in braces.
fn matched(mut braces: &str) -> Vec<String> {
    let mut labels = Vec::new();
    while let Some(quote) = braces.find('"') {
        let name = braces[..quote].trim_start_matches(['{', ',', ' ']).trim_end_matches(['=', '!', '~', ' ']);
        labels.push(name.to_owned());
        let behind = &braces[quote..];
        braces = &behind[string(behind)..];
    }
    labels
}

fn after(text: &str, end: char) -> &str {
    text.find(end).map_or("", |at| &text[at + 1..])
}

fn group(text: &str) -> &str {
    let text = after(text, '(');
    &text[..text.find(')').unwrap_or(text.len())]
}

fn names(list: &str) -> Vec<String> {
    list.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found, a selector a line: its text, its labels.
    fn found(query: &str) -> Vec<String> {
        selectors(query).iter().map(|one| format!("{} {}", one.text, one.labels.join(","))).collect()
    }

    #[test]
    fn every_selector_is_found_with_its_labels() {
        for (query, want) in [
            ("up", vec!["up "]),
            ("up == 0 or absent(up{job=\"sluice\"})", vec!["up ", "up{job=\"sluice\"} job"]),
            (
                "histogram_quantile(0.95, sum by (le, x) (rate(a_bucket{b=~\"c|}\", d!=\"\\\"\"}[5m])))",
                vec!["a_bucket{b=~\"c|}\", d!=\"\\\"\"} b,d,le,x"],
            ),
            (
                "sum(rate(a{}[5m] offset 10m)) / on (b) group_left () sum by (b) (c) > 1e9",
                vec!["a{} ", "c b"],
            ),
            ("topk(20, sum by (on, check) (increase(a[1h]))) unless b", vec!["a on,check", "b "]),
            ("label_replace(x:y, \"z\", \"w{v}\", \"\", \"\") * 60", vec!["x:y "]),
            ("sum by(x)(a) + byes", vec!["a x", "byes "]),
            ("vector(0)", vec![]),
        ] {
            assert_eq!(found(query), want, "{query}");
        }
    }
}
