//! Hyper-parameters that learners of several kinds share.

use crate::hyper::section::section;

section! {
    /// The optimiser of the weights.
    pub struct Optimiser, overridden by OptimiserOverrides {
        /// Adam's step size.
        learning_rate: f32 = 1e-3, |&v| v > 0.0 && v <= 1.0, "above 0, at most 1";
        /// Let the step size fall linearly to 0 over the run.
        #[arg(num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
        anneal_lr: bool = false, |_| true, "true or false";
        /// Longest gradient (norm over all parameters); 0 does not clip.
        max_grad_norm: f32 = 0.5, |&v| (0.0..=1e6).contains(&v), "0 to 1000000";
    }
}

section! {
    /// The return that is to be earned.
    pub struct Discount, overridden by DiscountOverrides {
        /// Discount of future rewards.
        gamma: f32 = 0.99, |&v| (0.0..=1.0).contains(&v), "0 to 1";
    }
}

section! {
    /// Learning again from stored experience.
    pub struct Replaying, overridden by ReplayingOverrides {
        /// Environment steps that are stored; the oldest make room for new ones.
        replay_steps: usize = 100_000, |&v| (1..=100_000_000).contains(&v), "1 to 100000000";
        /// Bytes that the stored steps take at most.
        replay_bytes: usize = 1 << 28, |&v| (1 << 16..=1 << 40).contains(&v), "65536 to 1099511627776";
        /// Environment steps from one optimiser step to the next.
        train_every: usize = 32, |&v| (1..=1_000_000).contains(&v), "1 to 1000000";
        /// Stored sequences, or steps, of an optimiser step.
        batch_size: usize = 64, |&v| (1..=65_536).contains(&v), "1 to 65536";
    }
}

impl Optimiser {
    /// Returns the step size when this share of the run is over, 0 to 1.
    pub fn rate(&self, progress: f64) -> f32 {
        if self.anneal_lr {
            self.learning_rate * (1.0 - progress.min(1.0)) as f32
        } else {
            self.learning_rate
        }
    }

    /// Returns the length to which gradients are cut, if they are.
    pub fn longest(&self) -> Option<f32> {
        (self.max_grad_norm > 0.0).then_some(self.max_grad_norm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_step_size_falls_if_it_is_to() {
        let steady = Optimiser::default();
        let falling = Optimiser {
            anneal_lr: true,
            ..steady.clone()
        };
        assert_eq!(steady.rate(0.75), 1e-3);
        assert_eq!(falling.rate(0.75), 2.5e-4);
    }
}
