//! Metrics as a Prometheus server reads them, to the letter: the crates that do so take label values apart at commas
//! and equals signs, which stand in some.
//!
//! Format: <https://prometheus.io/docs/instrumenting/exposition_formats/#text-format-details>

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

use crate::client;

/// One series: what a value is of.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Series {
    /// Name of the metric.
    pub name: String,
    /// Labels by name.
    pub labels: BTreeMap<String, String>,
}

impl Series {
    /// A series without labels.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), labels: BTreeMap::new() }
    }

    /// The same with one more label, unless its value is empty.
    #[must_use]
    pub fn with(mut self, label: &str, value: &str) -> Self {
        if !value.is_empty() {
            self.labels.insert(label.to_owned(), value.to_owned());
        }
        self
    }

    /// Value of a label; empty without it.
    #[must_use]
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels: Vec<String> =
            self.labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        write!(f, "{}{{{}}}", self.name, labels.join(","))
    }
}

/// All samples of a page, by series, and the types of metrics, by name.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    samples: BTreeMap<Series, f64>,
    types: BTreeMap<String, String>,
}

impl Metrics {
    /// What Envoy's admin interface tells Prometheus.
    #[must_use]
    #[track_caller]
    pub fn scrape(admin: SocketAddr) -> Self {
        Self::read(&client::get(admin, "/stats/prometheus").text())
    }

    /// Reads a page. A line that is none of the format, or a series that comes twice, fails the test.
    #[must_use]
    #[track_caller]
    pub fn read(page: &str) -> Self {
        let mut metrics = Self::default();
        for line in page.lines().filter(|line| !line.is_empty()) {
            let known = if let Some(comment) = line.strip_prefix('#') {
                let told = comment.strip_prefix(" TYPE ").and_then(|told| told.split_once(' '));
                told.and_then(|(name, is)| metrics.types.insert(name.to_owned(), is.to_owned())).is_some()
            } else {
                let (series, value) = sample(line).unwrap_or_else(|| panic!("no sample: {line}"));
                metrics.samples.insert(series, value).is_some()
            };
            assert!(!known, "twice: {line}");
        }
        metrics
    }

    /// `counter`, `gauge` or `histogram`, as the page says; empty for a metric that it does not have.
    #[must_use]
    pub fn type_of(&self, name: &str) -> &str {
        self.types.get(name).map_or("", String::as_str)
    }

    /// Every series with its value.
    pub fn iter(&self) -> impl Iterator<Item = (&Series, f64)> {
        self.samples.iter().map(|(series, value)| (series, *value))
    }

    /// The series of one metric.
    pub fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a Series, f64)> {
        self.iter().filter(move |(series, _)| series.name == name)
    }

    /// Sum over the series of one metric; 0 without any.
    #[must_use]
    pub fn sum(&self, name: &str) -> f64 {
        self.of(name).map(|(_, value)| value).sum()
    }
}

/// `name{label="value",…} value`.
fn sample(line: &str) -> Option<(Series, f64)> {
    let end = line.find(['{', ' '])?;
    let mut series = Series::new(&line[..end]);
    let mut rest = &line[end..];
    if let Some(mut inside) = rest.strip_prefix('{') {
        while !inside.starts_with('}') {
            let (name, after) = inside.split_once("=\"")?;
            let (value, after) = quoted(after)?;
            // To Prometheus, an empty label is none.
            series = series.with(name, &value);
            inside = after.strip_prefix(',').unwrap_or(after);
        }
        rest = &inside[1..];
    }
    Some((series, rest.trim().parse().ok()?))
}

/// The value before the closing quote, and what follows that.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            _ => value.push(char),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_values_may_hold_anything() {
        let page = "# TYPE a counter\na{b=\"x,y=\\\"z\\\"} \\\\ 1\",c=\"\"} 3\n\nd 0\ne_bucket{le=\"+Inf\"} 2.5e+06\n";
        let metrics = Metrics::read(page);
        let a = Series::new("a").with("b", "x,y=\"z\"} \\ 1");
        let (series, value) = metrics.of("a").next().unwrap();
        assert_eq!((series.label("b"), value), (a.label("b"), 3.0));
        assert_eq!((metrics.sum("d"), metrics.sum("e_bucket")), (0.0, 2_500_000.0));
        assert_eq!((metrics.type_of("a"), metrics.type_of("d")), ("counter", ""));
    }

    #[test]
    #[should_panic(expected = "twice")]
    fn no_series_may_come_twice() {
        let _ = Metrics::read("a{b=\"1\"} 1\na{b=\"1\"} 2\n");
    }
}
