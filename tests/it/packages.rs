//! What packages are called and carry.
