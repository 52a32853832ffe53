//! The names that decide what is text.

use crate::json::Str;

/// Members of a request that say who asks.
pub(super) const CALLER: &[&str] = &["metadata", "prompt_cache_key", "safety_identifier", "user"];

/// Members of a request that are settings.
pub(super) const SETTINGS: &[&str] = &[
    "background",
    "conversation",
    "encoding_format",
    "include",
    "modalities",
    "model",
    "previous_response_id",
    "prompt_cache_retention",
    "reasoning_effort",
    "service_tier",
    "stream_options",
    "tool_choice",
    "truncation",
    "verbosity",
];

/// Members of messages, items, parts, answers and events whose strings are the protocol's own, if they look so.
pub(super) const PROTOCOL: &[&str] = &[
    "approval_request_id",
    "cache_control",
    "call_id",
    "container_id",
    "detail",
    "encrypted_content",
    "event_id",
    "file_id",
    "finish_reason",
    "format",
    "id",
    "item_id",
    "media_type",
    "model",
    "obfuscation",
    "object",
    "phase",
    "previous_response_id",
    "prompt_cache_key",
    "response_id",
    "safety_identifier",
    "service_tier",
    "signature",
    "status",
    "stop_reason",
    "system_fingerprint",
    "tool_call_id",
    "tool_use_id",
    "truncation",
    "type",
    "user",
    "voice",
];

/// What `role` may say without being text: templates print a role as it stands.
pub(super) const ROLES: &[&str] =
    &["assistant", "critic", "developer", "discriminator", "function", "model", "system", "tool", "user"];

/// Members that hold a file, where it is in base64.
pub(super) const FILES: &[&str] = &[
    "audio",
    "audio_url",
    "b64_json",
    "data",
    "embedding",
    "file_data",
    "file_url",
    "image",
    "image_url",
    "partial_image_b64",
    "result",
    "url",
    "video_url",
];

/// Members that are content: a string, or an array of parts of one text.
pub(super) const CONTENT: &[&str] = &["content", "output", "summary", "parts"];

/// Members whose strings are the parts of one text.
pub(super) const PARTS: &[&str] = &["text", "refusal", "thinking", "reasoning", "input_text", "output_text"];

/// Members whose objects may hold members of any name.
pub(super) const FREE: &[&str] = &[
    "action",
    "arguments",
    "input",
    "input_schema",
    "instructions",
    "json_schema",
    "parameters",
    "schema",
    "tools",
];

/// Words of JSON schemas and of tools under `type`, which would only be noise.
pub(super) const SCHEMA_TYPES: &[&str] = &[
    "array",
    "boolean",
    "custom",
    "function",
    "integer",
    "json_object",
    "json_schema",
    "null",
    "number",
    "object",
    "string",
    "text",
];

/// Names of members in schemas and in tools, which would only be noise.
pub(super) const SCHEMA_NAMES: &[&str] = &[
    "$defs",
    "$ref",
    "$schema",
    "additionalProperties",
    "allOf",
    "anyOf",
    "default",
    "description",
    "enum",
    "examples",
    "format",
    "function",
    "items",
    "json_schema",
    "maximum",
    "minimum",
    "name",
    "oneOf",
    "parameters",
    "properties",
    "required",
    "schema",
    "strict",
    "title",
    "type",
];

/// Types of parts and items that can be read, or are files.
pub(super) const TYPES: &[&str] = &[
    "additional_tools",
    "agent_message",
    "apply_patch_call",
    "apply_patch_call_output",
    "audio",
    "audio_url",
    "bash_code_execution_tool_result",
    "code_execution_tool_result",
    "code_interpreter_call",
    "compaction",
    "computer_call",
    "computer_call_output",
    "computer_screenshot",
    "container_upload",
    "custom",
    "custom_tool_call",
    "custom_tool_call_output",
    "document",
    "file",
    "file_search_call",
    "function",
    "function_call",
    "function_call_output",
    "image",
    "image_file",
    "image_generation_call",
    "image_url",
    "input_audio",
    "input_file",
    "input_image",
    "input_text",
    "input_video",
    "item_reference",
    "local_shell_call",
    "local_shell_call_output",
    "mcp_approval_request",
    "mcp_approval_response",
    "mcp_call",
    "mcp_list_tools",
    "mcp_tool_result",
    "mcp_tool_use",
    "message",
    "output_audio",
    "output_text",
    "reasoning",
    "reasoning_text",
    "redacted_thinking",
    "refusal",
    "search_result",
    "server_tool_use",
    "shell_call",
    "shell_call_output",
    "summary_text",
    "text",
    "text_editor_code_execution_tool_result",
    "thinking",
    "tool_reference",
    "tool_result",
    "tool_search_call",
    "tool_search_output",
    "tool_use",
    "video_url",
    "web_fetch_tool_result",
    "web_search_call",
    "web_search_result",
    "web_search_tool_result",
];

pub(super) fn is_one_of(text: Str<'_>, names: &[&str]) -> bool {
    names.iter().any(|name| text.is(name))
}

/// Whether a string is made as names, ids and base64 are: no spaces, nothing beyond ASCII.
pub(super) fn is_word(raw: &[u8]) -> bool {
    raw.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_.:/+=-".contains(byte))
}

/// Shortest line of base64 (RFC 7468 section 2; MIME has 76).
const MIN_LINE: usize = 64;

/// Whether a string is a file: base64, bare or in a `data:` URL (RFC 2397).
pub(super) fn is_file(raw: &[u8]) -> bool {
    let head = raw.get(..128.min(raw.len())).unwrap_or_default();
    let data = match memchr::memmem::find(head, b";base64,") {
        Some(at) if raw.starts_with(b"data:") => raw.get(at.saturating_add(8)..).unwrap_or_default(),
        _ => raw,
    };
    is_base64(data)
}

/// Whether this is base64, a slash perhaps escaped: its lines are all of one length but for the last, and long. Words on
/// lines of their own are text.
fn is_base64(raw: &[u8]) -> bool {
    let (mut line, mut width, mut rest) = (0_usize, None, raw);
    while let [byte, after @ ..] = rest {
        rest = match (byte, after) {
            (b'\\', [b'/', after @ ..]) => {
                line = line.saturating_add(1);
                after
            }
            (b'\\', [b'r', b'\\', b'n', after @ ..] | [b'n', after @ ..]) => {
                if line < MIN_LINE || *width.get_or_insert(line) != line {
                    return false;
                }
                line = 0;
                after
            }
            (byte, after) if byte.is_ascii_alphanumeric() || b"+/=_-".contains(byte) => {
                line = line.saturating_add(1);
                after
            }
            _ => return false,
        };
    }
    width.is_none_or(|width| line <= width)
}
