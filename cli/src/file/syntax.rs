//! What to write instead of YAML that cannot be read.

use granit_parser::ErrorKind;

/// The parser's finding, and what mends it. Repeats no text of the file.
pub(super) fn explain(kind: &ErrorKind) -> String {
    use ErrorKind as E;
    let advice = match kind {
        E::TabNotAllowed | E::TabInBlockIndentation | E::TabInIndentation | E::TabInPlainScalar => {
            "indent with spaces"
        }
        E::MappingValueNotAllowed | E::InvalidColonPlacement | E::MappingKeyNotAllowed => {
            "begin a new line for a new field, close what is open before it, and quote text with `: ` in it"
        }
        E::ExpectedBlockMappingKey | E::ExpectedBlockSequenceEntry | E::InvalidIndentation => {
            "line it up with the fields or items above it"
        }
        E::SimpleKeyExpected | E::InvalidSimpleKey => "write a field as `name: value`",
        E::UnknownAnchor => "write the value out, or quote text that begins with *",
        E::UnclosedQuotedScalar | E::InvalidQuotedScalarIndent | E::DocumentIndicatorInQuotedScalar => {
            "close the quote in the line where it opens"
        }
        E::InvalidTrailingSingleQuotedScalar | E::InvalidTrailingDoubleQuotedScalar => {
            "end the value at its closing quote, and double a ' that belongs to it"
        }
        E::UnknownQuotedScalarEscape | E::InvalidQuotedScalarHexEscape | E::InvalidUnicodeEscape => {
            "write \\\\ for a backslash, or use single quotes"
        }
        E::UnclosedFlowCollection { .. }
        | E::MismatchedFlowCollectionEnd { .. }
        | E::MisplacedFlowCollectionEnd
        | E::ExpectedFlowMappingSeparator
        | E::ExpectedFlowSequenceSeparator
        | E::UnexpectedEofFlowMapping
        | E::UnexpectedEofFlowSequence => "close every [ with ] and every { with }, and put commas between",
        E::UnexpectedCharacter { .. } | E::MissingAnchorOrAliasName => {
            "quote text that begins with a sign such as @ ` % & or *"
        }
        E::RecursionLimitExceeded => "nest less deeply",
        _ => "look at the indentation, quotes and brackets around here",
    };
    format!("{kind}; {advice}")
}
