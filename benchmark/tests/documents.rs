//! Checks that the tables of docs/comparison.md are those of the committed records. This command writes them:
//! `UPDATE_DOCUMENTS=1 cargo test -p benchmark --test documents`.

use std::path::Path;

use benchmark::plan::{Plan, Suite};
use benchmark::records::read_records;
use benchmark::report::comparison::{Tables, tables};

/// Records of the suite `systems`; without the file, nothing has been measured.
const RECORDS: &str = "records/systems.jsonl";
const PAGE: &str = "../docs/comparison.md";

/// Returns a page with the text between a block's two marks replaced.
fn replaced(page: &str, block: &str, text: &str) -> String {
    let (begin, end) = (
        format!("<!-- {block} -->\n"),
        format!("<!-- end of {block} -->"),
    );
    let (before, rest) = page.split_once(&begin).expect(&begin);
    let (_, after) = rest.split_once(&end).expect(&end);
    format!("{before}{begin}{text}{end}{after}")
}

#[test]
fn comparison() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let records = read_records(&root.join(RECORDS)).expect("the records can be read");
    let mut plan = Plan::suite(Suite::Systems).expect("the suite's plan");
    plan.settle_budgets(false);
    let Tables {
        results,
        features,
        measurements,
    } = tables(&records, &plan);
    let path = root.join(PAGE);
    let found = std::fs::read_to_string(&path).expect("the page is there");
    let expected = [
        ("results", results),
        ("features", features),
        ("measurements", measurements),
    ]
    .iter()
    .fold(found.clone(), |page, (block, text)| {
        replaced(&page, block, text)
    });
    if std::env::var_os("UPDATE_DOCUMENTS").is_some() {
        std::fs::write(&path, &expected).expect("the page can be written");
        return;
    }
    assert!(
        found == expected,
        "{} is out of date: UPDATE_DOCUMENTS=1 cargo test -p benchmark --test documents",
        path.display()
    );
}

#[test]
fn only_the_block_is_replaced() {
    let page = "a\n<!-- x -->\nold\n<!-- end of x -->\nb\n";
    let expected = "a\n<!-- x -->\nnew\n<!-- end of x -->\nb\n";
    assert_eq!(replaced(page, "x", "new\n"), expected);
}
