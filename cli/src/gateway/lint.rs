//! What is allowed but does nothing, or hardly what was meant: warnings over the whole file.

mod cache;
mod consumers;
mod guard;
mod limits;
mod served;

use std::path::Path;

use super::pattern::covers;
use super::secret::readable_by_others;
use super::{Gateway, Guard, HoldUntil, Origin, Prompts, Rule, Secret, Sticky};
use crate::file::{Cursor, Place, Report, show_duration};

/// Looks at a gateway that has no mistakes; `root` gives the places.
pub(super) fn look(root: &Cursor<'_>, gateway: &Gateway) {
    unused_providers(root, gateway);
    literal_secrets(root, gateway);
    consumers::look(root, gateway);
    if let Some(section) = root.field("models") {
        for (at, rule) in gateway.models.iter().enumerate() {
            unreachable(&section, &gateway.models, at);
            splits(&section.nth(at), rule, gateway);
        }
        attempts(root, gateway);
    }
    limits::look(root, gateway);
    cache::look(root, gateway);
    guard::look(root, gateway);
    timeouts(root, gateway);
    hold(root, gateway);
    log(root, gateway);
    open_admin(root, gateway);
}

fn unused_providers(root: &Cursor<'_>, gateway: &Gateway) {
    let used = |name: &str| {
        let hops = |rule: &Rule| rule.hops().any(|hop| hop.provider == name);
        gateway.models.iter().any(hops)
    };
    let Some(section) = root.field("providers") else {
        return;
    };
    for provider in gateway.providers.iter().filter(|provider| !used(&provider.name)) {
        if let Some(at) = section.field(&provider.name) {
            at.warn("is not used by any rule; remove it or name it in `models`");
        }
    }
}

fn literal_secrets(root: &Cursor<'_>, gateway: &Gateway) {
    let Some(section) = root.field("providers") else {
        return;
    };
    for provider in &gateway.providers {
        let keys = section.field(&provider.name).and_then(|at| at.field("keys"));
        for (at, _) in provider.keys.iter().enumerate().filter(|(_, key)| key.secret.is_literal()) {
            if let Some(keys) = &keys {
                keys.nth(at)
                    .warn("is the key itself; write env:NAME or file:PATH to keep it out of this file");
            }
        }
    }
}

/// A file with literal keys that every user can read.
pub(super) fn literal_secrets_in(file: &Path, gateway: &Gateway, report: &Report) {
    let literal = gateway.providers.iter().flat_map(|p| &p.keys).any(|key| key.secret.is_literal())
        || gateway
            .consumers
            .iter()
            .flat_map(|consumer| &consumer.keys)
            .any(|key| key.origin == Origin::Literal)
        || gateway
            .guard
            .iter()
            .flat_map(Guard::services)
            .filter_map(|(_, service)| service.key.as_ref())
            .any(Secret::is_literal);
    if literal && readable_by_others(file) {
        let text = "holds keys and can be read by every user of this machine; run chmod 600 on it";
        report.warning(Place::START, "file", text);
    }
}

/// A rule behind rules that take everything it could match.
fn unreachable(section: &Cursor<'_>, rules: &[Rule], at: usize) {
    let Some(rule) = rules.get(at) else {
        return;
    };
    let earlier =
        rules.iter().take(at).filter(|earlier| earlier.when.is_empty() || earlier.when == rule.when);
    let earlier: Vec<&str> = earlier.flat_map(|rule| &rule.matches).map(String::as_str).collect();
    let covered: Vec<usize> = rule
        .matches
        .iter()
        .enumerate()
        .filter(|(_, glob)| covers(&earlier, glob))
        .map(|(at, _)| at)
        .collect();
    if covered.len() == rule.matches.len() {
        section
            .nth(at)
            .warn("is never reached, as earlier rules take all it matches; move it up or remove it");
        return;
    }
    let Some(globs) = section.nth(at).field("match") else {
        return;
    };
    for glob in covered {
        globs.nth(glob).warn("never matches here, as earlier rules take it; move the rule up or remove it");
    }
}

/// Fields of one rule that change nothing.
fn splits(at: &Cursor<'_>, rule: &Rule, gateway: &Gateway) {
    if let Some(sticky) = at.field("sticky") {
        if rule.targets.len() == 1 {
            sticky.warn("has no effect on a single target; remove it or add targets");
        } else if rule.sticky == Sticky::Consumer && gateway.consumers.is_empty() {
            sticky.warn("is split by request, as there are no consumers; write request or header:NAME");
        }
    }
    if let Some(prefix) = at.field("strip_prefix")
        && rule.hops().all(|hop| hop.model.is_some())
    {
        prefix.warn("has no effect, as every target names its model; remove it");
    }
    if let ([only], Some(list)) = (rule.targets.as_slice(), at.field("fallback")) {
        for (at, _) in rule.fallback.iter().enumerate().filter(|(_, hop)| **hop == only.hop) {
            list.nth(at).warn("is the target that has just failed; name another or raise retry.per_target");
        }
    }
}

/// Attempts that end before the chain does.
fn attempts(root: &Cursor<'_>, gateway: &Gateway) {
    let Some(attempts) = gateway.retry.attempts else {
        return;
    };
    let Some(at) = root.field("retry").and_then(|retry| retry.field("attempts")) else {
        return;
    };
    let reached = attempts.saturating_sub(1).checked_div(gateway.retry.per_target).unwrap_or_default();
    let reached = usize::try_from(reached).unwrap_or(usize::MAX);
    let cut = gateway.models.iter().enumerate().find(|(_, rule)| rule.fallback.len() > reached);
    if let Some((rule, cut)) = cut {
        let hops = u32::try_from(cut.fallback.len()).unwrap_or(u32::MAX);
        let least = hops.saturating_mul(gateway.retry.per_target).saturating_add(1);
        at.warn(format!(
            "ends before models[{rule}].fallback[{reached}] is tried; write {least} or more, or leave it out"
        ));
    }
}

/// Envoy's admin interface asks nobody for a password.
fn open_admin(root: &Cursor<'_>, gateway: &Gateway) {
    if let Some(at) = root.field("admin").filter(|_| !gateway.admin.ip().is_loopback()) {
        let port = gateway.admin.port();
        at.warn(format!("lets other machines see the configuration and stop Envoy; write 127.0.0.1:{port}"));
    }
}

fn timeouts(root: &Cursor<'_>, gateway: &Gateway) {
    let times = &gateway.timeouts;
    let Some(section) = root.field("timeouts") else {
        return;
    };
    let warn = |name: &str, text: String| section.field(name).unwrap_or_else(|| section.clone()).warn(text);
    let first = show_duration(times.first_token);
    if times.idle < times.first_token {
        warn(
            "idle",
            format!("is shorter than first_token, so the first token counts as idle; write {first} or more"),
        );
    }
    if times.connect > times.first_token {
        warn(
            "connect",
            format!("is longer than first_token, which ends the wait first; write {first} or less"),
        );
    }
    if times.request < times.first_token {
        let request = show_duration(times.request);
        warn(
            "first_token",
            format!("is longer than request, which ends the wait first; write {request} or less"),
        );
    }
}

/// A length of prompts that are not cut to it.
fn log(root: &Cursor<'_>, gateway: &Gateway) {
    let Some(at) = root.field("log").and_then(|log| log.field("max_chars")) else {
        return;
    };
    match gateway.log.prompts {
        Prompts::Off => at.warn("has no effect while `prompts` is off; remove it"),
        Prompts::Full => at.warn("has no effect with `prompts: full`; remove it"),
        Prompts::Truncated => {}
    }
}

/// A gate that opens too early, or that is off.
fn hold(root: &Cursor<'_>, gateway: &Gateway) {
    let section = root.field("hold");
    if gateway.hold.until == HoldUntil::Headers {
        for name in ["max", "max_bytes"] {
            if let Some(at) = section.as_ref().and_then(|section| section.field(name)) {
                at.warn("has no effect with `until: headers`; remove it");
            }
        }
        return;
    }
    let at = section.as_ref().and_then(|section| section.field("max")).or(section);
    let at = at.or_else(|| root.field("timeouts").and_then(|section| section.field("first_token")));
    if let (Some(at), true) = (at, gateway.hold.max < gateway.timeouts.first_token) {
        let (max, first) = (show_duration(gateway.hold.max), show_duration(gateway.timeouts.first_token));
        at.warn(format!(
            "lets the gate open after {max}, before first_token ends, so a stream that hangs until then stays \
             with its provider; write `hold: {{max: {first}}}`"
        ));
    }
}
