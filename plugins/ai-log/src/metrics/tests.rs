//! Each metric is what the records come to.
