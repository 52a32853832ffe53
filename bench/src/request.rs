//! The requests of the load: chat completions of a given size, each with a text and a caller of its own.

/// Text of the messages; JSON as written, with the escapes that prompts have.
const TEXT: &str =
    "Sluice gates let through what they are told to, and no more. \\\"How much?\\\" asked the miller;\\n";

/// Bytes of text in one message of a longer conversation.
const MESSAGE: usize = 1_000;

/// Digits of a request's own number.
const DIGITS: usize = 12;

/// Stands where the number goes.
const NUMBER: &str = "############";

/// Stands where the number of the caller goes.
const CALLER: &str = "@@@@@@";

/// The key of caller `number`, as requests present it.
#[must_use]
pub fn key(number: u32) -> String {
    format!("sk-bench-{number:06}-2f6b8d0c4e9a71c3")
}

/// A request as it stands on the wire, with places that each copy fills in.
#[derive(Clone, Debug)]
pub struct Template {
    bytes: Vec<u8>,
    number: Option<usize>,
    caller: Option<usize>,
    callers: u32,
}

impl Template {
    /// A chat completion of about `size` bytes for `model`, from one of `callers` callers, each with a text of its own.
    #[must_use]
    pub fn chat(model: &str, size: usize, stream: bool, callers: u32) -> Self {
        let stream = if stream { ",\"stream\":true" } else { "" };
        let body = format!("{{\"model\":\"{model}\"{stream},\"messages\":[{}]}}", messages(size));
        let key = key(0).replace("000000", CALLER);
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\nuser-agent: bench/1\r\naccept: application/json\r\n\
             content-type: application/json\r\nauthorization: Bearer {key}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let text = head + &body;
        let [number, caller] = [text.find(NUMBER), text.find(CALLER)];
        Self { bytes: text.into_bytes(), number, caller, callers: callers.max(1) }
    }

    /// The same for every request: all of them have one text.
    #[must_use]
    pub fn same(mut self) -> Self {
        self.number = None;
        self
    }

    /// With one more header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        let line = format!("{name}: {value}\r\n");
        let after_first = memchr::memmem::find(&self.bytes, b"\r\n").map_or(0, |at| at + 2);
        self.bytes.splice(after_first..after_first, line.bytes());
        self.number = self.number.map(|at| at + line.len());
        self.caller = self.caller.map(|at| at + line.len());
        self
    }

    /// Writes request `number` into `into`, in place of what it held.
    pub fn fill(&self, number: u64, into: &mut Vec<u8>) {
        into.clear();
        into.extend_from_slice(&self.bytes);
        if let Some(at) = self.number {
            digits(into, at, DIGITS, number);
        }
        if let Some(at) = self.caller {
            digits(into, at, CALLER.len(), number % u64::from(self.callers));
        }
    }
}

/// Members of `messages` with `size` bytes in all: one, or a conversation in turns.
fn messages(size: usize) -> String {
    let count = (size / MESSAGE).max(1);
    let each = size / count;
    let message = |index: usize| {
        let role = if index.is_multiple_of(2) { "user" } else { "assistant" };
        let number = if index == 0 { NUMBER } else { "" };
        let room = each.saturating_sub(34 + role.len() + number.len());
        let text = TEXT.repeat(room / TEXT.len() + 1);
        // Cut behind a whole sentence: never within an escape.
        let text = text.get(..room / TEXT.len() * TEXT.len()).unwrap_or_default();
        format!("{{\"role\":\"{role}\",\"content\":\"{number} {text}\"}}")
    };
    (0..count).map(message).collect::<Vec<_>>().join(",")
}

fn digits(bytes: &mut [u8], at: usize, count: usize, mut value: u64) {
    for place in bytes.iter_mut().skip(at).take(count).rev() {
        *place = b'0' + u8::try_from(value % 10).unwrap_or_default();
        value /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::{Template, key};

    fn body(bytes: &[u8]) -> serde_json::Value {
        let text = std::str::from_utf8(bytes).unwrap();
        serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    #[test]
    fn requests_are_json_of_about_the_size_asked_for() {
        for size in [1_024, 16_384, 131_072] {
            let mut bytes = Vec::new();
            Template::chat("gpt-json", size, false, 1).fill(7, &mut bytes);
            let length = body(&bytes).to_string().len();
            assert!((size * 8 / 10..size * 11 / 10).contains(&length), "{size}: {length}");
        }
    }

    #[test]
    fn each_request_has_its_own_text_and_one_of_the_callers() {
        let template = Template::chat("gpt-json", 1_024, true, 10);
        let (mut one, mut other) = (Vec::new(), Vec::new());
        template.fill(17, &mut one);
        template.fill(23, &mut other);
        assert_ne!(body(&one), body(&other));
        assert!(String::from_utf8(one).unwrap().contains(&key(7)));
        assert!(String::from_utf8(other).unwrap().contains(&key(3)));
    }

    #[test]
    fn a_further_header_moves_what_is_filled_in() {
        let template = Template::chat("gpt-json", 1_024, false, 10);
        let (mut plain, mut with) = (Vec::new(), Vec::new());
        template.fill(17, &mut plain);
        template.with_header("x-to", "a: b").fill(17, &mut with);
        let [plain, with] = [plain, with].map(|bytes| String::from_utf8(bytes).unwrap());
        assert_ne!(plain, with);
        assert_eq!(with.replacen("\r\nx-to: a: b\r\n", "\r\n", 1), plain);
    }

    #[test]
    fn requests_may_be_the_same() {
        let template = Template::chat("gpt-json", 1_024, false, 1).same();
        let (mut one, mut other) = (Vec::new(), Vec::new());
        template.fill(1, &mut one);
        template.fill(2, &mut other);
        assert_eq!(one, other);
    }
}
