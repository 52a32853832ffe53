//! How long Envoy takes to its first answer, and how large the modules are that it loads.

use sluice_e2e::envoy;

use crate::lab::{At, Lab, Room};
use crate::subject::{Subject, Variant};
use crate::{Failure, say};

/// Every round starts everybody anew, on all processors.
pub(super) fn start(lab: &mut Lab, variants: &[Variant]) -> Result<(), Failure> {
    const WORKLOAD: &str = "start";
    for round in 1..=lab.effort.rounds {
        say(&format!("{WORKLOAD}: round {round} of {}", lab.effort.rounds));
        for index in lab.order(variants.len()) {
            let Some(variant) = variants.get(index) else { continue };
            let subject = Subject::start_in(Room::All, variant, lab.around)?;
            let at = At { workload: WORKLOAD, name: subject.name(), round };
            lab.keep(&at, "first answer", "s", subject.started().as_secs_f64())?;
            lab.keep(&at, "cpu", "us", subject.cpu()?.as_secs_f64() * 1e6)?;
        }
    }
    Ok(())
}

/// All modules beside the `sluice.wasm` in use.
pub(super) fn modules(lab: &mut Lab) -> Result<(), Failure> {
    let module = envoy::module("sluice");
    let folder = module.parent().ok_or("a module stands in a folder")?;
    let mut files: Vec<_> = std::fs::read_dir(folder)?.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "wasm"));
    files.sort();
    for file in files {
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        let size = std::fs::metadata(&file)?.len() as f64 / 1e3;
        lab.keep(&At { workload: "modules", name: &name, round: 1 }, "size", "KB", size)?;
    }
    Ok(())
}
