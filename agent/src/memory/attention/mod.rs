//! Memories that read by attention, and what such reading is made of.

use crate::hyper::section::section;

pub mod episodic_transformer;
pub mod frame_stack;
pub mod gtrxl;
pub(super) mod lag;
pub(super) mod layer;
pub mod memn2n;
pub mod mqn;
#[cfg(test)]
pub(super) mod parity;
mod query;
pub mod window;

section! {
    /// Width of a model that attends.
    pub struct Width, overridden by WidthOverrides {
        /// Numbers of an embedded step, and of the questions that are asked of it.
        model_width: usize = 32, |&v| (1..=1_024).contains(&v), "1 to 1024";
    }
}

section! {
    /// Knowledge of time in the reads of a window.
    pub struct Order, overridden by OrderOverrides {
        /// Let a read know how long ago an entry was. Off, the window is a bag of inputs, as a control.
        #[arg(num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
        memory_times: bool = true, |_| true, "true or false";
    }
}

/// Deviation of fresh temporal embeddings (Sukhbaatar et al. 2015, arXiv:1503.08895).
const TIME_STD: f32 = 0.1;
