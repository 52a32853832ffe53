//! The workloads: what is asked of whom, and what is measured of it.

mod cpu;

pub use cpu::Chat;
