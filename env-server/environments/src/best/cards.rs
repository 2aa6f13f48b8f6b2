//! Players of card games.

use env_protocol::Space;

use super::{Claim, Player, Task, Who, levels, one};
use crate::Draws;
use crate::tasks::popgym::autoencode::Autoencode;
use crate::tasks::popgym::concentration::Concentration;
use crate::tasks::popgym::count_recall::CountRecall;
use crate::tasks::popgym::higher_lower::HigherLower;
use crate::tasks::popgym::repeat_first::RepeatFirst;
use crate::tasks::popgym::repeat_previous::RepeatPrevious;

/// Decks at the levels.
const DECKS: [usize; 3] = [1, 2, 3];

/// Guesses the more frequent outcome among the cards that are left.
fn counter(task: &Task) -> Player {
    let mut left = [4 * DECKS[task.level]; 13];
    Box::new(move |seen, _| {
        let rank = seen[0] as usize;
        left[rank] -= 1;
        let lower: usize = left[..rank].iter().sum();
        let higher: usize = left[rank + 1..].iter().sum();
        one(usize::from(lower > higher))
    })
}

/// Turns an unseen card, then a card known to match it, or else another unseen card. Known pairs
/// are left for the end: while a card of a kind is known, the next card of that kind has a match.
fn saving(task: &Task) -> Player {
    let (n, down) = (task.choices(), kinds(task));
    let mut known = vec![None; n];
    let mut is_up = vec![false; n];
    let mut first: Option<usize> = None;
    let mut last = None;
    Box::new(move |seen, _| {
        if let Some(last) = last {
            let card: usize = last;
            known[card] = Some(seen[card]);
            first = match first.take() {
                Some(before) => {
                    let is_pair = known[before] == known[card];
                    (is_up[before], is_up[card]) = (is_pair, is_pair);
                    None
                }
                None => Some(card),
            };
        }
        debug_assert!(seen.iter().all(|&face| face <= down));
        let hidden = (0..n).filter(|&i| !is_up[i] && Some(i) != first);
        let mates = |card: usize| {
            let known = &known;
            hidden
                .clone()
                .find(move |&i| known[i].is_some() && known[i] == known[card])
        };
        let unseen = hidden.clone().find(|&i| known[i].is_none());
        let turned = match first {
            Some(first) => mates(first).or(unseen),
            None => unseen.or(hidden.clone().next()),
        };
        last = turned;
        one(turned.unwrap_or(0))
    })
}

/// Turns any card that is face down.
fn guessing(task: &Task) -> Player {
    let down = kinds(task);
    Box::new(move |seen, rng| {
        let hidden: Vec<usize> = (0..seen.len()).filter(|&i| seen[i] == down).collect();
        match hidden.len() as u64 {
            // The last two, after they were turned one by one with others.
            0 => one(rng.below(seen.len() as u64) as usize),
            many => one(hidden[rng.below(many) as usize]),
        }
    })
}

/// The number that stands for a card that is face down.
fn kinds(task: &Task) -> f64 {
    match &task.observations {
        Space::MultiDiscrete { nvec } => (nvec[0] - 1) as f64,
        other => panic!("a table of {other:?}"),
    }
}

/// Names the first suit.
fn first(_: &Task) -> Player {
    let mut first = None;
    Box::new(move |seen, _| one(*first.get_or_insert(seen[0]) as usize))
}

/// Names the suit of `k` − 1 cards ago.
fn previous(task: &Task) -> Player {
    let k = [4, 32, 64][task.level];
    let mut suits = Vec::new();
    Box::new(move |seen, _| {
        suits.push(seen[0] as usize);
        one(suits[suits.len().saturating_sub(k)])
    })
}

/// Names the suits from the last to the first.
fn stack(_: &Task) -> Player {
    let mut suits = Vec::new();
    let mut is_playing = false;
    Box::new(move |seen, _| {
        // The last card comes together with the switch to playing.
        if !is_playing {
            suits.push(seen[1] as usize);
        }
        is_playing = seen[0] == 0.0;
        one(if is_playing {
            suits.pop().unwrap_or(0)
        } else {
            0
        })
    })
}

/// Answers with the number of cards seen of the kind that is asked for.
fn counts(_: &Task) -> Player {
    let mut counts = [0; 13];
    Box::new(move |seen, _| {
        counts[seen[0] as usize] += 1;
        one(counts[seen[1] as usize])
    })
}

/// Names the suit on screen.
fn suit_on_screen(_: &Task) -> Player {
    Box::new(|seen, _| one(seen[seen.len() - 1] as usize))
}

fn another_suit(_: &Task) -> Player {
    Box::new(|seen, _| one((seen[0] as usize + 1) % 4))
}

/// Guesses "higher" up to the middle rank.
fn middle(_: &Task) -> Player {
    Box::new(|seen, _| one(usize::from(seen[0] > 6.0)))
}

pub(super) fn claims() -> Vec<Claim> {
    use Who::{Best, Memoryless};
    let few = [[20, 100]; 3];
    let many = [[500, 50_000], [500, 20_000], [500, 10_000]];
    [
        levels::<HigherLower>(Best, 0.001, many, counter),
        levels::<HigherLower>(Memoryless, 0.0, many, middle),
        levels::<Concentration>(Best, 0.001, [[200, 10_000]; 3], saving),
        levels::<Concentration>(Memoryless, 0.003, [[200, 10_000]; 3], guessing),
        levels::<RepeatFirst>(Best, 0.0, few, first),
        levels::<RepeatFirst>(Memoryless, 0.0, many, suit_on_screen),
        levels::<RepeatPrevious>(Best, 0.0, few, previous),
        levels::<RepeatPrevious>(Memoryless, 0.0, many, another_suit),
        levels::<Autoencode>(Best, 0.0, few, stack),
        levels::<Autoencode>(Memoryless, 0.0, many, suit_on_screen),
        levels::<CountRecall>(Best, 0.0, few, counts),
    ]
    .into_iter()
    .flatten()
    .collect()
}
