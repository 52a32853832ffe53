//! The members of a request's body that say how it wants its answer, rather than what.

use sluice_core::json::{Error, Kind, Reader, Str};

use super::canon::Canon;

/// What the members seen so far ask for.
#[derive(Debug, Default)]
pub(super) struct Root {
    stream: Flag,
    usage: Flag,
    /// `stream_options` has been seen.
    options: bool,
    /// Something of these is not plain, so that nobody knows which form is asked for.
    odd: bool,
    bypass: Option<&'static str>,
}

/// A flag, once it has been seen.
type Flag = Option<bool>;

impl Root {
    pub(super) fn stream(&self) -> bool {
        self.stream == Some(true)
    }

    pub(super) fn usage(&self) -> bool {
        self.usage == Some(true)
    }

    pub(super) fn bypass(&self) -> Option<&'static str> {
        self.bypass.or(self.odd.then_some("stream"))
    }

    /// Writes the value of member `name`; `false` if it is no part of what is asked.
    pub(super) fn member<'a>(
        &mut self,
        canon: &mut Canon<'_>,
        reader: &mut Reader<'a>,
        name: Str<'a>,
    ) -> Result<bool, Error> {
        if name.is_like("stream") {
            return flag(&mut self.stream, &mut self.odd, name.is("stream"), canon, reader);
        }
        if name.is_like("stream_options") {
            return self.options(canon, reader, name.is("stream_options"));
        }
        let start = canon.written(0).len();
        canon.value(reader, 1)?;
        self.effects(canon, start, name);
        Ok(true)
    }

    fn options(
        &mut self,
        canon: &mut Canon<'_>,
        reader: &mut Reader<'_>,
        plain: bool,
    ) -> Result<bool, Error> {
        let again = std::mem::replace(&mut self.options, true);
        if plain && !again && reader.kind() == Some(Kind::Object) {
            return Ok(canon.object(reader, |canon, reader, name| self.option(canon, reader, name))? > 0);
        }
        let start = canon.written(0).len();
        canon.value(reader, 1)?;
        if plain && !again && canon.is_null(start) {
            return Ok(false);
        }
        self.odd = true;
        Ok(true)
    }

    fn option(
        &mut self,
        canon: &mut Canon<'_>,
        reader: &mut Reader<'_>,
        name: Str<'_>,
    ) -> Result<bool, Error> {
        if name.is_like("include_usage") {
            return flag(&mut self.usage, &mut self.odd, name.is("include_usage"), canon, reader);
        }
        canon.value(reader, 2).map(|()| true)
    }

    /// Notes what asks for more than an answer. `store: true` wants it kept by the provider, `store: false` by nobody:
    /// <https://platform.openai.com/docs/api-reference/responses/create>.
    fn effects(&mut self, canon: &Canon<'_>, start: usize, name: Str<'_>) {
        const EFFECTS: [&str; 3] = ["store", "background", "conversation"];
        let Some(effect) = EFFECTS.into_iter().find(|effect| name.is_like(effect)) else { return };
        let absent = canon.is_null(start) || (effect == "background" && canon.is_false(start));
        if !absent && self.bypass.is_none() {
            self.bypass = Some(effect);
        }
    }
}

/// Reads a flag that is left out of the key. What is not one plain `true`, `false` or `null` keeps its place there.
fn flag(
    seen: &mut Flag,
    odd: &mut bool,
    plain: bool,
    canon: &mut Canon<'_>,
    reader: &mut Reader<'_>,
) -> Result<bool, Error> {
    match reader.kind() {
        Some(Kind::Bool) if plain && seen.is_none() => *seen = Some(reader.bool()?),
        Some(Kind::Null) if plain && seen.is_none() => {
            reader.null()?;
            *seen = Some(false);
        }
        _ => {
            *odd = true;
            canon.value(reader, 1)?;
            return Ok(true);
        }
    }
    Ok(false)
}
