//! docs/threat-model.md names for each defence the test that guards it: they all exist.

use std::path::PathBuf;

use sluice_e2e::envoy::checkout;

/// Names that stand in code spans and are tests, by the file that must hold them.
fn named(page: &str) -> Vec<(PathBuf, &str)> {
    let spans = page.split('`').skip(1).step_by(2).filter_map(|span| span.rsplit_once("::"));
    let tests = spans.filter(|(place, _)| *place != "suite::module");
    tests.map(|(place, name)| (file(place), name)).collect()
}

/// The file of a suite's module, or the one that a path names.
fn file(place: &str) -> PathBuf {
    if place.contains('/') {
        return checkout().join(place);
    }
    checkout().join("e2e/tests").join(place.replace("::", "/")).with_extension("rs")
}

#[test]
fn every_test_that_the_threat_model_names_exists() {
    let page = std::fs::read_to_string(checkout().join("docs/threat-model.md")).expect("the page");
    let named = named(&page);
    assert!(named.len() > 60, "{} tests", named.len());
    let missing: Vec<String> = named
        .iter()
        .filter(|(file, name)| {
            let code = std::fs::read_to_string(file).unwrap_or_default();
            let function = code.split_once(&format!("fn {name}("));
            !function
                .is_some_and(|(before, _)| before.trim_end().ends_with(']') || before.contains("proptest!"))
        })
        .map(|(file, name)| format!("{}: {name}", file.display()))
        .collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn every_test_of_this_suite_is_named_in_the_threat_model() {
    let page = std::fs::read_to_string(checkout().join("docs/threat-model.md")).expect("the page");
    let folder = std::fs::read_dir(checkout().join("e2e/tests/security")).expect("this suite");
    for file in folder.flatten().map(|entry| entry.path()) {
        let code = std::fs::read_to_string(&file).expect("a file");
        let module = file.file_stem().and_then(|stem| stem.to_str()).expect("a name").to_owned();
        for (_, after) in code.match_indices("#[test]\nfn ").map(|(at, mark)| code.split_at(at + mark.len()))
        {
            let name = after.split('(').next().unwrap_or_default();
            let is_named = page.contains(&format!("`security::{module}::{name}`"));
            assert!(is_named || module == "model", "{module}::{name} guards nothing");
        }
    }
}
