//! The front of the server, from outside: connections, limits, tokens, TLS, and the program.

mod access;
mod drain;
mod evaluation;
mod harness;
mod limits;
mod program;
mod settings;
mod storage;
mod tls;
