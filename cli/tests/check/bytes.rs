//! Whatever bytes stand in the file, a check ends with an answer.

use proptest::prelude::*;

use super::checked;

/// Pieces that files are made of, and that break them.
const PIECES: [&str; 62] = [
    "providers:",
    "models:",
    "listen:",
    "retry:",
    "hold:",
    "tls:",
    "consumers:",
    "anonymous:",
    "credentials:",
    "name",
    "match",
    "targets",
    "provider",
    "keys",
    "url",
    "weight",
    "limits:",
    "prices:",
    "redis:",
    "cache:",
    "guard:",
    "checks",
    "keywords",
    "regex",
    "detect",
    "refusal",
    "scope",
    "cost_usd",
    "per",
    "1m",
    "a",
    "1",
    "0s",
    "http://a/v1",
    "env:",
    "file:",
    "file:/",
    "sha256:",
    "\n",
    "\n  ",
    "\n- ",
    " ",
    ": ",
    ", ",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "'",
    "&a ",
    "*a",
    "!t ",
    "#",
    "|",
    ">",
    "? ",
    "---\n",
    "<<",
    "\t",
    "é",
    "\\",
];

proptest! {
    #[test]
    fn no_bytes_make_a_check_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let (gateway, report) = checked(&bytes);
        prop_assert_eq!(gateway.is_none(), report.has_mistakes());
    }

    #[test]
    fn no_pieces_of_files_make_a_check_panic(picks in proptest::collection::vec(0..PIECES.len(), 0..60)) {
        let text: String = picks.iter().map(|pick| PIECES[*pick]).collect();
        let (gateway, report) = checked(text.as_bytes());
        prop_assert_eq!(gateway.is_none(), report.has_mistakes());
    }

    #[test]
    fn a_good_file_cut_anywhere_and_changed_anywhere_gets_an_answer(
        cut in 0_usize..4000, at in 0_usize..4000, piece in 0..PIECES.len()
    ) {
        let mut bytes = include_bytes!("whole.yaml").to_vec();
        bytes.truncate(cut.max(1));
        let at = at.min(bytes.len());
        bytes.splice(at..at, PIECES[piece].bytes());
        let (gateway, report) = checked(&bytes);
        prop_assert_eq!(gateway.is_none(), report.has_mistakes());
    }
}
