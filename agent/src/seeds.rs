//! Seeds by role: what a run's weights, actions and environments are drawn from. Training and evaluation never share one.

use std::ops::Range;

use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Purposes of randomness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Weights and updates of an agent that learns.
    Agent,
    /// Actions and memory noise of an agent that learns: a generator for each lane.
    Lane,
    /// Environments that are trained on.
    Training,
    /// Environments that an agent is evaluated on.
    Evaluation,
    /// Sampled and scrambled actions of an evaluation.
    EvaluationActions,
    /// Actions of a recording.
    Recording,
}

/// Environment seeds lie below this; evaluation's have this bit, training's do not.
const EVALUATION_BIT: u64 = 1 << 61;

fn digest(seed: u64, role: Role) -> [u8; 32] {
    Sha256::digest(format!("{role:?}:{seed}")).into()
}

/// The first environment seed of a role; the others follow it one by one.
pub fn first_environment_seed(seed: u64, role: Role) -> u64 {
    let bytes = digest(seed, role);
    let drawn = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes"));
    // A bit of room below the flag, so that counting on from a seed never reaches it.
    let base = drawn & ((EVALUATION_BIT >> 1) - 1);
    if role == Role::Evaluation {
        base | EVALUATION_BIT
    } else {
        base
    }
}

/// A generator for a role.
pub fn generator(seed: u64, role: Role) -> Xoshiro256PlusPlus {
    Xoshiro256PlusPlus::from_seed(digest(seed, role))
}

/// Generators of lanes that learn, for their actions and the noise of their memories. Each lane has its own, so its draws depend
/// neither on the other lanes nor on the process that plays it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LaneGenerators {
    /// Number of the first lane among all lanes of the run.
    first: usize,
    generators: Vec<Xoshiro256PlusPlus>,
}

impl LaneGenerators {
    /// Generators of some of a run's lanes.
    pub fn new(seed: u64, lanes: Range<usize>) -> Self {
        let generator = |lane| {
            let bytes = Sha256::digest(format!("{:?}:{seed}:{lane}", Role::Lane));
            Xoshiro256PlusPlus::from_seed(bytes.into())
        };
        Self {
            first: lanes.start,
            generators: lanes.map(generator).collect(),
        }
    }

    /// Number of lanes.
    pub fn len(&self) -> usize {
        self.generators.len()
    }

    /// Returns whether there is no lane.
    pub fn is_empty(&self) -> bool {
        self.generators.is_empty()
    }

    /// The generator of the lane at this place.
    pub fn of(&mut self, place: usize) -> &mut Xoshiro256PlusPlus {
        &mut self.generators[place]
    }

    /// Those of parts of a run's lanes, in order, together.
    pub fn join<'a>(parts: impl Iterator<Item = &'a Self>) -> Self {
        let mut joined: Option<Self> = None;
        for part in parts {
            match &mut joined {
                None => joined = Some(part.clone()),
                Some(joined) => joined.generators.extend_from_slice(&part.generators),
            }
        }
        joined.unwrap_or_default()
    }

    /// Those of some of these lanes.
    pub fn part(&self, lanes: Range<usize>) -> Self {
        Self {
            first: self.first + lanes.start,
            generators: self.generators[lanes].to_vec(),
        }
    }

    /// The number among all lanes of the run of the lane at this place.
    pub fn number(&self, place: usize) -> usize {
        self.first + place
    }
}

/// The beginning of lanes that learn.
#[derive(Clone, Debug, PartialEq)]
pub struct LaneSeeds {
    /// Seeds of their environments.
    pub environments: Vec<u64>,
    /// Generators of their actions and of their memories' noise.
    pub generators: LaneGenerators,
}

impl LaneSeeds {
    /// Those of some of a run's lanes.
    pub fn training(seed: u64, lanes: Range<usize>) -> Self {
        let first = first_environment_seed(seed, Role::Training);
        Self {
            environments: lanes.clone().map(|lane| first + lane as u64).collect(),
            generators: LaneGenerators::new(seed, lanes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_begins_with_the_same_among_others_and_apart() {
        let mut all = LaneSeeds::training(3, 0..6);
        let mut some = LaneSeeds::training(3, 4..6);
        assert_eq!(some.environments, all.environments[4..]);
        for place in 0..2 {
            let number = some.generators.number(place);
            assert_eq!(number, 4 + place);
            assert_eq!(some.generators.of(place), all.generators.of(number));
        }
        assert_ne!(some.generators.of(0).clone(), some.generators.of(1).clone());
        assert_ne!(all, LaneSeeds::training(4, 0..6));
    }

    #[test]
    fn training_and_evaluation_seeds_never_meet() {
        for seed in 0..100 {
            let training = first_environment_seed(seed, Role::Training);
            assert!(training + (1 << 40) < EVALUATION_BIT);
            assert!(first_environment_seed(seed, Role::Evaluation) >= EVALUATION_BIT);
        }
    }

    #[test]
    fn roles_and_seeds_differ() {
        assert_ne!(generator(0, Role::Agent), generator(1, Role::Agent));
        assert_ne!(generator(0, Role::Agent), generator(0, Role::Training));
    }
}
