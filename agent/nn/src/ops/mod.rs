//! The operations of a [`Graph`](super::Graph), one file for each family. An operation calls
//! kernels for the forward pass and records a function for the backward pass.

pub(crate) mod addressing;
pub(crate) mod arithmetic;
pub(crate) mod attention;
pub(crate) mod attention_parts;
pub(crate) mod blocks;
pub(crate) mod controlled;
pub(crate) mod dnc;
pub(crate) mod entropy;
pub(crate) mod gaussian;
pub(crate) mod gru;
pub(crate) mod gru_gate;
pub(crate) mod linear;
pub(crate) mod lru;
pub(crate) mod lstm;
pub(crate) mod map;
pub(crate) mod matrix_memory;
pub(crate) mod modules;
pub(crate) mod nearest;
pub(crate) mod norm;
pub(crate) mod ntm;
pub(crate) mod pointwise;
pub(crate) mod positional;
pub(crate) mod ppo;
pub(crate) mod raster;
pub(crate) mod regression;
pub(crate) mod relative_attention;
pub(crate) mod retention;
pub(crate) mod rows;
pub(crate) mod scan;
pub(crate) mod sequence;
pub(crate) mod window_hops;
