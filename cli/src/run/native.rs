//! What native filters need of this machine: a system that they are made for, and the Envoy that they are made for.

use std::path::Path;
use std::process::Command;

use crate::gateway::{Filters, Gateway};
use crate::render;

/// The Envoy whose ABI the filters are built for. Envoy promises that of a release to the next one alone, and loads a module
/// of any other with no more than a warning; one that is older lacks what the filters call, and ends when they do.
/// <https://www.envoyproxy.io/docs/envoy/v1.40.0/intro/arch_overview/advanced/dynamic_modules>
const ENVOY: &str = "1.40";

/// Whether native filters run on the system `os` and the processor `arch`, as Rust names them.
///
/// # Errors
/// They do not.
pub(super) fn fits_machine(os: &str, arch: &str) -> Result<(), String> {
    if os == "linux" && matches!(arch, "x86_64" | "aarch64") {
        return Ok(());
    }
    Err(format!(
        "filters: native runs on Linux on x86_64 and aarch64, and this is {os} on {arch}; write `filters: together`"
    ))
}

/// Longest path of a socket in bytes, which the system holds in 108 and ends with a zero:
/// <https://man7.org/linux/man-pages/man7/unix.7.html>.
const MAX_SOCKET: usize = 107;

/// Whether the files of `gateway` can lie in `directory`: native filters reach Redis by a socket there.
///
/// # Errors
/// Its path is too long for that.
pub fn fits_directory(gateway: &Gateway, directory: &Path) -> Result<(), String> {
    let length = render::socket(directory).as_os_str().len();
    if gateway.filters != Filters::Native || gateway.redis.is_none() || length <= MAX_SOCKET {
        return Ok(());
    }
    let path = directory.display();
    Err(format!(
        "{path}: is too long for the socket that native filters reach Redis by; take a shorter folder"
    ))
}

/// Whether the Envoy at `path` is the one that native filters are built for.
///
/// # Errors
/// It is another, or does not start.
pub(super) fn fits_envoy(path: &Path) -> Result<(), String> {
    let output = Command::new(path).arg("--version").output();
    let output = output.map_err(|error| format!("{}: {error}", path.display()))?;
    let version = version(&String::from_utf8_lossy(&output.stdout));
    match &version {
        Some(version) if version.strip_prefix(ENVOY).is_some_and(|rest| rest.starts_with('.')) => Ok(()),
        other => Err(format!(
            "filters: native needs Envoy {ENVOY}, and {} is {}; write `filters: together`",
            path.display(),
            other.as_deref().unwrap_or("none that tells its version"),
        )),
    }
}

/// The version in what `envoy --version` prints: `envoy  version: COMMIT/1.40.0/Clean/RELEASE/BoringSSL`.
fn version(printed: &str) -> Option<String> {
    let (_, told) = printed.split_once("version: ")?;
    let version = told.split('/').nth(1)?.trim();
    version.starts_with(|first: char| first.is_ascii_digit()).then(|| version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_that_native_filters_are_made_for() {
        for (os, arch, fits) in [
            ("linux", "x86_64", true),
            ("linux", "aarch64", true),
            ("linux", "riscv64", false),
            ("macos", "aarch64", false),
            ("windows", "x86_64", false),
        ] {
            let said = fits_machine(os, arch);
            assert_eq!(said.is_ok(), fits, "{os} {arch}");
            let names_it = said.is_err_and(|why| why.contains(&format!("this is {os} on {arch}; write ")));
            assert_eq!(names_it, !fits, "{os} {arch}");
        }
    }

    #[test]
    fn the_version_is_found_in_what_envoy_prints() {
        for (printed, want) in [
            ("\nenvoy  version: 1d5c6/1.40.0/Clean/RELEASE/BoringSSL\n", Some("1.40.0")),
            ("envoy  version: 1d5c6/1.41.0-dev/Modified/DEBUG/BoringSSL", Some("1.41.0-dev")),
            ("envoy  version: 1d5c6", None),
            ("envoy  version: a/b/c", None),
            ("", None),
        ] {
            assert_eq!(version(printed).as_deref(), want, "{printed}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn only_the_envoy_that_they_are_built_for_runs_native_filters() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("envoy");
        for (version, fits) in
            [("1.40.0", true), ("1.40.3-dev", true), ("1.4.0", false), ("1.400.0", false), ("1.39.2", false)]
        {
            let script =
                format!("#!/bin/sh\necho 'envoy  version: 1d5c6/{version}/Clean/RELEASE/BoringSSL'\n");
            let new = folder.path().join("new");
            std::fs::write(&new, script).unwrap();
            std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o700)).unwrap();
            std::fs::rename(new, &path).unwrap();
            let said = fits_envoy(&path);
            assert_eq!(said.is_ok(), fits, "{version}: {said:?}");
        }
        assert!(fits_envoy(&folder.path().join("none")).is_err());
    }
}
