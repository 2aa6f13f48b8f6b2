//! Rules of retention: which entry goes when there is no room. The slots, the ring of the latest entries, the embedding and
//! the reader are the same for all of them.
//!
//! A rule acts through keys: of the slots behind the ring and the entry that leaves it (without a ring, the offered entry),
//! the one with the smallest key goes, and of two equal ones the younger. `learned` and `reservoir` draw a key once, at the
//! write; the others judge all entries anew after each read. `docs/retention.md` has the rules with their sources.

mod evictions;
mod seen;

use clap::ValueEnum;
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

use self::evictions::Evictions;
pub use self::seen::Seen;
use self::seen::embedded;
use super::noise::{gumbel, noise_of};
use super::retention::{self, fate};
use super::state::{self, Dropped, EMPTY, Offer, array};
use crate::memory::{Array, CoreContext, Slots, State};
use crate::nn::{self, Activation, Graph, Init, ParamId, Tensor};
use crate::onnx::{self, StepGraph};
use crate::seeds::LaneGenerators;

/// Which entry goes when there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum RetentionRule {
    /// That with the smallest key u + g: a learned score of the entry, and noise while learning.
    Learned,
    /// The oldest.
    Fifo,
    /// Any, so that those kept are a uniform sample of all (Vitter 1985, ACM TOMS 11, 37-57).
    Reservoir,
    /// The one attended to least recently.
    Lru,
    /// The one attended to least in all (Zhang et al. 2023, arXiv:2306.14048).
    AttentionMass,
    /// That whose learned importance has decayed most (TRIM-KV, arXiv:2512.03324).
    Trim,
    /// That with the smallest predicted value of keeping it (arXiv:2605.22142).
    Q,
    /// One drawn by a policy that learns from returns (Neural Garbage Collection, arXiv:2604.18002).
    Ngc,
    /// That at a learned address (ALER, arXiv:2610.00592).
    Aler,
}

/// log σ of it is an entry's decay in a step when nothing is learned yet: 0.9975, half in 280 steps.
const LASTING: f32 = 6.0;

/// Numbers of the reservoir's array: which stream of numbers a lane draws from, and how many it has drawn.
const DRAWS: usize = 2;
/// Whole numbers below this are exact in f32.
const MOST_DRAWS: f32 = 16_777_216.0;

/// A rule over slots of a memory.
pub struct Rule {
    kind: RetentionRule,
    slots: usize,
    recent: usize,
    /// Of an embedding, the number that `trim` or `q` learns.
    head: Option<(ParamId, ParamId)>,
    /// Choices that `ngc` or `aler` learns.
    evictions: Option<Evictions>,
    /// Weight of the rule's own loss.
    coef: f32,
    /// Index of the reservoir's array in the state.
    draws: usize,
}

impl Rule {
    /// Adds its parameters to the context's. `recent`: slots that hold the latest entries; `array`: index of the rule's array
    /// in the state.
    pub fn new(
        kind: RetentionRule,
        recent: usize,
        array: usize,
        context: &mut CoreContext<'_>,
    ) -> Self {
        let hyper = context.hyper.get::<Slots>();
        let shape = (hyper.mem_dim, 1);
        let head = match kind {
            RetentionRule::Q => Some(context.layer("core.keeping", shape, 0.1)),
            RetentionRule::Trim => {
                let small = Init::Orthogonal { gain: 0.1 };
                let CoreContext { params, rng, .. } = &mut *context;
                let weight = params.add("core.decay.weight", shape, small, rng);
                let lasting = Init::Constant(LASTING);
                Some((weight, params.add("core.decay.bias", (1, 1), lasting, rng)))
            }
            _ => None,
        };
        let recent = match kind {
            RetentionRule::Fifo => hyper.max_entries,
            _ => recent,
        };
        let mut evictions = |is_address| {
            Evictions::new(
                hyper.mem_dim,
                (hyper.max_entries, recent),
                is_address,
                context,
            )
        };
        let evictions = match kind {
            RetentionRule::Ngc => Some(evictions(false)),
            RetentionRule::Aler => Some(evictions(true)),
            _ => None,
        };
        Self {
            kind,
            slots: hyper.max_entries,
            recent,
            head,
            evictions,
            coef: 0.0,
            draws: array,
        }
    }

    /// Sets the weight of the rule's own loss.
    pub fn with_coef(mut self, regression: f32, score: f32) -> Self {
        self.coef = match self.kind {
            RetentionRule::Q => regression,
            RetentionRule::Ngc => score,
            _ => 0.0,
        };
        self
    }

    /// Returns whether it is the learned one.
    pub fn is_learned(&self) -> bool {
        self.kind == RetentionRule::Learned
    }

    /// Slots that hold the latest entries.
    pub fn recent(&self) -> usize {
        self.recent
    }

    /// The array that it adds to the state of lanes that have seen nothing, if any.
    pub fn array(&self, batch: usize) -> Option<Array> {
        (self.kind == RetentionRule::Reservoir).then(|| {
            let mut array = Array::filled(batch, DRAWS, 0.0);
            (0..batch).for_each(|lane| array.row_mut(lane)[0] = lane as f32);
            array
        })
    }

    /// Draws the noise of a lane's offered entry; nothing where the rule has none or learning leaves it out.
    pub fn noise(
        &self,
        rng: Option<&mut LaneGenerators>,
        state: &mut State,
        lane: usize,
    ) -> Option<f32> {
        match self.kind {
            RetentionRule::Learned => noise_of(rng, lane).map(gumbel),
            RetentionRule::Reservoir => Some(match rng {
                Some(rng) => gumbel(rng.of(lane)),
                None => gumbel(&mut next_of_stream(state.arrays[self.draws].row_mut(lane))),
            }),
            _ => None,
        }
    }

    /// The key of a lane's offered entry. `judged`: as [`Rule::judge`] returned it.
    pub fn key(&self, judged: Option<&[f32]>, lane: usize, usefulness: f32, noise: f32) -> f32 {
        match (self.kind, judged) {
            (RetentionRule::Reservoir, _) => noise,
            (_, Some(judged)) => judged[lane],
            (_, None) => usefulness + noise,
        }
    }

    /// Gives held entries the keys that they have after a read, and returns those of the offered entries, whose embeddings
    /// are `[batch, mem_dim]`; nothing where a key is drawn once, at the write.
    pub fn judge(
        &self,
        graph: &mut Graph<'_>,
        state: &mut State,
        embedding: &Tensor,
        rng: Option<&mut LaneGenerators>,
    ) -> Option<Vec<f32>> {
        let lanes = state.rows();
        match self.kind {
            RetentionRule::Learned | RetentionRule::Reservoir => None,
            RetentionRule::Fifo => Some(state.arrays[array::AGE].data.clone()),
            RetentionRule::Lru => {
                mark_attended(state);
                // It is written after the read.
                let after = |age: &f32| age + 0.5;
                Some(state.arrays[array::AGE].data.iter().map(after).collect())
            }
            RetentionRule::AttentionMass => {
                set_keys(state, |held| held.key + held.attention);
                Some(vec![0.0; lanes])
            }
            RetentionRule::Trim => {
                let entries = embedded(graph, state);
                let decays = self.log_decays(graph, &entries)?;
                let decays = nn::values(&decays);
                set_keys(state, |held| held.lag * decays[held.entry]);
                // Nothing has decayed.
                Some(vec![0.0; lanes])
            }
            RetentionRule::Q => {
                let entries = embedded(graph, state);
                let kept = self.number(graph, &entries)?;
                let kept = nn::values(&kept);
                set_keys(state, |held| kept[held.entry]);
                let offered = self.number(graph, embedding)?;
                Some(nn::values(&offered).to_vec())
            }
            RetentionRule::Ngc | RetentionRule::Aler => {
                let evictions = self.evictions.as_ref()?;
                Some(evictions.judge(graph, state, embedding, rng))
            }
        }
    }

    /// Returns the numbers for learning about a write that is about to happen; [`retention::settle`] may add to them. `noise`: as
    /// [`Rule::noise`] drew it; `has_noise`: whether the lane draws any.
    pub fn fate(
        &self,
        state: &State,
        lane: usize,
        offer: &Offer<'_>,
        noise: Option<f32>,
        has_noise: bool,
    ) -> [f32; fate::WIDTH] {
        let nothing = [f32::NAN; fate::WIDTH];
        match self.kind {
            // Without noise nothing was chosen: the score-function term has nothing to credit.
            RetentionRule::Learned => [noise.map_or(f32::NAN, |_| offer.key), f32::NAN],
            RetentionRule::Ngc | RetentionRule::Aler => {
                let place = match state::dropped(state, lane, self.recent, offer.key) {
                    Dropped::Nothing => return nothing,
                    Dropped::Slot(slot) if slot >= self.recent => slot - self.recent,
                    Dropped::Slot(_) | Dropped::Offer => self.slots - self.recent,
                };
                let credit = match self.kind == RetentionRule::Ngc && has_noise {
                    true => 0.0,
                    false => f32::NAN,
                };
                [place as f32, credit]
            }
            _ => nothing,
        }
    }

    /// The terms that the rule adds to the scores of held entries while acting, behind the null slot: `[batch, slots + 1]`.
    /// `index`, as many: entries of the table of embeddings, -1 for an empty slot. `times`: when they were written, [`EMPTY`]
    /// for an empty slot, `[batch, slots]`.
    pub fn held_terms(
        &self,
        graph: &mut Graph<'_>,
        state: &State,
        index: &[i32],
        times: &[f32],
    ) -> Option<Tensor> {
        (self.kind == RetentionRule::Trim).then_some(())?;
        let entries = embedded(graph, state);
        let lags = lags(
            &state.arrays[array::AGE].data,
            times.chunks_exact(self.slots),
        );
        self.decays(graph, &entries, index, lags)
    }

    /// The same while learning, for every row of a segment: `[T*B, slots + 1]`. `times`: when each row's entries were
    /// written, [`EMPTY`] for an empty slot, `[T*B, slots]`.
    pub fn terms(
        &self,
        graph: &mut Graph<'_>,
        seen: &Seen<'_>,
        times: impl FnOnce() -> Vec<f32>,
    ) -> Option<Tensor> {
        match self.kind {
            RetentionRule::Trim => {
                let times = times();
                let lags = lags(seen.ages, times.chunks_exact(self.slots));
                self.decays(graph, seen.pool, seen.index, lags)
            }
            RetentionRule::Aler => self.evictions.as_ref()?.survival(graph, seen),
            _ => None,
        }
    }

    /// The rule's own losses. `weights`: what rows attended to, as `seen.index`.
    pub fn losses(
        &self,
        graph: &mut Graph<'_>,
        seen: &Seen<'_>,
        weights: &[f32],
    ) -> Vec<(&'static str, f32, Tensor)> {
        if self.coef <= 0.0 {
            return Vec::new();
        }
        let (name, loss) = match &self.evictions {
            Some(evictions) => ("eviction_loss", Some(evictions.loss(graph, seen))),
            None => ("keeping_loss", self.keeping_loss(graph, seen, weights)),
        };
        let weighted = |loss| (name, self.coef, loss);
        loss.map(weighted).into_iter().collect()
    }

    /// Returns whether a parameter learns from the rule's own loss alone.
    pub fn learns_apart(&self, parameter: &str) -> bool {
        match self.kind {
            RetentionRule::Q => parameter.starts_with("core.keeping"),
            RetentionRule::Ngc => parameter.starts_with(evictions::NAME),
            _ => false,
        }
    }

    /// Returns the key of an offered entry in an ONNX graph, where it is not its usefulness.
    ///
    /// # Errors
    /// The reason why the rule has no such form.
    pub fn onnx(
        &self,
        step: &mut StepGraph<'_>,
        embedding: &onnx::Value,
    ) -> Result<Option<onnx::Value>, &'static str> {
        match (self.kind, self.head) {
            (RetentionRule::Learned | RetentionRule::Fifo, _) => Ok(None),
            (RetentionRule::Q, Some(head)) => Ok(Some(step.linear(embedding, head))),
            _ => Err("of retention_rule only learned, fifo and q have a form there"),
        }
    }

    /// The number of each embedding `[E, mem_dim]` that the rule learns: `[E, 1]`.
    fn number(&self, graph: &mut Graph<'_>, entries: &Tensor) -> Option<Tensor> {
        let (weight, bias) = self.head?;
        Some(graph.linear(entries, weight, Some(bias), Activation::Identity))
    }

    /// `log β` of each embedding: `[E, 1]`.
    fn log_decays(&self, graph: &mut Graph<'_>, entries: &Tensor) -> Option<Tensor> {
        let number = self.number(graph, entries)?;
        Some(graph.activate(&number, Activation::LogSigmoid))
    }

    /// `lag · log β` of the entries of `index`; `lags`, as many, 0 where there is no entry.
    fn decays(
        &self,
        graph: &mut Graph<'_>,
        entries: &Tensor,
        index: &[i32],
        lags: Vec<f32>,
    ) -> Option<Tensor> {
        let shape = (index.len() / (self.slots + 1), self.slots + 1);
        let decays = self.log_decays(graph, entries)?;
        let rows: Vec<u32> = index.iter().map(|&entry| entry.max(0) as u32).collect();
        let decays = graph.gather_rows(&decays, &rows);
        let decays = graph.reshape(&decays, shape);
        let lags = graph.constant(lags, shape);
        Some(graph.mul(&decays, &lags))
    }

    /// The regression `(qᵢ − αᵢ·R)²` over what rows hold.
    fn keeping_loss(
        &self,
        graph: &mut Graph<'_>,
        seen: &Seen<'_>,
        weights: &[f32],
    ) -> Option<Tensor> {
        let returns = seen.segment.returns;
        let width = self.slots + 1;
        // Entries are counted without the null slot there, here with it.
        let (entries, targets) = retention::usefulness_targets(seen.index, weights, returns, width);
        let behind_null = |entry: i32| if entry < 0 { -1 } else { entry + 1 };
        let entries: Vec<i32> = entries.into_iter().map(behind_null).collect();
        let values = self.number(graph, seen.pool)?;
        let rows = vec![1.0; returns.len()];
        Some(graph.slot_regression(&values, &entries, &targets, &rows))
    }
}

/// A held entry, as a rule sees it.
struct Held {
    /// Its key so far.
    key: f32,
    /// Its share of attention in the last read.
    attention: f32,
    /// Steps since it was written.
    lag: f32,
    /// Its row in the table of embeddings.
    entry: usize,
}

/// Gives every held entry a key.
fn set_keys(state: &mut State, key_of: impl Fn(&Held) -> f32) {
    for lane in 0..state.rows() {
        let age = state.arrays[array::AGE].data[lane];
        let slots = state.arrays[array::WRITTEN].row(lane).len();
        for slot in 0..slots {
            let written = state.arrays[array::WRITTEN].row(lane)[slot];
            if written == EMPTY {
                continue;
            }
            let held = Held {
                key: state.arrays[array::KEY].row(lane)[slot],
                attention: state.arrays[array::ATTENTION].row(lane)[slot],
                lag: age - written,
                entry: lane * (slots + 1) + slot + 1,
            };
            state.arrays[array::KEY].row_mut(lane)[slot] = key_of(&held);
        }
    }
}

/// Gives entries that were attended to this step as their key: those with more than an even share among the filled slots and the
/// null slot.
fn mark_attended(state: &mut State) {
    for lane in 0..state.rows() {
        let age = state.arrays[array::AGE].data[lane];
        let written = state.arrays[array::WRITTEN].row(lane);
        let filled = written.iter().filter(|&&step| step != EMPTY).count();
        let even = 1.0 / (filled + 1) as f32;
        for slot in 0..written.len() {
            if state.arrays[array::ATTENTION].row(lane)[slot] > even {
                state.arrays[array::KEY].row_mut(lane)[slot] = age;
            }
        }
    }
}

/// How long ago each row's entries were written, 0 for the null slot and for an empty one: `[rows, slots + 1]`.
fn lags<'a>(ages: &[f32], written: impl Iterator<Item = &'a [f32]>) -> Vec<f32> {
    let mut lags = Vec::new();
    for (&age, written) in ages.iter().zip(written) {
        let lag = |&step: &f32| if step == EMPTY { 0.0 } else { age - step };
        lags.push(0.0);
        lags.extend(written.iter().map(lag));
    }
    lags
}

/// A generator for the next number of a lane's stream: the same numbers in every evaluation.
fn next_of_stream(draws: &mut [f32]) -> Xoshiro256PlusPlus {
    let seed = ((draws[0] as u64) << 32) | draws[1] as u64;
    draws[1] = (draws[1] + 1.0) % MOST_DRAWS;
    Xoshiro256PlusPlus::seed_from_u64(seed)
}

/// Adds two terms of scores. Either may be missing.
pub fn sum(graph: &mut Graph<'_>, a: Option<Tensor>, b: Option<&Tensor>) -> Option<Tensor> {
    match (a, b) {
        (Some(a), Some(b)) => Some(graph.add(&a, b)),
        (a, b) => a.or_else(|| b.cloned()),
    }
}

#[cfg(test)]
mod tests;
