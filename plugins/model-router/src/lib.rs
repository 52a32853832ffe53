//! `model-router`.
