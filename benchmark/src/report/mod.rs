//! The report: turns records into one self-contained page of HTML, and into tables and JSON. Reads
//! and writes no files.

mod bsuite_scores;
pub mod compare;
pub mod comparison;
pub mod export;
mod frontier;
mod grid;
mod jobs;
pub mod json;
mod learning_curves;
mod markdown;
mod page;
mod parts;
pub mod popgym;
mod remarks;
mod remembered_or_lucky;
mod results;
mod retention;
mod success_by_delay;
mod suite;
mod svg;
pub mod table;

use minijinja::Environment;

use crate::error::Error;
use crate::records::Record;
use crate::records::config::RunConfig;
use crate::scores::summary::summarize;
use page::Page;

/// Renders the page.
///
/// # Errors
/// When the template fails or the configuration cannot be written as TOML.
pub fn render(records: &[Record], config: &RunConfig) -> Result<String, Error> {
    let summaries = summarize(records, &config.plan);
    let page = Page::new(records, &summaries, config)?;
    let mut environment = Environment::new();
    environment.add_template("report.html", include_str!("report.html"))?;
    environment.add_template("suite.html", include_str!("suite.html"))?;
    environment.add_template("frontier.html", include_str!("frontier.html"))?;
    environment.add_template("colours.css", include_str!("colours.css"))?;
    environment.add_template("figures.css", include_str!("figures.css"))?;
    Ok(environment
        .get_template("report.html")?
        .render(minijinja::value::Serde(page))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;
    use crate::records::RowResult;
    use crate::records::config::Command;

    fn records() -> Vec<Record> {
        let mut remembering = fixtures::record("tracerl", 4, 1, 0);
        if let RowResult::Finished(outcome) = &mut remembering.result {
            outcome.memory_view = Some(fixtures::memory_view(4));
        }
        vec![
            fixtures::record_with_returns("ppo", 4, 1, 0, [0.014, -0.02, 0.01, 0.014]),
            remembering,
            fixtures::record("tracerl", 4, 1, 1),
            fixtures::failed_record(
                "recurrent-ppo",
                4,
                1,
                0,
                "no server answers at <http://127.0.0.1:1>",
            ),
            fixtures::record_with_returns("ppo", 4, 0, 0, [1.0, 0.9, -0.02, 0.01]),
            fixtures::external_record("mine", 1.0, &["it asked for more than its budget"]),
        ]
    }

    /// Returns the page's text without style, tags and drawings, a line for each non-empty piece.
    fn text_of(html: &str) -> String {
        let mut text = String::new();
        let body = html.split("</style>").nth(1).unwrap_or(html);
        for piece in body.split('<').skip(1) {
            let (tag, words) = piece.split_once('>').unwrap_or((piece, ""));
            let drawn = [
                "svg", "rect", "line", "polyline", "circle", "path", "text", "title", "/t",
            ]
            .iter()
            .any(|name| tag.starts_with(name));
            if !drawn || tag.starts_with("/tr") || tag.starts_with("/td") || tag.starts_with("/th")
            {
                let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
                if !words.is_empty() {
                    text.push_str(&words);
                    text.push('\n');
                }
            }
        }
        text
    }

    #[test]
    fn text() {
        insta::assert_snapshot!(text_of(&render(&records(), &fixtures::config()).unwrap()));
    }

    /// Records of two agents and three seeds on tasks of four kinds. One task has no scale, and one
    /// lacks rows of an agent.
    fn suite_records() -> Vec<Record> {
        let easy = |name| ("level", serde_json::Value::from(name));
        let mut records = Vec::new();
        for seed in 0..3 {
            let wobble = seed as f64 / 10.0;
            for (agent, skill) in [("ppo", 0.0), ("tracerl", 1.0)] {
                let returns = |random: f64, best: f64| {
                    [
                        random + (best - random) * (skill - wobble).max(0.0),
                        0.0,
                        random,
                    ]
                };
                let mut row = |task, kwargs: &[_], returns| {
                    records.push(fixtures::record_on(task, kwargs, agent, seed, returns));
                };
                row(
                    ("first", "RepeatFirst-v0"),
                    &[easy("easy")],
                    returns(-0.5, 1.0),
                );
                row(
                    ("mines", "MineSweeper-v0"),
                    &[easy("easy")],
                    returns(-0.2, 1.0),
                );
                row(("chain", "BsuiteDiscountingChain-v0"), &[], [1.0, 1.0, 1.0]);
            }
            let mut sweep = fixtures::record_on(
                ("len", "BsuiteMemoryLen-v0"),
                &[("memory_length", 10.into())],
                "tracerl",
                seed,
                [1.0, 1.0, 0.0],
            );
            sweep.experiment.early_stop = false;
            if let RowResult::Finished(outcome) = &mut sweep.result {
                outcome.training = Some(crate::records::outcome::TrainingTally {
                    episodes: 100,
                    return_sum: 80.0,
                    best_epoch: None,
                });
            }
            records.push(sweep);
        }
        records
    }

    #[test]
    fn text_of_a_suite() {
        let html = render(&suite_records(), &fixtures::config()).unwrap();
        insta::assert_snapshot!(text_of(&html));
    }

    /// Returns records of a map with two numbers of pairs.
    fn frontier_records() -> Vec<Record> {
        let returns = [(1, [1.0, 1.0]), (16, [0.99, 0.6])];
        let recall = returns.map(|(pairs, [near, far])| {
            fixtures::recall("tracerl", pairs, 0, &[(64, near), (4_096, far)])
        });
        recall.into()
    }

    #[test]
    fn text_of_a_frontier() {
        let html = render(&frontier_records(), &fixtures::config()).unwrap();
        let text = text_of(&html);
        let (section, _) = text.split_once("At a glance").expect("the next section");
        insta::assert_snapshot!(section);
    }

    #[test]
    fn the_page_loads_nothing() {
        for records in [records(), suite_records(), frontier_records()] {
            nothing_from_outside(&render(&records, &fixtures::config()).unwrap());
        }
        let html = render(&records(), &fixtures::config()).unwrap();
        assert!(html.contains("&lt;http:"), "a failure's reason is escaped");
    }

    fn nothing_from_outside(html: &str) {
        for reference in ["<link", "<script", "<img", "@import", "url(", "src="] {
            assert!(!html.contains(reference), "{reference}");
        }
        assert!(!html.contains("NaN"), "every position is a number");
    }

    #[test]
    fn every_command_under_one_name_is_on_the_page() {
        let mut config = fixtures::config();
        let page = |config: &RunConfig| text_of(&render(&records(), config).unwrap());
        assert!(page(&config).contains("The command that made this page"));
        let first = Command {
            command: "benchmark --quick --name example".into(),
            commit: "f".repeat(40),
            started_at: "2026-01-01T00:00:00Z".into(),
        };
        config.run.earlier = vec![first];
        let page = page(&config);
        assert!(page.contains("started 2026-01-01T00:00:00Z"), "{page}");
        let (first, second) = page
            .split_once("The commands that made this page, in their order")
            .and_then(|(_, after)| after.split_once("benchmark --quick --name example"))
            .expect("both commands");
        assert!(first.contains(&"f".repeat(40)));
        assert!(second.contains("--seeds 2 --name example"));
    }

    #[test]
    fn rows_of_unrecorded_commands_are_mentioned() {
        let config = fixtures::config();
        let told = "made by earlier commands under the same name";
        let page = |records: &[Record]| render(records, &config).unwrap();
        assert!(!page(&[fixtures::record("ppo", 4, 1, 0)]).contains(told));
        assert!(page(&[fixtures::record("ppo", 16, 1, 0)]).contains(told));
    }

    #[test]
    fn rows_of_several_classes_of_processors_are_mentioned() {
        let config = fixtures::config();
        let mut records = [0, 1].map(|seed| fixtures::record("ppo", 4, 1, seed));
        let told = "different classes of processors";
        assert!(!render(&records, &config).unwrap().contains(told));
        if let RowResult::Finished(outcome) = &mut records[1].result {
            outcome.cpu = Some("aarch64+neon".to_owned());
        }
        let page = text_of(&render(&records, &config).unwrap());
        assert!(
            page.contains(told) && page.contains("aarch64+neon"),
            "{page}"
        );
    }

    /// With three agents and intervals the table of aggregates is wider than half a page.
    #[test]
    fn tables_scroll_where_they_do_not_fit() {
        let html = render(&suite_records(), &fixtures::config()).unwrap();
        let mut rest = html.as_str();
        while let Some((before, after)) = rest.split_once("<table") {
            let container = before.rfind("<div class=\"scroll\">");
            let closed = before.rfind("</div>");
            assert!(container > closed, "{}", &after[..200]);
            rest = after;
        }
    }

    #[test]
    fn the_page_explains_slots_that_were_never_full() {
        let mut record = fixtures::record("tracerl", 4, 1, 0);
        let caption = |record: &Record| {
            let records = [record.clone()];
            success_by_delay::caption(&summarize(&records, &fixtures::plan())[0])
        };
        assert_eq!(caption(&record), "");
        if let RowResult::Finished(outcome) = &mut record.result {
            outcome
                .hyperparameters
                .insert("max_entries".into(), 16.into());
        }
        // Judged at delay 64.
        assert!(
            caption(&record)
                .starts_with("tracerl has 16 slots, and at delay 4 an episode never filled")
        );
        record.experiment.kwargs.insert("delay".into(), 32.into());
        assert_eq!(caption(&record), "", "it had to choose");
    }

    #[test]
    fn a_run_without_rows_has_a_page() {
        assert!(
            render(&[], &fixtures::config())
                .unwrap()
                .contains("No row has finished yet")
        );
    }
}
