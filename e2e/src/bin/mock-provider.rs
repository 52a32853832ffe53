//! The scripted provider as a process: `mock-provider --name NAME` prints its port on standard output, answers
//! as requests tell it (`x_mock` in the body) and reports them at `GET /__requests`.

use std::error::Error;
use std::io::Write as _;

use sluice_e2e::upstream::Upstream;

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let name = match (words.next().as_deref(), words.next()) {
        (None, _) => "mock".to_owned(),
        (Some("--name"), Some(name)) => name,
        _ => return Err("use --name NAME".into()),
    };
    let upstream = Upstream::start(&name);
    let mut output = std::io::stdout();
    writeln!(output, "{}", upstream.address().port())?;
    output.flush()?;
    signal_hook::iterator::Signals::new([signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM])?
        .forever()
        .next();
    Ok(())
}
