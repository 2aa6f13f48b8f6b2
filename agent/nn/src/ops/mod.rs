//! What a [`Graph`](super::Graph) can compute, one file a family: each calls kernels forward and
//! records how to go back.

pub(crate) mod arithmetic;
pub(crate) mod attention;
pub(crate) mod linear;
pub(crate) mod lstm;
pub(crate) mod norm;
pub(crate) mod ppo;
pub(crate) mod regression;
pub(crate) mod retention;
pub(crate) mod rows;
