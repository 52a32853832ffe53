//! Memory over a million requests and a thousand reloads: what is flat stays so.

use std::sync::Arc;

use crate::lab::{At, Lab};
use crate::load::Load;
use crate::request::Template;
use crate::subject::{Subject, Variant};
use crate::{Failure, provider, say};

/// Looks at memory during each of the two parts.
const LOOKS: u32 = 20;

/// Requests between two reloads, so that new configurations serve somebody.
const BETWEEN_RELOADS: u64 = 20;

/// Requests, then reloads, of each variant; the round is the number of the look.
pub(super) fn memory(lab: &mut Lab, variants: &[Variant]) -> Result<(), Failure> {
    for variant in variants {
        let subject = Subject::start(variant, lab.around)?;
        let mut load = Load {
            address: subject.address(),
            template: Arc::new(Template::chat(provider::WHOLE, 1_024, false, subject.callers())),
            connections: 8,
            requests: (lab.effort.memory_requests / u64::from(LOOKS)).max(1),
            first: 0,
            stagger: std::time::Duration::ZERO,
        };
        requests(lab, &subject, &mut load)?;
        if variant.is_gateway() {
            reloads(lab, &subject, &mut load)?;
        }
    }
    Ok(())
}

fn requests(lab: &mut Lab, subject: &Subject, load: &mut Load) -> Result<(), Failure> {
    for round in 1..=LOOKS {
        say(&format!("memory: {} requests of {}", u64::from(round) * load.requests, subject.name()));
        load.run()?;
        load.first += load.requests;
        look(lab, subject, "requests", round)?;
    }
    Ok(())
}

fn reloads(lab: &mut Lab, subject: &Subject, load: &mut Load) -> Result<(), Failure> {
    let each = (lab.effort.memory_reloads / LOOKS).max(1);
    load.requests = BETWEEN_RELOADS;
    for round in 1..=LOOKS {
        say(&format!("memory: {} reloads of {}", round * each, subject.name()));
        for _ in 0..each {
            subject.reload()?;
            load.run()?;
            load.first += load.requests;
        }
        look(lab, subject, "reloads", round)?;
    }
    Ok(())
}

fn look(lab: &mut Lab, subject: &Subject, workload: &str, round: u32) -> Result<(), Failure> {
    let at = At { workload, name: subject.name(), round };
    lab.keep(&at, "rss", "MB", subject.resident()? as f64 / 1e6)
}
