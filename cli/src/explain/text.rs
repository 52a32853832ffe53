//! An explanation as text for people.

use std::fmt;

use serde_json::Number;

use super::{Cached, Chain, Check, Explanation, Level, Limit, Passed, Refused, Served, Step};
use crate::file::show_duration;

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "model   {}", self.model)?;
        writeln!(f, "caller  {}", self.caller.text)?;
        for Passed { rule, globs, reason } in &self.passed {
            writeln!(f, "not     {rule} ({}): {reason}", globs.join(", "))?;
        }
        if let Some(Refused { status, code, reason }) = &self.refused {
            writeln!(f, "answer  {status} {code}: {reason}")?;
        }
        self.served.as_ref().map_or(Ok(()), |served| write!(f, "{served}"))?;
        self.limits.iter().try_for_each(|limit| write!(f, "{limit}"))?;
        self.checks.iter().try_for_each(|check| write!(f, "{check}"))?;
        self.cached.as_ref().map_or(Ok(()), |cached| write!(f, "{cached}"))
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { check, name, by, action, .. } = self;
        if let Some(why) = &self.outside {
            return writeln!(f, "no      {check} ({name}): {why}");
        }
        writeln!(f, "check   {check} ({name}): {} by {by}, {action}", self.on.join(" and "))
    }
}

impl fmt::Display for Cached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(reason) = self.bypass {
            return writeln!(f, "no      cache: bypass; reason={reason}");
        }
        let whose = match &self.of {
            Some(of) => format!("{} {of}", self.scope),
            None => self.scope.to_owned(),
        };
        let ttl = show_duration(self.ttl);
        match (self.refresh, self.max_age) {
            (true, _) => writeln!(
                f,
                "cache   not looked up, as the client wants a fresh answer; kept for {ttl} for {whose}"
            ),
            (false, Some(age)) => {
                let age = show_duration(age);
                writeln!(f, "cache   looked up for {whose}, no older than {age}; kept for {ttl}")
            }
            (false, None) => writeln!(f, "cache   looked up for {whose}; kept for {ttl}"),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limit, name, measure, .. } = self;
        let most = plain(&self.most);
        if let Some(why) = &self.outside {
            return writeln!(f, "no      {limit} ({name}): {why}");
        }
        let per = self.per.map(|per| format!(" per {}", show_duration(per))).unwrap_or_default();
        let terminal = if self.terminal { ", a quota" } else { "" };
        writeln!(f, "limit   {limit} ({name}): {most} {measure}{per}{terminal}, {}", self.bucket())?;
        self.level.as_ref().map_or(Ok(()), |level| writeln!(f, "        {level}"))
    }
}

impl Limit {
    /// `one bucket for all`, `for consumer mobile-app and no tier`.
    fn bucket(&self) -> String {
        if self.bucket.is_empty() {
            return "one bucket for all".to_owned();
        }
        let part = |(dimension, value): &(String, String)| match value.as_str() {
            "" => format!("no {dimension}"),
            value => format!("{dimension} {value}"),
        };
        format!("for {}", self.bucket.iter().map(part).collect::<Vec<_>>().join(" and "))
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [used, held, remaining] = [&self.used, &self.held, &self.remaining].map(plain);
        write!(f, "now {used} used, {held} held by requests in flight, {remaining} left")?;
        match self.resets_in_ms.filter(|ms| *ms > 0) {
            Some(ms) => write!(f, "; all free in {}", about(ms.div_ceil(1000))),
            None => Ok(()),
        }
    }
}

/// As people write the number: without an exponent.
fn plain(number: &Number) -> String {
    match (number.as_u64(), number.as_f64()) {
        (None, Some(number)) => number.to_string(),
        _ => number.to_string(),
    }
}

/// Seconds in their two largest units: `30d 9h`, `1h 1m`, `27s`.
fn about(seconds: u64) -> String {
    let units = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];
    let mut left = seconds;
    let parts = units.map(|(unit, size)| {
        let count = left.checked_div(size).unwrap_or_default();
        left = left.checked_rem(size).unwrap_or_default();
        (count, unit)
    });
    let first = parts.iter().position(|(count, _)| *count > 0).unwrap_or_default();
    let shown = parts.iter().skip(first).take(2).filter(|(count, _)| *count > 0);
    shown.map(|(count, unit)| format!("{count}{unit}")).collect::<Vec<_>>().join(" ")
}

impl fmt::Display for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "rule    {} ({})", self.rule, self.globs.join(", "))?;
        if self.targets.len() > 1 {
            let why = self.unsplit.as_ref().map(|why| format!("; {why}, so each is split by itself"));
            writeln!(f, "split   by {}{}", self.split_by, why.unwrap_or_default())?;
        }
        let picked = |at: usize| self.picked.is_none_or(|picked| picked == at);
        for (at, chain) in self.targets.iter().enumerate() {
            let mark = if picked(at) { "target" } else { "other " };
            writeln!(f, "{mark}  {chain}")?;
        }
        let again = if self.attempts > self.once_through() { "then again from the top, " } else { "" };
        writeln!(f, "        {again}at most {} attempts in all", self.attempts)
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = self.share.checked_div(100).unwrap_or_default();
        let rest = self.share.checked_rem(100).unwrap_or_default();
        write!(f, "{whole}.{rest:02} %")?;
        for (at, step) in self.steps.iter().enumerate() {
            let lead = if at == 0 { " " } else { "\n        then " };
            write!(f, "{lead}{step}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { provider, model, attempts, .. } = self;
        let times = match attempts {
            0 => "never, as retry.attempts ends before".to_owned(),
            1 => "once".to_owned(),
            many => format!("up to {many} times"),
        };
        write!(f, "{provider} as {model}, {times}, at {}", self.urls.join(" or "))
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_wait_is_told_in_two_units() {
        for (seconds, want) in [
            (1, "1s"),
            (60, "1m"),
            (61, "1m 1s"),
            (3_627, "1h"),
            (3_661, "1h 1m"),
            (2_625_806, "30d 9h"),
            (86_461, "1d"),
        ] {
            assert_eq!(super::about(seconds), want);
        }
    }
}
