//! Lines of tables in Markdown.

/// Writes the first two lines of a table.
pub(super) fn header_lines(header: &[String]) -> String {
    let rule = "|---".repeat(header.len());
    format!("{}{rule}|\n", table_line(header))
}

/// Writes a line of a table.
pub(super) fn table_line(cells: &[String]) -> String {
    format!("| {} |\n", cells.join(" | "))
}
