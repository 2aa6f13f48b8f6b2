//! Checks that generated documents match the program's tables. This command writes them:
//! `UPDATE_DOCUMENTS=1 cargo test -p agent --test documents`.

use std::fmt::Write;
use std::path::Path;

use agent::algorithms::ALGORITHMS;
use agent::algorithms::sections;
use agent::run::settings::written;

/// Compares a document with its expected text, or writes it if `UPDATE_DOCUMENTS` is set.
fn check(path: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    if std::env::var_os("UPDATE_DOCUMENTS").is_some() {
        std::fs::write(&path, expected).expect("the document can be written");
    }
    let found = std::fs::read_to_string(&path).expect("the document is there");
    assert!(
        found == expected,
        "{} is out of date: UPDATE_DOCUMENTS=1 cargo test -p agent --test documents",
        path.display()
    );
}

#[test]
fn hyperparameters() {
    let learning: Vec<_> = ALGORITHMS
        .iter()
        .filter(|row| !["random", "oracle"].contains(&row.id))
        .collect();
    let mut text = String::from(
        "# Hyper-parameters\n\n\
         Every setting of every algorithm, with its default in each. `–` means that the algorithm lacks the part that reads \
         the setting, so that setting it there is an error. As a flag of `agent train`, a name has `-` for `_`; in a TOML file \
         it belongs under `[hyperparameters]`, in a plan under `overrides`. `agent list ALGORITHM` prints the same for one \
         algorithm.\n\n\
         This page is generated from the program's list of sections (`agent/src/algorithms/sections.rs`).\n\n",
    );
    text.push_str("| name |");
    for row in &learning {
        let _ = write!(text, " {} |", row.id);
    }
    text.push_str(" range | what it does |\n|---|");
    text.push_str(&"---|".repeat(learning.len() + 2));
    text.push('\n');
    let defaults: Vec<_> = learning
        .iter()
        .map(|row| (row.defaults)().to_map())
        .collect();
    for row in sections::rows() {
        let _ = write!(text, "| `{}` |", row.name);
        for defaults in &defaults {
            let default = defaults.get(row.name).map_or("–".to_owned(), written);
            let _ = write!(text, " {default} |");
        }
        let _ = writeln!(text, " {} | {} |", row.range, row.doc.replace('|', "\\|"));
    }
    text.push_str(
        "\n`random` and `oracle` do not learn; they have only the settings of collection.\n",
    );
    check("docs/hyperparameters.md", &text);
}

/// A row without a page cannot be looked up.
#[test]
fn each_algorithm_has_a_page_that_begins_with_its_name() {
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/algorithms");
    for row in ALGORITHMS {
        let name = match row.id {
            "random" | "oracle" => "random-and-oracle",
            id => id,
        };
        let path = pages.join(format!("{name}.md"));
        let page = std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{} needs a page, {}: {error}", row.id, path.display()));
        let title = page.lines().next().unwrap_or_default();
        assert!(
            title.contains(&format!("`{}`", row.id)),
            "{}: {title}",
            row.id
        );
    }
}
