//! What `cache-control` says, of a request and of an answer (RFC 9111 section 5.2,
//! <https://www.rfc-editor.org/rfc/rfc9111#section-5.2>).

use sluice_core::filter::Headers;

/// What a message says of caching. Directives that are not named here mean nothing to this cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Control {
    /// `no-store`: nothing of it is to be kept.
    pub no_store: bool,
    /// `no-cache`: of a request, a fresh answer is wanted.
    pub no_cache: bool,
    /// `max-age`: of a request, how old an answer may be, in milliseconds; one that cannot be read allows none.
    pub max_age_ms: Option<u64>,
}

impl Control {
    /// Reads every `cache-control` of `headers`; the strictest counts.
    #[must_use]
    pub fn of(headers: &Headers) -> Self {
        let fields = headers.iter().filter(|(name, _)| *name == "cache-control");
        let mut control = Self::default();
        for (_, value) in fields {
            for directive in String::from_utf8_lossy(value).split(',') {
                control.take(directive);
            }
        }
        control
    }

    /// Whether an answer of this age will do, in milliseconds. Of `max-age=0` none does, however young.
    #[must_use]
    pub fn allows_age(&self, age_ms: u64) -> bool {
        self.max_age_ms.is_none_or(|max_ms| max_ms > 0 && age_ms <= max_ms)
    }

    fn take(&mut self, directive: &str) {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        match name.trim().to_ascii_lowercase().as_str() {
            "no-store" => self.no_store = true,
            "no-cache" => self.no_cache = true,
            "max-age" => {
                let seconds = value.trim().trim_matches('"').parse::<u64>().unwrap_or(0);
                let ms = seconds.saturating_mul(1_000);
                self.max_age_ms = Some(self.max_age_ms.map_or(ms, |known| known.min(ms)));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strictest_of_all_directives_counts() {
        let control = |no_store, no_cache, max_age_ms| Control { no_store, no_cache, max_age_ms };
        for (fields, want) in [
            (&[][..], control(false, false, None)),
            (&["public, x=y, "], control(false, false, None)),
            (&["No-Store"], control(true, false, None)),
            (&["private, no-cache=\"set-cookie\""], control(false, true, None)),
            (&["max-age=60"], control(false, false, Some(60_000))),
            (&["max-age = \"60\" , no-store"], control(true, false, Some(60_000))),
            (&["max-age=60", "max-age=5,no-cache"], control(false, true, Some(5_000))),
            (&["max-age"], control(false, false, Some(0))),
            (&["max-age=-1"], control(false, false, Some(0))),
            (&["max-age=99999999999999999999"], control(false, false, Some(0))),
            (&["max-age=18446744073709551615"], control(false, false, Some(u64::MAX))),
            (&["no-storex, xno-cache, s-maxage=1"], control(false, false, None)),
        ] {
            let pairs = fields.iter().map(|value| ("cache-control".to_owned(), value.as_bytes().to_vec()));
            assert_eq!(Control::of(&Headers::new(pairs.collect())), want, "{fields:?}");
        }
    }

    #[test]
    fn an_answer_may_be_as_old_as_asked() {
        let control = Control { max_age_ms: Some(1_000), ..Control::default() };
        assert!(control.allows_age(1_000) && !control.allows_age(1_001));
        assert!(Control::default().allows_age(u64::MAX));
        assert!(!Control { max_age_ms: Some(0), ..Control::default() }.allows_age(0));
    }
}
