//! How old an entry is that is looked for: terms of attention's scores (Shaw et al. 2018, arXiv:1803.02155, with features
//! in place of a row for each distance).

use std::sync::LazyLock;

use rand_xoshiro::Xoshiro256PlusPlus;

use crate::nn::{Activation, Graph, Init, ParamId, Params, Tensor};

/// Lags that have a feature of their own.
const EXACT: usize = 8;
/// Time constants of the features of longer lags.
const CONSTANTS: [f32; 4] = [8.0, 16.0, 32.0, 64.0];
/// Periods of the phases. Each divides the last.
const PERIODS: [usize; 7] = [3, 6, 12, 24, 48, 96, 192];
/// Steps after which the phases of a step come again.
pub const CYCLE: usize = 192;
/// Numbers that say where in every period a step is.
pub const PHASES: usize = 2 * PERIODS.len();
/// Features φ of a lag without its phases: an indicator for each of the first, and `exp(−lag/τ)`. They tell very late ones
/// apart no more, so that a memory trained on hundreds of steps meets nothing new at thousands.
#[cfg(test)]
const AGES: usize = EXACT + CONSTANTS.len();
/// Lags from here on have no features: `exp(−1024/64)` is 10⁻⁷.
pub const LONGEST: usize = 1024;
/// No lag: of an empty slot, and of the null slot.
pub const NONE: i32 = -1;

/// The features of each lag: `[LONGEST + 1, AGES]`.
static TABLE: LazyLock<Vec<f32>> = LazyLock::new(|| (0..=LONGEST).flat_map(ages).collect());

/// The features of each lag and its phases: `[LONGEST + 1, AGES + PHASES]`. Lags of a whole cycle or more have no phases, which
/// would be those of a shorter lag: so a memory trained on a few hundred steps meets nothing new at thousands.
static TABLE_WITH_PHASES: LazyLock<Vec<f32>> = LazyLock::new(|| {
    let features = |lag: usize| {
        let phases = phases(lag).map(|phase| if lag < CYCLE { phase } else { 0.0 });
        ages(lag).chain(phases)
    };
    (0..=LONGEST).flat_map(features).collect()
});

fn ages(lag: usize) -> impl Iterator<Item = f32> {
    let exact = (1..=EXACT).map(move |exact| f32::from(u8::from(lag == exact)));
    let decays = CONSTANTS.map(|tau| match lag < LONGEST {
        true => (-(lag as f32) / tau).exp(),
        false => 0.0,
    });
    exact.chain(decays)
}

/// The phases of each step of a cycle: `[CYCLE, PHASES]`.
pub static CYCLE_TABLE: LazyLock<Vec<f32>> =
    LazyLock::new(|| (0..CYCLE).flat_map(phases).collect());

/// Cosine and sine of a step in each period (Vaswani et al. 2017, arXiv:1706.03762, section 3.5). A weighted sum of a lag's
/// phases peaks at the lag whose own phases are the weights, and those of "so many steps before the middle of the episode"
/// are a linear map of the present's phases: a reader of these can play a sequence backwards.
fn phases(step: usize) -> [f32; PHASES] {
    let mut phases = [0.0; PHASES];
    for (pair, period) in phases.chunks_exact_mut(2).zip(PERIODS) {
        let angle = std::f64::consts::TAU * (step % period) as f64 / period as f64;
        pair.copy_from_slice(&[angle.cos() as f32, angle.sin() as f32]);
    }
    phases
}

/// The phases of a step of the episode.
pub fn phases_of(step: f32) -> &'static [f32] {
    &CYCLE_TABLE[step as usize % CYCLE * PHASES..][..PHASES]
}

/// The row of a table for a lag.
pub fn index(lag: f32) -> i32 {
    lag.min(LONGEST as f32) as i32
}

/// The knowledge of ages that a reader has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ages {
    /// Nothing.
    Unknown,
    /// How long ago an entry was written.
    Known,
    /// That, and its phases, which tell one longer lag from the next.
    WithPhases,
}

/// Weights of lags in a reader's scores; none if lags do not count.
pub struct LagTerms {
    weight: Option<ParamId>,
    table: &'static [f32],
}

impl LagTerms {
    /// Adds its parameters, if ages say anything. Readers are rows of `query_size` numbers.
    pub fn new(
        name: &str,
        query_size: usize,
        ages: Ages,
        params: &mut Params,
        rng: &mut Xoshiro256PlusPlus,
    ) -> Self {
        let table: &'static [f32] = match ages {
            Ages::WithPhases => &TABLE_WITH_PHASES,
            Ages::Known | Ages::Unknown => &TABLE,
        };
        let weight = (ages != Ages::Unknown).then(|| {
            let name = format!("{name}.weight");
            // From zeros: at first an entry's age says nothing.
            let shape = (query_size, table.len() / (LONGEST + 1));
            params.add(&name, shape, Init::Zeros, rng)
        });
        Self { weight, table }
    }

    /// The parameter `[query_size, features]`.
    pub fn weight(&self) -> Option<ParamId> {
        self.weight
    }

    /// The features of each lag: `[LONGEST + 1, features]`.
    pub fn table(&self) -> &'static [f32] {
        self.table
    }

    /// Returns the terms that each row of `readers` adds to the scores of its slots: `[rows,
    /// slots]`. `lags`, as many: rows of the table, or [`NONE`].
    pub fn scores<L: AsRef<[i32]>>(
        &self,
        graph: &mut Graph<'_>,
        readers: &Tensor,
        lags: impl FnOnce() -> L,
    ) -> Option<Tensor> {
        let wanted = graph.linear(readers, self.weight?, None, Activation::Identity);
        Some(graph.gather_dot(&wanted, self.table, lags().as_ref(), 1))
    }

    /// The same for several readers with the same knowledge of ages, which ask of the same slots: `[rows, terms * slots]`.
    pub fn all_scores(
        terms: &[&Self],
        graph: &mut Graph<'_>,
        readers: &Tensor,
        lags: &[i32],
    ) -> Option<Tensor> {
        let [first, ..] = terms else { return None };
        let weights: Option<Vec<ParamId>> = terms.iter().map(|terms| terms.weight).collect();
        let wanted = graph.products(readers, &weights?);
        Some(graph.gather_dot(&wanted, first.table, lags, terms.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEATURES: usize = AGES + PHASES;

    #[test]
    fn late_lags_have_no_features() {
        let row = |lag: f32| &TABLE_WITH_PHASES[index(lag) as usize * FEATURES..][..FEATURES];
        assert_eq!(row(3.0)[..EXACT], [0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(row(3.0)[EXACT], (-3.0f32 / 8.0).exp());
        assert_eq!(row(9.0)[..EXACT], [0.0; EXACT]);
        assert_eq!(row(65_536.0), [0.0; FEATURES]);
        assert_eq!(row(191.0)[AGES..], *phases_of(191.0));
        assert_eq!(row(192.0)[AGES..], [0.0; PHASES]);
        assert!(row(1_023.0)[AGES - 1] < 2e-7);
        assert_eq!(TABLE[3 * AGES..][..AGES], row(3.0)[..AGES]);
    }

    #[test]
    fn phases_by_hand() {
        assert!(PERIODS.iter().all(|period| CYCLE.is_multiple_of(*period)));
        let near = |phases: &[f32], expected: [f32; 4]| {
            let pairs = phases.iter().zip(expected);
            pairs.for_each(|(phase, expected)| assert!((phase - expected).abs() < 1e-6));
        };
        let half = 0.75f32.sqrt();
        near(phases_of(1.0), [-0.5, half, 0.5, half]);
        // Of the second period, four steps are two thirds.
        near(phases_of(4.0), [-0.5, half, -0.5, -half]);
        assert_eq!(phases_of(193.0), phases_of(1.0));
        let four = &TABLE_WITH_PHASES[4 * FEATURES..][..FEATURES];
        assert_eq!(four[AGES..], *phases_of(4.0));
    }

    /// Weights that are a lag's own phases find it among all lags of a cycle.
    #[test]
    fn phases_tell_lags_apart() {
        let score = |wanted: usize, lag: usize| -> f32 {
            let pairs = phases(wanted).into_iter().zip(phases(lag));
            pairs.map(|(a, b)| a * b).sum()
        };
        for wanted in [9, 64, 103] {
            let others = (0..CYCLE).filter(|&lag| lag != wanted);
            let nearest = others
                .map(|lag| score(wanted, lag))
                .fold(f32::MIN, f32::max);
            assert!(score(wanted, wanted) - nearest > 1.9, "{wanted}: {nearest}");
        }
    }
}
