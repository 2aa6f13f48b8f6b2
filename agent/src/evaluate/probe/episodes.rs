//! Episodes of a probe, one in each lane, under an intervention.

use super::counts::{Attended, Counts};
use super::intervention::Intervention;
use super::needs::{Need, Needs, Source};
use super::readout::Sample;
use crate::memory::{CoreStep, Entry, Handed, Probed, Shown, State};
use crate::nn::Params;
use crate::policy::actor::Actor;
use crate::policy::lanes::Lanes;
use crate::spaces::actions::Choice;

/// Most embedded entries that are kept for a readout, in each half of the lanes.
const MOST_SAMPLES: usize = 10_000;

/// An episode, as a probe follows it.
struct Episode {
    needs: Needs,
    /// The entries of the steps that later actions may need.
    entries: Vec<Entry>,
    /// Steps so far.
    steps: u32,
    is_over: bool,
}

impl Episode {
    /// Takes the next observation; returns the needed step and its entry.
    fn observe(&mut self, observation: &[f32]) -> Need {
        match self.is_over {
            true => Need::Nothing,
            false => self.needs.observe(observation),
        }
    }

    /// Remembers the input of the step just observed, if it may be needed, and forgets what no longer is.
    fn remember(&mut self, input: &[f32]) {
        let wanted = self.needs.wanted();
        self.entries.retain(|entry| wanted.contains(&entry.step));
        if wanted.contains(&self.steps) {
            self.entries.push(Entry {
                step: self.steps,
                input: input.to_vec(),
            });
        }
        self.steps += 1;
    }
}

/// The entry that an action needs.
struct Needed {
    source: Source,
    /// Steps since it was written.
    distance: u32,
    embedding: Vec<f32>,
    /// Where it is, if it was kept.
    slot: Option<usize>,
}

/// The shares of attention that heads gave to needed entries where they found them: where one of them attended to no other
/// entry more.
#[derive(Clone, Debug, Default)]
pub struct Shares {
    sums: Vec<f64>,
    cases: u64,
}

impl Shares {
    fn push(&mut self, shares: impl ExactSizeIterator<Item = f32>) {
        self.sums.resize(shares.len(), 0.0);
        let pairs = self.sums.iter_mut().zip(shares);
        pairs.for_each(|(sum, share)| *sum += f64::from(share));
        self.cases += 1;
    }

    /// Returns the mean share of each of so many heads; all of the attention where nothing was found.
    pub fn means(&self, heads: usize) -> Vec<f32> {
        match self.cases {
            0 => vec![1.0; heads],
            cases => self
                .sums
                .iter()
                .map(|sum| (sum / cases as f64) as f32)
                .collect(),
        }
    }
}

/// The episodes of all lanes.
pub struct Episodes<'a> {
    actor: &'a Actor,
    memory: &'a dyn Probed,
    intervention: Intervention,
    /// The share that each head is to give to a handed entry.
    handed_share: Vec<f32>,
    episodes: Vec<Episode>,
    /// Counts so far.
    pub counts: Counts,
    /// Embeddings of needed entries, of every other lane.
    pub samples: [Vec<Sample>; 2],
    /// Attention to needed entries so far.
    pub shares: Shares,
}

impl<'a> Episodes<'a> {
    /// Episodes that begin, with the needs of each. Where the intervention hands entries to the policy, heads attend to them as
    /// they have been found to.
    pub fn new(
        actor: &'a Actor,
        memory: &'a dyn Probed,
        intervention: Intervention,
        found: &Shares,
        needs: Vec<Needs>,
    ) -> Self {
        let begin = |needs| Episode {
            needs,
            entries: Vec::new(),
            steps: 0,
            is_over: false,
        };
        Self {
            actor,
            memory,
            intervention,
            handed_share: found.means(memory.num_heads()),
            episodes: needs.into_iter().map(begin).collect(),
            counts: Counts::default(),
            samples: Default::default(),
            shares: Shares::default(),
        }
    }

    /// Takes a step of every lane as the intervention has it, and returns the likeliest actions, `[lanes, components]`.
    /// `observations`: `[lanes, flat_size]`.
    pub fn act(
        &mut self,
        carried: &mut Lanes,
        observations: &[f32],
        starts: &[bool],
    ) -> Vec<Choice> {
        let (policy, lanes) = (self.actor.policy(), starts.len());
        let inputs = self.actor.inputs(carried, observations);
        let state = &mut carried.memory;
        let needed = self.needed(state, observations, &inputs);
        let handed: Vec<_> = needed.iter().map(|needed| self.handed(needed)).collect();
        let shown = (self.memory).show(&policy.params, &inputs, starts, state, &handed);
        let step = CoreStep {
            features: shown.features.clone(),
            critic_features: None,
            decisions: Vec::new(),
        };
        let actions = self.actor.likeliest(&policy.acted(step, lanes));
        self.count(needed, &shown, &actions);
        actions
    }

    /// Tells which episodes have ended.
    pub fn end(&mut self, ends: &[bool]) {
        for (episode, &end) in self.episodes.iter_mut().zip(ends) {
            episode.is_over |= end;
        }
    }

    /// Puts back entries that may be needed, where the intervention keeps them, and returns the entry that each lane needs.
    fn needed(
        &mut self,
        state: &mut State,
        observations: &[f32],
        inputs: &[f32],
    ) -> Vec<Option<Needed>> {
        let params = &self.actor.policy().params;
        let lanes = self.episodes.len();
        let rows = inputs.chunks_exact(inputs.len() / lanes);
        let seen = observations.chunks_exact(observations.len() / lanes);
        let mut all = Vec::with_capacity(lanes);
        for (lane, (observation, input)) in seen.zip(rows).enumerate() {
            let episode = &mut self.episodes[lane];
            if self.intervention.keeps() && !episode.is_over {
                keep(self.memory, params, state, lane, &episode.entries);
            }
            let need = episode.observe(observation);
            self.counts.unseen += u64::from(need == Need::Unseen);
            let mut needed = None;
            if let Need::Of(source) = need {
                let mut entries = episode.entries.iter();
                let entry = entries.find(|entry| entry.step == source.step);
                needed = entry.map(|entry| {
                    let held = self.memory.held(state, lane);
                    Needed {
                        source,
                        distance: episode.steps - source.step,
                        embedding: self.memory.embedding(params, entry),
                        slot: held.iter().position(|&step| step == Some(source.step)),
                    }
                });
            }
            episode.remember(input);
            all.push(needed);
        }
        all
    }

    /// Returns the entry that the policy is handed, if it is to be.
    fn handed<'n>(&'n self, needed: &'n Option<Needed>) -> Option<Handed<'n>> {
        let needed = needed.as_ref()?;
        let is_there = self.intervention.keeps() || needed.slot.is_some();
        (self.intervention.reads() && is_there).then_some(Handed {
            embedding: &needed.embedding,
            slot: needed.slot,
            shares: &self.handed_share,
        })
    }

    /// Counts a step of every lane.
    fn count(&mut self, needed: Vec<Option<Needed>>, shown: &Shown, actions: &[Choice]) {
        let lanes = needed.len();
        let components = actions.len() / lanes;
        for (lane, needed) in needed.into_iter().enumerate() {
            let Some(needed) = needed else { continue };
            let of_lane = |weights: &'_ [f32]| {
                let slots = weights.len() / lanes;
                lane * slots..(lane + 1) * slots
            };
            let heads = shown.attention.iter();
            let heads = heads.map(|weights| &weights[of_lane(weights)]);
            let attended = (needed.slot).map(|slot| Attended::to(slot, heads.clone()));
            if let (Some(slot), Some(Attended { is_found: true, .. })) = (needed.slot, attended) {
                self.shares.push(heads.map(|weights| weights[slot]));
            }
            let answer = needed.source.answer;
            let is_right = actions[lane * components] == answer;
            self.counts.push(needed.distance, attended, is_right);
            let samples = &mut self.samples[lane % 2];
            if samples.len() < MOST_SAMPLES {
                samples.push(Sample {
                    embedding: needed.embedding,
                    answer,
                });
            }
        }
    }
}

/// Puts back the entries that a lane has dropped.
fn keep(memory: &dyn Probed, params: &Params, state: &mut State, lane: usize, entries: &[Entry]) {
    let held = memory.held(state, lane);
    let is_gone = |entry: &&Entry| !held.contains(&Some(entry.step));
    if !entries.iter().any(|entry| is_gone(&entry)) {
        return;
    }
    let wanted: Vec<u32> = entries.iter().map(|entry| entry.step).collect();
    for entry in entries.iter().filter(is_gone) {
        memory.put(params, state, lane, entry, &wanted);
    }
}
