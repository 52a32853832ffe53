//! Any file as an access log, any page as a gateway's counters: each line is read or told to be unreadable.

use std::cell::LazyCell;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;

use sluice::gateway::CheckOptions;
use sluice::replay::Replayer;
use sluice::top::snapshot::{By, Snapshot};
use tempfile::NamedTempFile;

const GATEWAY: &str = "
providers: {a: {url: 'http://a/v1'}, b: {url: 'http://b/v1'}}
consumers:
- {name: ann, keys: ['sha256:0000000000000000000000000000000000000000000000000000000000000000'], tier: gold}
- {name: guest}
anonymous: guest
models: [{match: 'm*', targets: [{provider: a}, {provider: b}], fallback: [{provider: b}]}]
limits: [{name: t, total_tokens: 1000, per: 1m}, {name: f, in_flight: 2}]
cache: {}
";

thread_local! {
    static KNOWN: LazyCell<Replayer<'static>> = const { LazyCell::new(known) };
    static FILE: LazyCell<NamedTempFile> = const { LazyCell::new(|| NamedTempFile::new().unwrap()) };
}

fn known() -> Replayer<'static> {
    let options = CheckOptions { env: &|_| None };
    let loaded = sluice::check::check(Path::new("gateway.yaml"), GATEWAY.as_bytes(), &options);
    let gateway = loaded.gateway.unwrap_or_else(|| panic!("{}", loaded.report));
    Replayer::new(Box::leak(Box::new(gateway)), &options).unwrap()
}

fn log(lines: &[u8]) {
    FILE.with(|file| {
        // cut after writing: a file that is made empty first is written to the disk each time
        let mut to = file.as_file();
        to.seek(SeekFrom::Start(0)).unwrap();
        to.write_all(lines).unwrap();
        to.set_len(u64::try_from(lines.len()).unwrap()).unwrap();
        let report = KNOWN.with(|known| known.replay(file.path(), 2)).unwrap();
        let lines = lines.split_inclusive(|byte| *byte == b'\n').count();
        let skipped: u64 = report.skipped.iter().map(|skipped| skipped.count).sum();
        assert!(skipped <= u64::try_from(lines).unwrap());
        assert!(serde_json::to_string(&report.to_json()).is_ok() && !report.to_string().is_empty());
    });
}

fn page(text: &str) {
    if let Ok(snapshot) = Snapshot::read(text, 1.0) {
        By::ALL.iter().for_each(|by| drop(snapshot.group(*by).clone()));
        assert!(!snapshot.has_begun_anew_since(&snapshot));
    }
}

/// The same bytes as a log and as a page.
pub fn check(input: &[u8]) {
    log(input);
    page(&String::from_utf8_lossy(input));
}
