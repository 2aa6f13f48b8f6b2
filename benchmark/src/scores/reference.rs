//! The scale of returns: 0 for random actions, 1 for the best known player that does not see hidden
//! state.

use env_protocol::Returns;
use environments::registry::{self, Instance};

use crate::plan::Experiment;

/// Returns that players reach on a task with its arguments, as the environment itself gives them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reference {
    /// Return of uniformly random actions.
    pub random: f64,
    /// Return of the best known player without clairvoyance, or of a clairvoyant player if no other
    /// is known.
    pub best: f64,
    /// Whether `best` belongs to a clairvoyant player: an upper bound that may be out of reach.
    pub is_bound: bool,
    /// Return of the best player that sees only the last observation, if known.
    pub memoryless: Option<f64>,
}

impl Reference {
    /// Returns the reference of an experiment's task. `None` when this program's table of
    /// environments lacks the task, when its returns are unknown, or when random actions are as
    /// good as any.
    pub fn from_experiment(experiment: &Experiment) -> Option<Self> {
        let returns = returns(experiment)?;
        let (random, best) = returns.scale()?;
        Some(Self {
            random,
            best,
            is_bound: returns.best.is_none(),
            memoryless: returns.memoryless,
        })
    }

    /// Returns `(x − random) / (best − random)`: below 0 for a return worse than random, above 1
    /// for one better than the best known.
    pub fn normalise(&self, mean_return: f64) -> f64 {
        (mean_return - self.random) / (self.best - self.random)
    }

    /// Returns the best return without memory: that of the best player that sees only the last
    /// observation, or of random actions if it is unknown.
    pub fn without_memory(&self) -> f64 {
        self.memoryless
            .map_or(self.random, |known| known.max(self.random))
    }

    /// Returns `(x − memoryless) / (best − memoryless)`: 0 for the best return without memory, 1
    /// for the best known. Only meaningful on tasks with something to remember.
    pub fn memory_score(&self, mean_return: f64) -> f64 {
        let floor = self.without_memory();
        (mean_return - floor) / (self.best - floor)
    }

    /// Returns the return whose memory score this is.
    pub fn return_at(&self, memory_score: f64) -> f64 {
        let floor = self.without_memory();
        floor + memory_score * (self.best - floor)
    }
}

/// Returns whether an experiment's task needs memory, as the environment itself says. A task that
/// this program's table lacks is assumed to need it.
pub fn needs_memory(experiment: &Experiment) -> bool {
    let instance = registry::instance(&experiment.spec_id, &experiment.kwargs);
    instance
        .and_then(Result::ok)
        .is_none_or(|instance| instance.needs_memory)
}

/// Returns the mean return from which an experiment's task counts as solved, if known.
pub fn solved_threshold(experiment: &Experiment) -> Option<f64> {
    instance(experiment)?.solved_threshold
}

/// Returns the known returns of an experiment's task; `None` when this program's table of
/// environments lacks the task.
fn returns(experiment: &Experiment) -> Option<Returns> {
    Some(instance(experiment)?.returns)
}

fn instance(experiment: &Experiment) -> Option<Instance> {
    registry::instance(&experiment.spec_id, &experiment.kwargs)?.ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;
    use std::collections::BTreeMap;

    fn of(spec_id: &str, kwargs: BTreeMap<String, serde_json::Value>) -> Option<Reference> {
        let mut experiment = fixtures::experiment(4, 1);
        experiment.spec_id = spec_id.to_owned();
        experiment.kwargs = kwargs;
        Reference::from_experiment(&experiment)
    }

    #[test]
    fn scores_by_hand() {
        let maze = of(
            "TMazeDistractors-v0",
            BTreeMap::from([("corridor_length".into(), 10.into())]),
        );
        let maze = maze.unwrap();
        assert_eq!((maze.best, maze.memoryless), (4.0, Some(1.95)));
        assert_eq!(
            [maze.random, maze.best].map(|x| maze.normalise(x)),
            [0.0, 1.0]
        );
        let first = of("RepeatFirst-v0", BTreeMap::new()).unwrap();
        assert_eq!(
            [-1.0, -0.5, 0.25].map(|x| first.normalise(x)),
            [-1.0 / 3.0, 0.0, 0.5]
        );
    }

    #[test]
    fn the_notebooks_task_is_its_own_scale() {
        let task = Reference::from_experiment(&fixtures::experiment(32, 1)).unwrap();
        assert_eq!([-1.0, 0.3].map(|x| task.normalise(x)), [-1.0, 0.3]);
        assert_eq!(task.without_memory(), 0.0);
        assert_eq!(task.memory_score(0.3), 0.3);
    }

    #[test]
    fn memory_scores_by_hand() {
        // Random −0.984, memoryless 0.5, best 1.
        let length = BTreeMap::from([("corridor_length".into(), 20.into())]);
        let maze = of("TMazePassive-v0", length).unwrap();
        assert_eq!(maze.without_memory(), 0.5);
        assert_eq!(
            [0.5, 0.75, 1.0, 0.0].map(|x| maze.memory_score(x)),
            [0.0, 0.5, 1.0, -1.0]
        );
        assert_eq!([0.0, 0.5, 1.0].map(|x| maze.return_at(x)), [0.5, 0.75, 1.0]);
    }

    #[test]
    fn tasks_that_need_memory() {
        let needs = |spec_id: &str, argument: &str, value: serde_json::Value| {
            let mut experiment = fixtures::experiment(4, 1);
            experiment.spec_id = spec_id.to_owned();
            experiment.kwargs = BTreeMap::from([(argument.to_owned(), value)]);
            needs_memory(&experiment)
        };
        assert!(!needs("BsuiteUmbrellaChain-v0", "chain_length", 20.into()));
        assert!(!needs(
            "BsuiteDiscountingChain-v0",
            "mapping_seed",
            3.into()
        ));
        assert!(!needs("MemoryTask-v0", "delay", 1.into()));
        assert!(needs("MemoryTask-v0", "delay", 2.into()));
        assert!(needs("HigherLower-v0", "level", "easy".into()));
        // The memoryless return of the first is unknown; the second is not in the table.
        assert!(needs("MineSweeper-v0", "level", "easy".into()));
        assert!(needs("Elsewhere-v0", "level", "easy".into()));
    }

    #[test]
    fn bounds_are_marked_and_tasks_without_a_scale_have_no_reference() {
        let decks = BTreeMap::from([("num_decks".into(), 4.into())]);
        assert!(of("HigherLower-v0", decks).unwrap().is_bound);
        assert!(!of("MineSweeper-v0", BTreeMap::new()).unwrap().is_bound);
        // Which arm is best cannot be known: random play is as good as any.
        assert_eq!(of("BsuiteDiscountingChain-v0", BTreeMap::new()), None);
        assert_eq!(of("Elsewhere-v0", BTreeMap::new()), None);
    }
}
