use sluice_core::openai::Operation;

use super::*;
use crate::form::Form;

fn key(byte: u8) -> Key {
    Key::from([byte; 32])
}

fn entry() -> Rc<Entry> {
    Rc::new(Entry {
        form: Form::Document,
        operation: Operation::Chat,
        content_type: String::new(),
        stored_ms: 0,
        expires_ms: 0,
        consumer_tag: 0,
        model_tag: 0,
        input_tokens: 0,
        output_tokens: 0,
        finish_reason: String::new(),
        model: String::new(),
        has_usage: false,
        body: Vec::new(),
    })
}

/// A flight of `key(1)` that 1 leads and 2 to 4 follow.
fn flight() -> Flights {
    let mut flights = Flights::default();
    assert_eq!(flights.join(key(1), StreamId(1), true), Seat::Leader);
    for stream in 2..=4 {
        assert_eq!(flights.join(key(1), StreamId(stream), true), Seat::Follower);
    }
    flights
}

#[test]
fn one_leads_and_the_others_follow() {
    let mut flights = flight();
    assert_eq!(flights.join(key(1), StreamId(5), false), Seat::Alone, "one who does not follow");
    assert_eq!(flights.join(key(2), StreamId(5), false), Seat::Leader, "may lead");
    assert_eq!(flights.join(key(1), StreamId(1), true), Seat::Leader, "still");
    assert_eq!(flights.news(StreamId(2)), None);
}

#[test]
fn who_follows_gets_the_answer_and_so_does_who_comes_before_it_is_kept() {
    let (mut flights, entry) = (flight(), entry());
    assert!(flights.land(key(1), StreamId(2), &entry).is_empty(), "no leader");
    assert!(flights.land(key(2), StreamId(1), &entry).is_empty(), "no flight");
    assert_eq!(flights.land(key(1), StreamId(1), &entry), [2, 3, 4].map(StreamId));
    let answer = News::Answer(Rc::clone(&entry));
    assert_eq!((flights.news(StreamId(3)), flights.news(StreamId(3))), (Some(answer), None));
    assert_eq!(flights.join(key(1), StreamId(9), false), Seat::Answer(entry));
    for stream in 1..=4 {
        assert_eq!(flights.leave(key(1), StreamId(stream)), None);
    }
    assert!(flights.is_empty());
}

#[test]
fn the_next_in_the_row_leads_when_a_leader_goes() {
    let mut flights = flight();
    assert_eq!(flights.leave(key(1), StreamId(3)), None, "it only follows");
    assert_eq!(flights.leave(key(1), StreamId(1)), Some(StreamId(2)));
    assert_eq!(flights.leave(key(1), StreamId(2)), Some(StreamId(4)), "before it has read its news");
    assert_eq!((flights.news(StreamId(4)), flights.news(StreamId(2))), (Some(News::Lead), None));
    assert_eq!(flights.leave(key(1), StreamId(4)), None);
    assert!(flights.is_empty());
}

#[test]
fn an_answer_for_nobody_else_sends_everybody_on_alone() {
    let mut flights = flight();
    assert!(flights.scatter(key(1), StreamId(2)).is_empty(), "no leader");
    assert_eq!(flights.scatter(key(1), StreamId(1)), [2, 3, 4].map(StreamId));
    assert_eq!(flights.join(key(1), StreamId(5), true), Seat::Leader, "a new flight");
    assert_eq!(flights.leave(key(1), StreamId(1)), None, "the old leader has no part in it");
    for stream in 2..=4 {
        assert_eq!(flights.news(StreamId(stream)), Some(News::Alone));
    }
    flights.leave(key(1), StreamId(5));
    assert!(flights.is_empty());
}
