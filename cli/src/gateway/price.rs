//! Section `prices`: what tokens cost.

use crate::file::{Cursor, Decimal, Fields, Place};

use super::pattern;

const PRICE: &str = "`\"gpt-4*\": {input: 2.5, cached: 1.25, output: 10}`";
/// Digits of a micro-dollar that are kept.
const PICO: u8 = 6;
/// Highest price: a dollar per token, in pico-dollars.
const MOST: u64 = 1_000_000_000_000;

/// What a token of some models costs, in micro-dollars to 6 places: dollars per million tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    /// A glob over the model that served, or over `provider/model`. Of several that match, the first counts.
    pub models: String,
    /// An input token.
    pub input: Decimal,
    /// An input token that the provider had cached; `None`: as `input`.
    pub cached: Option<Decimal>,
    /// An output token.
    pub output: Decimal,
}

/// Reads the section.
pub(super) fn read(fields: &mut Fields<'_>) -> Option<Vec<Price>> {
    let Some(section) = fields.optional("prices") else {
        return Some(Vec::new());
    };
    let named = section.fields(&format!("prices by glob such as {PRICE}"))?.named();
    let read: Vec<_> = named.into_iter().map(|(models, place, at)| price(&models, place, &at)).collect();
    read.into_iter().collect()
}

fn price(models: &str, place: Place, at: &Cursor<'_>) -> Option<Price> {
    let models = match pattern::parse(models) {
        Ok(_) if models.is_empty() => at.refuse_at(place, "is an empty glob; write one such as \"gpt-4*\""),
        Ok(glob) => Some(glob.as_str().to_owned()),
        Err(why) => at.refuse_at(place, why),
    };
    let mut fields = at.fields("`{input: 2.5, cached: 1.25, output: 10}`")?;
    let of = |at: Cursor<'_>| at.decimal(PICO, 0..=MOST);
    let input = fields.required("input", "`input: 2.5`, micro-dollars per token").and_then(of);
    let cached = fields.optional("cached").map_or(Some(None), |at| of(at).map(Some));
    let output = fields.required("output", "`output: 10`, micro-dollars per token").and_then(of);
    fields.finish();
    Some(Price { models: models?, input: input?, cached: cached?, output: output? })
}
