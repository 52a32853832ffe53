//! Characters that are another one in disguise, and characters that show nothing.

/// Half-width katakana U+FF61 to U+FF9F in their usual width.
/// Source: <https://www.unicode.org/charts/PDF/UFF00.pdf>
const KATAKANA: &str = "。「」、・ヲァィゥェォャュョッーアイウエオカキクケコサシスセソタチツテトナニヌネノハヒフヘホマミムメモヤユヨラリルレロワン\u{3099}\u{309a}";

/// Whether it shows nothing: default-ignorable code points and controls that are not white space.
/// Source: <https://www.unicode.org/Public/16.0.0/ucd/DerivedCoreProperties.txt> (`Default_Ignorable_Code_Point`)
pub(super) fn is_invisible(char: char) -> bool {
    matches!(char,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
        || char.is_control()
}

/// The plain form of a character, or itself.
pub(super) fn narrow(char: char) -> char {
    let code = u32::from(char);
    match code {
        0xff01..=0xff5e => from(code.wrapping_sub(0xfee0), char),
        0xff61..=0xff9f => nth(KATAKANA, code.wrapping_sub(0xff61), char),
        // Mathematical alphabets and digits: <https://www.unicode.org/charts/PDF/U1D400.pdf>
        0x1d400..=0x1d6a3 => letter(code.wrapping_sub(0x1d400).wrapping_rem(52), char),
        0x1d7ce..=0x1d7ff => from(code.wrapping_sub(0x1d7ce).wrapping_rem(10).wrapping_add(0x30), char),
        // Circled letters: <https://www.unicode.org/charts/PDF/U2460.pdf>
        0x24b6..=0x24e9 => letter(code.wrapping_sub(0x24b6), char),
        0x2100..=0x2134 => letterlike(char),
        _ => char,
    }
}

/// The letters that the mathematical alphabets leave out: <https://www.unicode.org/charts/PDF/U2100.pdf>
fn letterlike(char: char) -> char {
    match char {
        'ℬ' => 'B',
        'ℂ' | 'ℭ' => 'C',
        'ℰ' => 'E',
        'ℱ' => 'F',
        'ℋ' | 'ℌ' | 'ℍ' => 'H',
        'ℐ' | 'ℑ' => 'I',
        '\u{212a}' => 'K',
        'ℒ' => 'L',
        'ℳ' => 'M',
        'ℕ' => 'N',
        'ℙ' => 'P',
        'ℚ' => 'Q',
        'ℛ' | 'ℜ' | 'ℝ' => 'R',
        'ℤ' | 'ℨ' => 'Z',
        'ℯ' => 'e',
        'ℊ' => 'g',
        'ℎ' => 'h',
        'ℓ' => 'l',
        'ℴ' => 'o',
        other => other,
    }
}

/// The letter at `index` of `A..Za..z`.
fn letter(index: u32, otherwise: char) -> char {
    let base = if index < 26 { 0x41 } else { 0x61 - 26 };
    from(index.wrapping_add(base), otherwise)
}

fn from(code: u32, otherwise: char) -> char {
    char::from_u32(code).unwrap_or(otherwise)
}

fn nth(text: &str, index: u32, otherwise: char) -> char {
    usize::try_from(index).ok().and_then(|index| text.chars().nth(index)).unwrap_or(otherwise)
}
