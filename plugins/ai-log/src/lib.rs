//! `ai-log`.
