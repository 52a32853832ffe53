//! `sluice`: checks, renders, runs and explains one `gateway.yaml`.
//!
//! [`mod@file`] reads YAML and keeps the place of every value, [`gateway`] is the checked model of the file,
//! [`mod@check`] asks the plugins, too, and each subcommand of the binary is a function over that model.

mod admin;
pub mod check;
pub mod explain;
pub mod file;
pub mod gateway;
pub mod key;
pub mod operator;
pub mod render;
pub mod replay;
pub mod run;
pub mod schema;
pub mod top;
