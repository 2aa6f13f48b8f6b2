//! WebSockets from outside: every test starts a server and talks to it over TCP.

mod client;
mod encodings;
mod exactly_once;
mod hostile;
mod lifetimes;
mod openenv;
mod pressure;
