//! What an escaped string means, and where each of its characters stands.

/// A string with its escapes undone. Nothing is refused, for what one reader refuses another one reads: half a
/// surrogate pair and bytes that are not UTF-8 count as U+FFFD, an escape that does not exist as its own characters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decoded {
    /// What it means.
    pub text: String,
    /// Offset in the text from which an escape is not complete; the text's length if all are.
    pub complete: usize,
    /// After each place where the text and its source go apart: offset in the text, offset in the source.
    steps: Vec<(usize, usize)>,
}

impl Decoded {
    /// Decodes the bytes between the quotes of a JSON string.
    #[must_use]
    pub fn of(raw: &[u8]) -> Self {
        let text = String::with_capacity(raw.len());
        let mut decoded = Self { text, complete: usize::MAX, steps: Vec::new() };
        let mut rest = raw;
        while let Some(at) = memchr::memchr(b'\\', rest) {
            let (run, escape) = rest.split_at_checked(at).unwrap_or((rest, &[]));
            decoded.push_run(run, raw.len().saturating_sub(rest.len()));
            rest = decoded.push_escape(escape, raw.len());
        }
        decoded.push_run(rest, raw.len().saturating_sub(rest.len()));
        decoded.complete = decoded.complete.min(decoded.text.len());
        decoded
    }

    /// Where the character at `offset` of the text begins in the source.
    #[must_use]
    pub fn raw(&self, offset: usize) -> usize {
        let before = self.steps.partition_point(|(text, _)| *text <= offset);
        let step = before.checked_sub(1).and_then(|last| self.steps.get(last));
        let (text, raw) = step.copied().unwrap_or_default();
        raw.saturating_add(offset.saturating_sub(text))
    }

    /// Where in the text the source's `raw` offset stands, or the next character after it.
    #[must_use]
    pub fn text_at(&self, raw: usize) -> usize {
        let before = self.steps.partition_point(|(_, source)| *source <= raw);
        let step = before.checked_sub(1).and_then(|last| self.steps.get(last));
        let (text, source) = step.copied().unwrap_or_default();
        let next = self.steps.get(before).map_or(self.text.len(), |(text, _)| *text);
        let at = text.saturating_add(raw.saturating_sub(source)).min(next);
        (at..=next).find(|at| self.text.is_char_boundary(*at)).unwrap_or(next)
    }

    fn push_run(&mut self, run: &[u8], offset: usize) {
        let mut raw = offset;
        for chunk in run.utf8_chunks() {
            self.text.push_str(chunk.valid());
            raw = raw.saturating_add(chunk.valid().len());
            if !chunk.invalid().is_empty() {
                self.text.push(char::REPLACEMENT_CHARACTER);
                raw = raw.saturating_add(chunk.invalid().len());
                self.steps.push((self.text.len(), raw));
            }
        }
    }

    /// Takes the escape at the front of `bytes`, which end `end` bytes after the source's start. What follows it.
    fn push_escape<'a>(&mut self, bytes: &'a [u8], end: usize) -> &'a [u8] {
        let (char, length) = match escape(bytes) {
            Escape::Is(char, length) => (char, length),
            Escape::IsNone => ('\\', 1),
            Escape::IsCut => {
                self.complete = self.complete.min(self.text.len());
                // at six bytes it is the first half of a pair
                if bytes.len() < 6 { ('\\', 1) } else { (char::REPLACEMENT_CHARACTER, 6) }
            }
        };
        self.text.push(char);
        let rest = bytes.get(length..).unwrap_or_default();
        self.steps.push((self.text.len(), end.saturating_sub(rest.len())));
        rest
    }
}

enum Escape {
    /// This character, in so many bytes.
    Is(char, usize),
    /// No escape of JSON's.
    IsNone,
    /// The bytes end before it does.
    IsCut,
}

/// Reads what begins with a backslash (RFC 8259 section 7).
fn escape(bytes: &[u8]) -> Escape {
    let char = match bytes.get(1) {
        Some(byte @ (b'"' | b'\\' | b'/')) => char::from(*byte),
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => return unicode(bytes),
        Some(_) => return Escape::IsNone,
        None => return Escape::IsCut,
    };
    Escape::Is(char, 2)
}

/// Reads `\uXXXX`, with the second half of a surrogate pair where there is one.
fn unicode(bytes: &[u8]) -> Escape {
    let first = match unit(bytes) {
        Ok(first) => first,
        Err(cut) => return if cut { Escape::IsCut } else { Escape::IsNone },
    };
    if let Some(char) = char::from_u32(u32::from(first)) {
        return Escape::Is(char, 6);
    }
    let second = bytes.get(6..).unwrap_or_default();
    let lone = Escape::Is(char::REPLACEMENT_CHARACTER, 6);
    if first >= 0xdc00 {
        return lone;
    }
    match unit(second) {
        Ok(second) => match char::decode_utf16([first, second]).next() {
            Some(Ok(char)) => Escape::Is(char, 12),
            _ => lone,
        },
        Err(cut) => {
            if cut {
                Escape::IsCut
            } else {
                lone
            }
        }
    }
}

/// The number of a `\uXXXX`. An error tells whether the bytes only end too early.
fn unit(bytes: &[u8]) -> Result<u16, bool> {
    let Some(digits) = bytes.get(2..6).filter(|_| bytes.starts_with(b"\\u")) else {
        let digits = bytes.get(2..).unwrap_or_default();
        let fits = b"\\u".starts_with(bytes) || bytes.starts_with(b"\\u");
        return Err(fits && bytes.len() < 6 && digits.iter().all(u8::is_ascii_hexdigit));
    };
    let value = digits.iter().try_fold(0_u16, |value, digit| {
        let digit = char::from(*digit).to_digit(16).and_then(|digit| u16::try_from(digit).ok())?;
        Some(value.wrapping_shl(4) | digit)
    });
    value.ok_or(false)
}
