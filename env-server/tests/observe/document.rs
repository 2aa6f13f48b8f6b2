//! `docs/observability.md` lists exactly the existing metrics.

use service::observe::table::Metric;

#[test]
fn the_document_has_the_table() {
    let document = include_str!("../../../docs/observability.md");
    let rows = document.lines().filter(|line| line.starts_with("| `"));
    let found: Vec<&str> = rows
        .skip_while(|row| !row.contains("env_server_build_info"))
        .take(Metric::ALL.len())
        .collect();
    let expected: Vec<String> = Metric::ALL
        .iter()
        .map(|metric| {
            let labels: Vec<_> = metric.labels().iter().map(|l| format!("`{l}`")).collect();
            format!(
                "| `{}` | {} | {} | {} |",
                metric.name(),
                metric.kind().as_str(),
                labels.join(", "),
                metric.help()
            )
        })
        .collect();
    assert_eq!(
        found,
        expected,
        "the table should be:\n{}",
        expected.join("\n")
    );
}
