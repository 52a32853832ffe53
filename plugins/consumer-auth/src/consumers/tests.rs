//! What the table costs, and that what is shared is kept once.

use super::*;
use crate::config::RawConsumer;

fn draft(consumers: &[RawConsumer]) -> Consumers {
    let json = serde_json::to_string(consumers).unwrap();
    serde_json::from_str::<Draft>(&json).unwrap().finish(&|_| None).unwrap()
}

fn consumer(number: usize) -> RawConsumer {
    let json = format!(
        r#"{{"name":"c{number}","keys":[{{"value":"key-{number}"}}],"tier":"t{}","expires_s":{number}}}"#,
        number % 3
    );
    serde_json::from_str(&json).unwrap()
}

#[test]
fn equal_policies_and_metadata_are_kept_once() {
    let mut consumers: Vec<_> = (0..300).map(consumer).collect();
    for consumer in &mut consumers {
        consumer.metadata.insert("team".to_owned(), "search".to_owned());
    }
    let table = draft(&consumers);
    assert_eq!((table.policies.len(), table.metadata.iter().count(), table.entries.len()), (3, 1, 300));
    for number in 0..300 {
        let identity = table.get(number).unwrap();
        assert_eq!(identity.name(), format!("c{number}"));
        assert_eq!(identity.tier(), Some(format!("t{}", number % 3).as_str()));
        assert_eq!(identity.metadata(), Some(r#"{"team":"search"}"#));
        assert_eq!(table.owner(&Digest::of(format!("key-{number}").as_bytes())), Some(number));
        assert_eq!(table.named(&format!("c{number}")), Some(number));
    }
    assert!(table.get(300).is_none());
    assert_eq!(table.named("c300"), None);
}
