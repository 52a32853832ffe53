//! Every way to fail, and whose fault it is.
