//! Q-learning over a memory network with a recurrent context.

use super::algorithm::Algorithm;
use super::mqn;
use crate::memory::attention::mqn::{Carrying, Mqn};
use crate::memory::attention::window::Window;

/// Q-learning over a memory network with a recurrent context.
pub const ROW: Algorithm = Algorithm {
    id: "rmqn",
    title: "RMQN",
    summary: "Q-learning over a memory network: an LSTM asks for one of the last inputs.",
    defaults: || mqn::defaults(|hyper| mqn::window(hyper).with(Carrying::default())),
    core: |context| Box::new(Window::new(Mqn::recurrent, context)),
    ..mqn::ROW
};
