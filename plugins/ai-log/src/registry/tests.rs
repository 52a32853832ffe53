//! The same names on every worker, and never more than may be.
