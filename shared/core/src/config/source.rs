//! Reads a secret or a header's value. By hand, as derived errors repeat what they find.

use std::fmt;

use serde::de::{self, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{HeaderValue, SecretSource};

/// Visits what may be either.
pub(super) struct Reader {
    /// What is said of anything else.
    pub(super) shape: &'static str,
    /// A text may stand here, too.
    pub(super) is_text: bool,
}

/// Refuses values of these kinds.
macro_rules! refuse {
    ($($method:ident($kind:ty))*) => {
        $(fn $method<E: de::Error>(self, _: $kind) -> Result<HeaderValue, E> {
            Err(E::custom(self.shape))
        })*
    };
}

impl<'de> Visitor<'de> for Reader {
    type Value = HeaderValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.shape)
    }

    refuse! { visit_bool(bool) visit_i64(i64) visit_u64(u64) visit_f64(f64) }

    fn visit_unit<E: de::Error>(self) -> Result<HeaderValue, E> {
        Err(E::custom(self.shape))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<HeaderValue, A::Error> {
        Err(de::Error::custom(self.shape))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<HeaderValue, E> {
        if self.is_text { Ok(HeaderValue::Text(text.to_owned())) } else { Err(E::custom(self.shape)) }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<HeaderValue, A::Error> {
        let wrong = || de::Error::custom(self.shape);
        let name: Option<String> = members.next_key().map_err(|_: A::Error| wrong())?;
        let source = match name.as_deref() {
            Some("env") => SecretSource::Env,
            Some("value") => SecretSource::Value,
            _ => return Err(wrong()),
        };
        let text = members.next_value().map_err(|_: A::Error| wrong())?;
        match members.next_key::<IgnoredAny>() {
            Ok(None) => Ok(HeaderValue::Secret(source(text))),
            _ => Err(wrong()),
        }
    }
}
