//! `content-guard`: checks what goes to a model and what comes back.

pub mod local;
pub mod mask;
