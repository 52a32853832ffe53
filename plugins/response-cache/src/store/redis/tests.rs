//! Commands as they are sent, and what is made of replies.

use proptest::prelude::*;
use sluice_core::openai::Operation;

use super::*;
use crate::entry::Form;

fn entry() -> Entry {
    Entry {
        form: Form::Document,
        operation: Operation::Chat,
        content_type: "application/json".to_owned(),
        stored_ms: 1000,
        expires_ms: 2000,
        consumer_tag: 1,
        model_tag: 2,
        input_tokens: 3,
        output_tokens: 4,
        finish_reason: "stop".to_owned(),
        model: "gpt-4o".to_owned(),
        has_usage: true,
        body: b"{}".to_vec(),
    }
}

#[test]
fn a_command_names_the_entry_and_its_lock() {
    let (script, key) = (Script::new(SCRIPT), Key::from([0xab; 32]));
    let tag = "ab".repeat(32);
    let keys = [format!("sluice:cache:{{{tag}}}"), format!("sluice:cache:{{{tag}}}:lock")];
    let eval = |op: &str| Command::eval(&script, &keys).arg(op).arg("t");
    assert_eq!(acquire(&script, &key, "t", 500, true), eval("acquire").arg("500").arg("1"));
    assert_eq!(acquire(&script, &key, "t", 500, false), eval("acquire").arg("500").arg("0"));
    for (now_ms, left_ms) in [(1500, "500"), (2000, "1"), (9000, "1")] {
        let want = eval("store").arg(left_ms).arg(entry().encode());
        assert_eq!(store(&script, &key, "t", &entry(), now_ms), want);
    }
    assert_eq!(release(&script, &key, "t"), eval("release"));
    assert_eq!(renew(&script, &key, "t", 7), eval("renew").arg("7"));
    assert_eq!(look(&key), Command::new("GET").arg(&keys[0]));
}

#[test]
fn only_the_scripts_own_answers_are_read() {
    let bulk = |text: &str| Ok(Reply::Bulk(text.as_bytes().to_vec()));
    let found = Ok(Reply::Bulk(entry().encode()));
    let cases = [
        (vec![bulk("hit"), found.clone()], Some(Acquired::Hit(Box::new(entry())))),
        (vec![bulk("leader"), Ok(Reply::Integer(0))], Some(Acquired::Leader)),
        (vec![bulk("wait"), Ok(Reply::Integer(7))], Some(Acquired::Wait { lease_ms: 7 })),
        (vec![bulk("wait"), Ok(Reply::Integer(-1))], None),
        (vec![bulk("wait"), Ok(Reply::Nil)], None),
        (vec![bulk("hit"), bulk("garbage")], None),
        (vec![bulk("hit")], None),
        (vec![bulk("hit"), found.clone(), found], None),
        (vec![bulk("miss"), Ok(Reply::Nil)], None),
        (vec![], None),
    ];
    for (elements, want) in cases {
        assert_eq!(acquired(&Reply::Array(elements.clone())), want, "{elements:?}");
    }
    assert_eq!(acquired(&Reply::Nil), None);
    assert_eq!(super::found(&Reply::Nil), None);
    assert_eq!(cleared(&Reply::Nil), Clears::default());
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..99)) {
        let reply = Reply::Bulk(bytes);
        let _ = (found(&reply), cleared(&reply));
        let _ = acquired(&Reply::Array(vec![Ok(Reply::Bulk(b"hit".to_vec())), Ok(reply)]));
    }
}
