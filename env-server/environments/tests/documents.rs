//! Documents say what the code does.

use std::path::Path;

use environments::check::check_environment;
use environments::registry::specs;
use serde_json::json;

#[path = "../examples/parity.rs"]
mod parity;

fn document(name: &str) -> String {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    std::fs::read_to_string(docs.join(name)).expect("a document")
}

#[test]
fn every_environment_has_a_section() {
    let document = document("environments.md");
    let headings: Vec<&str> = document
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .collect();
    for spec in specs() {
        let names = headings.iter().flat_map(|heading| heading.split(", "));
        assert!(
            names.into_iter().any(|name| name == spec.id),
            "docs/environments.md has no section for {}",
            spec.id
        );
    }
}

/// The page of contributors has the very file that the next test checks.
#[test]
fn the_page_shows_the_example() {
    let page = document("contributing/add-an-environment.md");
    let example = include_str!("../examples/parity.rs");
    assert!(
        page.contains(&format!("```rust\n{example}```\n")),
        "docs/contributing/add-an-environment.md differs from examples/parity.rs"
    );
}

#[test]
fn the_example_keeps_the_contract() {
    for length in [1, 2, 8] {
        check_environment::<parity::Parity>(json!({"length": length}));
    }
    parity::main();
}
