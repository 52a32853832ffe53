//! The bridge, byte by byte.
