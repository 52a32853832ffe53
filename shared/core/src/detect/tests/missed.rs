//! What looks alike and is nothing.

use super::super::Detector::{self, ApiKey, Card, CnId, Email, Jwt, Phone, PrivateKey};
use super::finds;
use super::found::key;

fn check(detector: Detector, rows: &[&str]) {
    for row in rows {
        assert_eq!(finds(detector, row), Vec::<&str>::new(), "{row}");
    }
}

#[test]
fn no_e_mail_addresses() {
    check(
        Email,
        &[
            "@alice",
            "alice@",
            "alice@localhost",
            "@example.com",
            "lodash@4.17.21",
            "left-pad@1.3.0.tgz",
            "icon@2x.png",
            "git@github.com:owner/repository.git",
            "alice at example dot com",
            "alice@example.1234",
            "alice@-example.com",
            "alice@example..com",
            "a..b@example.com",
            "alice.@example.com",
            "x @ y.com",
            "user@127.0.0.1",
            "@app.route('/x')",
        ],
    );
    check(Email, &[&format!("{}@example.com", "a".repeat(65)), &format!("a@{}.com", "b".repeat(64))]);
}

#[test]
fn no_telephone_numbers() {
    check(
        Phone,
        &[
            "1234567890",
            "4155552671",
            "12812345678",
            "138123456789",
            "013812345678",
            "1381234567",
            "1700000000",
            "1700000000000",
            "v1.2.3",
            "10.20.30.40",
            "192.168.100.1000",
            "415.555.2671.3",
            "2024-01-01 12:30:45",
            "2024-01-01T00:00:00+0800",
            "550e8400-e29b-41d4-a716-446655440000",
            "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "$13812345678",
            "€13812345678",
            "¥13812345678",
            "3.13812345678",
            "13812345678.50",
            "id_13812345678",
            "13812345678abc",
            "200 300 4000",
            "115-555-2671",
            "415-155-2671",
            "+1 415 555",
            "+0 123 456 789",
            "1+12345678",
            "1,234,567,890",
            "4111 1111 1111 1111",
            "(123) 456",
            "8f14-13812345678",
            "+1",
        ],
    );
}

#[test]
fn no_card_numbers() {
    check(
        Card,
        &[
            "4111111111111112",
            "411111111111111",
            "41111111111111111",
            "1111111111111117",
            "0000000000000000",
            "1234567890123452",
            "4111 1111 1111 1111 1111",
            "4111 1111 11111111",
            "4111 1111-1111 1111",
            "1.4111111111111111",
            "4111111111111111.5",
            "id4111111111111111",
            "4111111111111111a",
            "a4111111-1111-1111-4111-111111111111",
            "94111111111111111",
            "41 11 11 11 11 11 11 11",
            "1700000000000",
            "20240101123045678",
            "9f86d081884c7d659a2feaa0c55ad015",
            "5655555555554444",
            "4111_1111_1111_1111",
        ],
    );
}

#[test]
fn no_chinese_identity_numbers() {
    check(
        CnId,
        &[
            "110105194912310021",
            "11010519491331002X",
            "11010519490230002X",
            "01010519491231002X",
            "99010519491231002X",
            "11010519491231002",
            "11010519491231002XY",
            "911010519491231002X",
            "110105491231002",
            "1.11010519491231002X",
            "a11010519491231002X",
            "110105 19491231-002X",
            "202401011230456789",
        ],
    );
}

#[test]
fn no_api_keys() {
    check(
        ApiKey,
        &[
            "sk-",
            "sk-learn",
            "sk-this-is-a-sentence-with-hyphens-in-it",
            "sk-antelopes",
            "sk-YOUR_API_KEY_GOES_HERE_PLEASE",
            "sk-abcdefghijklmnopqrstuvwxyz",
            "risk-management",
            "task-0123456789abcdef0123456789abcdef",
            "AKIA",
            "AKIAIOSFODNN7",
            "AKIAiosfodnn7abcdefg",
            "ghp_short",
            "github_pat_",
            "hf_hub_download",
            "xoxb-abc",
            "xoxo-hugs-and-kisses-to-everybody-1",
            "npm_config_registry",
            "dapi0123",
            "glpat-xyz",
            "SG.short.one",
            "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "550e8400-e29b-41d4-a716-446655440000",
            "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9",
            "sk_live_",
            "AIzaSy",
        ],
    );
    let near = [
        key("ghp_", 35),
        key("ghp_", 37),
        key("AIza", 34),
        key("xghp_", 36),
        key("_sk-", 48),
        key("hf_", 60),
    ];
    near.iter().for_each(|row| check(ApiKey, &[row]));
}

#[test]
fn no_json_web_tokens() {
    check(
        Jwt,
        &[
            "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9",
            "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0",
            "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.short",
            "eyes.eyelid.eyebrow",
            "they.eyJzdWIiOiIxMjM0NTY3ODkwIn0.eyJzdWIiOiIxMjM0NTY3ODkwIn0",
            "eyJhbGciOiJIUzI1NiJ9 . eyJzdWIiOiIxMjM0NTY3ODkwIn0 . dozjgNryP4J3jVmNHl0w5N",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.short",
        ],
    );
}

#[test]
fn no_private_keys() {
    let line = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj";
    check(
        PrivateKey,
        &[
            "-----BEGIN PRIVATE KEY-----",
            "-----BEGIN PRIVATE KEY----- -----END PRIVATE KEY-----",
            "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----",
            "A file that starts with -----BEGIN RSA PRIVATE KEY----- is a secret.",
            "----BEGIN PRIVATE KEY----",
            "PRIVATE KEY",
        ],
    );
    for label in ["CERTIFICATE", "PUBLIC KEY", "RSA PUBLIC KEY", "CERTIFICATE REQUEST"] {
        check(PrivateKey, &[&format!("-----BEGIN {label}-----\n{line}\n{line}\n-----END {label}-----")]);
    }
}
