//! When learning ends before its budget is spent.

use crate::hyper::Hyperparameters;
use crate::hyper::section::section;

section! {
    /// When a run ends before its budget is spent.
    pub struct Stopping, overridden by StoppingOverrides {
        /// Stop once each of the last 100 episodes has reached the return from which the task counts as solved.
        #[arg(num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
        early_stop: bool = true, |_| true, "true or false";
    }
}

impl Stopping {
    /// Whether a run with these hyper-parameters ends once its task is solved. A player that does not learn plays on to
    /// the end of its budget.
    pub fn is_early(hyper: &Hyperparameters) -> bool {
        hyper.has::<Self>() && hyper.get::<Self>().early_stop
    }
}
