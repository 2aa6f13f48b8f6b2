//! Heads: ways of asking the entries of a memory.

use super::state::EMPTY;
use crate::memory::attention::lag::{self, Ages, LagTerms};
use crate::memory::{CoreContext, Slots};
use crate::nn::{Activation, AttentionRead, Graph, Heads, Init, ParamId, Tensor, Weighting};

/// Takes the newest match. An entry must match better than nothing by this margin to get half: a thing is like most others to
/// some degree, and if each newer entry took a large share, an old match would get little.
pub const NEWEST_MATCH: Weighting = Weighting::StickBreaking { margin: 3.0 };

/// A query, and terms for the ages of entries.
pub struct Head {
    /// `[present, mem_dim]`.
    pub query: ParamId,
    /// Of the present, with its phases where they count.
    pub lag: LagTerms,
    weighting: Weighting,
}

/// A head's question to the entries of each row.
pub struct Ask {
    /// `[rows, mem_dim]`.
    pub query: Tensor,
    /// Terms of ages, `[rows, slots]`; none if ages do not count.
    pub lags: Option<Tensor>,
}

impl Head {
    /// Adds the parameters of the head with this number to the context's, for a present of so many numbers.
    pub fn new(
        number: usize,
        present: usize,
        ages: Ages,
        weighting: Weighting,
        context: &mut CoreContext<'_>,
    ) -> Self {
        let dim = context.hyper.get::<Slots>().mem_dim;
        let name = |part: &str| match number {
            0 => format!("core.{part}"),
            _ => format!("core.head{}.{part}", number + 1),
        };
        let CoreContext { params, rng, .. } = &mut *context;
        let shape = (present, dim);
        let weight = name("query.weight");
        let query = match number {
            1 => params.add(&weight, shape, Init::Zeros, rng),
            _ => params.add(&weight, shape, Init::Orthogonal { gain: 1.0 }, rng),
        };
        if number == 1 {
            // At first it finds entries by likeness: their score is √2 times the product of their embedding with the
            // present's. So a thing seen again finds the entry in which it was seen. A query from nothing would have to learn
            // that for every single thing.
            let likeness = (2.0 * dim as f32).sqrt();
            let weight = params.data_mut(query);
            (0..dim).for_each(|column| weight[column * (dim + 1)] = likeness);
        }
        let dated = match ages {
            Ages::WithPhases => present + lag::PHASES,
            Ages::Known | Ages::Unknown => present,
        };
        let lag = LagTerms::new(&name("lag"), dated, ages, params, rng);
        Self {
            query,
            lag,
            weighting,
        }
    }

    /// Returns how it weighs entries, which are read the newest first where it takes the newest match.
    pub fn weighs(&self) -> Heads {
        let weighting = self.weighting;
        Heads {
            count: 1,
            weighting,
        }
    }

    /// Returns what the head asks. `present` `[rows, …]`; `dated`: the same, with its phases where they count;
    /// `lags`, `[rows, slots]`.
    pub fn ask(
        &self,
        graph: &mut Graph<'_>,
        present: &Tensor,
        dated: &Tensor,
        lags: &[i32],
    ) -> Ask {
        Ask {
            query: graph.linear(present, self.query, None, Activation::Identity),
            lags: self.lag.scores(graph, dated, || lags),
        }
    }
}

/// Joins what heads read: readouts side by side, and the mean of their weights.
pub fn joined(graph: &mut Graph<'_>, reads: &[AttentionRead]) -> AttentionRead {
    let readouts: Vec<&Tensor> = reads.iter().map(|read| &read.readout).collect();
    let readout = match readouts[..] {
        [readout] => readout.clone(),
        _ => graph.concat_cols(&readouts),
    };
    let share = 1.0 / reads.len() as f32;
    let mut weights = vec![0.0; reads[0].weights.len()];
    for read in reads {
        let pairs = weights.iter_mut().zip(&read.weights);
        pairs.for_each(|(mean, weight)| *mean += weight * share);
    }
    AttentionRead { readout, weights }
}

/// How old an entry is that was written at a step of the episode, as [`LagTerms::scores`] takes it.
pub fn lag_of(age: f32, written: f32) -> i32 {
    match written == EMPTY {
        true => lag::NONE,
        false => lag::index(age - written),
    }
}
