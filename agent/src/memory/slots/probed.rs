//! The slots as a probe sees them. It edits the state between steps, or the readout of a step.

use super::SlotMemory;
use super::state::{self, EMPTY, Offer, array};
use crate::memory::{Entry, Handed, Probed, Shown, State};
use crate::nn::{self, Activation, Graph, Params};

impl Probed for SlotMemory {
    fn num_heads(&self) -> usize {
        self.heads.count()
    }

    fn held(&self, state: &State, lane: usize) -> Vec<Option<u32>> {
        let written = state.arrays[array::WRITTEN].row(lane);
        let step = |&step: &f32| (step != EMPTY).then_some(step as u32);
        written.iter().map(step).collect()
    }

    fn put(&self, params: &Params, state: &mut State, lane: usize, entry: &Entry, spared: &[u32]) {
        let slots = match self.recent < self.slots {
            true => self.recent..self.slots,
            false => 0..self.slots,
        };
        let held = self.held(state, lane);
        let keys = state.arrays[array::KEY].row(lane);
        let is_free = |&slot: &usize| held[slot].is_none_or(|step| !spared.contains(&step));
        let next_to_go = slots
            .filter(is_free)
            .min_by(|&a, &b| keys[a].total_cmp(&keys[b]));
        let Some(slot) = next_to_go else { return };
        let mut graph = Graph::inference(params);
        let step = entry.step as f32;
        let embedding = self.embed(&mut graph, &entry.input, std::iter::once(step));
        let score = self.usefulness(&mut graph, &embedding);
        let gate = graph.activate(&score, Activation::LogSigmoid);
        let usefulness = match self.learn_retention {
            true => nn::values(&score)[0],
            false => 0.0,
        };
        let offer = Offer {
            input: &entry.input,
            embedding: nn::values(&embedding),
            usefulness,
            gate: nn::values(&gate)[0],
            noise: 0.0,
            // Other rules judge it anew, or it goes first and is put back.
            key: match self.rule.is_learned() {
                true => usefulness,
                false => f32::NEG_INFINITY,
            },
        };
        state::fill(state, lane, slot, step, &offer);
        state.arrays[array::ATTENTION].row_mut(lane)[slot] = 0.0;
    }

    fn embedding(&self, params: &Params, entry: &Entry) -> Vec<f32> {
        let mut graph = Graph::inference(params);
        let step = std::iter::once(entry.step as f32);
        nn::values(&self.embed(&mut graph, &entry.input, step)).to_vec()
    }

    fn show(
        &self,
        params: &Params,
        inputs: &[f32],
        starts: &[bool],
        state: &mut State,
        handed: &[Option<Handed<'_>>],
    ) -> Shown {
        let mut graph = Graph::inference(params);
        let looked = self.look(params, &mut graph, inputs, starts, state);
        let mut attention = vec![vec![0.0; looked.order.len()]; self.heads.count()];
        for (head, attention) in attention.iter_mut().enumerate() {
            let one = (head..head + 1, 1.0);
            self.add_by_slot(attention, &looked.read.weights, one, &looked.order);
        }
        let (mut readout, dim) = (nn::values(&looked.read.readout).to_vec(), self.mem_dim);
        let width = self.heads.count() * dim;
        for (lane, handed) in handed.iter().enumerate() {
            let Some(handed) = handed else { continue };
            let row = &mut readout[lane * width..][..width];
            for (head, readout) in row.chunks_exact_mut(dim).enumerate() {
                let share = |slot| attention[head][lane * self.slots + slot];
                handed.mix(head, readout, handed.slot.map_or(0.0, share));
            }
        }
        let readout = graph.constant(readout, (starts.len(), width));
        let features = self.features(&mut graph, &readout, &looked.present);
        self.write(&mut graph, inputs, &looked, state, None);
        Shown {
            features,
            attention,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;
    use rand::SeedableRng;
    use rand_xoshiro::Xoshiro256PlusPlus;

    use super::*;
    use crate::hyper::Hyperparameters;
    use crate::memory::slots::{RetentionRule, Steps};
    use crate::memory::{CoreContext, MemoryCore, Network, Previous, Slots};
    use crate::spaces::actions::ActionHeads;

    /// A memory of four slots, two of them for the latest entries, read by two heads; inputs are single numbers.
    fn memory(retention_rule: RetentionRule) -> (Params, SlotMemory) {
        let mut params = Params::new();
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(3);
        let hyper = Hyperparameters::new()
            .with(Network { hidden_size: 5 })
            .with(Slots {
                mem_dim: 8,
                max_entries: 4,
                ..Slots::default()
            })
            .with(Steps {
                recent_entries: 2,
                slot_heads: 2,
                newest_match: true,
                retention_rule,
                ..Steps::default()
            });
        let memory = SlotMemory::new(&mut CoreContext {
            input_size: 1,
            columns: &[],
            previous: Previous::default(),
            heads: &ActionHeads::of(&[2]),
            hyper: &hyper,
            params: &mut params,
            rng: &mut rng,
        });
        (params, memory)
    }

    fn entry(step: u32) -> Entry {
        Entry {
            step,
            input: vec![step as f32],
        }
    }

    /// Takes steps of one lane, whose inputs count them, and puts back the entries of some steps before each. Returns the steps
    /// in the slots after that, sorted.
    fn held_by_force(rule: RetentionRule, kept: &[u32]) -> Vec<u32> {
        let (params, memory) = memory(rule);
        let mut state = memory.initial_state(1);
        for step in 0..12 {
            memory.show(&params, &[step as f32], &[step == 0], &mut state, &[None]);
            let wanted: Vec<u32> = kept.iter().copied().filter(|&it| it <= step).collect();
            for &wanted_step in &wanted {
                if !memory.held(&state, 0).contains(&Some(wanted_step)) {
                    memory.put(&params, &mut state, 0, &entry(wanted_step), &wanted);
                }
            }
        }
        let mut held: Vec<u32> = memory.held(&state, 0).into_iter().flatten().collect();
        held.sort_unstable();
        held
    }

    #[test]
    fn every_rule_keeps_by_force_what_there_is_room_for() {
        for &rule in RetentionRule::value_variants() {
            assert_eq!(held_by_force(rule, &[0, 3]), [0, 3, 10, 11], "{rule:?}");
        }
        // Of three, two have room next to the latest.
        let held = held_by_force(RetentionRule::Learned, &[0, 3, 5]);
        assert_eq!(held[2..], [10, 11]);
        assert!(held[1] <= 5, "{held:?}");
    }

    /// An entry that is put back has the numbers that it was written with.
    #[test]
    fn an_entry_is_put_back_as_it_was() {
        let (params, memory) = memory(RetentionRule::Learned);
        let mut written = memory.initial_state(1);
        memory.show(&params, &[7.0], &[true], &mut written, &[None]);
        let mut put = memory.initial_state(1);
        let entry = Entry {
            step: 0,
            input: vec![7.0],
        };
        memory.put(&params, &mut put, 0, &entry, &[]);
        // The step wrote into the first slot. Entries compete for the third and fourth.
        for (index, shift) in [
            (array::WRITTEN, 0),
            (array::USEFULNESS, 0),
            (array::KEY, 0),
            (array::INPUT, 0),
            (array::EMBEDDING, 1),
            (array::GATE, 1),
        ] {
            let of_slot = |state: &State, slot: usize| {
                let row = state.arrays[index].row(0);
                let width = row.len() / (4 + shift);
                row[(slot + shift) * width..][..width].to_vec()
            };
            assert_eq!(of_slot(&put, 2), of_slot(&written, 0), "{index}");
        }
        let embedding = &written.arrays[array::EMBEDDING].row(0)[8..16];
        assert_eq!(memory.embedding(&params, &entry), embedding);
    }

    #[test]
    fn a_step_is_shown_as_it_is_taken() {
        let (params, memory) = memory(RetentionRule::Learned);
        let (mut taken, mut shown) = (memory.initial_state(2), memory.initial_state(2));
        for step in 0..8u8 {
            let inputs = [f32::from(step), 1.0 - f32::from(step)];
            let starts = [step == 0, step == 0 || step == 5];
            let acted = memory.step(&params, &inputs, &starts, &mut taken, None);
            let seen = memory.show(&params, &inputs, &starts, &mut shown, &[None, None]);
            assert_eq!(nn::values(&acted.features), nn::values(&seen.features));
            assert_eq!(taken, shown);
            // The memory shows the mean over heads.
            let attention = &shown.arrays[array::ATTENTION].data;
            let heads = seen.attention[0].iter().zip(&seen.attention[1]);
            for (mean, (a, b)) in attention.iter().zip(heads) {
                assert!((mean - (a + b) / 2.0).abs() < 1e-6);
            }
        }
    }

    /// The features of the second step, at which an entry may be handed to the policy; the first showed `input`.
    fn features(input: f32, handed: Option<Handed<'_>>) -> Vec<f32> {
        let (params, memory) = memory(RetentionRule::Learned);
        let mut state = memory.initial_state(1);
        memory.show(&params, &[input], &[true], &mut state, &[None]);
        let shown = memory.show(&params, &[0.5], &[false], &mut state, &[handed]);
        nn::values(&shown.features).to_vec()
    }

    #[test]
    fn a_policy_that_is_handed_an_entry_sees_nothing_else() {
        let embedding = [0.5; 8];
        let handed = |slot| Handed {
            embedding: &embedding,
            slot,
            shares: &[1.0, 1.0],
        };
        assert_ne!(features(1.0, None), features(-1.0, None));
        let [a, b] = [1.0, -1.0].map(|input| features(input, Some(handed(None))));
        for (a, b) in a.iter().zip(&b) {
            assert!((a - b).abs() < 1e-6, "{a} {b}");
        }
        // With its natural share of nothing it changes nothing.
        let nothing = Handed {
            shares: &[0.0, 0.0],
            ..handed(None)
        };
        assert_eq!(features(1.0, Some(nothing)), features(1.0, None));
    }
}
