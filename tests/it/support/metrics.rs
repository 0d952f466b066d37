//! The metrics page, read.

use std::collections::BTreeMap;

/// Series by name and labels.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    series: Vec<(String, BTreeMap<String, String>, f64)>,
}

impl Metrics {
    /// Reads the text format; every line has to have a meaning.
    pub(crate) fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self { series: lines.map(series).collect() }
    }

    /// The sum of all series of that name that carry these labels; 0 if there is none.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let matches = |has: &BTreeMap<String, String>| {
            labels.iter().all(|(name, value)| has.get(*name).is_some_and(|found| found == value))
        };
        let found = self.series.iter().filter(|(found, has, _)| found == name && matches(has));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "counts of a test are small"
        )]
        let sum = found.map(|(_, _, value)| value).sum::<f64>() as u64;
        sum
    }

    /// Whether there is a series of that name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.series.iter().any(|(found, ..)| found == name)
    }
}

fn series(line: &str) -> (String, BTreeMap<String, String>, f64) {
    let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
    let value = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
    let Some((name, labels)) = series.split_once('{') else {
        return (series.to_owned(), BTreeMap::new(), value);
    };
    let labels = labels.strip_suffix("\"}").unwrap_or_else(|| panic!("no end: {line}"));
    let pairs = labels.split("\",").map(|pair| {
        let (name, value) = pair.split_once("=\"").unwrap_or_else(|| panic!("no label: {line}"));
        (name.to_owned(), value.to_owned())
    });
    (name.to_owned(), pairs.collect(), value)
}
