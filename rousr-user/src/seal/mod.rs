//! The two read-only levels of a filesystem, and the window that opens it for a reap.
