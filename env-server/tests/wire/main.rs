//! The wire from outside: every test talks HTTP, to the router.

mod binary;
mod branches;
mod client;
mod episodes;
mod exactly_once;
mod hosted;
mod leases;
mod openapi;
mod oracle;
mod problems;
mod real_actions;
mod render;
mod snapshots;
mod spaces;
mod state_machine;
