//! Series and families.

use proptest::prelude::*;

use super::*;

#[test]
fn labels_stand_in_the_name() {
    let labels = [(Label::Consumer, "mobile app"), (Label::Limit, ""), (Label::Model, "gpt-4.1;x=y\n")];
    assert_eq!(series("a_total", &labels), "a_total;consumer=mobile app;gen_ai_request_model=gpt-4.1_x=y_");
}

#[test]
fn a_long_value_is_cut_between_characters() {
    let name = series("a", &[(Label::Check, &"é".repeat(100))]);
    assert_eq!(name, format!("a;check={}", "é".repeat(64)));
}

#[test]
fn each_label_has_a_name_of_its_own_that_no_other_ends_with() {
    for label in Label::ALL {
        let same = Label::ALL.iter().filter(|other| other.name() == label.name());
        assert_eq!(same.count(), 1, "{label:?}");
        assert!(label.name().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{label:?}");
    }
}

const ATTEMPTS: Family = Family::counter("a_total", &[Label::Consumer, Label::Provider, Label::Verdict]);

#[test]
fn a_family_holds_the_series_of_its_name_and_kind_that_have_its_labels() {
    for (kind, series, want) in [
        (Kind::Counter, "a_total", true),
        (Kind::Counter, "a_total;consumer=x=y;verdict=ok", true),
        (Kind::Counter, "a_total;consumer=;gen_ai_provider_name=p;verdict", true),
        (Kind::Gauge, "a_total", false),
        (Kind::Histogram, "a_total;consumer=x", false),
        (Kind::Counter, "a_total_", false),
        (Kind::Counter, "", false),
        (Kind::Counter, "a_total;model=m", false),
        (Kind::Counter, "a_total;consumer=x;consumer=y", false),
        (Kind::Counter, "a_total;verdict=ok;consumer=x", false),
        (Kind::Counter, "a_total;", false),
        (Kind::Counter, "a_total;consumer =x", false),
    ] {
        assert_eq!(ATTEMPTS.holds(kind, series), want, "{kind:?} {series}");
    }
}

fn labels() -> impl Strategy<Value = Vec<(Label, String)>> {
    let value = prop_oneof!["[a-z=;. ]{0,12}", ".{0,140}", "\\PC{0,12}"];
    proptest::collection::vec((proptest::sample::select(Label::ALL), value), 0..8)
}

proptest! {
    #[test]
    fn what_is_taken_apart_makes_the_same_series(metric in "[a-z_]{1,20}", labels in labels()) {
        let labels: Vec<(Label, &str)> = labels.iter().map(|(label, value)| (*label, value.as_str())).collect();
        let written = series(&metric, &labels);
        let (name, parsed) = parse(&written);
        let named = |name: &str| *Label::ALL.iter().find(|label| label.name() == name).unwrap();
        let parsed: Vec<(Label, &str)> = parsed.map(|(label, value)| (named(label), value)).collect();
        prop_assert_eq!(name, &metric);
        let kept: Vec<Label> = labels.iter().filter(|(_, value)| !value.is_empty()).map(|(label, _)| *label).collect();
        prop_assert_eq!(parsed.iter().map(|(label, _)| *label).collect::<Vec<_>>(), kept);
        prop_assert_eq!(series(name, &parsed), written);
    }

    #[test]
    fn short_plain_values_come_back_as_they_were(values in proptest::collection::vec("[^;\\pC]{1,32}", 3)) {
        let labels = [Label::Consumer, Label::Provider, Label::Verdict];
        let labels: Vec<(Label, &str)> = labels.into_iter().zip(values.iter().map(String::as_str)).collect();
        let written = series(ATTEMPTS.name, &labels);
        prop_assert!(ATTEMPTS.holds(ATTEMPTS.kind, &written));
        let want = labels.iter().map(|(label, value)| (label.name(), *value));
        prop_assert!(parse(&written).1.eq(want));
    }
}
