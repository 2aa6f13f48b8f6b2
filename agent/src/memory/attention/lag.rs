//! How old an entry is that is looked for: terms of attention's scores (Shaw et al. 2018, arXiv:1803.02155, with features
//! in place of a row for each distance).

use std::sync::LazyLock;

use rand_xoshiro::Xoshiro256PlusPlus;

use crate::nn::{Activation, Graph, Init, ParamId, Params, Tensor};

/// Lags that have a feature of their own.
const EXACT: usize = 8;
/// Time constants of the features of longer lags.
const CONSTANTS: [f32; 4] = [8.0, 16.0, 32.0, 64.0];
/// Features φ of a lag: an indicator for each of the first, and `exp(−lag/τ)`. They tell very late ones apart no more, so
/// that a memory trained on hundreds of steps meets nothing new at thousands.
pub const FEATURES: usize = EXACT + CONSTANTS.len();
/// Lags from here on have no features: `exp(−1024/64)` is 10⁻⁷.
pub const LONGEST: usize = 1024;
/// No lag: of an empty slot, and of the null slot.
pub const NONE: i32 = -1;

/// The features of each lag: `[LONGEST + 1, FEATURES]`.
pub static TABLE: LazyLock<Vec<f32>> = LazyLock::new(|| {
    let features = |lag: usize| {
        let exact = (1..=EXACT).map(move |exact| f32::from(u8::from(lag == exact)));
        let decays = CONSTANTS.map(|tau| match lag < LONGEST {
            true => (-(lag as f32) / tau).exp(),
            false => 0.0,
        });
        exact.chain(decays)
    };
    (0..=LONGEST).flat_map(features).collect()
});

/// The row of [`TABLE`] for a lag.
pub fn index(lag: f32) -> i32 {
    lag.min(LONGEST as f32) as i32
}

/// Weights of lags in a reader's scores; none if lags do not count.
pub struct LagTerms {
    weight: Option<ParamId>,
}

impl LagTerms {
    /// Adds its parameters, if `relative_age` is on. Readers are rows of `query_size` numbers.
    pub fn new(
        name: &str,
        query_size: usize,
        relative_age: bool,
        params: &mut Params,
        rng: &mut Xoshiro256PlusPlus,
    ) -> Self {
        let weight = relative_age.then(|| {
            let name = format!("{name}.weight");
            // From zeros: at first an entry's age says nothing.
            params.add(&name, (query_size, FEATURES), Init::Zeros, rng)
        });
        Self { weight }
    }

    /// The parameter `[query_size, FEATURES]`.
    pub fn weight(&self) -> Option<ParamId> {
        self.weight
    }

    /// Returns the terms that each row of `readers` adds to the scores of its slots: `[rows,
    /// slots]`. `lags`, as many: rows of [`TABLE`], or [`NONE`].
    pub fn scores(
        &self,
        graph: &mut Graph<'_>,
        readers: &Tensor,
        lags: impl FnOnce() -> Vec<i32>,
    ) -> Option<Tensor> {
        let wanted = graph.linear(readers, self.weight?, None, Activation::Identity);
        Some(graph.gather_dot(&wanted, &TABLE, &lags()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_lags_have_no_features() {
        let row = |lag: f32| &TABLE[index(lag) as usize * FEATURES..][..FEATURES];
        assert_eq!(row(3.0)[..EXACT], [0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(row(3.0)[EXACT], (-3.0f32 / 8.0).exp());
        assert_eq!(row(9.0)[..EXACT], [0.0; EXACT]);
        assert_eq!(row(65_536.0), [0.0; FEATURES]);
        assert!(row(1_023.0)[FEATURES - 1] < 2e-7);
    }
}
