//! `agent list`: the table of algorithms, and the hyper-parameters of one.

use std::fmt::Write;
use std::process::ExitCode;

use agent::algorithms::{self, ALGORITHMS, Algorithm, Family};
use agent::hyper::HyperparameterRow;
use agent::run::settings::written;
use clap::Args;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{ContentArrangement, Table};

/// Width of tables where there is no terminal.
const DEFAULT_WIDTH: u16 = 80;

/// List the algorithms, or the hyper-parameters of one
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  agent list
  agent list tracerl")]
pub struct ListArgs {
    /// Show this algorithm: where it comes from, its hyper-parameters, their defaults and ranges
    #[arg(value_name = "ALGORITHM")]
    algorithm: Option<String>,
}

pub fn run(args: &ListArgs) -> anyhow::Result<ExitCode> {
    let terminal = console::Term::stdout();
    let width = if terminal.is_term() {
        terminal.size().1
    } else {
        DEFAULT_WIDTH
    };
    super::print(&match &args.algorithm {
        None => overview(width),
        Some(id) => page(algorithms::find(id)?, width),
    })?;
    Ok(ExitCode::SUCCESS)
}

fn overview(width: u16) -> String {
    let mut text = String::new();
    for family in Family::ALL {
        let rows = ALGORITHMS.iter().filter(|row| row.family == family);
        let mut table = table(width, ["Algorithm", "Name", "What it is"]);
        table.add_rows(rows.map(|row| [row.id, row.title, row.summary]));
        if !table.is_empty() {
            let _ = writeln!(text, "{}\n{table}", family.title());
        }
    }
    text + "Hyper-parameters: agent list ALGORITHM"
}

fn page(algorithm: &Algorithm, width: u16) -> String {
    let mut text = String::new();
    let Algorithm {
        id,
        title,
        summary,
        source,
        ..
    } = algorithm;
    let _ = writeln!(text, "{title} ({id})\n{summary}\nSource: {source}\n");
    let hyper = (algorithm.defaults)();
    let (own, base) = (hyper.to_map(), hyper.defaults().to_map());
    let mut table = table(
        width,
        ["Hyper-parameter", "Default", "Range", "What it does"],
    );
    for HyperparameterRow { name, range, doc } in hyper.rows() {
        let default = written(&own[*name]);
        let mark = if own[*name] == base[*name] { "" } else { " *" };
        table.add_row([*name, &format!("{default}{mark}"), range, doc]);
    }
    let _ = writeln!(
        text,
        "{table}\n* not what most algorithms have\n\
         A flag of `agent train` has `-` for `_`; a TOML file has these names under [hyperparameters]."
    );
    text
}

fn table<const N: usize>(width: u16, header: [&str; N]) -> Table {
    let mut table = Table::new();
    table
        .load_style(UTF8_FULL_CONDENSED.with_rounded_corners())
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(width)
        .set_header(header);
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_reads_well() {
        insta::assert_snapshot!("list", overview(100));
        for row in ALGORITHMS {
            insta::assert_snapshot!(format!("list_{}", row.id), page(row, 120));
        }
    }
}
