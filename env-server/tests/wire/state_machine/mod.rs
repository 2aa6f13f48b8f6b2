//! Random operations, valid and invalid, single and repeated, sequential and concurrent: the server
//! behaves like a small model, and at the end every environment is in the same state as an
//! undisturbed one.

mod lifetimes;
mod model;
mod requests;
mod wire;
mod world;

use proptest::prelude::*;

use crate::client::Client;
use requests::{mode, request};
use world::World;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn the_server_keeps_the_rules(
        mode in mode(),
        requests in prop::collection::vec(request(), 1..60),
    ) {
        World::new(mode, Client::with).play(&requests);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn the_server_keeps_the_rules_over_sockets(
        mode in mode(),
        requests in prop::collection::vec(request(), 1..60),
    ) {
        World::new(mode, Client::over_sockets).play(&requests);
    }
}
