//! `content-guard`: checks what goes to a model and what comes back.
