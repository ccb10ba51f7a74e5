//! The embedded file. To be written with the SQLite adapters.
