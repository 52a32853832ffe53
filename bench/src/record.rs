//! Raw results: one figure a line, as JSON; all that a report is made of.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Failure;

/// The gateway and the bare Envoy, [`Figure::suite`].
pub const GATEWAY: &str = "gateway";
/// Other gateways, [`Figure::suite`].
pub const PEERS: &str = "peers";
/// Pure cores without Envoy, [`Figure::suite`].
pub const MICRO: &str = "micro";
/// Envoy without a filter of ours, [`Figure::name`].
pub const BARE: &str = "bare";

/// One figure of one round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// Who measures: [`GATEWAY`], [`PEERS`], [`MICRO`].
    pub suite: String,
    /// What was asked for.
    pub workload: String,
    /// Who was measured; [`BARE`] is what ratios are to.
    pub name: String,
    /// What of it, such as `cpu` or `ttft_p50`.
    pub metric: String,
    /// Unit of `value`.
    pub unit: String,
    /// From 1; every round measures everybody once.
    pub round: u32,
    /// What was measured.
    pub value: f64,
    /// Version of the one measured, where that is not the gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// Writes figures to a file as they come.
pub struct Recorder {
    file: File,
}

impl Recorder {
    /// Begins the file anew.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn create(path: &Path) -> Result<Self, Failure> {
        Ok(Self { file: File::create(path)? })
    }

    /// Writes one figure.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&mut self, figure: &Figure) -> Result<(), Failure> {
        Ok(writeln!(self.file, "{}", serde_json::to_string(figure)?)?)
    }
}

/// All figures of a run.
#[derive(Clone, Debug, Default)]
pub struct Figures(Vec<Figure>);

impl Figures {
    /// Reads every `*.jsonl` in `folder`, in the order of their names.
    ///
    /// # Errors
    /// A file cannot be read, or a line is no figure; it is named.
    pub fn read(folder: &Path) -> Result<Self, Failure> {
        let mut paths: Vec<_> = std::fs::read_dir(folder)?.flatten().map(|entry| entry.path()).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
        paths.sort();
        let mut figures = Vec::new();
        for path in paths {
            for (index, line) in BufReader::new(File::open(&path)?).lines().enumerate() {
                let figure = serde_json::from_str(&line?);
                figures.push(figure.map_err(|error| format!("{}:{}: {error}", path.display(), index + 1))?);
            }
        }
        Ok(Self(figures))
    }

    /// As they were measured.
    #[must_use]
    pub fn all(&self) -> &[Figure] {
        &self.0
    }

    /// Values of `metric` of `name` at `workload`, in the order of the rounds.
    #[must_use]
    pub fn values(&self, suite: &str, workload: &str, name: &str, metric: &str) -> Vec<f64> {
        self.rounds(suite, workload, name, metric).map(|figure| figure.value).collect()
    }

    /// For each round, the value of `name` divided by that of [`BARE`].
    #[must_use]
    pub fn ratios(&self, suite: &str, workload: &str, name: &str, metric: &str) -> Vec<f64> {
        self.against_bare(suite, workload, name, metric, |value, bare| value / bare)
    }

    /// For each round, the value of `name` less that of [`BARE`].
    #[must_use]
    pub fn added(&self, suite: &str, workload: &str, name: &str, metric: &str) -> Vec<f64> {
        self.against_bare(suite, workload, name, metric, |value, bare| value - bare)
    }

    fn against_bare(
        &self,
        suite: &str,
        workload: &str,
        name: &str,
        metric: &str,
        compare: impl Fn(f64, f64) -> f64,
    ) -> Vec<f64> {
        let bare = |round| self.rounds(suite, workload, BARE, metric).find(|figure| figure.round == round);
        let pairs =
            self.rounds(suite, workload, name, metric).filter_map(|own| Some((own, bare(own.round)?)));
        pairs.map(|(own, bare)| compare(own.value, bare.value)).collect()
    }

    fn rounds<'a>(
        &'a self,
        suite: &'a str,
        workload: &'a str,
        name: &'a str,
        metric: &'a str,
    ) -> impl Iterator<Item = &'a Figure> {
        self.0.iter().filter(move |figure| {
            figure.suite == suite
                && figure.workload == workload
                && figure.name == name
                && figure.metric == metric
        })
    }

    /// Workloads of `suite`, in the order in which they were first measured.
    #[must_use]
    pub fn workloads(&self, suite: &str) -> Vec<&str> {
        distinct(self.0.iter().filter(|figure| figure.suite == suite).map(|figure| figure.workload.as_str()))
    }

    /// Who was measured at `workload`; [`BARE`] first, the others by name: rounds are in an order of their own.
    #[must_use]
    pub fn names(&self, suite: &str, workload: &str) -> Vec<&str> {
        let of = self.0.iter().filter(|figure| figure.suite == suite && figure.workload == workload);
        let mut names = distinct(of.map(|figure| figure.name.as_str()));
        names.sort_by_key(|name| (*name != BARE, *name));
        names
    }
}

impl FromIterator<Figure> for Figures {
    fn from_iter<T: IntoIterator<Item = Figure>>(figures: T) -> Self {
        Self(figures.into_iter().collect())
    }
}

fn distinct<'a>(words: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = BTreeSet::new();
    words.filter(|word| seen.insert(*word)).collect()
}

#[cfg(test)]
mod tests {
    use super::{Figure, Figures, GATEWAY, Recorder};

    fn figure(name: &str, round: u32, value: f64) -> Figure {
        Figure {
            suite: GATEWAY.to_owned(),
            workload: "chat-1k".to_owned(),
            name: name.to_owned(),
            metric: "cpu".to_owned(),
            unit: "us".to_owned(),
            round,
            value,
            version: None,
        }
    }

    #[test]
    fn a_ratio_is_to_bare_in_the_same_round() {
        let figures: Figures = [
            figure("whole", 1, 90.0),
            figure("bare", 2, 60.0),
            figure("bare", 1, 45.0),
            figure("whole", 2, 90.0),
            figure("whole", 3, 1.0),
        ]
        .into_iter()
        .collect();
        assert_eq!(figures.ratios(GATEWAY, "chat-1k", "whole", "cpu"), [2.0, 1.5]);
        assert_eq!(figures.added(GATEWAY, "chat-1k", "whole", "cpu"), [45.0, 30.0]);
        assert_eq!(figures.names(GATEWAY, "chat-1k"), ["bare", "whole"]);
        assert_eq!(figures.workloads(GATEWAY), ["chat-1k"]);
    }

    #[test]
    fn figures_are_read_as_they_were_written() {
        let folder = tempfile::tempdir().unwrap();
        let mut recorder = Recorder::create(&folder.path().join("gateway.jsonl")).unwrap();
        let mut peer = figure("litellm", 1, 13_153.0);
        peer.version = Some("1.80.0".to_owned());
        for figure in [&peer, &figure("bare", 1, 43.1)] {
            recorder.write(figure).unwrap();
        }
        let read = Figures::read(folder.path()).unwrap();
        assert_eq!(read.all(), [peer, figure("bare", 1, 43.1)]);
    }

    #[test]
    fn a_line_that_is_no_figure_is_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("peers.jsonl"), "{}\n").unwrap();
        let error = Figures::read(folder.path()).unwrap_err().to_string();
        assert!(error.contains("peers.jsonl:1: missing field"), "{error}");
    }
}
