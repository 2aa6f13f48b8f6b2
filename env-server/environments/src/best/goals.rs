//! Players of tasks that show their goal. They need no memory.

use env_protocol::Space;
use serde_json::json;

use super::{Claim, Player, Task, Who, claim, one};
use crate::tasks::goals::bit_flip::BitFlip;
use crate::tasks::goals::reach_cell::ReachCell;

/// Parts of an observation: what is achieved, what is desired, and the observation proper.
fn parts(seen: &[f64]) -> [&[f64]; 2] {
    let (achieved, rest) = seen.split_at(seen.len() / 3);
    [achieved, &rest[..achieved.len()]]
}

/// Flips the first bit that differs.
fn flipper(_: &Task) -> Player {
    Box::new(|seen, _| {
        let [state, goal] = parts(seen);
        let mut bits = state.iter().zip(goal);
        one(bits.position(|(a, b)| a != b).expect("a bit that differs"))
    })
}

/// Walks to the goal's column, then along it.
fn walker(task: &Task) -> Player {
    assert!(matches!(task.actions, Space::Discrete { n: 4, .. }));
    Box::new(|seen, _| {
        let [agent, goal] = parts(seen);
        one(match () {
            () if agent[1] < goal[1] => 1,
            () if agent[1] > goal[1] => 3,
            () if agent[0] < goal[0] => 2,
            () => 0,
        })
    })
}

/// The claims about `BitFlip-v0` and `ReachCell-v0`.
pub(super) fn claims() -> Vec<Claim> {
    let mut claims = Vec::new();
    for who in [Who::Memoryless, Who::Best] {
        for bits in [3, 8] {
            let kwargs = json!({"bits": bits});
            claims.push(claim::<BitFlip>(
                who,
                kwargs,
                0.0,
                [1_000, 100_000],
                flipper,
            ));
        }
        for size in [3, 10] {
            let kwargs = json!({"size": size});
            claims.push(claim::<ReachCell>(
                who,
                kwargs,
                0.0,
                [1_000, 100_000],
                walker,
            ));
        }
    }
    claims
}
