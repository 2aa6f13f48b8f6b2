//! Short storms; `cargo run --release -p end-to-end --bin storm` runs long ones.

use end_to_end::serve_if_asked;
use end_to_end::storm::{Fate, Storm, Transport};
use env_server::Durability;

/// Runs the server in a process that the storm starts; does nothing in any other.
#[test]
#[ignore = "a server for other tests"]
fn serve() {
    serve_if_asked();
}

fn rage(transport: Transport, durability: Durability) {
    let storm = Storm {
        transport,
        durability,
        kills: 25,
        calls: 15_000,
        players: 4,
        seed: 7,
    };
    let outcome = storm.rage("serve").expect("a server");
    println!("{outcome:?}");
    assert_eq!(outcome.mismatches, Vec::<String>::new());
    assert_eq!(outcome.num_mismatches, 0);
    assert!(outcome.kills >= storm.kills && outcome.num_calls() >= storm.calls);
    assert!(outcome.compared >= storm.calls / 2, "{outcome:?}");
    assert!(outcome.num_faulty() >= storm.calls * 2 / 5, "{outcome:?}");
    for fate in Fate::ALL {
        assert!(outcome.calls[fate as usize] > 100, "{fate:?} {outcome:?}");
    }
}

#[test]
fn http_outlives_the_process() {
    rage(Transport::Http, Durability::Process);
}

#[test]
fn http_outlives_the_machine() {
    rage(Transport::Http, Durability::Disk);
}

#[test]
fn websocket_outlives_the_process() {
    rage(Transport::WebSocket, Durability::Process);
}

#[test]
fn websocket_outlives_the_machine() {
    rage(Transport::WebSocket, Durability::Disk);
}
