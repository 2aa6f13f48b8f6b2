//! Any memory of an episode, combined with a lifetime memory of whole episodes, which is queried
//! with the other's features. Both answers, side by side, are the features.

use crate::memory::episodes::EpisodeMemory;
use crate::memory::{
    CoreContext, CoreStep, MemoryContents, MemoryCore, Probed, Segment, State, Unrolled,
};
use crate::nn::{Graph, Params, Tensor};
use crate::onnx::{self, StepGraph};
use crate::seeds::LaneGenerators;
use crate::spaces::actions::Choice;

/// A core with a lifetime memory. In states and decisions the core's own part comes first.
pub struct WithEpisodes<C> {
    core: C,
    lifetime: EpisodeMemory,
}

impl<C: MemoryCore> WithEpisodes<C> {
    /// Builds the core and adds the lifetime memory's parameters to the context's.
    pub fn new(
        core: fn(&mut CoreContext<'_>) -> C,
        relative_age: bool,
        context: &mut CoreContext<'_>,
    ) -> Self {
        let core = core(context);
        let first_array = core.initial_state(0).arrays.len();
        let lifetime = EpisodeMemory::new(context, first_array, core.feature_size(), relative_age);
        Self { core, lifetime }
    }

    /// The two parts of every row of decisions.
    fn split(&self, decisions: &[i32]) -> (Vec<i32>, Vec<i32>) {
        let own = self.core.decision_width();
        let (mut core, mut lifetime) = (Vec::new(), Vec::new());
        for row in decisions.chunks_exact(self.decision_width()) {
            core.extend_from_slice(&row[..own]);
            lifetime.extend_from_slice(&row[own..]);
        }
        (core, lifetime)
    }

    /// The core's state, with empty lifetime memories.
    fn with_lifetime(&self, mut state: State) -> State {
        let lifetime = self.lifetime.arrays(state.rows());
        state.arrays.extend(lifetime);
        state
    }
}

impl<C: MemoryCore> MemoryCore for WithEpisodes<C> {
    fn feature_size(&self) -> usize {
        self.core.feature_size() + self.lifetime.feature_size()
    }

    fn decision_width(&self) -> usize {
        self.core.decision_width() + self.lifetime.decision_width()
    }

    fn initial_state(&self, batch: usize) -> State {
        self.with_lifetime(self.core.initial_state(batch))
    }

    fn step(
        &self,
        params: &Params,
        inputs: &[f32],
        starts: &[bool],
        state: &mut State,
        rng: Option<&mut LaneGenerators>,
    ) -> CoreStep {
        let step = self.core.step(params, inputs, starts, state, rng);
        let own = self.core.decision_width();
        let mut decisions = Vec::with_capacity(starts.len() * self.decision_width());
        for lane in 0..starts.len() {
            decisions.extend_from_slice(&step.decisions[lane * own..][..own]);
            self.lifetime.record(state, lane, &mut decisions);
        }
        self.lifetime.begin_step(state, inputs, starts);
        let mut graph = Graph::inference(params);
        let readout = self.lifetime.read(&mut graph, state, &step.features);
        let mut join = |features: &Tensor| graph.concat_cols(&[features, &readout]);
        CoreStep {
            features: join(&step.features),
            critic_features: step.critic_features.as_ref().map(join),
            decisions,
        }
    }

    fn outcome(
        &self,
        params: &Params,
        state: &mut State,
        actions: &[Choice],
        rewards: &[f64],
        ends: &[bool],
    ) {
        self.core.outcome(params, state, actions, rewards, ends);
        self.lifetime.outcome(params, state, actions, rewards, ends);
    }

    fn needs_outcomes(&self) -> bool {
        true
    }

    fn settle(&self, batch: usize, starts: &[bool], ends: &[bool], decisions: &mut [i32]) {
        let own = self.core.decision_width();
        let (mut settled, _) = self.split(decisions);
        self.core.settle(batch, starts, ends, &mut settled);
        let rows = decisions.chunks_exact_mut(self.decision_width());
        for (row, settled) in rows.zip(settled.chunks_exact(own.max(1))) {
            row[..own].copy_from_slice(settled);
        }
    }

    fn unroll(&self, graph: &mut Graph<'_>, segment: &Segment<'_>) -> Unrolled {
        let (own, origins) = self.split(segment.decisions);
        let of_core = Segment {
            decisions: &own,
            ..*segment
        };
        let mut unrolled = self.core.unroll(graph, &of_core);
        let read = self
            .lifetime
            .unroll(graph, segment, &unrolled.features, &origins);
        unrolled.losses.extend(read.losses);
        let mut join = |features: &Tensor| graph.concat_cols(&[features, &read.readout]);
        Unrolled {
            features: join(&unrolled.features),
            critic_features: unrolled.critic_features.as_ref().map(join),
            losses: unrolled.losses,
        }
    }

    fn refresh(&self, params: &Params, state: &mut State) {
        self.core.refresh(params, state);
        self.lifetime.refresh(params, state);
    }

    fn forget(&self, state: &mut State) {
        let own = state.arrays.len() - self.lifetime.arrays(0).len();
        state.arrays.truncate(own);
        self.core.forget(state);
        let lifetime = self.lifetime.arrays(state.rows());
        state.arrays.extend(lifetime);
    }

    fn may_be_idle(&self, parameter: &str) -> bool {
        self.core.may_be_idle(parameter)
    }

    fn evaluation_state(&self, trained: &State, batch: usize) -> State {
        let mut state = self.with_lifetime(self.core.evaluation_state(trained, batch));
        for lane in 0..batch {
            let from = lane % trained.rows();
            self.lifetime.copy_entries(&mut state, lane, trained, from);
        }
        state
    }

    fn onnx(&self, _: &mut StepGraph<'_>, _: &onnx::Value) -> Result<onnx::Value, &'static str> {
        Err(
            "its lifetime memory stores a whole episode when it ends, with every action and reward, and encodes it then, \
             which is not part of a step",
        )
    }

    fn probed(&self) -> Result<&dyn Probed, &'static str> {
        Err("it remembers whole episodes: only tracerl with memory_scope = episode can be probed")
    }

    /// The core's slots; the episodes where it has none.
    fn inspect(&self, state: &State, lane: usize) -> MemoryContents {
        match self.core.inspect(state, lane) {
            MemoryContents::Nothing => {
                MemoryContents::Episodes(self.lifetime.contents(state, lane))
            }
            contents => contents,
        }
    }
}
