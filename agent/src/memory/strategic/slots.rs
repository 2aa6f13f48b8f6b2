//! The slots of every lane, as they lie in a state.

use super::super::retention::fate;
use super::super::{Array, SlotContents, State};

/// A slot's step when it is empty.
pub const EMPTY: f32 = -1.0;

/// Indices of the state's arrays.
pub mod array {
    /// Steps that the lane has taken in its episode.
    pub const AGE: usize = 0;
    /// Steps that the lane has taken in the rollout.
    pub const CLOCK: usize = 1;
    /// Per slot: step of the episode at which its entry was written, or EMPTY.
    pub const WRITTEN: usize = 2;
    /// Per slot: where learning finds the entry: step of the rollout, or `-2 - slot` for one from before it.
    pub const ORIGIN: usize = 3;
    /// Per slot: the noise g.
    pub const NOISE: usize = 4;
    /// Per slot: the score u, by the weights of the rollout.
    pub const USEFULNESS: usize = 5;
    /// Per slot: the key κ = u + g, −∞ when empty.
    pub const KEY: usize = 6;
    /// Per slot: the raw input.
    pub const INPUT: usize = 7;
    /// The null slot's embedding, then per slot the entry's, by the weights of the rollout.
    pub const EMBEDDING: usize = 8;
    /// 0 for the null slot, then per slot the gate log σ(u).
    pub const GATE: usize = 9;
    /// Per slot: share of attention in the last read.
    pub const ATTENTION: usize = 10;
}

/// What a step offers to the memory.
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
}

/// The state of lanes that have seen nothing: slots of entries with `input_size` numbers, `mem_dim` embedded.
pub fn initial_state(batch: usize, slots: usize, input_size: usize, mem_dim: usize) -> State {
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
    let arrays = per_lane.map(|(width, value)| Array::filled(batch, width, value));
    State::new(batch, arrays.into())
}

/// Clears the slots of a lane.
pub fn clear(state: &mut State, lane: usize) {
    state.arrays[array::WRITTEN].row_mut(lane).fill(EMPTY);
    state.arrays[array::KEY]
        .row_mut(lane)
        .fill(f32::NEG_INFINITY);
    state.arrays[array::ATTENTION].row_mut(lane).fill(0.0);
}

/// What learning must know of a step: the slots' origins (-1 for empty), then the entry's fate, of which the key is
/// known.
pub fn record(state: &State, lane: usize, key: f32, decisions: &mut Vec<i32>) {
    let written = state.arrays[array::WRITTEN].row(lane);
    let origin = state.arrays[array::ORIGIN].row(lane);
    decisions.extend(
        written
            .iter()
            .zip(origin)
            .map(|(&w, &o)| if w == EMPTY { -1 } else { o as i32 }),
    );
    let mut fate = [0; fate::WIDTH];
    fate[fate::KEY] = key.to_bits() as i32;
    fate[fate::END] = -1;
    decisions.extend(fate);
}

/// Offers an entry to a lane's slots.
pub fn write(state: &mut State, lane: usize, offer: &Offer<'_>) {
    let keys = state.arrays[array::KEY].row(lane);
    let mut weakest = 0;
    for slot in 1..keys.len() {
        if keys[slot] < keys[weakest] {
            weakest = slot;
        }
    }
    let key = offer.usefulness + offer.noise;
    // Strictly: of two equal entries the older stays.
    if key <= keys[weakest] {
        return;
    }
    let (age, clock) = (
        state.arrays[array::AGE].data[lane],
        state.arrays[array::CLOCK].data[lane],
    );
    let slot_values = [
        (array::WRITTEN, age),
        (array::ORIGIN, clock),
        (array::NOISE, offer.noise),
        (array::USEFULNESS, offer.usefulness),
        (array::KEY, key),
    ];
    for (index, value) in slot_values {
        state.arrays[index].row_mut(lane)[weakest] = value;
    }
    let (inputs, dim) = (offer.input.len(), offer.embedding.len());
    state.arrays[array::INPUT].row_mut(lane)[weakest * inputs..][..inputs]
        .copy_from_slice(offer.input);
    // Behind the null slot.
    state.arrays[array::EMBEDDING].row_mut(lane)[(weakest + 1) * dim..][..dim]
        .copy_from_slice(offer.embedding);
    state.arrays[array::GATE].row_mut(lane)[weakest + 1] = offer.gate;
}

/// What a lane's slots hold.
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
