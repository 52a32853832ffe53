//! What each detector finds, as it stands in the text. No number or key here belongs to anybody.

use super::super::Detector::{self, ApiKey, Card, CnId, Email, Jwt, Phone, PrivateKey};
use super::finds;

/// Each row: a text with what is to be found in it between `«` and `»`.
fn check(detector: Detector, rows: &[&str]) {
    for row in rows {
        let text = row.replace(['«', '»'], "");
        let want: Vec<&str> = row.split('«').skip(1).filter_map(|rest| rest.split('»').next()).collect();
        assert_eq!(finds(detector, &text), want, "{text}");
    }
}

#[test]
fn e_mail_addresses_are_found() {
    check(
        Email,
        &[
            "«alice@example.com»",
            "write to «alice@example.com».",
            "<«alice.b-c_d@mail.example.co.uk»>, please",
            "mailto:«alice+tag@example.org»?subject=x",
            "邮箱是«alice@example.com»，谢谢",
            "user=«alice@163.com»;",
            "«a@xn--fiqs8s.xn--fiqs8s»",
            "«ａｌｉｃｅ＠ｅｘａｍｐｌｅ．ｃｏｍ»",
            "«ali\u{200b}ce@exam\u{ad}ple.com»",
            "--«alice@example.com»",
            "'«alice@example.com»'",
            "\"o'neil\" «o'neil@example.ie»",
            "«ALICE@EXAMPLE.COM»",
            "https://user:«pass@example.com»/x",
            "«alice@mail.example.com»-- she wrote",
        ],
    );
}

#[test]
fn telephone_numbers_are_found() {
    check(
        Phone,
        &[
            "«13812345678»",
            "电话«13812345678»。",
            "tel:«19912345678»",
            "«138 1234 5678»",
            "«138-1234-5678»,",
            "«86-13812345678»",
            "«86 138 1234 5678»",
            "«+86 138 1234 5678»",
            "«+8613812345678» 2024",
            "«010-12345678»",
            "«0755-1234567»!",
            "«(0755) 12345678»",
            "«(010)12345678»",
            "«+1 (415) 555-2671»",
            "«+14155552671»",
            "«+44 20 7946 0958»",
            "«+49 30 123456-78»",
            "«+33.1.23.45.67.89»",
            "«415-555-2671»",
            "«(415) 555-2671»",
            "«(415)555-2671»",
            "«415.555.2671».",
            "«1-415-555-2671»",
            "«1 415 555-2671»",
            "«１３８１２３４５６７８»",
            "«138\u{200b}1234\u{200b}5678»",
            "call «415-555-2671» or «415-555-2672»",
            "tel-«13812345678»",
        ],
    );
}

#[test]
fn card_numbers_are_found() {
    check(
        Card,
        &[
            "«4111111111111111»",
            "«4111 1111 1111 1111»",
            "«4111-1111-1111-1111»",
            "card: «4012888888881881».",
            "«4222222222222»",
            "«5555555555554444»",
            "«5105 1051 0510 5100»",
            "«2223003122003222»",
            "«378282246310005»",
            "«3782 822463 10005»",
            "«6011111111111117»",
            "«6011000990139424»",
            "«30569309025904»",
            "«3056 930902 5904»",
            "«3530111333300000»",
            "«3566002020360505»",
            "«6200000000000005»",
            "卡号«6200000000000005»，",
            "«4111\u{200b}111111111111»",
            "«４１１１ １１１１ １１１１ １１１１»",
            "«4111\n1111\n1111\n1111»",
            "«4111111111111111» 12/27 123",
        ],
    );
}

#[test]
fn chinese_identity_numbers_are_found() {
    check(
        CnId,
        &[
            "«11010519491231002X»",
            "«11010519491231002x»",
            "身份证«11010519491231002X»号",
            "«440524188001010014»",
            "«110105 19491231 002X»",
            "«110105-19491231-002X»,",
            "«１１０１０５１９４９１２３１００２Ｘ»",
            "«110105\u{200b}19491231002X»",
            "id=«440524188001010014».",
        ],
    );
}

/// `prefix` and a body of `len` characters that mixes letters and digits.
pub(super) fn key(prefix: &str, len: usize) -> String {
    prefix.chars().chain("a1B2c3D4e5F6g7H8".chars().cycle().take(len)).collect()
}

/// A key of each kind.
fn keys() -> Vec<String> {
    let hex = |prefix: &str, len: usize| {
        prefix.chars().chain("0a1b2c3d4e5f".chars().cycle().take(len)).collect::<String>()
    };
    let upper = |prefix: &str, len: usize| {
        prefix.chars().chain("ABCDEF234567".chars().cycle().take(len)).collect::<String>()
    };
    vec![
        key("sk-", 48),
        key("sk-", 32),
        key("sk-proj-", 156),
        key("sk-svcacct-", 74),
        key("sk-ant-api03-", 95),
        hex("sk-or-v1-", 64),
        upper("AKIA", 16),
        upper("ASIA", 16),
        key("ghp_", 36),
        key("gho_", 36),
        key("ghs_", 36),
        key("github_pat_", 82),
        key("glpat-", 20),
        key("xoxb-1234567890-1234567890123-", 24),
        key("xapp-1-A012345-1234567890-", 40),
        key("AIza", 35),
        key("sk_live_", 24),
        key("rk_test_", 99),
        key("hf_", 34),
        key("LTAI5t", 18),
        key("gsk_", 52),
        key("xai-", 80),
        key("pplx-", 48),
        key("r8_", 37),
        format!("{}.{}", key("SG.", 22), key("", 43)),
        key("npm_", 36),
        hex("dop_v1_", 64),
        hex("dapi", 32),
        hex("shpat_", 32),
        key("abc8Q~", 34),
    ]
}

#[test]
fn api_keys_are_found() {
    for key in keys() {
        check(
            ApiKey,
            &[
                &format!("«{key}»"),
                &format!("the key is «{key}»."),
                &format!("OPENAI_API_KEY=«{key}»\n"),
                &format!("{{\"key\":\"«{key}»\"}}"),
                &format!("密钥«{key}»，"),
                &format!("Bearer «{}\u{200b}{}»", &key[..7], &key[7..]),
            ],
        );
    }
}

#[test]
fn json_web_tokens_are_found() {
    let header = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9";
    let payload = "eyJzdWIiOiIxMjM0NTY3ODkwIn0";
    let signature = "dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U";
    check(
        Jwt,
        &[
            &format!("«{header}.{payload}.{signature}»"),
            &format!("Authorization: Bearer «{header}.{payload}.{signature}»\n"),
            &format!("token=«{header}.{payload}.{signature}»&x=1"),
            &format!("\"«{header}.{payload}.{signature}»\""),
            &format!("unsigned «{header}.{payload}.» it was"),
            &format!("令牌«{header}.{payload}.{signature}»。"),
            &format!("«ey\u{200b}{}.{payload}.{signature}»", &header[2..]),
        ],
    );
}

#[test]
fn private_keys_are_found() {
    let line = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj";
    let block = |label: &str| {
        format!("-----BEGIN {label}-----\n{line}\n{line}\n{}\n-----END {label}-----", &line[..20])
    };
    for label in [
        "PRIVATE KEY",
        "RSA PRIVATE KEY",
        "EC PRIVATE KEY",
        "OPENSSH PRIVATE KEY",
        "ENCRYPTED PRIVATE KEY",
        "PGP PRIVATE KEY BLOCK",
    ] {
        let block = block(label);
        check(PrivateKey, &[&format!("«{block}»"), &format!("here:\n\n«{block}»\nThank you.")]);
        let escaped = block.replace('\n', "\\n");
        check(PrivateKey, &[&format!("{{\"private_key\": \"«{escaped}»\\n\"}}")]);
    }
    let old = format!(
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0123456789ABCDEF\n\n{line}\n-----END RSA PRIVATE KEY-----"
    );
    check(PrivateKey, &[&format!("«{old}»"), &format!("«-----BEGIN PRIVATE KEY-----\n{line}\n{line}»")]);
}
