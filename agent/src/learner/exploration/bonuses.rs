//! Hyper-parameters of exploration and reward normalisation.

use crate::hyper::section::section;

section! {
    /// Exploration bonuses and reward normalisation.
    pub struct ExplorationBonuses, overridden by ExplorationOverrides {
        /// Divide rewards by the running deviation of the discounted return.
        #[arg(num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
        reward_norm: bool = false, |_| true, "true or false";
        /// Add a count bonus η/√n on the observation, rounded to 2 places, to what is learned from (never to what is reported).
        #[arg(num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
        intrinsic_expl: bool = false, |_| true, "true or false";
        /// η of the count bonus, and weight of the RND bonus.
        intrinsic_eta: f32 = 0.01, |&v| (0.0..=100.0).contains(&v), "0 to 100";
        /// Add a bonus by random network distillation (Burda et al. 2019, arXiv:1810.12894).
        #[arg(num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
        use_rnd: bool = false, |_| true, "true or false";
        /// Width of RND's embedding.
        rnd_emb_dim: usize = 32, |&v| (1..=1_024).contains(&v), "1 to 1024";
        /// Step size of RND's predictor.
        rnd_lr: f32 = 1e-3, |&v| v > 0.0 && v <= 1.0, "above 0, at most 1";
        /// Hindsight experience replay, for tasks with goals and algorithms that learn action values; an error that says so elsewhere.
        #[arg(num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
        her: bool = false, |_| true, "true or false";
    }
}
