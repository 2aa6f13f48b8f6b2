//! The examples train, and the book for contributors shows them as they are.

#![expect(
    clippy::duplicate_mod,
    reason = "both examples start a server with the same helper"
)]

use std::path::Path;

use agent::evaluate::Player;
use agent::run::checkpoint::Checkpoint;

#[expect(dead_code, reason = "a test calls `run` in place of `main`")]
#[path = "../examples/custom_learner.rs"]
mod custom_learner;
#[expect(dead_code, reason = "a test calls `run` in place of `main`")]
#[path = "../examples/custom_memory.rs"]
mod custom_memory;
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

/// The cue is on screen one step before it is asked for: without a memory the mean return is 0.
#[test]
fn a_custom_memory_learns_to_recall() {
    let trained = custom_memory::run(60_000).unwrap();
    let (mean, _) = trained.checkpoint.run.statistics.recent_return().unwrap();
    assert!(mean >= 0.7, "{mean}");
    Player::new(&trained.checkpoint).unwrap();
}

#[test]
fn the_book_shows_the_examples_as_they_are() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for kind in ["learner", "memory"] {
        let page = format!("docs/contributing/add-a-{kind}.md");
        let text = std::fs::read_to_string(root.join("..").join(&page)).unwrap();
        let example = root.join(format!("examples/custom_{kind}.rs"));
        let example = std::fs::read_to_string(example).unwrap();
        let mut blocks = text.split("```rust\n");
        let block = blocks.find(|block| block.starts_with("//! A "));
        let block = block.expect("the example's block").split("```").next();
        assert_eq!(block, Some(&*example), "{page} differs from its example");
    }
}
