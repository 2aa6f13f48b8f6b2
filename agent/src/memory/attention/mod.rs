//! Memories that read by attention, and what such reading is made of.

use crate::hyper::section::section;

pub mod episodic_transformer;
pub mod frame_stack;
pub mod gtrxl;
pub(super) mod lag;
pub(super) mod layer;
pub mod memn2n;
#[cfg(test)]
pub(super) mod parity;
pub mod window;

section! {
    /// Width of a model that attends.
    pub struct Width, overridden by WidthOverrides {
        /// Numbers of an embedded step, and of the questions that are asked of it.
        model_width: usize = 32, |&v| (1..=1_024).contains(&v), "1 to 1024";
    }
}
