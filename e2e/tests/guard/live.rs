//! Checks that change while requests run.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use serde_json::{Value, json};
use sluice_e2e::bed::{self, Bed};
use sluice_e2e::client::{End, Reply};
use sluice_e2e::gateway::Options;
use sluice_e2e::limits::Running;
use sluice_e2e::upstream::Upstream;
use sluice_e2e::wait;

use crate::bed::chat;
use crate::speech::Speech;

const BANNED: &str = "{name: banned, keywords: [blue heron], action: block}";
const OTHER: &str = "{name: other, keywords: [red fox], action: block}";

/// The gateway whose file these tests rewrite, one after the other, and its moderation service.
#[track_caller]
fn bed() -> MutexGuard<'static, (Bed, Upstream)> {
    static BED: OnceLock<Mutex<(Bed, Upstream)>> = OnceLock::new();
    let start = || {
        let bed = Bed::start(&Options::default().workers(2), &section(&[BANNED]));
        Mutex::new((bed, Upstream::start("moderation")))
    };
    BED.get_or_init(start).lock().unwrap_or_else(PoisonError::into_inner)
}

fn section(checks: &[&str]) -> String {
    if checks.is_empty() { String::new() } else { format!("guard: {{checks: [{}]}}\n", checks.join(", ")) }
}

/// Changes the checks and waits until both workers, that is any connection, answer `text` with `status`.
fn change(bed: &Bed, checks: &[&str], text: &str, status: u16) {
    bed.gateway.rewrite_and_wait(&bed::yaml(&bed.providers, &section(checks)), |gateway| {
        (0..10).all(|_| gateway.chat(&chat("gpt-x", text)).status == status)
    });
}

#[test]
fn checks_come_and_go_without_a_restart() {
    let guard = bed();
    let (bed, service) = &*guard;
    let status = |text: &str| bed.gateway.chat(&chat("gpt-x", text)).status;
    change(bed, &[BANNED], "blue heron", 400);
    assert_eq!(status("red fox"), 200);
    change(bed, &[BANNED, OTHER], "red fox", 400);
    assert_eq!(status("blue heron"), 400);
    change(bed, &[OTHER], "blue heron", 200);
    assert_eq!(status("red fox"), 400);
    let url = format!("{{name: asked, url: \"http://{}/v1/moderations\"}}", service.address());
    change(bed, &[&url], "violence", 400);
    assert_eq!(status("red fox"), 200);
    change(bed, &[], "violence", 200);
    let asked = service.requests().len();
    assert_eq!((status("red fox"), service.requests().len()), (200, asked), "nobody asks any more");
    change(bed, &[BANNED], "blue heron", 400);
}

#[test]
fn a_file_that_is_wrong_is_reported_and_the_old_one_stays() {
    let guard = bed();
    let (bed, _) = &*guard;
    change(bed, &[BANNED], "blue heron", 400);
    for (wrong, said) in [
        ("{name: banned, regex: ['a(b']}", "guard.checks[0].regex[0]"),
        ("{name: banned, detect: [passport]}", "guard.checks[0].detect"),
        ("{name: banned, keywords: []}", "is an empty list"),
    ] {
        let before = bed.gateway.stderr().len();
        bed.gateway.rewrite(&bed::yaml(&bed.providers, &section(&[wrong])));
        wait::until(&format!("{said:?} to be told"), || {
            let stderr = bed.gateway.stderr();
            let new = &stderr[before..];
            (new.contains(said) && new.contains("not applied")).then_some(())
        });
        assert_eq!(bed.gateway.chat(&chat("gpt-x", "blue heron")).status, 400, "{wrong}");
        assert_eq!(bed.gateway.chat(&chat("gpt-x", "hello")).status, 200, "{wrong}");
    }
    change(bed, &[OTHER], "red fox", 400);
}

/// An answer of this load that is as it should be: whole, or a clean refusal of what is banned now or was.
fn is_good(reply: &Reply, stream: bool, banned: bool) -> bool {
    let refused = banned && reply.status == 400 && reply.code() == "content_policy_violation";
    let ending = || Speech::Chat.ending(reply) == "stop";
    refused
        || (reply.status == 200
            && reply.end == End::Clean
            && ending()
            && (!stream || reply.text().ends_with("data: [DONE]\n\n")))
}

#[test]
fn changes_under_load_drop_no_request() {
    let guard = bed();
    let (bed, service) = &*guard;
    change(bed, &[BANNED], "blue heron", 400);
    let (is_over, done) = (AtomicBool::new(false), AtomicUsize::new(0));
    let load = |number: usize| {
        let mut n = number;
        while !is_over.load(Ordering::Relaxed) {
            n += 1;
            let (stream, banned) = (n.is_multiple_of(2), n.is_multiple_of(3));
            let text = if banned { "a blue heron and a red fox" } else { "alice@example.com and others" };
            let mut body = chat("gpt-x", text);
            body["stream"] = json!(stream);
            body["metadata"] = json!({"x_mock": {"a": {"gap_ms": 1}}});
            let reply = bed.gateway.chat(&body);
            assert!(is_good(&reply, stream, banned), "{} {:?} {}", reply.status, reply.end, reply.text());
            done.fetch_add(1, Ordering::Relaxed);
        }
    };
    let url = format!("{{name: asked, url: \"http://{}/v1/moderations\", timeout: 5s}}", service.address());
    let mask = "{name: pii, detect: [email], action: mask}";
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..3).map(|number| scope.spawn(move || load(number))).collect();
        // A panic here would leave the load running for ever; it ends by itself once told.
        let changed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            change(bed, &[OTHER, mask], "blue heron", 200);
            change(bed, &[BANNED, &url], "blue heron", 400);
            change(bed, &[], "blue heron", 200);
            change(bed, &[&url, mask, BANNED], "blue heron", 400);
        }));
        is_over.store(true, Ordering::Relaxed);
        threads.into_iter().for_each(|thread| thread.join().expect("good answers"));
        assert!(changed.is_ok(), "a change was not taken up");
    });
    let done = done.load(Ordering::Relaxed);
    assert!(done > 20, "{done} requests while checks changed");
}

#[test]
fn a_stream_ends_under_the_checks_that_it_began_under() {
    let guard = bed();
    let (bed, _) = &*guard;
    change(bed, &[BANNED], "blue heron", 400);
    change(bed, &["{name: pii, on: request, detect: [email], action: mask}"], "blue heron", 200);
    let words = "word ".repeat(40);
    let script = json!({"say": format!("Hello {words}[EMAIL_1] and a blue heron"), "gap_ms": 40});
    let mut body = chat("gpt-long", "I am alice@example.com");
    body["metadata"] = json!({"x_mock": {"a": script}});
    let mut stream = Running::begin(bed.gateway.address(), &[], &body);
    stream.read_until("Hello", 1);
    change(bed, &[BANNED], "blue heron", 400);
    let text = stream.finish();
    assert!(text.contains("alice@example.com") && text.ends_with("data: [DONE]\n\n"), "{text}");
    assert!(text.contains("heron"), "what came after the change is not checked by it: {text}");
    let record: Value = bed.gateway.ai_log("gpt-long");
    assert_eq!(crate::bed::verdicts(&record), ["pii request email high mask 1"]);
}
