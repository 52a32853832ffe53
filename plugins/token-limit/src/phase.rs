//! How far a request is: decided, admitted, over.

use sluice_core::context;
use sluice_core::filter::{CalloutError, CalloutId, CalloutReply, Filter as _, Host, Next, Side};
use sluice_core::meter::{Expected, Metered};
use sluice_core::metric::{Label, series};
use sluice_core::openai::Operation;
use sluice_core::openai::error::{Code, LocalReply};
use sluice_core::redis::Call;

use crate::claim::{self, Claim, Got, Used};
use crate::config::OnError;
use crate::decided::{self, LEASES};
use crate::learnt;
use crate::reply;
use crate::reservation::{Answer, Reservation, Unanswered};
use crate::show::{self, Question};
use crate::store::{Decision, Standing, Verdict};
use crate::subject::Subject;
use crate::{Config, TokenLimit};

/// Milliseconds after which a request may come again that nobody could decide on.
pub(crate) const UNAVAILABLE_RETRY_MS: u64 = 1_000;

/// Headers of providers that speak of their own limits: OpenAI's and Anthropic's
/// (<https://docs.anthropic.com/en/api/rate-limits#response-headers>).
const RATE_LIMIT_HEADERS: [&str; 2] = ["x-ratelimit-", "anthropic-ratelimit-"];

/// How far a request is.
#[derive(Debug)]
pub(crate) enum Phase {
    /// No limit applies, or none is asked.
    Unlimited,
    /// Redis is asked for a decision.
    Asking { call: Call, reservation: Reservation },
    /// Redis is asked how the buckets stand.
    Showing { call: Call, question: Question },
    /// It may go on.
    Admitted { reservation: Reservation, standings: Vec<Standing> },
}

impl TokenLimit {
    pub(crate) fn begin(&mut self, host: &mut dyn Host) -> Next {
        let headers = host.headers(Side::Request);
        let is_show = show::is_asked(&headers);
        if !is_show && headers.text(":method") != Some("POST") {
            return Next::Pass;
        }
        self.began_ms = host.now_ms();
        let subject = Subject::of(host, &self.config, headers);
        let claims = claim::of(host, &self.config, &subject);
        if is_show {
            return self.show(host, claims);
        }
        if claims.is_empty() {
            return Next::Pass;
        }
        self.model = subject.model.unwrap_or_default();
        self.reserve(host, claims)
    }

    fn reserve(&mut self, host: &mut dyn Host, claims: Vec<Claim>) -> Next {
        let Some(worker) = &self.config.redis else {
            return self.reserve_locally(host, claims, "admitted");
        };
        match Reservation::ask(host, &self.config, worker, claims) {
            Ok((reservation, call)) => {
                self.phase = Phase::Asking { call, reservation };
                Next::Wait
            }
            Err(claims) => self.degrade(host, claims),
        }
    }

    fn reserve_locally(&mut self, host: &mut dyn Host, claims: Vec<Claim>, admitted: &str) -> Next {
        let (reservation, decision) = Reservation::local(host, &self.config, claims);
        self.decide(host, reservation, decision, admitted)
    }

    fn decide(
        &mut self,
        host: &mut dyn Host,
        reservation: Reservation,
        decision: Decision,
        admitted: &str,
    ) -> Next {
        if let Verdict::Refused { index } = decision.verdict {
            return refuse(host, &self.config, &reservation, &decision, index);
        }
        decided::publish(host, admitted);
        decided::publish_fill(host, reservation.limits(&self.config, &decision.standings));
        host.count("token_limit_admitted_total", 1);
        host.adjust(LEASES, 1);
        host.wake_after(self.config.lease_ms / 3);
        self.phase = Phase::Admitted { reservation, standings: decision.standings };
        Next::Pass
    }

    /// Redis does not decide: the operator has said what then.
    fn degrade(&mut self, host: &mut dyn Host, claims: Vec<Claim>) -> Next {
        host.count("token_limit_degraded_total", 1);
        match self.config.redis.as_ref().map(crate::worker::Worker::on_error) {
            Some(OnError::Allow) => {
                decided::publish(host, "admitted_unchecked");
                Next::Pass
            }
            Some(OnError::Deny) => {
                decided::publish(host, "refused_unchecked");
                let message = "The limits cannot be checked at the moment. Try again shortly.";
                let mut reply = LocalReply::error(Code::LimitsUnavailable, None, message);
                reply.headers.extend(reply::retry_after(UNAVAILABLE_RETRY_MS));
                Next::Reply(reply)
            }
            Some(OnError::Local) | None => self.reserve_locally(host, claims, "admitted_locally"),
        }
    }

    /// A callout of this stream has ended.
    pub(crate) fn answered(
        &mut self,
        host: &mut dyn Host,
        id: CalloutId,
        reply: Result<CalloutReply, CalloutError>,
    ) -> Option<Next> {
        match std::mem::replace(&mut self.phase, Phase::Unlimited) {
            Phase::Asking { call, reservation } if call.id() == id => {
                let answer = Answer::of(call.read(host, reply));
                self.answer_of_redis(host, reservation, answer)
            }
            Phase::Showing { call, question } if call.id() == id => {
                match Answer::of(call.read(host, reply)) {
                    Err(Unanswered::Again(call)) => {
                        self.phase = Phase::Showing { call, question };
                        None
                    }
                    answer => Some(question.answer(host, &self.config, answer.ok())),
                }
            }
            other => {
                self.phase = other;
                None
            }
        }
    }

    fn answer_of_redis(
        &mut self,
        host: &mut dyn Host,
        reservation: Reservation,
        answer: Result<Answer, Unanswered>,
    ) -> Option<Next> {
        let answer = match answer {
            Err(Unanswered::Again(call)) => {
                self.phase = Phase::Asking { call, reservation };
                return None;
            }
            answer => answer.ok(),
        };
        let decision = answer.and_then(|answer| reservation.read(&self.config, &answer));
        Some(match decision {
            Some(decision) => self.decide(host, reservation, decision, "admitted"),
            None => {
                let claims = reservation.withdraw(host, &self.config);
                self.degrade(host, claims)
            }
        })
    }

    fn show(&mut self, host: &mut dyn Host, claims: Vec<Claim>) -> Next {
        let question = Question::new(claims);
        let Some(worker) = &self.config.redis else {
            return question.answer_locally(host, &self.config);
        };
        match question.ask(host, &self.config, worker) {
            Some(call) => {
                self.phase = Phase::Showing { call, question };
                Next::Wait
            }
            None => question.answer(host, &self.config, None),
        }
    }

    /// Tells the client how its limits stand, and meters the answer if nobody else does.
    pub(crate) fn answer(&mut self, host: &mut dyn Host, end: bool) -> Next {
        let Phase::Admitted { reservation, standings } = &self.phase else { return Next::Pass };
        let headers = host.headers(Side::Response);
        self.got = Got::of(&headers);
        for (name, _) in headers
            .iter()
            .filter(|(name, _)| RATE_LIMIT_HEADERS.iter().any(|prefix| name.starts_with(prefix)))
        {
            host.remove_header(Side::Response, name);
        }
        for (name, value) in reply::headers(reservation.limits(&self.config, standings)) {
            host.set_header(Side::Response, name, &value);
        }
        let is_metered = context::METER.is_set(host) || context::ERROR.is_set(host);
        if is_metered || end {
            return Next::Pass;
        }
        let expected = self.expected(host);
        self.metered = Metered::claim(host, Self::NAME, &headers, expected);
        if self.metered.is_some() { Next::Watch } else { Next::Pass }
    }

    /// What the answer will be, as far as is known.
    fn expected(&self, host: &dyn Host) -> Expected {
        let operation = context::OPERATION.read(host, Operation::from_name);
        let path =
            || String::from_utf8(host.header(Side::Request, ":path").unwrap_or_default()).unwrap_or_default();
        Expected {
            operation: operation.unwrap_or_else(|| Operation::of_path(&path())),
            strip: false,
            began_ms: self.began_ms,
            input_estimate: context::INPUT_ESTIMATE.number(host).unwrap_or(0),
        }
    }

    /// The exchange is over: what was reserved gives way to what was used.
    pub(crate) fn finish(&mut self, host: &mut dyn Host) {
        if let Some(metered) = &mut self.metered {
            metered.settle(host);
        }
        match std::mem::replace(&mut self.phase, Phase::Unlimited) {
            Phase::Admitted { reservation, .. } => {
                host.adjust(LEASES, -1);
                let used = Used::of(host, &self.config, self.got, &self.model);
                reservation.settle(host, &self.config, &used);
                self.learn(host);
            }
            // The client has left, but Redis may have reserved.
            Phase::Asking { reservation, .. } => drop(reservation.withdraw(host, &self.config)),
            Phase::Unlimited | Phase::Showing { .. } => {}
        }
    }

    /// Only an answer that came to its end tells how long the model's answers are.
    fn learn(&self, host: &mut dyn Host) {
        let is_whole = context::STREAM_END.is(host, "complete");
        if let (true, Some(tokens)) = (is_whole, context::OUTPUT_TOKENS.number(host)) {
            let each = tokens.div_ceil(claim::choices(host));
            learnt::learn(host, &self.model, each);
        }
    }
}

fn refuse(
    host: &mut dyn Host,
    config: &Config,
    reservation: &Reservation,
    decision: &Decision,
    index: usize,
) -> Next {
    let Some((limit, standing)) = reservation.limits(config, &decision.standings).nth(index) else {
        return Next::Pass; // no store names a limit that it was not asked about
    };
    decided::publish(host, &format!("refused:{}", limit.name));
    decided::publish_fill(host, std::iter::once((limit, standing)));
    host.count(&series("token_limit_refused_total", &[(Label::Limit, &limit.name)]), 1);
    let mut reply = reply::refusal(limit, standing, reservation.asked(index));
    reply.headers.extend(reply::headers(reservation.limits(config, &decision.standings)));
    Next::Reply(reply)
}
