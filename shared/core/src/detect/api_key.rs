//! API keys that show by their form whose they are.
//!
//! The vendors document few of these forms; most are what secret scanners found in keys in use, above all the rules
//! of gitleaks (<https://github.com/gitleaks/gitleaks/blob/master/config/gitleaks.toml>, "gitleaks" below).
//! Keys without a form of their own (Azure's 32 hexadecimal digits, Cohere's 40 letters) cannot be told from a digest.

use std::ops::Range;

use super::bytes::{after, before, each, is_token, is_word, run_after, run_before};
use crate::order;

/// How the keys of one kind look: a prefix and so many characters of a set.
struct Rule {
    prefix: &'static str,
    body: fn(u8) -> bool,
    /// Fewest and most characters behind the prefix.
    len: (usize, usize),
    /// Whether the body must hold letters and digits both, where the prefix alone says too little.
    mixed: bool,
}

const fn rule(prefix: &'static str, body: fn(u8) -> bool, least: usize, most: usize) -> Rule {
    Rule { prefix, body, len: (least, most), mixed: false }
}

const fn mixed(prefix: &'static str, body: fn(u8) -> bool, least: usize, most: usize) -> Rule {
    Rule { prefix, body, len: (least, most), mixed: true }
}

/// The first rule that fits wins: longer prefixes stand before shorter ones.
const RULES: [Rule; 49] = [
    // Anthropic: gitleaks `anthropic-api-key`, `anthropic-admin-api-key`
    rule("sk-ant-", is_token, 32, 160),
    // OpenAI: <https://platform.openai.com/docs/api-reference/authentication>, gitleaks `openai-api-key`
    rule("sk-proj-", is_token, 32, 200),
    rule("sk-svcacct-", is_token, 32, 200),
    rule("sk-admin-", is_token, 32, 200),
    // OpenRouter: <https://openrouter.ai/docs/api-reference/authentication>
    rule("sk-or-v1-", is_hex, 64, 64),
    // OpenAI's old keys (48), DeepSeek and Alibaba's Model Studio (32), Moonshot (48), SiliconFlow (48)
    mixed("sk-", is_alphanumeric, 20, 64),
    // AWS: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids>
    rule("AKIA", is_base32, 16, 16),
    rule("ASIA", is_base32, 16, 16),
    rule("ABIA", is_base32, 16, 16),
    rule("ACCA", is_base32, 16, 16),
    // Amazon Bedrock: gitleaks `aws-amazon-bedrock-api-key-long-lived`
    rule("ABSK", is_base64, 109, 272),
    // GitHub: <https://github.blog/engineering/behind-githubs-new-authentication-token-formats/>
    rule("github_pat_", is_word, 82, 82),
    rule("ghp_", is_alphanumeric, 36, 36),
    rule("gho_", is_alphanumeric, 36, 36),
    rule("ghu_", is_alphanumeric, 36, 36),
    rule("ghs_", is_alphanumeric, 36, 36),
    rule("ghr_", is_alphanumeric, 36, 76),
    // GitLab: <https://docs.gitlab.com/security/tokens/#token-prefixes>
    rule("glpat-", is_dotted, 20, 320),
    rule("glptt-", is_alphanumeric, 40, 40),
    rule("gldt-", is_token, 20, 64),
    rule("glrt-", is_dotted, 20, 320),
    // Slack: <https://docs.slack.dev/authentication/tokens>, gitleaks `slack-*`
    mixed("xoxb-", is_hyphened, 20, 100),
    mixed("xoxp-", is_hyphened, 20, 100),
    mixed("xoxe-", is_hyphened, 20, 240),
    mixed("xoxe.xoxp-", is_hyphened, 20, 240),
    mixed("xoxa-", is_hyphened, 20, 100),
    mixed("xoxr-", is_hyphened, 20, 100),
    mixed("xoxs-", is_hyphened, 20, 100),
    mixed("xapp-", is_hyphened, 30, 140),
    // Google: <https://cloud.google.com/docs/authentication/api-keys>, gitleaks `gcp-api-key`
    rule("AIza", is_token, 35, 35),
    // Stripe: <https://docs.stripe.com/keys>
    rule("sk_live_", is_alphanumeric, 10, 128),
    rule("sk_test_", is_alphanumeric, 10, 128),
    rule("rk_live_", is_alphanumeric, 10, 128),
    rule("rk_test_", is_alphanumeric, 10, 128),
    rule("whsec_", is_alphanumeric, 32, 64),
    // Hugging Face: <https://huggingface.co/docs/hub/security-tokens>, gitleaks `huggingface-*`
    rule("hf_", is_alphanumeric, 34, 37),
    rule("api_org_", is_alphanumeric, 34, 34),
    // Alibaba Cloud: <https://www.alibabacloud.com/help/en/ram/user-guide/create-an-accesskey-pair>, gitleaks `alibaba-*`
    rule("LTAI", is_alphanumeric, 12, 26),
    // Tencent Cloud: <https://www.tencentcloud.com/document/product/598/32675>
    rule("AKID", is_alphanumeric, 32, 32),
    // Groq, xAI, Perplexity, Replicate: gitleaks `perplexity-api-key`, <https://replicate.com/docs/topics/security/api-tokens>
    rule("gsk_", is_alphanumeric, 52, 52),
    rule("xai-", is_alphanumeric, 64, 96),
    rule("pplx-", is_alphanumeric, 48, 56),
    rule("r8_", is_alphanumeric, 37, 40),
    // SendGrid, npm, PyPI, DigitalOcean, Databricks, Shopify: gitleaks, rules of these names
    rule("SG.", is_dotted, 66, 66),
    rule("npm_", is_alphanumeric, 36, 36),
    rule("pypi-AgEIcHlwaS5vcmc", is_token, 50, 500),
    rule("dop_v1_", is_hex, 64, 64),
    rule("dapi", is_hex, 32, 34),
    rule("shpat_", is_hex, 32, 32),
];

/// The first two bytes of every prefix: they rule out nearly all text at once.
static STARTS: Pairs = Pairs::of(&RULES);

/// A set of pairs of bytes: each first byte has a bit of its own, which all that may follow it have too.
struct Pairs {
    first: [u16; 256],
    second: [u16; 256],
}

impl Pairs {
    #[expect(clippy::as_conversions, reason = "a constant cannot call `usize::from`")]
    const fn of(rules: &[Rule]) -> Self {
        let mut pairs = Self { first: [0; 256], second: [0; 256] };
        let mut next = 1_u16;
        let mut rules = rules;
        while let [rule, rest @ ..] = rules {
            if let [first, second, ..] = rule.prefix.as_bytes()
                && let Some((_, [bit, ..])) = pairs.first.split_at_mut_checked(*first as usize)
                && let Some((_, [bits, ..])) = pairs.second.split_at_mut_checked(*second as usize)
            {
                if *bit == 0 {
                    *bit = next;
                    next = next.wrapping_shl(1);
                }
                *bits |= *bit;
            }
            rules = rest;
        }
        pairs
    }

    fn holds(&self, first: u8, second: u8) -> bool {
        let bit = self.first.get(usize::from(first)).copied().unwrap_or(0);
        bit & self.second.get(usize::from(second)).copied().unwrap_or(0) != 0
    }
}

/// What an Azure application's secret holds behind its third character: gitleaks `azure-ad-client-secret`.
const AZURE: &[u8] = b"Q~";

/// No key with its prefix is longer, in bytes.
const LONGEST: usize = 560;

pub(super) fn find(text: &[u8], from: usize, found: &mut Vec<Range<usize>>) {
    let old = found.len();
    let (mut at, mut free) = (from, from);
    let mut pairs = text.get(from..).unwrap_or_default().windows(2);
    while let Some(skip) =
        pairs.position(|pair| matches!(pair, [first, second] if STARTS.holds(*first, *second)))
    {
        at = at.saturating_add(skip);
        let end = (at >= free && !before(text, at, 1).is_some_and(is_word)).then(|| key(text, at)).flatten();
        if let Some(end) = end {
            found.push(at..end);
            free = end;
        }
        at = at.saturating_add(1);
    }
    azure(text, from, found);
    if let Some(own) = found.get_mut(old..) {
        order::by_place(own, |range| (range.start, 0));
    }
    let mut free = from;
    let mut index = 0_usize;
    found.retain(|range| {
        let keep = index < old || range.start >= free;
        if index >= old && keep {
            free = range.end;
        }
        index = index.saturating_add(1);
        keep
    });
}

/// Where the text that could become part of a key begins.
pub(super) fn open(text: &[u8]) -> usize {
    let run = run_before(text, text.len(), LONGEST, is_key);
    let start = text.len().saturating_sub(run);
    (start..text.len()).find(|at| could_be(text, *at)).unwrap_or(text.len())
}

/// Where the key that begins at `at` ends.
fn key(text: &[u8], at: usize) -> Option<usize> {
    let rest = text.get(at..)?;
    let first = rest.first()?;
    let fits = |rule: &&Rule| {
        rule.prefix.as_bytes().first() == Some(first) && rest.starts_with(rule.prefix.as_bytes())
    };
    RULES.iter().filter(fits).find_map(|rule| rule.end(text, at))
}

impl Rule {
    fn end(&self, text: &[u8], at: usize) -> Option<usize> {
        let start = at.saturating_add(self.prefix.len());
        let (least, most) = self.len;
        let mut len = run_after(text, start, most.saturating_add(2), self.body);
        // A full stop or hyphen behind a key belongs to the sentence.
        while len > 0 && matches!(before(text, start.saturating_add(len), 1), Some(b'.' | b'-')) {
            len = len.saturating_sub(1);
        }
        let end = start.saturating_add(len);
        let body = text.get(start..end)?;
        let mixed = body.iter().any(u8::is_ascii_digit) && body.iter().any(u8::is_ascii_alphabetic);
        let ended = !after(text, end).is_some_and(is_word);
        ((least..=most).contains(&len) && ended && (mixed || !self.mixed)).then_some(end)
    }
}

/// Whether the text from `at` to its end could be the beginning of a key.
fn could_be(text: &[u8], at: usize) -> bool {
    let Some(rest) = text.get(at..).filter(|_| !before(text, at, 1).is_some_and(is_word)) else {
        return false;
    };
    let begun = |rule: &Rule| {
        let prefix = rule.prefix.as_bytes();
        let body = rest.get(prefix.len()..).unwrap_or_default();
        prefix.starts_with(rest) || (rest.starts_with(prefix) && body.len() <= rule.len.1.saturating_add(3))
    };
    // An Azure secret shows what it is only at its fifth character.
    rest.len() < 52 || RULES.iter().any(begun)
}

fn azure(text: &[u8], from: usize, found: &mut Vec<Range<usize>>) {
    for at in each(text, from, AZURE) {
        let Some(start) = at.checked_sub(4).filter(|start| *start >= from) else { continue };
        let behind = at.saturating_add(AZURE.len());
        let run = run_after(text, behind, 36, is_azure);
        let tail = text.get(behind..behind.saturating_add(run)).unwrap_or_default();
        let len =
            run.saturating_sub(tail.iter().rev().take_while(|byte| matches!(byte, b'.' | b'-')).count());
        let head = text.get(start..at).unwrap_or_default();
        let fits = head.last().is_some_and(u8::is_ascii_digit) && head.iter().all(|byte| is_azure(*byte));
        let end = behind.saturating_add(len);
        if fits && (31..=34).contains(&len) && !before(text, start, 1).is_some_and(is_azure) {
            found.push(start..end);
        }
    }
}

fn is_key(byte: u8) -> bool {
    is_token(byte) || matches!(byte, b'.' | b'/' | b'+' | b'=' | b'~')
}

fn is_azure(byte: u8) -> bool {
    is_token(byte) || matches!(byte, b'.' | b'~')
}

fn is_dotted(byte: u8) -> bool {
    is_token(byte) || byte == b'.'
}

fn is_hyphened(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-'
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
}

fn is_base32(byte: u8) -> bool {
    matches!(byte, b'A'..=b'Z' | b'2'..=b'7')
}

fn is_hex(byte: u8) -> bool {
    byte.is_ascii_hexdigit()
}

fn is_alphanumeric(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}
