//! Verdicts: an agent's evaluations on a task, in a few words.
//!
//! Every comparison uses a 95 % interval, never a mean alone, so that no verdict rests on noise.
//! The agent is compared with random actions, with the best known return without memory, and with
//! itself: once with its memory emptied, once with its earlier actions scrambled.

use agent::evaluate::Mode;
use env_protocol::SOLVED_SCORE;

use crate::scores::reference::Reference;
use crate::scores::statistics::{Measured, interval, mean_of};

/// Memory score up to which an emptied or scrambled agent counts as having lost its knowledge.
pub const LOST_SCORE: f64 = 0.1;

/// Differences below this come from rounding.
const ROUNDING: f64 = 1e-9;

/// The verdict on an agent on a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Earns less than random actions.
    WorseThanRandom,
    /// Not shown to earn more than random actions.
    NoBetterThanRandom,
    /// Better than random, but not shown to be better than with its memory emptied, or than the
    /// best known player that sees only the last observation.
    AsGoodAsWithoutMemory,
    /// Better than random actions, than with its memory emptied, and than the best player without
    /// memory.
    UsesMemory,
    /// As [`Self::UsesMemory`], and close to the best known; with its memory emptied, almost
    /// nothing of that is left.
    Remembers,
    /// Loses its knowledge when its earlier actions are random: it carried the cue in them.
    ActionTrail,
    /// The task needs no memory, so it cannot show one.
    NothingToRemember,
    /// Better than the best known player without memory. The agent played by itself, so its memory
    /// could not be emptied.
    Untested,
    /// No seed finished.
    Failed,
    /// The agent cannot play the task.
    NotApplicable,
}

impl Verdict {
    /// All verdicts, from the best to the worst, then those without a rank.
    pub const ALL: [Self; 10] = [
        Self::Remembers,
        Self::UsesMemory,
        Self::ActionTrail,
        Self::AsGoodAsWithoutMemory,
        Self::NoBetterThanRandom,
        Self::WorseThanRandom,
        Self::NothingToRemember,
        Self::Untested,
        Self::Failed,
        Self::NotApplicable,
    ];

    /// Returns the verdict in words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::WorseThanRandom => "worse than random",
            Self::NoBetterThanRandom => "no better than random",
            Self::AsGoodAsWithoutMemory => "as good as without memory",
            Self::UsesMemory => "uses memory",
            Self::Remembers => "remembers",
            Self::ActionTrail => "carried by its actions",
            Self::NothingToRemember => "nothing to remember",
            Self::Untested => "memory not tested",
            Self::Failed => "failed",
            Self::NotApplicable => "not applicable",
        }
    }
}

/// An agent's evaluations on a task, one for each seed: the same seeds in the same order in each
/// mode. Empty for a mode that was not evaluated.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// Greedy evaluations.
    pub greedy: Vec<Measured>,
    /// Evaluations with earlier actions scrambled.
    pub scrambled: Vec<Measured>,
    /// Evaluations with the memory emptied before every step.
    pub emptied: Vec<Measured>,
}

impl Evidence {
    /// Collects the evaluations that `of` returns for each mode.
    pub fn from_modes(of: impl Fn(Mode) -> Vec<Measured>) -> Self {
        Self {
            greedy: of(Mode::Greedy),
            scrambled: of(Mode::Scrambled),
            emptied: of(Mode::Emptied),
        }
    }

    /// Returns the greedy return minus the emptied one, for each seed.
    pub fn gap(&self) -> Vec<Measured> {
        difference(&self.greedy, &self.emptied)
    }

    /// Returns the verdict. `reference` is the task's scale, if it has one.
    pub fn verdict(&self, reference: Option<&Reference>, needs_memory: bool) -> Verdict {
        if self.greedy.is_empty() {
            return Verdict::Failed;
        }
        if let Some(known) = reference {
            let over_random = interval(&above(&self.greedy, known.random));
            if over_random.is_some_and(|(_, high)| high < -ROUNDING) {
                return Verdict::WorseThanRandom;
            }
            if !is_positive(&above(&self.greedy, known.random)) {
                return Verdict::NoBetterThanRandom;
            }
        }
        if !needs_memory {
            return Verdict::NothingToRemember;
        }
        if let Some(known) = reference
            && !is_positive(&above(&self.greedy, known.without_memory()))
        {
            return Verdict::AsGoodAsWithoutMemory;
        }
        if self.is_action_trail(reference) {
            return Verdict::ActionTrail;
        }
        if self.emptied.is_empty() {
            return Verdict::Untested;
        }
        if !is_positive(&self.gap()) {
            return Verdict::AsGoodAsWithoutMemory;
        }
        match reference {
            Some(known) if self.is_close_to_the_best(known) && is_lost(&self.emptied, known) => {
                Verdict::Remembers
            }
            _ => Verdict::UsesMemory,
        }
    }

    /// Returns whether scrambled actions make the agent lose its knowledge.
    fn is_action_trail(&self, reference: Option<&Reference>) -> bool {
        if self.scrambled.is_empty() || !is_positive(&difference(&self.greedy, &self.scrambled)) {
            return false;
        }
        match reference {
            Some(known) => is_lost(&self.scrambled, known),
            // Without a scale, the comparison is with the agent's emptied memory.
            None => !is_positive(&difference(&self.scrambled, &self.emptied)),
        }
    }

    /// Returns whether the agent's mean has come 95 % of the way from the best without memory to
    /// the best known. If there are scrambled evaluations, they must have too.
    fn is_close_to_the_best(&self, known: &Reference) -> bool {
        let is_close = |judged: &[Measured]| {
            mean_of(judged).is_none_or(|mean| known.memory_score(mean) >= SOLVED_SCORE - ROUNDING)
        };
        is_close(&self.greedy) && is_close(&self.scrambled)
    }
}

/// Returns whether the evaluations are not shown to earn more than almost nothing above the best
/// without memory.
fn is_lost(judged: &[Measured], known: &Reference) -> bool {
    let next_to_nothing = known.return_at(LOST_SCORE);
    !is_positive(&above(judged, next_to_nothing))
}

/// Returns whether the lower end of the mean's 95 % interval is above zero.
fn is_positive(differences: &[Measured]) -> bool {
    interval(differences).is_some_and(|(low, _)| low > ROUNDING)
}

fn above(judged: &[Measured], level: f64) -> Vec<Measured> {
    judged.iter().map(|&one| one.less(level)).collect()
}

/// Subtracts seed by seed. Treats the episodes of the two as independent, though they are the same:
/// the intervals are too wide rather than too narrow.
fn difference(one: &[Measured], other: &[Measured]) -> Vec<Measured> {
    let pairs = one.iter().zip(other);
    pairs.map(|(one, other)| one.minus(other)).collect()
}

#[cfg(test)]
mod tests;
