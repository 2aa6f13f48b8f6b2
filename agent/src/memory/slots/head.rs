//! Heads: ways of asking the entries of a memory.

use super::rules;
use super::state::EMPTY;
use crate::memory::attention::lag::{self, Ages, LagTerms};
use crate::memory::{CoreContext, Slots};
use crate::nn::{Graph, Init, ParamId, Tensor, Weighting};

/// Takes the newest match. An entry must match better than nothing by this margin to get half: a thing is like most others to
/// some degree, and if each newer entry took a large share, an old match would get little.
pub const NEWEST_MATCH: Weighting = Weighting::StickBreaking { margin: 3.0 };

/// A query, and terms for the ages of entries.
pub struct Head {
    /// `[present, mem_dim]`.
    pub query: ParamId,
    /// Of the present, with its phases where they count.
    pub lag: LagTerms,
}

/// The heads of a reader.
pub struct Heads {
    /// All of them, the first first.
    pub all: Vec<Head>,
    /// How each weighs entries, which are read the newest first where it takes the newest match.
    pub ways: Vec<Weighting>,
}

/// The questions of all heads to the entries of each row.
pub struct Ask {
    /// `[rows, heads * mem_dim]`.
    pub query: Tensor,
    /// Terms of slots, `[rows, heads * slots]`, if there are any.
    pub terms: Option<Tensor>,
}

impl Head {
    /// Adds the parameters of the head with this number to the context's, for a present of so many numbers.
    pub fn new(number: usize, present: usize, ages: Ages, context: &mut CoreContext<'_>) -> Self {
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
        Self { query, lag }
    }
}

impl Heads {
    /// Adds the parameters of so many heads to the context's, for a present of so many numbers; `weighting`: of all but the first.
    pub fn new(
        count: usize,
        present: usize,
        ages: Ages,
        weighting: Weighting,
        context: &mut CoreContext<'_>,
    ) -> Self {
        let mut head = |number| Head::new(number, present, ages, context);
        let way = |number| match number {
            0 => Weighting::Softmax,
            _ => weighting,
        };
        Self {
            all: (0..count).map(&mut head).collect(),
            ways: (0..count).map(way).collect(),
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// Returns what they ask. `present` `[rows, …]`; `dated`: the same, with its phases where they count; `lags`,
    /// `[rows, slots]`; `of_rule`: a term of each slot for all heads, `[rows, slots]`.
    pub fn ask(
        &self,
        graph: &mut Graph<'_>,
        (present, dated): (&Tensor, &Tensor),
        lags: &[i32],
        of_rule: Option<&Tensor>,
    ) -> Ask {
        let queries: Vec<ParamId> = self.all.iter().map(|head| head.query).collect();
        let query = graph.products(present, &queries);
        let of_ages: Vec<&LagTerms> = self.all.iter().map(|head| &head.lag).collect();
        let of_ages = LagTerms::all_scores(&of_ages, graph, dated, lags);
        let of_rule = of_rule.map(|term| match self.count() {
            1 => term.clone(),
            count => graph.concat_cols(&vec![term; count]),
        });
        let terms = rules::sum(graph, of_ages, of_rule.as_ref());
        Ask { query, terms }
    }

    /// Returns the mean over heads of weights `[rows, heads, width]`.
    pub fn mean(&self, weights: Vec<f32>, width: usize) -> Vec<f32> {
        let count = self.count();
        if count == 1 {
            return weights;
        }
        let share = 1.0 / count as f32;
        let mut means = Vec::with_capacity(weights.len() / count);
        for heads in weights.chunks_exact(count * width) {
            let first = means.len();
            means.resize(first + width, 0.0);
            for weights in heads.chunks_exact(width) {
                let pairs = means[first..].iter_mut().zip(weights);
                pairs.for_each(|(mean, weight)| *mean += weight * share);
            }
        }
        means
    }
}

/// How old an entry is that was written at a step of the episode, as [`LagTerms::scores`] takes it.
pub fn lag_of(age: f32, written: f32) -> i32 {
    match written == EMPTY {
        true => lag::NONE,
        false => lag::index(age - written),
    }
}
