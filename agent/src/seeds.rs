//! Seeds by role: what a run's weights, actions and environments are drawn from. Training and evaluation never share one.

use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use sha2::{Digest, Sha256};

/// Purposes of randomness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Weights, actions and memory noise of an agent that learns.
    Agent,
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

#[cfg(test)]
mod tests {
    use super::*;

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
