//! `key-rotation`.
