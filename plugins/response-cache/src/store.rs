//! Where answers are kept: in the process's shared data ([`memory`]) or in Redis ([`redis`]), and what of them was
//! cleared ([`clear`]).

pub mod clear;
pub mod memory;
pub mod redis;
