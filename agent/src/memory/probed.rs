//! A memory of slots as a probe sees it: entries can be put back into slots, and handed to the policy. For diagnosis alone:
//! neither training nor evaluation does so.

use super::State;
use crate::nn::{Params, Tensor};

/// The entry of a step of an episode, as it was offered to a memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Step of the episode.
    pub step: u32,
    /// The raw input of that step.
    pub input: Vec<f32>,
}

/// An entry that is handed to the policy.
#[derive(Clone, Copy, Debug)]
pub struct Handed<'a> {
    /// Its embedding.
    pub embedding: &'a [f32],
    /// Its slot, if it is in one.
    pub slot: Option<usize>,
    /// The share of attention that each head is to give it.
    pub shares: &'a [f32],
}

impl Handed<'_> {
    /// Changes the readout of the head with this number, in which the entry has the share `natural`: as if it had its share of
    /// [`Handed::shares`], and the others the rest in the same proportions.
    pub fn mix(&self, head: usize, readout: &mut [f32], natural: f32) {
        let share = self.shares[head];
        let rest = 1.0 - natural;
        // Where there was nothing else, there is nothing else to mix with.
        if rest < NOTHING {
            return;
        }
        for (read, entry) in readout.iter_mut().zip(self.embedding) {
            *read = share * entry + (1.0 - share) * (*read - natural * entry) / rest;
        }
    }
}

/// A share of attention that is lost in the rounding of its sums.
const NOTHING: f32 = 1e-4;

/// A step of every lane, as a probe sees it.
pub struct Shown {
    /// `[batch, feature_size]`.
    pub features: Tensor,
    /// The share of attention of each slot, for each head: `[heads][batch, slots]`.
    pub attention: Vec<Vec<f32>>,
}

/// A memory of slots that can be probed.
pub trait Probed {
    /// Returns the number of heads that read it.
    fn num_heads(&self) -> usize;

    /// Returns the steps of the episode whose entries are in each slot of a lane; `None` for an empty one.
    fn held(&self, state: &State, lane: usize) -> Vec<Option<u32>>;

    /// Puts an entry into a slot of a lane, in place of the entry that would go next. The latest entries stay, unless all slots
    /// hold the latest, and so do entries of the `spared` steps. Where all must stay, nothing changes.
    fn put(&self, params: &Params, state: &mut State, lane: usize, entry: &Entry, spared: &[u32]);

    /// Returns the embedding of an entry: `mem_dim` numbers.
    fn embedding(&self, params: &Params, entry: &Entry) -> Vec<f32>;

    /// Takes a step as [`MemoryCore::step`] does without noise. In lanes with a handed entry the features are what they would be
    /// if every head had attended to it so; what is written and dropped does not depend on it.
    ///
    /// [`MemoryCore::step`]: super::MemoryCore::step
    fn show(
        &self,
        params: &Params,
        inputs: &[f32],
        starts: &[bool],
        state: &mut State,
        handed: &[Option<Handed<'_>>],
    ) -> Shown;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The entry 4 had a quarter of the attention, another entry, 8, the rest: 0.25 · 4 + 0.75 · 8 = 7.
    #[test]
    fn a_handed_entry_gets_its_share() {
        let mixed = |share: f32, natural: f32, read: f32| {
            let shares = [0.0, share];
            let mut readout = [read];
            let handed = Handed {
                embedding: &[4.0],
                slot: Some(0),
                shares: &shares,
            };
            handed.mix(1, &mut readout, natural);
            readout[0]
        };
        assert_eq!(mixed(0.25, 0.25, 7.0), 7.0);
        assert_eq!(mixed(0.5, 0.25, 7.0), 6.0);
        assert_eq!(mixed(1.0, 0.25, 7.0), 4.0);
        // It was not there.
        assert_eq!(mixed(0.5, 0.0, 8.0), 6.0);
        // Nothing else was there.
        assert_eq!(mixed(0.5, 1.0, 4.0), 4.0);
    }
}
