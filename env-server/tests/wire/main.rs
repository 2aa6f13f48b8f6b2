//! Tests of the wire from outside. Most send HTTP requests directly to the router.

mod binary;
mod branches;
mod client;
mod episodes;
mod exactly_once;
mod leases;
mod openapi;
mod oracle;
mod problems;
mod render;
mod snapshots;
mod spaces;
mod state_machine;
