//! Tests of the server's front from outside: connections, limits, tokens, TLS, and the program.

mod access;
mod browser;
mod drain;
mod evaluation;
mod harness;
mod limits;
mod program;
mod settings;
mod storage;
mod tls;
mod unread;
