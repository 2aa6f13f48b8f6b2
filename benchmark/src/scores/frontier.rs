//! The frontier: how many pairs an agent recalls, past how many distractors. A map has a row for each number of pairs, an
//! experiment, and a column for each delay that it was judged at.

use std::collections::{BTreeMap, BTreeSet};

use agent::evaluate::Mode;

use crate::plan::Experiment;
use crate::scores::reference::Reference;
use crate::scores::statistics::Estimate;
use crate::scores::summary::{AgentSummary, ExperimentSummary};

/// Mean return from which a cell counts as recalled.
pub const BAR: f64 = 0.95;

const TASK: &str = "AssociativeRecall-v0";
/// The argument that differs from row to row.
const PAIRS: &str = "num_pairs";
/// Arguments of a map's experiments. Others make another task.
const ARGUMENTS: [&str; 4] = [PAIRS, "num_keys", "delay", "difficulty"];

/// The maps of a run's agents, which share rows and columns.
#[derive(Debug)]
pub struct Frontier {
    /// Numbers of pairs, ascending: the rows.
    pub pairs: Vec<u64>,
    /// Delays, ascending: the columns.
    pub delays: Vec<u64>,
    /// The delay at which agents are judged in every mode, and up to which they are trained.
    pub own_delay: u64,
    /// The shortest delay trained on.
    pub shortest: u64,
    /// Mean return of guessing.
    pub guessing: f64,
    /// A map for each agent, in the order of the summaries.
    pub maps: Vec<Map>,
}

/// One agent's map.
#[derive(Debug)]
pub struct Map {
    /// The agent's name.
    pub agent: String,
    /// The rows, in the order of [`Frontier::pairs`].
    pub rows: Vec<Row>,
}

/// One agent's cells with a number of pairs.
#[derive(Debug)]
pub struct Row {
    /// Mean greedy returns over seeds, in the order of [`Frontier::delays`]; `None` where nothing was measured.
    pub cells: Vec<Option<Estimate>>,
    /// As the cell at [`Frontier::own_delay`], with the memory emptied before every action.
    pub emptied: Option<Estimate>,
    /// As the cell at [`Frontier::own_delay`], with random actions before the first query.
    pub scrambled: Option<Estimate>,
}

impl Frontier {
    /// Returns the maps, if the experiments have several numbers of pairs and of delays. Of experiments with the same
    /// number the first is taken.
    pub fn of(summaries: &[ExperimentSummary<'_>]) -> Option<Self> {
        let mut rows: BTreeMap<u64, &ExperimentSummary<'_>> = BTreeMap::new();
        for summary in summaries {
            if let Some(pairs) = pairs_of(summary.experiment) {
                rows.entry(pairs).or_insert(summary);
            }
        }
        let rows: Vec<_> = rows.into_iter().collect();
        let judged = rows.iter().flat_map(|(_, row)| row.judged_delays());
        let delays: Vec<u64> = judged.collect::<BTreeSet<u64>>().into_iter().collect();
        if rows.len() < 2 || delays.len() < 2 {
            return None;
        }
        let experiment = rows[0].1.experiment;
        let (shortest, own_delay) = experiment.delay_range()?;
        let mut agents: Vec<&String> = Vec::new();
        for agent in summaries.iter().flat_map(|summary| &summary.agents) {
            let is_on_map = rows
                .iter()
                .any(|(_, row)| row.agent(&agent.agent.name).is_some());
            if is_on_map && !agents.contains(&&agent.agent.name) {
                agents.push(&agent.agent.name);
            }
        }
        let map = |agent: &String| Map {
            agent: agent.clone(),
            rows: rows
                .iter()
                .map(|(_, row)| Row::of(row.agent(agent), &delays))
                .collect(),
        };
        Some(Self {
            maps: agents.into_iter().map(map).collect(),
            pairs: rows.iter().map(|(pairs, _)| *pairs).collect(),
            delays,
            own_delay,
            shortest,
            guessing: Reference::from_experiment(experiment)?.without_memory(),
        })
    }
}

impl Row {
    fn of(agent: Option<&AgentSummary<'_>>, delays: &[u64]) -> Self {
        let at = |delay| agent?.estimate_at(Some(delay), Mode::Greedy);
        let control = |mode| agent?.estimate(mode);
        Self {
            cells: delays.iter().map(|&delay| at(delay)).collect(),
            emptied: control(Mode::Emptied),
            scrambled: control(Mode::Scrambled),
        }
    }

    /// Returns how many columns from the first on are recalled, up to the first that is not or was not measured; `None`
    /// for a row without any measurement.
    pub fn reach(&self) -> Option<usize> {
        let is_recalled = |cell: &&Option<Estimate>| cell.is_some_and(|known| known.mean >= BAR);
        let is_measured = self.cells.iter().any(Option::is_some);
        is_measured.then(|| self.cells.iter().take_while(is_recalled).count())
    }
}

/// Returns the number of pairs of an experiment that is a row of a map.
fn pairs_of(experiment: &Experiment) -> Option<u64> {
    let is_known = |name: &String| ARGUMENTS.contains(&name.as_str());
    let is_row = experiment.spec_id == TASK && experiment.kwargs.keys().all(is_known);
    experiment.kwargs.get(PAIRS).filter(|_| is_row)?.as_u64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;
    use crate::records::Record;
    use crate::scores::summary::summarize;

    fn frontier(records: &[Record]) -> Option<Frontier> {
        Frontier::of(&summarize(records, &fixtures::plan()))
    }

    #[test]
    fn the_reach_ends_at_the_first_cell_below_the_bar() {
        let records = [
            fixtures::recall(
                "x",
                4,
                0,
                &[(8, 1.0), (64, 0.95), (1_024, 0.949), (4_096, 1.0)],
            ),
            fixtures::recall("x", 1, 0, &[(8, 1.0), (64, 1.0), (4_096, 1.0)]),
            fixtures::recall("x", 16, 0, &[(8, 0.9), (64, 1.0)]),
            fixtures::recall(
                "y",
                1,
                0,
                &[(8, 1.0), (64, 1.0), (1_024, 1.0), (4_096, 1.0)],
            ),
        ];
        let frontier = frontier(&records).unwrap();
        assert_eq!(frontier.pairs, [1, 4, 16]);
        assert_eq!(frontier.delays, [8, 64, 1_024, 4_096]);
        assert_eq!((frontier.shortest, frontier.own_delay), (8, 64));
        assert_eq!(frontier.guessing, -0.5);
        let names: Vec<&str> = frontier.maps.iter().map(|map| &map.agent[..]).collect();
        assert_eq!(names, ["x", "y"]);
        let reaches = |map: &Map| map.rows.iter().map(Row::reach).collect::<Vec<_>>();
        // One pair was not judged at 1,024. The other agent has no other number of pairs.
        assert_eq!(reaches(&frontier.maps[0]), [Some(2), Some(2), Some(0)]);
        assert_eq!(reaches(&frontier.maps[1]), [Some(4), None, None]);
    }

    #[test]
    fn a_cell_is_the_mean_over_seeds() {
        let records = [
            fixtures::recall("x", 1, 0, &[(8, 1.0), (64, 1.0)]),
            fixtures::recall("x", 1, 1, &[(8, 0.92), (64, 0.88)]),
            fixtures::recall("x", 2, 0, &[(8, 1.0), (64, 1.0)]),
        ];
        let row = &frontier(&records).unwrap().maps[0].rows[0];
        assert!((row.cells[0].unwrap().mean - 0.96).abs() < 1e-12);
        assert_eq!(row.reach(), Some(1));
    }

    #[test]
    fn controls_are_those_at_the_trained_delay() {
        let records = [1, 2].map(|pairs| fixtures::recall("x", pairs, 0, &[(8, 1.0), (64, 0.9)]));
        let row = &frontier(&records).unwrap().maps[0].rows[0];
        assert_eq!(row.emptied.unwrap().mean, -0.5);
        assert_eq!(row.scrambled.unwrap().mean, 0.9);
    }

    #[test]
    fn one_number_of_pairs_or_another_task_makes_no_map() {
        let row = |pairs| fixtures::recall("x", pairs, 0, &[(8, 1.0), (64, 1.0)]);
        assert!(frontier(&[row(1), row(2)]).is_some());
        assert!(frontier(&[row(1), fixtures::record("x", 4, 1, 0)]).is_none());
        let mut rewritten = row(2);
        rewritten
            .experiment
            .kwargs
            .insert("rewrites".into(), 1.into());
        assert!(frontier(&[row(1), rewritten]).is_none());
        let one_delay = [1, 2].map(|pairs| fixtures::recall("x", pairs, 0, &[(64, 1.0)]));
        assert!(frontier(&one_delay).is_none());
    }
}
