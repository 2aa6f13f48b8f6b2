//! Checks that the tables of documents are those of the committed records. This command writes them:
//! `UPDATE_DOCUMENTS=1 cargo test -p benchmark --test documents`.

use std::path::Path;

use benchmark::plan::{Plan, Suite};
use benchmark::records::Record;
use benchmark::records::directory::RunDirectory;
use benchmark::records::read_records;
use benchmark::report::comparison::{Tables, tables};
use benchmark::report::export::{Format, table};

/// Records of the suite `systems`; without the file, nothing has been measured.
const RECORDS: &str = "records/systems.jsonl";
const PAGE: &str = "../docs/comparison.md";

/// Runs without their checkpoints.
const RUNS: &str = "results";

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
    let blocks = [
        ("results", results),
        ("features", features),
        ("measurements", measurements),
    ];
    is_up_to_date(&path, &blocks);
}

/// Checks that a page has the table of a committed run in this block.
fn has_the_table(page: &str, block: &str, run: &str, format: Format) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (records, plan) = read(&RunDirectory::new(root.join(RUNS).join(run)));
    let text = table(&records, &plan, format).expect("the run has such a table");
    is_up_to_date(&root.join("../docs").join(page), &[(block, text)]);
}

fn read(run: &RunDirectory) -> (Vec<Record>, Plan) {
    let plan = run.read_config().expect("the run's plan").plan;
    let records = read_records(&run.records()).expect("the records can be read");
    (records, plan)
}

#[test]
fn popgym() {
    has_the_table("popgym.md", "results", "popgym", Format::Popgym);
}

#[test]
fn frontier() {
    has_the_table("frontier.md", "results", "frontier", Format::Frontier);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (records, plan) = read(&RunDirectory::new(root.join(RUNS).join("frontier")));
    let figure = table(&records, &plan, Format::FrontierSvg).expect("the run has a figure");
    let path = root.join("../docs/frontier.svg");
    if std::env::var_os("UPDATE_DOCUMENTS").is_some() {
        std::fs::write(&path, &figure).expect("the figure can be written");
    }
    let committed = std::fs::read_to_string(&path).expect("the figure is committed");
    assert!(
        committed == figure,
        "docs/frontier.svg is out of date: UPDATE_DOCUMENTS=1 writes it"
    );
}
#[test]
fn rewriting() {
    let page = "algorithms/tracerl.md";
    has_the_table(page, "rewriting", "rewriting", Format::Scores);
}

#[test]
fn retention() {
    has_the_table("retention.md", "results", "retention", Format::Scores);
}

/// Checks that a page has these blocks, or writes them.
fn is_up_to_date(path: &Path, blocks: &[(&str, String)]) {
    let found = std::fs::read_to_string(path).expect("the page is there");
    let expected = blocks.iter().fold(found.clone(), |page, (block, text)| {
        replaced(&page, block, text)
    });
    if std::env::var_os("UPDATE_DOCUMENTS").is_some() {
        std::fs::write(path, &expected).expect("the page can be written");
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
