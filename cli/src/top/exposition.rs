//! Prometheus' text format, as Envoy writes it.
//!
//! Read here because what the usual crates do with a comma, brace or quote within a label's value (a rule's glob may be
//! `gpt-4{o,.1}*`) is to drop it silently, and because a page may have tens of thousands of lines.
//! <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>

use std::borrow::Cow;

/// One value on a page.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample<'a> {
    /// Name of the series: with `_bucket`, `_sum` or `_count` for a part of a histogram.
    pub name: &'a str,
    /// Labels in the order written.
    pub labels: Vec<(&'a str, Cow<'a, str>)>,
    /// May be infinite, or no number.
    pub value: f64,
}

/// Why a page cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct Unreadable {
    /// From 1.
    pub line: usize,
    /// What is wrong with it.
    pub why: &'static str,
}

impl Sample<'_> {
    /// A label's value; empty without it, which means the same to Prometheus.
    #[must_use]
    pub fn label(&self, name: &str) -> &str {
        self.labels.iter().find(|(own, _)| *own == name).map_or("", |(_, value)| value)
    }
}

/// The samples of a page. What it says about them in comments is left out.
pub fn samples(page: &str) -> impl Iterator<Item = Result<Sample<'_>, Unreadable>> {
    let lines = page.lines().enumerate().map(|(at, line)| (at.saturating_add(1), line.trim()));
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    lines.map(|(line, text)| sample(text).map_err(|why| Unreadable { line, why }))
}

fn sample(line: &str) -> Result<Sample<'_>, &'static str> {
    let (name, rest) = name(line, |char| char == ':').ok_or("it does not begin with a metric's name")?;
    let rest = rest.trim_start();
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Vec::new(), rest),
    };
    let mut words = rest.split_whitespace();
    let value = words.next().and_then(|word| word.parse().ok()).ok_or("there is no number")?;
    match (words.next().map(str::parse::<i64>), words.next()) {
        (None | Some(Ok(_)), None) => Ok(Sample { name, labels, value }),
        _ => Err("something follows the number"),
    }
}

/// A name at the beginning of `text`, and the rest.
fn name(text: &str, also: fn(char) -> bool) -> Option<(&str, &str)> {
    let is_name = |char: char| char.is_ascii_alphanumeric() || char == '_' || also(char);
    let end = text.find(|char| !is_name(char)).unwrap_or(text.len());
    let (name, rest) = text.split_at_checked(end)?;
    name.chars().next().filter(|first| !first.is_ascii_digit()).map(|_| (name, rest))
}

type Labels<'a> = Vec<(&'a str, Cow<'a, str>)>;

/// Labels up to the closing brace, and what follows it.
fn labels(mut text: &str) -> Result<(Labels<'_>, &str), &'static str> {
    let mut labels = Vec::new();
    loop {
        text = text.trim_start();
        if let Some(rest) = text.strip_prefix('}') {
            return Ok((labels, rest));
        }
        let (name, rest) = name(text, |_| false).ok_or("a label has no name")?;
        let rest = rest.trim_start().strip_prefix('=').ok_or("a label has no value")?;
        let rest = rest.trim_start().strip_prefix('"').ok_or("a label's value is not quoted")?;
        let (value, rest) = value(rest)?;
        labels.push((name, value));
        let rest = rest.trim_start();
        text = match rest.strip_prefix(',') {
            Some(rest) => rest,
            None if rest.starts_with('}') => rest,
            None => return Err("the labels do not end"),
        };
    }
}

/// A label's value up to the closing quote, and what follows it.
fn value(text: &str) -> Result<(Cow<'_, str>, &str), &'static str> {
    const ENDLESS: &str = "a label's value does not end";
    let end = text.find(['"', '\\']).ok_or(ENDLESS)?;
    let (plain, rest) = text.split_at_checked(end).ok_or(ENDLESS)?;
    if let Some(rest) = rest.strip_prefix('"') {
        return Ok((Cow::Borrowed(plain), rest));
    }
    let (mut value, mut chars) = (plain.to_owned(), rest.chars());
    loop {
        match chars.next().ok_or(ENDLESS)? {
            '"' => return Ok((Cow::Owned(value), chars.as_str())),
            '\\' => value.push(match chars.next().ok_or(ENDLESS)? {
                'n' => '\n',
                other => other, // `\\`, `\"`; others are taken as meant
            }),
            char => value.push(char),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Owned = (String, Vec<(String, String)>, f64);

    fn read(page: &str) -> Result<Vec<Owned>, String> {
        let owned = |sample: Sample<'_>| {
            let labels =
                sample.labels.iter().map(|(name, value)| ((*name).to_owned(), value.to_string())).collect();
            (sample.name.to_owned(), labels, sample.value)
        };
        samples(page).map(|one| one.map(owned).map_err(|error| error.to_string())).collect()
    }

    #[test]
    fn what_envoy_writes_is_read() {
        let page =
            "# TYPE a_total counter\na_total{} 12\n\nb{le=\"+Inf\",x=\"\"} +Inf\nc 1.5e3 1700000000000\n";
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let want = vec![
            ("a_total".to_owned(), vec![], 12.0),
            ("b".to_owned(), vec![pair("le", "+Inf"), pair("x", "")], f64::INFINITY),
            ("c".to_owned(), vec![], 1500.0),
        ];
        assert_eq!(read(page), Ok(want));
    }

    #[test]
    fn a_value_may_hold_what_ends_others() {
        let read = read(r#"a{route="gpt-4{o,.1}*",b="say \"x\\y\"\n",} 1"#).unwrap();
        let values: Vec<_> = read[0].1.iter().map(|(_, value)| value.as_str()).collect();
        assert_eq!(values, ["gpt-4{o,.1}*", "say \"x\\y\"\n"]);
    }

    #[test]
    fn each_mistake_is_named_with_its_line() {
        for (page, want) in [
            ("<html>", "line 1: it does not begin with a metric's name"),
            ("a 1\n\n9a 1", "line 3: it does not begin with a metric's name"),
            ("a", "line 1: there is no number"),
            ("a many", "line 1: there is no number"),
            ("a 1 now", "line 1: something follows the number"),
            ("a 1 2 3", "line 1: something follows the number"),
            ("a{", "line 1: a label has no name"),
            ("a{b} 1", "line 1: a label has no value"),
            ("a{b=1} 1", "line 1: a label's value is not quoted"),
            ("a{b=\"1} 1", "line 1: a label's value does not end"),
            ("a{b=\"1\\", "line 1: a label's value does not end"),
            ("a{b=\"1\"c=\"2\"} 1", "line 1: the labels do not end"),
        ] {
            assert_eq!(read(page), Err(want.to_owned()), "{page}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,200}", likely in r#"(a\{?b?=?"?[\\"n,}x]{0,9}"?\}? ?1?\n?){0,4}"#) {
            let _ = (read(&text), read(&likely));
        }

        #[test]
        fn any_value_of_a_label_comes_back(value in "\\PC{0,40}", number in any::<i32>()) {
            let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
            let read = read(&format!("a{{b=\"{escaped}\"}} {number}")).unwrap();
            prop_assert_eq!(&read[0].1[0].1, &value);
            prop_assert_eq!(read[0].2, f64::from(number));
        }
    }
}
