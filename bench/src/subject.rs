//! An Envoy under test: bare, with one filter, or with the gateway that a gateway.yaml describes.

mod config;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sluice_e2e::ports::Port;
use sluice_e2e::{client, envoy, gateway, wait};
use tempfile::TempDir;

use crate::lab::Room;
use crate::load::{self, Client, Outcome};
use crate::request::Template;
use crate::{Failure, lab, process, provider};

pub use config::{Filter, Placeholders, Stage};

/// Longest start of an Envoy, where others compile as well.
const START: Duration = Duration::from_secs(300);

/// What the name of a gateway with native filters ends with.
pub const NATIVE: &str = "-native";

/// What is measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Envoy without a filter of ours.
    Bare,
    /// The gateway of this gateway.yaml, a template with [`Placeholders`].
    Gateway(PathBuf),
    /// Envoy with this one filter.
    Filter(Filter),
}

/// Whom to measure, under which name, with which modules.
#[derive(Clone, Debug)]
pub struct Variant {
    /// As it stands in the report.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Whether its filters are native.
    pub native: bool,
    /// Folder of `sluice.wasm` and `libsluice.so`; left out, that of `SLUICE_DIST` or the checkout's.
    pub dist: Option<PathBuf>,
}

impl Variant {
    /// The bare Envoy.
    #[must_use]
    pub fn bare() -> Self {
        Self { name: crate::record::BARE.to_owned(), kind: Kind::Bare, native: false, dist: None }
    }

    /// Envoy with one filter, by the name of the plugin: as Wasm, and native.
    #[must_use]
    pub fn filter(filter: Filter) -> [Self; 2] {
        let wasm =
            Self { name: filter.name.to_owned(), kind: Kind::Filter(filter), native: false, dist: None };
        [Self { name: wasm.name.clone() + NATIVE, native: true, ..wasm.clone() }, wasm]
    }

    /// `NAME` for `bench/gateways/NAME.yaml`, `NAME=FILE` for a file elsewhere, `NAME-native` and `NAME-native=FILE` for the
    /// same with native filters; each with `@DIST`, a folder with another build's modules.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let (what, dist) =
            text.split_once('@').map_or((text, None), |(what, dist)| (what, Some(dist.into())));
        let name = what.split_once('=').map_or(what, |(name, _)| name);
        let native = name.ends_with(NATIVE);
        let file = match what.split_once('=') {
            Some((_, file)) => PathBuf::from(file),
            None => {
                let file = name.strip_suffix(NATIVE).unwrap_or(name);
                lab::folder().join("gateways").join(file).with_extension("yaml")
            }
        };
        let kind = if what == crate::record::BARE { Kind::Bare } else { Kind::Gateway(file) };
        let name = if dist.is_some() && !what.contains('=') { text.to_owned() } else { name.to_owned() };
        Self { name, kind, native, dist }
    }

    /// Whether it has a gateway.yaml that can be changed.
    #[must_use]
    pub const fn is_gateway(&self) -> bool {
        matches!(self.kind, Kind::Gateway(_))
    }

    /// The folder of its modules.
    fn dist(&self) -> Result<PathBuf, Failure> {
        let dist = self.dist.clone().unwrap_or_else(envoy::modules);
        std::path::absolute(dist).map_err(Into::into)
    }
}

/// What is around the Envoys of a run.
#[derive(Clone, Copy, Debug)]
pub struct Around {
    /// The provider.
    pub provider: SocketAddr,
    /// Where gateways with `{redis}` find one.
    pub redis: Option<SocketAddr>,
}

/// A running Envoy; ends when dropped.
pub struct Subject {
    name: String,
    callers: u32,
    folder: TempDir,
    listen: Port,
    admin: Port,
    envoy: Option<Child>,
    started: Duration,
    dist: PathBuf,
}

impl Subject {
    /// Starts an Envoy with one worker and waits until it has answered a request.
    ///
    /// # Errors
    /// `sluice render` refuses the gateway.yaml, or no answer comes.
    pub fn start(variant: &Variant, around: Around) -> Result<Self, Failure> {
        Self::start_in(Room::One, variant, around)
    }

    /// As [`Self::start`], with so much room.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_in(room: Room, variant: &Variant, around: Around) -> Result<Self, Failure> {
        let mut subject = Self::prepare(variant, around)?;
        subject.spawn(room)?;
        Ok(subject)
    }

    /// Writes everything that Envoy needs, without starting it.
    fn prepare(variant: &Variant, around: Around) -> Result<Self, Failure> {
        let (listen, admin) = (Port::free(), Port::free());
        let folder = TempDir::new()?;
        let places = Placeholders { listen: listen.number(), admin: admin.number(), around };
        let dist = variant.dist()?;
        let callers = match &variant.kind {
            Kind::Bare => write(&folder, &config::bare(&places))?,
            Kind::Filter(filter) => {
                write(&folder, &config::with_filter(&places, filter, &dist, variant.native)?)?
            }
            Kind::Gateway(file) => {
                let (mut yaml, callers) = places.fill(&std::fs::read_to_string(file)?)?;
                if variant.native {
                    yaml.push_str("filters: native\n");
                }
                render(&folder, &yaml, &dist)?;
                callers
            }
        };
        let name = variant.name.clone();
        Ok(Self { name, callers, folder, listen, admin, envoy: None, started: Duration::ZERO, dist })
    }

    fn spawn(&mut self, room: Room) -> Result<(), Failure> {
        let began = Instant::now();
        let mut command = Command::new(envoy::binary());
        command.arg("-c").arg(self.folder.path().join("envoy.yaml"));
        command.args(["--concurrency", "1", "--disable-hot-restart", "-l", "error"]);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        self.envoy = Some(lab::beside(room, || command.spawn())?);
        // A client that asks before Envoy listens is refused; one that asks while filters compile is, too.
        let answered = wait::poll(START, || self.ask_once().ok());
        answered.ok_or_else(|| {
            format!("{}: no answer within {START:?}: {:?}", self.name, self.ask_once().err())
        })?;
        self.started = began.elapsed();
        Ok(())
    }

    fn ask_once(&self) -> Result<(), Failure> {
        let template = Template::chat(provider::WHOLE, 1_024, false, self.callers);
        load::block_on(async {
            Client::open(self.address()).await?.ask(&template, 0, &mut Outcome::default()).await
        })
    }

    /// As it stands in the report.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many callers it knows; requests come from all of them.
    #[must_use]
    pub const fn callers(&self) -> u32 {
        self.callers
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.listen.number()).into()
    }

    /// Envoy's admin interface.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.admin.number()).into()
    }

    /// Changes the first limit of the gateway.yaml by one and waits until Envoy has taken the change up.
    ///
    /// # Errors
    /// There is none, or it is not taken up.
    pub fn reload(&self) -> Result<(), Failure> {
        let yaml = std::fs::read_to_string(self.folder.path().join("gateway.yaml"))?;
        let (even, odd) = ("total_tokens: 1000000000000", "total_tokens: 1000000000001");
        let changed = if yaml.contains(odd) { yaml.replace(odd, even) } else { yaml.replace(even, odd) };
        let before = self.reloads();
        render(&self.folder, &changed, &self.dist)?;
        let taken = wait::poll(START, || (self.reloads() > before).then_some(()));
        taken.ok_or_else(|| format!("{}: a change is not taken up", self.name).into())
    }

    /// How often filters have taken a new configuration.
    fn reloads(&self) -> u64 {
        let stats = client::get(self.admin(), "/stats?filter=config_reload$").text();
        stats.lines().filter_map(|line| line.rsplit_once(": ")?.1.parse::<u64>().ok()).sum()
    }

    /// From the start of Envoy to its first answer.
    #[must_use]
    pub const fn started(&self) -> Duration {
        self.started
    }

    /// Processor time of Envoy so far.
    ///
    /// # Errors
    /// It is gone.
    pub fn cpu(&self) -> Result<Duration, Failure> {
        process::cpu(self.id()?)
    }

    /// Memory that Envoy has in use, in bytes.
    ///
    /// # Errors
    /// It is gone.
    pub fn resident(&self) -> Result<u64, Failure> {
        process::resident(self.id()?)
    }

    fn id(&self) -> Result<u32, Failure> {
        Ok(self.envoy.as_ref().ok_or("Envoy does not run")?.id())
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        if let Some(envoy) = &mut self.envoy {
            process::end(envoy);
        }
    }
}

fn write(folder: &TempDir, config: &str) -> Result<u32, Failure> {
    std::fs::write(folder.path().join("envoy.yaml"), config)?;
    Ok(1)
}

/// Writes what Envoy needs for this gateway into `folder`.
fn render(folder: &TempDir, yaml: &str, dist: &Path) -> Result<(), Failure> {
    let file = folder.path().join("gateway.yaml");
    std::fs::write(&file, yaml)?;
    let mut command = Command::new(gateway::binary());
    command.current_dir(folder.path()).arg("render").arg(&file).arg("-o").arg(folder.path());
    command.env("SLUICE_DIST", dist);
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("sluice render: {}", String::from_utf8_lossy(&output.stderr)).into())
}

#[cfg(test)]
mod tests {
    use super::{Kind, Variant};

    #[test]
    fn a_variant_is_told_in_a_word() {
        assert_eq!(Variant::parse("bare").kind, Kind::Bare);
        let whole = Variant::parse("whole");
        assert_eq!(whole.name, "whole");
        assert!(matches!(&whole.kind, Kind::Gateway(file) if file.ends_with("bench/gateways/whole.yaml")));
        let other = Variant::parse("whole@/builds/b");
        assert_eq!((other.name.as_str(), other.dist.unwrap()), ("whole@/builds/b", "/builds/b".into()));
        let named = Variant::parse("mine=a/gateway.yaml@b");
        assert_eq!((named.name.as_str(), named.dist.unwrap()), ("mine", "b".into()));
        assert_eq!(named.kind, Kind::Gateway("a/gateway.yaml".into()));
        let native = Variant::parse("whole-native");
        assert_eq!((native.name.as_str(), native.native, named.native), ("whole-native", true, false));
        assert_eq!(native.kind, whole.kind);
    }
}
