//! Q-learning over a memory network with feedback into its recurrent context.

use super::algorithm::Algorithm;
use super::mqn;
use crate::memory::attention::mqn::{Carrying, Mqn};
use crate::memory::attention::window::Window;

/// Q-learning over a memory network with feedback into its recurrent context.
pub const ROW: Algorithm = Algorithm {
    id: "frmqn",
    title: "FRMQN",
    summary: "Q-learning over a memory network: an LSTM that sees the answers asks for one of the last inputs.",
    defaults: || mqn::defaults(|hyper| mqn::window(hyper).with(Carrying::default())),
    core: |context| Box::new(Window::new(Mqn::feedback, context)),
    ..mqn::ROW
};
