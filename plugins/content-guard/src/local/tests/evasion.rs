//! Ways to hide a banned word, and what is known not to be seen through.

use sluice_core::detect::{Detector, Form};

use super::super::LocalRule;
use super::{all, finds, keywords, local};

/// Whether "internal codename", "nazi", "内部代号" or "straße" is found in each text.
#[test]
#[allow(clippy::too_many_lines, reason = "one table")]
fn disguised_words_are_found() {
    let local = local([keywords(&["internal codename", "nazi", "内部代号", "Straße", "well-known"], false)]);
    let hidden = [
        // case and white space
        "the internal codename is",
        "INTERNAL CODENAME",
        "InTeRnAl cOdEnAmE",
        "internal   codename",
        "internal\ncodename",
        "internal\r\n\r\n\tcodename",
        "internal\u{a0}codename",
        "internal\u{3000}codename",
        "internalcodename",
        "NAZI",
        "STRAßE",
        // words that are split
        "inter nal codename",
        "internal code name",
        "in tern al code na me",
        "inter\nnal code\nname",
        "inter-\nnal codename",
        "internal code-\n  name",
        "well-\nknown",
        "内部 代号",
        "内 部\n代\u{3000}号",
        // spelled out
        "i n t e r n a l  c o d e n a m e",
        "i-n-t-e-r-n-a-l codename",
        "i.n.t.e.r.n.a.l c.o.d.e.n.a.m.e",
        "I_N_T_E_R_N_A_L_C_O_D_E_N_A_M_E",
        "n a z i",
        "n-a-z-i",
        "n.a.z.i.",
        "N*A*Z*I",
        "n\na\nz\ni",
        "a n a z i b",
        "内-部-代-号",
        // invisible characters
        "inter\u{200b}nal codename",
        "i\u{200c}n\u{200d}t\u{2060}e\u{feff}rnal codename",
        "inter\u{ad}nal code\u{ad}name",
        "inter\u{202e}nal codename",
        "na\u{fe0f}zi",
        "na\u{e0061}zi",
        "na\u{0}zi",
        "n\u{34f}azi",
        // other widths and alphabets of the same letters
        "ｉｎｔｅｒｎａｌ　ｃｏｄｅｎａｍｅ",
        "ＩＮＴＥＲＮＡＬ codename",
        "𝐢𝐧𝐭𝐞𝐫𝐧𝐚𝐥 𝓬𝓸𝓭𝓮𝓷𝓪𝓶𝓮",
        "ⓝⓐⓩⓘ",
        "ℕazi",
        // all together
        "Ｉ\u{200b} n\u{ad} Ｔ e Ｒ n 𝐚 L\n\nＣ\u{200d}oＤｅ\nN a m e",
        "ｎ－ａ－Ｚ－\u{200b}ｉ",
    ];
    for text in hidden {
        assert_eq!(finds(&local, text).len(), 1, "{text:?}: {:?}", finds(&local, text));
    }
}

#[test]
fn harmless_text_is_left_alone() {
    let local = local([keywords(&["internal codename", "therapist", "nazi", "pen is", "assess"], false)]);
    let rows = [
        "an internal code of names",
        "internal codes; names",
        "internal, codename",
        "the rapid is near",
        "n a z",
        "nap zip",
        "na zi",
        "penis",
        "as sess",
        "eternal codename",
        "biennial codenames",
    ];
    for text in rows {
        assert_eq!(finds(&local, text), Vec::<&str>::new(), "{text:?}");
    }
}

/// Rows that are out of scope, so that whoever changes that sees it.
#[test]
fn known_not_to_be_found() {
    let local = local([keywords(&["internal codename"], false)]);
    let rows = [
        ("base64", "aW50ZXJuYWwgY29kZW5hbWU="),
        ("hexadecimal", "696e7465726e616c20636f64656e616d65"),
        ("letters of another script that look alike", "intern\u{430}l codename"),
        ("digits for letters", "1nt3rn4l c0den4me"),
        ("backwards", "emanedoc lanretni"),
        ("escapes in plain text", r"\u0069nternal codename"),
        ("letters left out", "intrnl codenam"),
    ];
    for (why, text) in rows {
        assert_eq!(finds(&local, text), Vec::<&str>::new(), "{why}");
    }
}

#[test]
fn escapes_in_arguments_of_tools_are_seen_through() {
    let local = local([keywords(&["internal codename"], false), LocalRule::Detect(vec![Detector::Email])]);
    let rows = [
        (r#"{"q":"internal codename"}"#, "internal codename"),
        (r#"{"q":"\u0069nternal\u0020codename"}"#, r"\u0069nternal\u0020codename"),
        (r#"{"q":"internal\ncodename"}"#, r"internal\ncodename"),
        (r#"{"q":"inter\u200bnal codename"}"#, r"inter\u200bnal codename"),
        (r#"{"q":"\uff49nternal \ud835\udc1codename"}"#, r"\uff49nternal \ud835\udc1codename"),
        (r#"{"to":"\u0061lice\u0040example.com"}"#, r"\u0061lice\u0040example.com"),
    ];
    for (text, want) in rows {
        let found = local.find(&all(), Form::Json, text, 0);
        let found: String = found.into_iter().map(|one| &text[one.range]).collect();
        assert_eq!(found, want, "{text}");
    }
}
