//! Reads `when`: conditions on a request, of a rule and of a limit.

use std::collections::BTreeMap;

use sluice_core::config::shown;

use super::When;
use super::reader::glob;
use crate::file::Cursor;
use crate::gateway::consumer::Known;
use crate::gateway::http::header_name;

/// Reads the conditions. `callers` are the consumers and tiers that they may name.
pub(in crate::gateway) fn read(at: &Cursor<'_>, callers: &Known) -> Option<When> {
    let mut fields = at.fields("conditions such as `{headers: {x-team: search}}`")?;
    let consumer = fields.optional("consumer").map_or(Some(None), |at| callers.consumer(&at).map(Some));
    let tier = fields.optional("tier").map_or(Some(None), |at| callers.tier(&at).map(Some));
    let headers = fields.optional("headers").map_or(Some(BTreeMap::new()), |at| headers(&at));
    let tokens = 1..=u64::from(u32::MAX);
    let min =
        fields.optional("min_input_tokens").map_or(Some(None), |at| at.number(tokens.clone()).map(Some));
    let max_at = fields.optional("max_input_tokens");
    let max = max_at.as_ref().map_or(Some(None), |at| at.number(tokens.clone()).map(Some));
    let has = fields.optional("has").map_or(Some((false, false)), |at| has(&at));
    fields.finish();
    let (min_input_tokens, max_input_tokens, (has_tools, has_images)) = (min?, max?, has?);
    if let (Some(at), Some(min), Some(max)) = (max_at, min_input_tokens, max_input_tokens)
        && min > max
    {
        return at.refuse(format!("{max} is less than min_input_tokens; write {min} or more"));
    }
    Some(When {
        consumer: consumer?,
        tier: tier?,
        headers: headers?,
        min_input_tokens,
        max_input_tokens,
        has_tools,
        has_images,
    })
}

fn headers(at: &Cursor<'_>) -> Option<BTreeMap<String, String>> {
    let want = "globs by header name such as `{x-team: search*}`";
    let named = at.fields(want)?.named();
    let mut read = BTreeMap::new();
    let mut whole =
        if named.is_empty() { at.refuse(format!("names no header; write {want}")) } else { Some(()) };
    for (name, place, at) in named {
        let name = header_name(&name).map_err(|why| at.refuse_at::<()>(place, why)).ok();
        let (Some(name), Some(glob)) = (name, glob(&at)) else {
            whole = None;
            continue;
        };
        if read.contains_key(&name) {
            whole = at.refuse_at(
                place,
                format!("is {} once more, case does not count; keep one of them", shown(&name)),
            );
        }
        read.insert(name, glob);
    }
    whole.map(|()| read)
}

/// Whether tools and whether images are asked for.
fn has(at: &Cursor<'_>) -> Option<(bool, bool)> {
    let items = at.items("a list such as [tools, images]", false)?;
    let read: Vec<_> = items.iter().map(|at| at.choice(&[("tools", true), ("images", false)])).collect();
    let read: Vec<bool> = read.into_iter().collect::<Option<_>>()?;
    Some((read.contains(&true), read.contains(&false)))
}
