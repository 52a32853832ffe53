//! An explanation as text for people.

use std::fmt;

use super::{Chain, Explanation, Passed, Refused, Served, Step};

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
        self.served.as_ref().map_or(Ok(()), |served| write!(f, "{served}"))
    }
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
