//! Tests of WebSockets from outside. Every test starts a server and connects to it over TCP.

mod client;
mod encodings;
mod exactly_once;
mod hostile;
mod lifetimes;
mod openenv;
mod pressure;
