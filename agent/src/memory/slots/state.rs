//! The slots of every lane, in the order of the state: first a ring of the latest entries, then the
//! entries with the largest keys.

use super::retention::fate;
use crate::memory::{Array, SlotContents, State};

/// A slot's step when it is empty.
pub const EMPTY: f32 = -1.0;

/// Indices of the state's arrays.
pub mod array {
    /// Age of the lane's episode, in steps.
    pub const AGE: usize = 0;
    /// Steps of the lane so far in the rollout.
    pub const CLOCK: usize = 1;
    /// Per slot: step of the episode at which its entry was written, or EMPTY.
    pub const WRITTEN: usize = 2;
    /// Per slot: where learning finds the entry: step of the rollout, or `-2 - slot` for one from before it.
    pub const ORIGIN: usize = 3;
    /// Per slot: the noise g.
    pub const NOISE: usize = 4;
    /// Per slot: the score u, by the weights of the rollout.
    pub const USEFULNESS: usize = 5;
    /// Per slot: the key κ = u + g, or another rule's; −∞ when empty.
    pub const KEY: usize = 6;
    /// Per slot: the raw input.
    pub const INPUT: usize = 7;
    /// The null slot's embedding, then per slot the entry's, by the weights of the rollout.
    pub const EMBEDDING: usize = 8;
    /// 0 for the null slot, then per slot the gate log σ(u).
    pub const GATE: usize = 9;
    /// Per slot: share of attention in the last read.
    pub const ATTENTION: usize = 10;
    /// Sums of dropped entries. A memory that keeps none has no such array; another memory's may be in its place.
    pub const SUMMARIES: usize = 11;
}

/// The entry that a step offers to the memory.
pub struct Offer<'a> {
    /// The raw input.
    pub input: &'a [f32],
    /// Its embedding, by the weights of the rollout.
    pub embedding: &'a [f32],
    /// The score u.
    pub usefulness: f32,
    /// log σ(u).
    pub gate: f32,
    /// The noise g.
    pub noise: f32,
    /// The key that it competes with.
    pub key: f32,
}

/// The state of lanes that have seen nothing: slots of entries with `input_size` numbers, `mem_dim` embedded, and
/// `summaries` numbers in sums.
pub fn initial_state(
    batch: usize,
    slots: usize,
    input_size: usize,
    mem_dim: usize,
    summaries: usize,
) -> State {
    let per_lane = [
        (1, 0.0),                     // AGE
        (1, 0.0),                     // CLOCK
        (slots, EMPTY),               // WRITTEN
        (slots, 0.0),                 // ORIGIN
        (slots, 0.0),                 // NOISE
        (slots, 0.0),                 // USEFULNESS
        (slots, f32::NEG_INFINITY),   // KEY
        (slots * input_size, 0.0),    // INPUT
        ((slots + 1) * mem_dim, 0.0), // EMBEDDING
        (slots + 1, 0.0),             // GATE
        (slots, 0.0),                 // ATTENTION
    ];
    let sums = (summaries > 0).then_some((summaries, 0.0));
    let arrays = per_lane.into_iter().chain(sums);
    let arrays = arrays.map(|(width, value)| Array::filled(batch, width, value));
    State::new(batch, arrays.collect())
}

/// Clears the slots of a lane, not its sums.
pub fn clear(state: &mut State, lane: usize) {
    state.arrays[array::WRITTEN].row_mut(lane).fill(EMPTY);
    state.arrays[array::KEY]
        .row_mut(lane)
        .fill(f32::NEG_INFINITY);
    state.arrays[array::ATTENTION].row_mut(lane).fill(0.0);
}

/// The entry that a write drops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// Nothing: there was room.
    Nothing,
    /// The entry in a slot.
    Slot(usize),
    /// The offered entry.
    Offer,
}

/// Returns the entry of a lane that [`write`] would drop, given the key of the offered one.
pub fn dropped(state: &State, lane: usize, recent: usize, key: f32) -> Dropped {
    let (key, otherwise) = match recent {
        0 => (key, Dropped::Offer),
        _ => {
            let oldest = state.arrays[array::AGE].data[lane] as usize % recent;
            (
                state.arrays[array::KEY].row(lane)[oldest],
                Dropped::Slot(oldest),
            )
        }
    };
    let loser = match beaten(state, lane, recent, key) {
        Some(weakest) => Dropped::Slot(weakest),
        None => otherwise,
    };
    match loser {
        Dropped::Slot(slot) if state.arrays[array::WRITTEN].row(lane)[slot] == EMPTY => {
            Dropped::Nothing
        }
        loser => loser,
    }
}

/// Record of a step for learning: the slots' origins (-1 for empty), in the order of the read, then, where sums are kept,
/// that of the dropped entry, then the fate of the offered one as far as it is known.
pub fn record(
    state: &State,
    lane: usize,
    order: &[usize],
    dropped: Option<i32>,
    fate: [f32; fate::WIDTH],
    decisions: &mut Vec<i32>,
) {
    let written = state.arrays[array::WRITTEN].row(lane);
    let origin = state.arrays[array::ORIGIN].row(lane);
    decisions.extend(order.iter().map(|&slot| match written[slot] == EMPTY {
        true => -1,
        false => origin[slot] as i32,
    }));
    decisions.extend(dropped);
    decisions.extend(fate.map(|number| number.to_bits() as i32));
}

/// Writes an entry into a lane's slots. The first `recent` slots are the ring: there it replaces
/// the oldest, which is then offered to the others. Without a ring it is offered itself.
pub fn write(state: &mut State, lane: usize, recent: usize, offer: &Offer<'_>) {
    let key = offer.key;
    let age = state.arrays[array::AGE].data[lane];
    let slot = if recent == 0 {
        match beaten(state, lane, recent, key) {
            Some(weakest) => weakest,
            None => return,
        }
    } else {
        let oldest = age as usize % recent;
        let key = state.arrays[array::KEY].row(lane)[oldest];
        if let Some(weakest) = beaten(state, lane, recent, key) {
            copy(state, lane, oldest, weakest);
        }
        oldest
    };
    fill(state, lane, slot, age, offer);
}

/// Fills a slot of a lane with the entry that a step of the episode offers.
pub fn fill(state: &mut State, lane: usize, slot: usize, step: f32, offer: &Offer<'_>) {
    let slot_values = [
        (array::WRITTEN, step),
        (array::ORIGIN, state.arrays[array::CLOCK].data[lane]),
        (array::NOISE, offer.noise),
        (array::USEFULNESS, offer.usefulness),
        (array::KEY, offer.key),
    ];
    for (index, value) in slot_values {
        state.arrays[index].row_mut(lane)[slot] = value;
    }
    let (inputs, dim) = (offer.input.len(), offer.embedding.len());
    state.arrays[array::INPUT].row_mut(lane)[slot * inputs..][..inputs]
        .copy_from_slice(offer.input);
    // Behind the null slot.
    state.arrays[array::EMBEDDING].row_mut(lane)[(slot + 1) * dim..][..dim]
        .copy_from_slice(offer.embedding);
    state.arrays[array::GATE].row_mut(lane)[slot + 1] = offer.gate;
}

/// The slot behind the ring with the least key, if this key is greater: of two equal entries the older stays.
fn beaten(state: &State, lane: usize, recent: usize, key: f32) -> Option<usize> {
    let keys = state.arrays[array::KEY].row(lane);
    let mut slots = recent..keys.len();
    let first = slots.next()?;
    let weakest = slots.fold(first, |weakest, slot| match keys[slot] < keys[weakest] {
        true => slot,
        false => weakest,
    });
    (key > keys[weakest]).then_some(weakest)
}

/// Copies an entry from one slot to another.
fn copy(state: &mut State, lane: usize, from: usize, to: usize) {
    // How many columns come before the first slot's.
    let shifted = [
        (array::WRITTEN, 0),
        (array::ORIGIN, 0),
        (array::NOISE, 0),
        (array::USEFULNESS, 0),
        (array::KEY, 0),
        (array::INPUT, 0),
        (array::EMBEDDING, 1),
        (array::GATE, 1),
    ];
    let slots = state.arrays[array::KEY].row(lane).len();
    for (index, shift) in shifted {
        let row = state.arrays[index].row_mut(lane);
        let width = row.len() / (slots + shift);
        let start = (from + shift) * width;
        row.copy_within(start..start + width, (to + shift) * width);
    }
}

/// Returns the entries of a lane.
pub fn contents(state: &State, lane: usize, slots: usize) -> Vec<Option<SlotContents>> {
    let row = |index: usize| state.arrays[index].row(lane);
    let slot = |slot: usize| {
        let written = row(array::WRITTEN)[slot];
        (written != EMPTY).then(|| SlotContents {
            written_at: written as u32,
            usefulness: row(array::USEFULNESS)[slot],
            attention: row(array::ATTENTION)[slot],
        })
    };
    (0..slots).map(slot).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Entries with these keys, written one after the other; which steps are in the slots after each.
    fn held(keys: &[f32], slots: usize, recent: usize) -> Vec<Vec<f32>> {
        let mut state = initial_state(1, slots, 1, 1, 0);
        let write = |&key: &f32| {
            let age = state.arrays[array::AGE].data[0];
            let offer = Offer {
                input: &[age],
                embedding: &[10.0 * age],
                usefulness: key,
                gate: -age,
                noise: 0.0,
                key,
            };
            let before = state.arrays[array::WRITTEN].data.clone();
            let loser = dropped(&state, 0, recent, key);
            write(&mut state, 0, recent, &offer);
            let kept = |step: f32| state.arrays[array::WRITTEN].data.contains(&step);
            let gone: Vec<f32> = before
                .iter()
                .copied()
                .chain([age])
                .filter(|&step| !kept(step))
                .collect();
            match loser {
                Dropped::Nothing => assert!(gone.iter().all(|&step| step == EMPTY), "{gone:?}"),
                Dropped::Slot(slot) => assert_eq!(gone, [before[slot]]),
                Dropped::Offer => assert_eq!(gone, [age]),
            }
            state.arrays[array::AGE].data[0] += 1.0;
            let written = state.arrays[array::WRITTEN].data.clone();
            for (slot, &step) in written
                .iter()
                .enumerate()
                .filter(|(_, step)| **step != EMPTY)
            {
                // An entry moves with all its numbers.
                assert_eq!(state.arrays[array::INPUT].data[slot], step);
                assert_eq!(state.arrays[array::EMBEDDING].data[slot + 1], 10.0 * step);
                assert_eq!(state.arrays[array::GATE].data[slot + 1], -step);
                assert_eq!(state.arrays[array::KEY].data[slot], keys[step as usize]);
            }
            written
        };
        keys.iter().map(write).collect()
    }

    #[test]
    fn the_largest_keys_are_kept() {
        let steps = held(&[1.0, 3.0, 2.0, 2.0, 5.0], 2, 0);
        assert_eq!(steps[1], [0.0, 1.0]);
        assert_eq!(steps[2], [2.0, 1.0]);
        // Of two equal entries the older stays.
        assert_eq!(steps[3], [2.0, 1.0]);
        assert_eq!(steps[4], [4.0, 1.0]);
    }

    #[test]
    fn the_latest_are_in_the_ring_and_compete_when_they_leave_it() {
        let steps = held(&[1.0, 3.0, 2.0, 0.0, 5.0], 3, 2);
        assert_eq!(steps[0], [0.0, EMPTY, EMPTY]);
        assert_eq!(steps[1], [0.0, 1.0, EMPTY]);
        assert_eq!(steps[2], [2.0, 1.0, 0.0]);
        assert_eq!(steps[3], [2.0, 3.0, 1.0]);
        // 2 is less than 3, and gone.
        assert_eq!(steps[4], [4.0, 3.0, 1.0]);
        let all_latest = held(&[9.0, 1.0, 2.0], 2, 2);
        assert_eq!(all_latest[2], [2.0, 1.0]);
    }
}
