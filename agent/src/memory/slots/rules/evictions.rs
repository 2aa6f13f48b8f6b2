//! Evictions that are chosen by a network: as actions, credited with what follows (`ngc`), or as an address, with a gradient
//! straight through the choice (`aler`).

use super::seen::{Seen, embedded};
use crate::memory::slots::noise::{gumbel, noise_of};
use crate::memory::slots::retention::{OfferedEntries, fate};
use crate::memory::slots::state::{EMPTY, array};
use crate::memory::{CoreContext, State};
use crate::nn::{self, Activation, Graph, Init, ParamId, Tensor};
use crate::seeds::LaneGenerators;

/// Beginning of the names of its parameters.
pub const NAME: &str = "core.evict";

/// A score of an entry at a present, `q·e/√d + w·e` with `q = A·present`: the larger, the likelier it goes.
struct Scorer {
    query: ParamId,
    entry: ParamId,
}

impl Scorer {
    /// Adds its parameters to the context's.
    fn new(dim: usize, context: &mut CoreContext<'_>) -> Self {
        let small = Init::Orthogonal { gain: 0.1 };
        let mut add = |part: &str, shape| {
            let name = format!("{NAME}.{part}");
            context.params.add(&name, shape, small, context.rng)
        };
        Self {
            query: add("query", (dim, dim)),
            entry: add("entry", (dim, 1)),
        }
    }

    /// Scores of entries `[E, mem_dim]`, each at the present, of `[rows, mem_dim]`, in a given row: `[E, 1]`.
    fn scores(
        &self,
        graph: &mut Graph<'_>,
        entries: &Tensor,
        present: &Tensor,
        rows: &[u32],
    ) -> Tensor {
        let queries = graph.linear(present, self.query, None, Activation::Identity);
        let queries = graph.gather_rows(&queries, rows);
        let products = graph.row_dot(entries, &queries);
        let dim = nn::values(entries).len() / rows.len().max(1);
        let products = graph.scale(&products, 1.0 / (dim as f32).sqrt());
        let own = graph.linear(entries, self.entry, None, Activation::Identity);
        graph.add(&products, &own)
    }
}

/// Choices among the slots of a memory.
pub struct Evictions {
    scorer: Scorer,
    slots: usize,
    /// How many of them hold the latest entries.
    recent: usize,
    /// Whether a choice is the address of a write, one of the slots that entries compete for. Otherwise the entry that is to be
    /// written may go as well.
    is_address: bool,
}

impl Evictions {
    /// Adds its parameters to the context's, for entries of `dim` numbers. `slots`: how many there are; `recent`: how many of them
    /// hold the latest entries.
    pub fn new(
        dim: usize,
        (slots, recent): (usize, usize),
        is_address: bool,
        context: &mut CoreContext<'_>,
    ) -> Self {
        Self {
            scorer: Scorer::new(dim, context),
            slots,
            recent,
            is_address,
        }
    }

    /// Gives held entries keys and returns those of the offered ones, whose embeddings are `[batch, mem_dim]`: −(score + Gumbel
    /// noise), so that the entry that goes is drawn from the softmax of the scores. Without noise that with the largest score
    /// goes.
    pub fn judge(
        &self,
        graph: &mut Graph<'_>,
        state: &mut State,
        embedding: &Tensor,
        mut rng: Option<&mut LaneGenerators>,
    ) -> Vec<f32> {
        let (lanes, width) = (state.rows(), self.slots + 1);
        let entries = embedded(graph, state);
        let lane_of: Vec<u32> = (0..lanes * width).map(|at| (at / width) as u32).collect();
        let held = self.scorer.scores(graph, &entries, embedding, &lane_of);
        let held = nn::values(&held);
        let each: Vec<u32> = (0..lanes as u32).collect();
        let offered = self.scorer.scores(graph, embedding, embedding, &each);
        let mut keys = Vec::with_capacity(lanes);
        for lane in 0..lanes {
            let mut key = |score: f32, is_choice: bool| match is_choice {
                true => -(score + noise_of(rng.as_deref_mut(), lane).map_or(0.0, gumbel)),
                false => f32::INFINITY,
            };
            for slot in 0..self.slots {
                if state.arrays[array::WRITTEN].row(lane)[slot] != EMPTY {
                    let is_choice = !self.is_address || slot >= self.recent;
                    let key = key(held[lane * width + slot + 1], is_choice);
                    state.arrays[array::KEY].row_mut(lane)[slot] = key;
                }
            }
            keys.push(key(nn::values(&offered)[lane], !self.is_address));
        }
        keys
    }

    /// Minus the mean of the log-probabilities of drawn evictions, each weighted with how much better than expected went what
    /// came after it.
    pub fn loss(&self, graph: &mut Graph<'_>, seen: &Seen<'_>) -> Tensor {
        let weight = OfferedEntries::of(seen.segment, seen.width).weight;
        let chosen = self.chosen(seen, |row| weight[row] != 0.0);
        if chosen.is_empty() {
            return graph.constant(vec![0.0], (1, 1));
        }
        let scores = self.scores(graph, seen, &chosen, self.slots - self.recent + 1);
        let places: Vec<u32> = chosen.iter().map(|&(_, place)| place).collect();
        // A mean with weights needs them positive.
        let mut part = |sign: f32| {
            let weights: Vec<f32> = chosen
                .iter()
                .map(|&(row, _)| (sign * weight[row]).max(0.0))
                .collect();
            let share = sign * weights.iter().sum::<f32>() / weight.len() as f32;
            (share, graph.cross_entropy(&scores, &places, &weights))
        };
        let (better, worse) = (part(1.0), part(-1.0));
        graph.total(&[(better.0, &better.1), (worse.0, &worse.1)])
    }

    /// Terms of value 0 through which the gradient of an entry's score reaches the addresses that passed it by: the share
    /// `1 − p` of it that each write since its own left in a soft memory, straight through.
    pub fn survival(&self, graph: &mut Graph<'_>, seen: &Seen<'_>) -> Option<Tensor> {
        let chosen = self.chosen(seen, |_| true);
        if chosen.is_empty() {
            return None;
        }
        let (rows, batch) = (seen.ages.len(), seen.segment.batch);
        let others = self.slots - self.recent;
        let scores = self.scores(graph, seen, &chosen, others);
        let shares = graph.softmax(&scores);
        let none = graph.constant(vec![0.0; others], (1, others));
        let shares = graph.concat_rows(&[&none, &shares]);
        let mut writes: Vec<Option<(u32, u32)>> = vec![None; rows];
        for (number, &(row, place)) in (1..).zip(&chosen) {
            writes[row] = Some((number, place));
        }
        // Shares that earlier writes took of each slot's entry.
        let mut taken = graph.constant(vec![0.0; batch * others], (batch, others));
        let mut all = Vec::with_capacity(seen.segment.steps);
        for first in (0..rows).step_by(batch) {
            all.push(taken.clone());
            let mut stays = vec![1.0; batch * others];
            let mut of_step = vec![0; batch];
            for (lane, stays) in stays.chunks_exact_mut(others).enumerate() {
                if let Some((number, place)) = writes[first + lane] {
                    of_step[lane] = number;
                    stays[place as usize] = 0.0;
                }
                if seen.segment.starts.get(first + batch + lane) == Some(&true) {
                    stays.fill(0.0);
                }
            }
            let share = graph.gather_rows(&shares, &of_step);
            let stays = graph.constant(stays, (batch, others));
            taken = graph.add(&taken, &share);
            taken = graph.mul(&taken, &stays);
        }
        let taken = graph.concat_rows(&all.iter().collect::<Vec<_>>());
        let value = graph.detach(&taken);
        let taken = graph.scale(&taken, -1.0);
        let nothing = graph.add(&taken, &value);
        let first = graph.constant(vec![0.0; rows * (1 + self.recent)], (rows, 1 + self.recent));
        Some(graph.concat_cols(&[&first, &nothing]))
    }

    /// Rows in which an entry had to go, and its place among the candidates.
    fn chosen(&self, seen: &Seen<'_>, is_wanted: impl Fn(usize) -> bool) -> Vec<(usize, u32)> {
        let rows = seen.segment.decisions.chunks_exact(seen.width).enumerate();
        let place = |decisions: &[i32]| {
            let fate = &decisions[decisions.len() - fate::WIDTH..];
            f32::from_bits(fate[fate::LOW] as u32)
        };
        rows.filter(|&(row, decisions)| !place(decisions).is_nan() && is_wanted(row))
            .map(|(row, decisions)| (row, place(decisions) as u32))
            .collect()
    }

    /// Scores of the first `count` candidates of some rows, `[rows, count]`: the slots behind the ring, then the entry that
    /// leaves it or, without a ring, the offered one.
    fn scores(
        &self,
        graph: &mut Graph<'_>,
        seen: &Seen<'_>,
        chosen: &[(usize, u32)],
        count: usize,
    ) -> Tensor {
        let mut entries = Vec::with_capacity(chosen.len() * count);
        let mut presents = Vec::with_capacity(chosen.len() * count);
        for &(row, _) in chosen {
            let held = &seen.index[row * (self.slots + 1)..][1..=self.slots];
            let leaving = match self.recent {
                0 => (seen.own + row) as i32,
                recent => held[seen.ages[row] as usize % recent],
            };
            let candidates = held[self.recent..].iter().chain([&leaving]);
            entries.extend(candidates.take(count).map(|&entry| entry as u32));
            presents.resize(entries.len(), row as u32);
        }
        let entries = graph.gather_rows(seen.pool, &entries);
        let scores = (self.scorer).scores(graph, &entries, seen.embedding, &presents);
        graph.reshape(&scores, (chosen.len(), count))
    }
}

#[cfg(test)]
impl Evictions {
    /// Choices among slots without a ring, whose scores are the embeddings, which have one number.
    pub fn of_numbers(slots: usize, is_address: bool, params: &mut crate::nn::Params) -> Self {
        let mut rng = <rand_xoshiro::Xoshiro256PlusPlus as rand::SeedableRng>::seed_from_u64(0);
        let mut add = |name, init| params.add(name, (1, 1), init, &mut rng);
        Self {
            scorer: Scorer {
                query: add("query", Init::Zeros),
                entry: add("entry", Init::Constant(1.0)),
            },
            slots,
            recent: 0,
            is_address,
        }
    }
}

#[cfg(test)]
mod tests;
