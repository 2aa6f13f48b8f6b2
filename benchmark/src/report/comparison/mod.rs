//! The comparison of memory systems as Markdown: results, features, and the measurements that support them.
//! docs/comparison.md has these tables.

mod cells;
mod features;
mod found;
mod measurements;
mod results;

use self::found::Comparison;
use crate::plan::Plan;
use crate::records::Record;
use crate::scores::summary::summarize;

/// The tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tables {
    /// Scores, steps to solve, and cost: a line for each algorithm.
    pub results: String,
    /// What the memories can do: a line for each algorithm.
    pub features: String,
    /// The measurements that the other tables link to: a line for each row on each task.
    pub measurements: String,
}

/// Returns the tables of these records. A cell without a record says that it was not measured.
pub fn tables(records: &[Record], plan: &Plan) -> Tables {
    let summaries = summarize(records, plan);
    let comparison = Comparison {
        plan,
        summaries: &summaries,
    };
    Tables {
        results: results::table(&comparison),
        features: features::table(&comparison),
        measurements: measurements::table(&comparison),
    }
}

/// Writes the tables one below the other.
pub fn markdown(records: &[Record], plan: &Plan) -> String {
    let Tables {
        results,
        features,
        measurements,
    } = tables(records, plan);
    format!("{results}\n{features}\n{measurements}")
}

#[cfg(test)]
mod tests {
    use super::cells::NOT_MEASURED;
    use super::*;
    use crate::fixtures;
    use crate::plan::{AgentRow, Shows, Suite, Variant};
    use crate::records::RowResult;

    /// Two tasks with a delay, one without, and rows of every kind.
    fn plan() -> Plan {
        let mut plan = Plan::suite(Suite::Systems).unwrap();
        plan.settle_budgets(false);
        let tasks = ["memory-16-hard", "memory-32-hard", "persistent-recall"];
        plan.experiments
            .retain(|task| tasks.contains(&task.name.as_str()));
        let rows = ["ppo", "recurrent-ppo", "tracerl"];
        plan.agents
            .retain(|row| rows.contains(&row.algorithm.as_str()));
        plan
    }

    /// Returns a record of a row of the plan on a task of the plan: greedy, sampled, scrambled, emptied.
    fn record(plan: &Plan, task: &str, row: &str, seed: u64, returns: [f64; 4]) -> Record {
        let task = plan.experiments.iter().find(|known| known.name == task);
        let row = plan.agents.iter().find(|known| known.name == row);
        let (task, row) = (task.unwrap().clone(), row.unwrap().clone());
        let delay = task.delay();
        let mut record =
            fixtures::record_with_returns(&row.name, delay.unwrap_or(4), 1, seed, returns);
        if let RowResult::Finished(outcome) = &mut record.result {
            outcome.evaluations.truncate(4);
            for judged in &mut outcome.evaluations {
                judged.delay = delay;
            }
            outcome.train_duration_s = 2.0;
            if row.name == "tracerl" {
                outcome.cue_attention = Some(0.9);
            }
        }
        record.configuration_hash = crate::records::configuration_hash(&task, &row, seed);
        (record.experiment, record.agent) = (task, row);
        record
    }

    fn records(plan: &Plan) -> Vec<Record> {
        let mut records = Vec::new();
        for seed in 0..2 {
            let good = [1.0 - 0.01 * seed as f64, 0.9, 1.0, 0.01];
            let bad = [0.01, 0.0, 0.02, 0.0];
            let mut add = |task, row, returns| records.push(record(plan, task, row, seed, returns));
            add("memory-16-hard", "ppo", bad);
            add("memory-16-hard", "recurrent-ppo", good);
            add("memory-16-hard", "tracerl", good);
            add("memory-32-hard", "recurrent-ppo", bad);
            add("memory-32-hard", "tracerl", good);
            add(
                "memory-32-hard",
                "tracerl-retention-off",
                [0.5, 0.4, 0.5, 0.0],
            );
            add("persistent-recall", "tracerl", bad);
            add(
                "persistent-recall",
                "tracerl-lifetime",
                [0.9375, 0.9, 0.93, 0.0],
            );
        }
        let mut refused = record(plan, "persistent-recall", "ppo", 0, [0.0; 4]);
        refused.result = RowResult::NotApplicable {
            reason: "it has no grid".into(),
        };
        records.push(refused);
        records
    }

    #[test]
    fn tables_of_some_records() {
        let plan = plan();
        insta::assert_snapshot!(markdown(&records(&plan), &plan));
    }

    #[test]
    fn without_records_nothing_is_claimed() {
        let text = markdown(&[], &plan());
        assert!(text.contains(NOT_MEASURED));
        assert!(!text.contains("](#"), "{text}");
        let digits = text
            .replace("memory-16-hard", "")
            .replace("memory-32-hard", "");
        let digits = digits.replace("at delay 16 / 32", "");
        assert!(!digits.chars().any(|c| c.is_ascii_digit()), "{digits}");
    }

    #[test]
    fn every_link_leads_to_a_measurement() {
        let plan = plan();
        let text = markdown(&records(&plan), &plan);
        for link in text.split("](#").skip(1) {
            let anchor = link.split(')').next().unwrap();
            assert!(
                text.contains(&format!("<a id=\"{anchor}\"></a>")),
                "{anchor}"
            );
        }
    }

    #[test]
    fn the_budget_of_the_plan_comes_before_others() {
        let plan = plan();
        let mut quick = record(&plan, "memory-16-hard", "ppo", 0, [0.5, 0.5, 0.5, 0.0]);
        quick.experiment.total_timesteps = 10;
        quick.configuration_hash = "quick".into();
        let planned = record(&plan, "memory-16-hard", "ppo", 0, [1.0, 1.0, 1.0, 0.0]);
        let of = |records: &[Record]| tables(records, &plan).results;
        assert!(of(&[quick.clone()]).contains("0.50"));
        assert!(!of(&[quick, planned]).contains("0.50"));
    }

    #[test]
    fn a_variant_is_no_row() {
        let plan = plan();
        let variants = plan.agents.iter().filter(|row| row.variant.is_some());
        assert!(variants.count() >= 2);
        let of_tracerl = |row: &&AgentRow| {
            row.variant
                == Some(Variant {
                    of: "tracerl".into(),
                    shows: Shows::Retention,
                })
        };
        assert_eq!(plan.agents.iter().filter(of_tracerl).count(), 1);
        let lines = tables(&[], &plan).results.lines().count();
        assert_eq!(lines, 2 + 3);
    }
}
