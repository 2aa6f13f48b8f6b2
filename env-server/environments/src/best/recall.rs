//! Players of tasks that ask for something shown before, and of tasks that ask for nothing.

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;

use serde_json::{Value, json};

use super::{Claim, Player, Task, Who, claim, one};
use crate::Catalogued;
use crate::tasks::associative_recall::AssociativeRecall;
use crate::tasks::bsuite::discounting_chain::BsuiteDiscountingChain;
use crate::tasks::bsuite::memory::{BsuiteMemoryLen, BsuiteMemorySize};
use crate::tasks::bsuite::umbrella_chain::BsuiteUmbrellaChain;
use crate::tasks::memory_task::MemoryTask;
use crate::tasks::persistent_recall::PersistentRecall;
use crate::tasks::tmaze::corridor::{TMazeActive, TMazePassive};
use crate::tasks::tmaze::distractors::TMazeDistractors;
use crate::tasks::tmaze::endless::EndlessTMaze;

/// Directions of a maze.
const RIGHT: usize = 0;
const UP: usize = 1;
const LEFT: usize = 2;
const DOWN: usize = 3;

/// Answers with the first number that it saw.
fn first_number(_: &Task) -> Player {
    let mut first = None;
    Box::new(move |seen, _| one(*first.get_or_insert(seen[0]) as usize))
}

/// Answers with the last number that had a mark.
fn last_marked(_: &Task) -> Player {
    let mut last = 0.0;
    Box::new(move |seen, _| {
        if seen[2] == 1.0 {
            last = seen[0];
        }
        one(last as usize)
    })
}

/// Answers with the number on screen.
fn number_on_screen(_: &Task) -> Player {
    Box::new(|seen, _| one(seen[0] as usize))
}

/// Remembers the bits of bsuite's memory chain, and answers the query.
fn bits(_: &Task) -> Player {
    let mut bits = None;
    Box::new(move |seen, _| {
        let bits: &mut Vec<f64> = bits.get_or_insert_with(|| seen[2..].to_vec());
        one(usize::from(bits[seen[1] as usize] > 0.0))
    })
}

/// Walks right, and turns to the side of the last sign; `back` steps to the left come first.
fn to_the_sign(back: usize) -> Player {
    let (mut steps, mut sign) = (0, 0.0);
    Box::new(move |seen, _| {
        let [is_end, y] = [seen[0], seen[1]];
        if is_end == 0.0 && y != 0.0 {
            sign = y;
        }
        steps += 1;
        one(match is_end == 1.0 {
            true if sign > 0.0 => UP,
            true => DOWN,
            false if steps <= back => LEFT,
            false => RIGHT,
        })
    })
}

/// Walks right and turns up.
fn up(_: &Task) -> Player {
    Box::new(|seen, _| one(if seen[0] == 1.0 { UP } else { RIGHT }))
}

/// Walks right and turns up, but waits a step where the sign says down: the time may run out before
/// the turn that it would lose.
fn late(_: &Task) -> Player {
    Box::new(|seen, _| {
        one(match (seen[0] == 1.0, seen[1] < 0.0) {
            (true, _) | (_, true) => UP,
            _ => RIGHT,
        })
    })
}

/// Walks Bakker's maze and turns to the side shown at the start, or always up.
fn through_noise(remembers: bool) -> Player {
    let mut is_up = true;
    Box::new(move |seen, _| {
        if remembers && seen[1] == 1.0 && seen[0] + seen[2] == 1.0 {
            is_up = seen[2] == 1.0;
        }
        one(match (seen == [0.0, 1.0, 0.0], is_up) {
            (true, true) => UP,
            (true, false) => DOWN,
            _ => RIGHT,
        })
    })
}

/// Remembers the cue of a lifetime.
fn lifelong() -> impl Fn(&Task) -> Player {
    let cue = Rc::new(Cell::new(0.0));
    move |_| {
        let cue = Rc::clone(&cue);
        Box::new(move |seen, _| {
            if seen[0] != 0.0 {
                cue.set(seen[0]);
            }
            one(usize::from(cue.get() > 0.0))
        })
    }
}

/// Remembers the last value of every key.
fn by_key(_: &Task) -> Player {
    let mut values = HashMap::new();
    Box::new(move |seen, _| {
        let [kind, key, value] = [seen[0], seen[1], seen[2]].map(|number| number as usize);
        if kind == 0 {
            values.insert(key, value);
        }
        one(values.get(&key).copied().unwrap_or(0))
    })
}

/// Makes a claim whose return is exact.
fn exact<E: Catalogued>(
    who: Who,
    kwargs: Value,
    player: impl Fn(&Task) -> Player + 'static,
) -> Claim {
    claim::<E>(who, kwargs, 0.0, [800, 20_000], player)
}

pub(super) fn claims() -> Vec<Claim> {
    use Who::{Best, Memoryless};
    let noisy = json!({"delay": 9, "difficulty": 1});
    let drawn = json!({"delay": 9, "delay_min": 1, "difficulty": 1});
    let changing = json!({"delay": 9, "cue_time": "random", "cue_changes": 3, "difficulty": 1});
    let length = |length: u32| json!({"corridor_length": length});
    let endless = |length: u32, corridors: u32| json!({"corridor_length": length, "num_corridors": corridors});
    let chain = json!({"chain_length": 3, "n_distractor": 1});
    let pairs =
        json!({"num_pairs": 6, "spread": 5, "rewrites": 3, "num_queries": 8, "difficulty": 1});
    vec![
        exact::<MemoryTask>(Best, noisy.clone(), first_number),
        exact::<MemoryTask>(Memoryless, noisy, number_on_screen),
        exact::<MemoryTask>(Memoryless, drawn, number_on_screen),
        exact::<MemoryTask>(Best, changing.clone(), last_marked),
        exact::<MemoryTask>(Memoryless, changing, number_on_screen),
        exact::<BsuiteMemoryLen>(Best, json!({"memory_length": 5}), bits),
        exact::<BsuiteMemorySize>(Best, json!({"num_bits": 10}), bits),
        exact::<TMazePassive>(Best, length(5), |_| to_the_sign(0)),
        exact::<TMazePassive>(Memoryless, length(5), up),
        exact::<TMazeActive>(Best, length(5), |_| to_the_sign(1)),
        exact::<TMazeActive>(Memoryless, length(5), up),
        exact::<TMazeDistractors>(Best, length(3), |_| through_noise(true)),
        exact::<TMazeDistractors>(Memoryless, length(3), |_| through_noise(false)),
        exact::<EndlessTMaze>(Best, json!({}), |_| to_the_sign(0)),
        exact::<EndlessTMaze>(Memoryless, json!({}), late),
        exact::<EndlessTMaze>(Memoryless, endless(1, 2), late),
        exact::<EndlessTMaze>(Memoryless, endless(3, 1), late),
        exact::<PersistentRecall>(Best, json!({"episodes_per_lifetime": 4}), lifelong()),
        exact::<AssociativeRecall>(Best, json!({}), by_key),
        exact::<AssociativeRecall>(Memoryless, json!({}), number_on_screen),
        exact::<AssociativeRecall>(Best, pairs.clone(), by_key),
        exact::<AssociativeRecall>(Memoryless, pairs, number_on_screen),
        exact::<BsuiteUmbrellaChain>(Memoryless, chain.clone(), number_on_screen),
        exact::<BsuiteUmbrellaChain>(Best, chain, number_on_screen),
        exact::<BsuiteDiscountingChain>(Best, json!({"mapping_seed": 3}), |_| {
            Box::new(|_, _| one(3))
        }),
    ]
}
