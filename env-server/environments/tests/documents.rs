//! Documents say what the code does.

use std::collections::BTreeSet;
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

/// The names of specs in a text: quoted, with a version.
fn names(text: &str) -> impl Iterator<Item = &str> {
    text.split('"').filter(|quoted| {
        let version = quoted.rsplit_once("-v").map(|(_, version)| version);
        version.is_some_and(|v| !v.is_empty() && v.bytes().all(|b| b.is_ascii_digit()))
    })
}

/// Checks that the tasks in the files of a folder are in the catalogue. Returns how many there are.
fn check_tasks(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let found = paths.map(|path| {
        if path.is_dir() {
            return check_tasks(&path);
        }
        let text = std::fs::read_to_string(&path).expect("a file");
        if !text.contains(" Catalogued for ") {
            return 0;
        }
        let named: BTreeSet<&str> = names(&text).collect();
        assert!(!named.is_empty(), "{path:?} names no spec");
        for name in &named {
            let is_listed = specs().iter().any(|spec| spec.id == *name);
            assert!(is_listed, "{path:?}: tasks/mod.rs has no row for {name}");
        }
        named.len()
    });
    found.sum()
}

#[test]
fn every_task_has_a_row() {
    let tasks = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tasks");
    assert_eq!(check_tasks(&tasks), specs().len());
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
