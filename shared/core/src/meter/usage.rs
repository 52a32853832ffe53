//! Token counts: as providers report them, or estimated from the text.

use crate::json::{Error, Kind, Reader};
use crate::openai::Operation;

/// Largest count that is believed. No answer has four thousand million tokens; more is a provider's mistake, and
/// would empty every budget that it is charged to. Such a number is ignored, like a negative or a fractional one.
pub const MAX_COUNT: u64 = 0xffff_ffff;

/// Where a [`Usage`] comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The provider said so.
    Reported,
    /// At least one of input and output is estimated: see [`estimate`].
    Estimated,
}

impl Source {
    /// Its name in the fact [`crate::context::USAGE_SOURCE`].
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reported => "reported",
            Self::Estimated => "estimated",
        }
    }
}

/// Tokens of one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Input tokens, cached ones included.
    pub input: u64,
    /// Output tokens, reasoning included.
    pub output: u64,
    /// Input tokens that the provider read from its cache, if it says.
    pub cached: Option<u64>,
    /// Output tokens spent on reasoning, if the provider says.
    pub reasoning: Option<u64>,
    /// Whether to believe it.
    pub source: Source,
}

/// Estimates the tokens of `text`, rounded up: one for each four bytes of UTF-8, and one for each character of
/// three bytes (Chinese, Japanese, Korean). Within some 30 % of `o200k_base` for prose; exact for none. Text
/// may also be JSON-escaped, where `\u4e16` makes one and a half.
#[must_use]
pub fn estimate(text: &[u8]) -> u64 {
    quarters(text).div_ceil(4)
}

/// The estimate in quarters of a token, which add up over the parts of a text.
pub(super) fn quarters(text: &[u8]) -> u64 {
    let is_wide = |byte: &&u8| **byte & 0xf0 == 0xe0; // leads a character of three bytes
    // Most text holds none, which is known a word at a time.
    let wide = if text.is_ascii() { 0 } else { text.iter().filter(is_wide).count() };
    u64::try_from(text.len().saturating_add(wide)).unwrap_or(u64::MAX)
}

/// Counts as reported so far; each by itself may be missing. OpenAI's and Anthropic's names mean the same here,
/// but for [`Self::cache_read`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) input: Option<u64>,
    pub(super) output: Option<u64>,
    cached: Option<u64>,
    reasoning: Option<u64>,
    /// Anthropic's `input_tokens` leave out what was read from or written to its cache.
    /// <https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching#tracking-cache-performance>
    cache_read: Option<u64>,
    cache_written: Option<u64>,
}

impl Counts {
    /// Nothing reported.
    pub(super) const NONE: Self = Self {
        input: None,
        output: None,
        cached: None,
        reasoning: None,
        cache_read: None,
        cache_written: None,
    };

    /// Reads the value of a `usage` member; nothing from anything but an object.
    pub(super) fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), Error> {
        if reader.kind() != Some(Kind::Object) {
            return Ok(());
        }
        reader.object(|reader, key| {
            match key.raw {
                b"prompt_tokens" | b"input_tokens" => count(reader, &mut self.input),
                b"completion_tokens" | b"output_tokens" => count(reader, &mut self.output),
                b"prompt_cache_hit_tokens" => count(reader, &mut self.cached), // DeepSeek
                b"cache_read_input_tokens" => count(reader, &mut self.cache_read),
                b"cache_creation_input_tokens" => count(reader, &mut self.cache_written),
                b"prompt_tokens_details" | b"input_tokens_details" => {
                    detail(reader, b"cached_tokens", &mut self.cached)
                }
                b"completion_tokens_details" | b"output_tokens_details" => {
                    detail(reader, b"reasoning_tokens", &mut self.reasoning)
                }
                _ => Ok(()),
            }
        })
    }

    /// Takes over what `newer` says. Counts of one stream are running totals: the last one holds, none are added.
    pub(super) fn update(&mut self, newer: &Self) {
        self.input = newer.input.or(self.input);
        self.output = newer.output.or(self.output);
        self.cached = newer.cached.or(self.cached);
        self.reasoning = newer.reasoning.or(self.reasoning);
        self.cache_read = newer.cache_read.or(self.cache_read);
        self.cache_written = newer.cache_written.or(self.cache_written);
    }

    /// Whether nothing need be estimated. An embedding has no output.
    pub(super) const fn complete(&self, operation: Operation) -> bool {
        self.input.is_some() && (self.output.is_some() || matches!(operation, Operation::Embeddings))
    }

    /// The counts with what is missing filled in by estimates, in tokens.
    pub(super) fn settle(&self, operation: Operation, input: u64, output: u64) -> Usage {
        let beside = self.cache_read.unwrap_or(0).saturating_add(self.cache_written.unwrap_or(0));
        let reported = self.input.map(|input| input.saturating_add(beside));
        let complete = self.complete(operation);
        Usage {
            input: reported.unwrap_or(input),
            output: self.output.unwrap_or(output),
            cached: self.cached.or(self.cache_read),
            reasoning: self.reasoning,
            source: if complete { Source::Reported } else { Source::Estimated },
        }
    }
}

fn count(reader: &mut Reader<'_>, into: &mut Option<u64>) -> Result<(), Error> {
    if reader.kind() == Some(Kind::Number) {
        let number = reader.number()?.as_u64().filter(|count| *count <= MAX_COUNT);
        *into = number.or(*into);
    }
    Ok(())
}

fn detail(reader: &mut Reader<'_>, name: &[u8], into: &mut Option<u64>) -> Result<(), Error> {
    if reader.kind() != Some(Kind::Object) {
        return Ok(());
    }
    reader.object(|reader, key| if key.raw == name { count(reader, into) } else { Ok(()) })
}
