//! What is found, what is not, and that streams find the same.
