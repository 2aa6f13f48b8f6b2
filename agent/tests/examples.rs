//! The examples train, and the book for contributors shows them as they are.

use std::path::Path;

use agent::evaluate::Player;
use agent::run::checkpoint::Checkpoint;

#[expect(dead_code, reason = "a test calls `run` in place of `main`")]
#[path = "../examples/custom_learner.rs"]
mod custom_learner;
#[expect(dead_code, reason = "a test calls `run` in place of `main`")]
#[path = "../examples/train_from_code.rs"]
mod train_from_code;

#[test]
fn training_from_code_learns() {
    let trained = train_from_code::run(6_000).unwrap();
    let (mean, _) = trained.checkpoint.run.statistics.recent_return().unwrap();
    assert!(mean >= 0.7, "{mean}");
}

/// A row that a program adds is trained, stored and loaded like one of the table.
#[test]
fn a_custom_learner_learns_and_its_checkpoint_is_loaded() {
    let trained = custom_learner::run(6_000).unwrap();
    let statistics = &trained.checkpoint.run.statistics;
    let (mean, _) = statistics.recent_return().unwrap();
    assert!(mean >= 0.7, "{mean}");
    assert!(statistics.updates > 0);
    let bytes = trained.checkpoint.to_bytes();
    let loaded = Checkpoint::from_bytes(&bytes).unwrap();
    assert_eq!(loaded.to_bytes(), bytes);
    Player::new(&loaded).unwrap();
}

#[test]
fn the_book_shows_the_example_as_it_is() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("../docs/contributing/add-a-learner.md")).unwrap();
    let example = std::fs::read_to_string(root.join("examples/custom_learner.rs")).unwrap();
    let block = page
        .split("```rust\n")
        .find(|block| block.starts_with("//! A learner"));
    let block = block
        .expect("the example's block")
        .split("```")
        .next()
        .unwrap();
    assert_eq!(
        block, example,
        "docs/contributing/add-a-learner.md differs from its example"
    );
}
