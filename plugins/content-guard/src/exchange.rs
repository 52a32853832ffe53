//! What is known of an exchange, and what becomes of what cannot be checked.

use sluice_core::filter::Host;

use crate::config::{Action, Config, Direction, OnError};
use crate::mask::Vault;
use crate::scope::Scope;
use crate::services::Risk;
use crate::verdict::{UNREADABLE, Verdict, Verdicts};

/// What is known of an exchange beyond the body at hand.
#[derive(Debug)]
pub(crate) struct Exchange {
    /// Which checks apply.
    pub(crate) scope: Scope,
    /// What was masked in the request.
    pub(crate) vault: Vault,
    /// What was found.
    pub(crate) verdicts: Verdicts,
}

/// Why something does not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Withheld {
    /// A check blocks.
    Blocked,
    /// A service says nothing.
    Unavailable,
    /// It cannot be read.
    Unreadable,
}

impl Exchange {
    /// Something cannot be read: the operator has said what then. It is nobody's concern where nothing looks at it.
    pub(crate) fn unreadable(
        &mut self,
        host: &mut dyn Host,
        config: &Config,
        direction: Direction,
    ) -> Option<Withheld> {
        if self.scope.side(direction).is_empty() {
            return None;
        }
        let (action, withheld) = match config.on_error {
            OnError::Deny => ("deny", Some(Withheld::Unreadable)),
            OnError::Allow => ("allow", None),
        };
        let verdict = Verdict::new(UNREADABLE, direction, "unreadable", Risk::None, action);
        self.verdicts.add(host, config, verdict);
        withheld
    }

    /// A service says nothing of a text: the operator has said what then. A check that only records withholds nothing.
    pub(crate) fn unsaid(
        &mut self,
        host: &mut dyn Host,
        config: &Config,
        direction: Direction,
        check: usize,
    ) -> Option<Withheld> {
        let check = config.checks.get(check)?;
        let denies = config.on_error == OnError::Deny && check.action > Action::Log;
        let action = if denies { "deny" } else { "allow" };
        let verdict = Verdict::new(&check.name, direction, "unavailable", Risk::None, action);
        self.verdicts.add(host, config, verdict);
        denies.then_some(Withheld::Unavailable)
    }
}
