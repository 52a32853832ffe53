//! Which checks apply to an exchange.

use sluice_core::context;
use sluice_core::filter::{Headers, Host};
use sluice_core::when::{Caller, Content};

use crate::config::{Check, Config, Direction};
use crate::local::Applies;
use crate::services::About;

/// Who asks for what, and which checks look at it.
#[derive(Debug)]
pub(crate) struct Scope {
    /// Those that look at the request.
    pub(crate) request: Applied,
    /// Those that look at the answer.
    pub(crate) response: Applied,
    consumer: String,
    model: String,
}

/// The checks that apply to one direction.
#[derive(Debug)]
pub(crate) struct Applied {
    /// The local ones.
    pub(crate) local: Applies,
    /// Indexes of those that ask a service.
    pub(crate) services: Vec<usize>,
    any: bool,
}

impl Applied {
    pub(crate) const fn is_empty(&self) -> bool {
        !self.any
    }
}

impl Scope {
    /// Reads what the checks of `config` look at.
    pub(crate) fn of(host: &dyn Host, config: &Config, headers: &Headers) -> Self {
        let needs = |asks: fn(&Check) -> bool| config.checks.iter().any(asks);
        let calls = needs(|check| check.service.is_some());
        let fact = |fact: context::Fact, needed: bool| needed.then(|| fact.get(host)).flatten();
        let consumer = fact(context::CONSUMER, calls || needs(|check| check.when.consumer.is_some()));
        let tier = fact(context::TIER, needs(|check| check.when.tier.is_some()));
        let model = fact(context::MODEL, calls || needs(|check| check.models.is_some()));
        let base = fact(context::BASE_MODEL, needs(|check| check.models.is_some()));
        let has =
            fact(context::HAS, needs(|check| check.when.tools || check.when.images)).unwrap_or_default();
        let measured = |check: &Check| check.when.min_input_tokens.or(check.when.max_input_tokens).is_some();
        let measured = config.checks.iter().any(measured);
        let content = Content {
            input_tokens: if measured { context::INPUT_ESTIMATE.number(host).unwrap_or(0) } else { 0 },
            tools: has.split(',').any(|has| has == "tools"),
            images: has.split(',').any(|has| has == "images"),
        };
        let header = |name: &str| headers.text(name);
        let caller = Caller { consumer: consumer.as_deref(), tier: tier.as_deref(), header: &header };
        let applies = |direction| {
            let all = config.checks.iter().enumerate().filter(|(_, check)| {
                check.on.contains(&direction)
                    && check.is_for(model.as_deref(), base.as_deref())
                    && check.when.unmet(&caller, &content).is_none()
            });
            Applied::of(all)
        };
        let (request, response) = (applies(Direction::Request), applies(Direction::Response));
        Self { request, response, consumer: consumer.unwrap_or_default(), model: model.unwrap_or_default() }
    }

    /// The checks of one direction.
    pub(crate) const fn side(&self, direction: Direction) -> &Applied {
        match direction {
            Direction::Request => &self.request,
            Direction::Response => &self.response,
        }
    }

    /// For services.
    pub(crate) fn about(&self, direction: Direction) -> About<'_> {
        About { direction, consumer: &self.consumer, model: &self.model }
    }
}

impl Applied {
    fn of<'a>(checks: impl Iterator<Item = (usize, &'a Check)>) -> Self {
        let checks: Vec<_> = checks.collect();
        let services = checks.iter().filter(|(_, check)| check.service.is_some()).map(|(index, _)| *index);
        Self {
            services: services.collect(),
            any: !checks.is_empty(),
            local: Applies::new(checks.into_iter().map(|(index, _)| index)),
        }
    }
}

impl Check {
    /// Whether it looks at what `model` reads and says; a prefix that its rule takes off is no way around it.
    fn is_for(&self, model: Option<&str>, base: Option<&str>) -> bool {
        let Some(globs) = &self.models else { return true };
        globs.matches(model.unwrap_or_default()) || base.is_some_and(|base| globs.matches(base))
    }
}
