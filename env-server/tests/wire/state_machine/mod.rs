//! Operations at random, good and bad, once and again, one after another and at once: the server
//! does what a small model says, and at the end every environment is where one would be that was
//! never disturbed.

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
