//! The binary: its exit statuses and where it says what.

#![cfg(test)]

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use sluice::gateway::CheckOptions;

const GOOD: &str = "providers: {a: {url: http://a/v1, keys: [file:a.key]}}\n\
                    models: [{match: '*', targets: [{provider: a}]}]\n";

fn sluice(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sluice")).args(arguments).current_dir(directory).output().unwrap()
}

fn said(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

/// A directory with files, each readable by its owner alone.
fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    directory
}

#[test]
fn a_good_file_is_called_good() {
    let directory = directory(&[("gateway.yaml", GOOD), ("a.key", "sk-canary\n")]);
    let want = (0, "gateway.yaml: good (providers: 1, rules: 1)\n".to_owned(), String::new());
    assert_eq!(said(&sluice(directory.path(), &["check"])), want);
}

#[test]
fn a_mistake_is_status_2_and_one_line_each_on_standard_error() {
    let directory = directory(&[("x.yaml", "listen: here\nmodels: []\n")]);
    for subcommand in [&["check", "x.yaml"][..], &["explain", "x.yaml", "--model", "m"]] {
        let (status, out, err) = said(&sluice(directory.path(), subcommand));
        assert_eq!((status, out.as_str()), (2, ""));
        let lines: Vec<&str> = err.lines().collect();
        assert_eq!(lines.len(), 3, "{err}");
        assert!(
            lines[1].starts_with("x.yaml:1:9: listen: \"here\" is no IP address and port; write "),
            "{err}"
        );
    }
}

#[test]
fn a_missing_file_says_so() {
    let directory = directory(&[]);
    let (status, _, err) = said(&sluice(directory.path(), &["check"]));
    assert_eq!(status, 2);
    assert_eq!(err, "gateway.yaml:1:1: file: does not exist; name a file that can be read\n");
}

#[test]
fn a_secret_in_a_file_that_everybody_reads_is_a_warning() {
    let directory = directory(&[("gateway.yaml", GOOD), ("a.key", "sk-canary")]);
    let key = directory.path().join("a.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let (status, _, err) = said(&sluice(directory.path(), &["check"]));
    assert_eq!(status, 0);
    let want = "gateway.yaml:1:42: warning: providers.a.keys[0]: a.key can be read by every user of this machine; \
                run chmod 600 on it\n";
    assert_eq!(err, want);
}

#[test]
fn a_secret_that_no_header_can_hold_is_a_mistake() {
    for (text, want) in [("", "secret is empty"), ("a\nb", "secret holds a control character")] {
        let directory = directory(&[("gateway.yaml", GOOD), ("a.key", text)]);
        let (status, _, err) = said(&sluice(directory.path(), &["check"]));
        assert_eq!(status, 2);
        assert!(err.contains(want), "{err}");
    }
}

#[test]
fn a_secret_behind_a_device_or_a_directory_is_a_mistake() {
    for path in ["/dev/zero", "/", "."] {
        let yaml = GOOD.replace("a.key", path);
        let directory = directory(&[("gateway.yaml", &yaml)]);
        let (status, _, err) = said(&sluice(directory.path(), &["check"]));
        assert_eq!(status, 2);
        assert!(err.contains("is no ordinary file; write file: and the path of a text file"), "{err}");
    }
}

#[test]
fn the_schema_is_printed() {
    let (status, out, _) = said(&sluice(Path::new("."), &["schema"]));
    assert_eq!((status, out.as_str()), (0, sluice::schema::GATEWAY));
}

#[test]
fn an_explanation_as_json_is_one_object() {
    let directory = directory(&[("gateway.yaml", GOOD), ("a.key", "sk-canary")]);
    let arguments = ["explain", "--model", "m", "--key", "sk-canary", "--header", "X-User: bob", "--json"];
    let (status, out, err) = said(&sluice(directory.path(), &arguments));
    assert_eq!((status, err.as_str()), (0, ""));
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["served"]["rule"], "models[0]");
    assert!(!out.contains("canary"));
}

#[test]
fn a_new_key_is_shown_with_the_line_that_the_file_holds_of_it() {
    let directory = directory(&[]);
    let (status, out, err) = said(&sluice(directory.path(), &["key", "new", "--consumer", "mobile-app"]));
    assert_eq!(status, 0);
    let [key, hash] = out.lines().collect::<Vec<_>>()[..] else { panic!("{out}") };
    assert!(key.starts_with("sk-") && key.len() == 46 && out.ends_with('\n'), "{out}");
    let yaml = format!("{GOOD}consumers: [{{name: mobile-app, keys: [{hash}]}}]\n")
        .replace("file:a.key", "env:PATH");
    std::fs::write(directory.path().join("gateway.yaml"), yaml).unwrap();
    let (_, out, _) = said(&sluice(directory.path(), &["explain", "--model", "m", "--key", key, "--json"]));
    assert!(out.contains("\"consumer\": \"mobile-app\"") && !out.contains(key), "{out}");
    assert!(err.contains("to mobile-app") && err.lines().count() == 1 && !err.contains(key), "{err}");
    let other = said(&sluice(directory.path(), &["key", "new", "--consumer", "mobile-app"])).1;
    assert_ne!(other.lines().next(), Some(key));
}

fn hash(input: &[u8]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
    command.args(["key", "hash"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    said(&child.wait_with_output().unwrap())
}

#[test]
fn a_key_is_hashed_from_standard_input_alone() {
    let want = "sha256:5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8\n";
    for input in ["password", "password\n", "password\r\n"] {
        assert_eq!(hash(input.as_bytes()), (0, want.to_owned(), String::new()));
    }
    for input in [&b""[..], b"\n", b"sk-canary sk-b", b"sk-canary\nsk-b\n", b"sk-canary\xff"] {
        let (status, out, err) = hash(input);
        assert_eq!((status, out.as_str()), (2, ""));
        assert!(err.contains("; write the key on one line") && !err.contains("canary"), "{err}");
    }
    let arguments = sluice(Path::new("."), &["key", "hash", "sk-canary"]);
    assert_eq!(arguments.status.code(), Some(2));
}

#[test]
fn no_rendered_file_holds_a_key_of_a_consumer() {
    let yaml = "providers: {a: {url: http://a/v1}}\n\
                models: [{match: '*', targets: [{provider: a}]}]\n\
                consumers:\n  - {name: x, keys: [sk-canary-0123456789, file:a.key, env:HOME]}\n";
    let directory =
        directory(&[("gateway.yaml", yaml), ("a.key", "sk-canary-too-0123456789\n"), ("sluice.wasm", "")]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
    command.args(["render", "-o", "out"]).current_dir(directory.path()).env("SLUICE_DIST", directory.path());
    let (status, _, err) = said(&command.output().unwrap());
    assert_eq!(status, 0, "{err}");
    let folder = directory.path().join("out/filters");
    for file in std::fs::read_dir(&folder).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        assert!(!text.contains("canary"), "{text}");
    }
    let text = std::fs::read_to_string(folder.join("gateway.yaml")).unwrap();
    let line = text.lines().find(|line| line.contains("\"name\":\"x\"")).unwrap();
    assert!(line.contains("{\"env\":\"HOME\"}") && line.matches("\"sha256\"").count() == 2, "{line}");
    assert!(text.contains("host_env_keys"), "{text}");
}

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
#[test]
fn native_filters_come_from_where_the_others_do() {
    let native = format!("{GOOD}filters: native\n");
    let directory = directory(&[("gateway.yaml", &native), ("a.key", "sk-canary"), ("sluice.wasm", "")]);
    let render = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
        command.args(["render", "-o", "out"]).current_dir(directory.path());
        said(&command.env("SLUICE_DIST", directory.path()).output().unwrap())
    };
    let (status, _, err) = render();
    assert_eq!(status, 1);
    let want =
        "sluice: no dist/libsluice.so found; run scripts/build-native, or set SLUICE_DIST to its folder\n";
    assert!(err.ends_with(want), "{err}");
    std::fs::write(directory.path().join("libsluice.so"), "").unwrap();
    assert_eq!(render().0, 0);
    let text = std::fs::read_to_string(directory.path().join("out/filters/gateway.yaml")).unwrap();
    assert!(text.contains("libsluice.so}") && !text.contains("sluice.wasm"), "{text}");
}

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
#[test]
fn native_filters_need_a_folder_with_room_for_a_socket_where_there_is_redis() {
    for (redis, length, fits) in [("redis: {url: \"redis://r:6379\"}\n", 90, false), ("", 90, true)] {
        let native = format!("{GOOD}filters: native\n{redis}");
        let directory = directory(&[("gateway.yaml", &native), ("a.key", "sk-canary"), ("libsluice.so", "")]);
        let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
        command.args(["render", "-o", &"x".repeat(length)]).current_dir(directory.path());
        let (code, _, err) = said(&command.env("SLUICE_DIST", directory.path()).output().unwrap());
        assert_eq!(code == 0, fits, "{err}");
        assert_eq!(err.contains("take a shorter folder"), !fits, "{err}");
    }
}

#[test]
fn a_gateway_that_cannot_be_asked_leaves_the_rest_of_the_explanation() {
    let limits = "limits: [{name: calls, requests: 5, per: 1m}]\n";
    let directory = directory(&[("gateway.yaml", &format!("{GOOD}{limits}")), ("a.key", "sk-canary")]);
    let arguments = ["explain", "--model", "m", "--at", "https://127.0.0.1:1"];
    let (status, out, err) = said(&sluice(directory.path(), &arguments));
    assert!(out.ends_with("limit   limits[0] (calls): 5 requests per 1m, one bucket for all\n"), "{out}");
    let want =
        "sluice: --at \"https://127.0.0.1:1\" does not begin with http://; write http://127.0.0.1:10000\n";
    assert_eq!((status, err.as_str()), (1, want));
}

#[test]
fn a_certificate_is_looked_at_and_watched() {
    let tls = "listen: {address: 127.0.0.1:8443, tls: {cert: c.pem, key: file:k.pem}}\n";
    let pem = |what: &str| format!("-----BEGIN {what}-----\nAA==\n-----END {what}-----\n");
    let (cert, key) = (pem("CERTIFICATE"), pem("EC PRIVATE KEY"));
    let yaml = format!("{tls}{GOOD}");
    let files = [("gateway.yaml", yaml.as_str()), ("a.key", "sk-canary"), ("c.pem", &cert), ("k.pem", &key)];
    let directory = directory(&files);
    let file = directory.path().join("gateway.yaml");
    let loaded = sluice::check::load(&file, &CheckOptions::process());
    let gateway = loaded.gateway.unwrap_or_else(|| panic!("{}", loaded.report));
    let tls = gateway.tls.unwrap();
    assert_eq!((tls.key, tls.digest.len()), (directory.path().join("k.pem"), 16));
    assert_eq!(loaded.files, ["c.pem", "k.pem", "a.key"].map(|name| directory.path().join(name)));
    std::fs::write(directory.path().join("k.pem"), cert).unwrap();
    let (status, _, err) = said(&sluice(directory.path(), &["check"]));
    assert_eq!(status, 2);
    let want = "gateway.yaml:1:59: listen.tls.key: holds no private key in PEM; name a file with one\n";
    assert_eq!(err, want);
}

#[test]
fn files_that_are_not_there_yet_are_watched() {
    let yaml =
        format!("tls: {{cert: c.pem, key: k.pem}}\n{}", GOOD.replace("file:a.key", "file:a.key, file:a.key"));
    let directory = directory(&[("gateway.yaml", &yaml)]);
    let loaded = sluice::check::load(&directory.path().join("gateway.yaml"), &CheckOptions::process());
    assert!(loaded.gateway.is_none());
    assert_eq!(loaded.files, ["c.pem", "k.pem", "a.key"].map(|name| directory.path().join(name)));
}

#[test]
fn a_renewed_certificate_or_key_has_another_digest() {
    let pem = |what: &str, text: &str| format!("-----BEGIN {what}-----\n{text}\n-----END {what}-----\n");
    let digest = |cert: &str, key: &str| {
        let yaml = format!("tls: {{cert: c.pem, key: k.pem}}\n{GOOD}");
        let (cert, key) = (pem("CERTIFICATE", cert), pem("PRIVATE KEY", key));
        let files = [("gateway.yaml", yaml.as_str()), ("a.key", "sk"), ("c.pem", &cert), ("k.pem", &key)];
        let directory = directory(&files);
        let loaded = sluice::check::load(&directory.path().join("gateway.yaml"), &CheckOptions::process());
        loaded.gateway.and_then(|gateway| gateway.tls).unwrap_or_else(|| panic!("{}", loaded.report)).digest
    };
    let old = digest("AA", "BB");
    assert_eq!(digest("AA", "BB"), old);
    assert_ne!(digest("AC", "BB"), old);
    assert_ne!(digest("AA", "BC"), old);
}

#[test]
fn a_cache_is_asked_only_of_a_gateway_that_runs() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let yaml = format!("admin: {gone}\n{GOOD}");
    let cached = format!("{yaml}cache: {{}}\n");
    let directory = directory(&[("gateway.yaml", &yaml), ("cached.yaml", &cached), ("a.key", "sk-canary")]);
    let want =
        "sluice: the file has no `cache`; add the section, or name the file that the gateway runs with\n";
    for subcommand in [&["cache", "stats"][..], &["cache", "clear", "--model", "x"]] {
        assert_eq!(said(&sluice(directory.path(), subcommand)), (1, String::new(), want.to_owned()));
    }
    let (status, out, err) = said(&sluice(directory.path(), &["cache", "clear", "cached.yaml"]));
    let want = format!("sluice: no gateway answers at {gone}, its `admin`; start it with `sluice run`\n");
    assert_eq!((status, out.as_str(), err), (1, "", want));
    let (status, ..) = said(&sluice(directory.path(), &["cache", "clear", "cached.yaml", "--consumer", ""]));
    assert_eq!(status, 2, "no name is not everybody");
}
