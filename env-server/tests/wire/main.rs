//! The wire, from outside: every test talks HTTP, to the router.

mod binary;
mod client;
mod episodes;
mod exactly_once;
mod openapi;
mod problems;
mod snapshots;
