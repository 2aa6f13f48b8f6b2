//! Arithmetic on slices. The kernels know nothing of tensors and tapes.
//!
//! Functions marked `multiversion` are compiled once for each SIMD level (AVX-512, AVX2 with FMA,
//! baseline; NEON). The best version for the processor is chosen at run time, so no compiler flags
//! are needed. Matrix products depend most on good use of registers and are written with the
//! explicit vectors of `pulp`, which chooses in the same way. Multiversioned functions avoid
//! closures unless they are trivial, because a closure that is not inlined loses its SIMD level.
//!
//! On processors without FMA, which are more than ten years old, `mul_add` is a slow library call,
//! but the results are correct.

pub(crate) mod activation;
pub(crate) mod addressing;
pub(crate) mod attention;
pub(crate) mod attention_parts;
pub(crate) mod blocks;
pub(crate) mod cpu;
pub(crate) mod dnc;
pub(crate) mod dots;
pub(crate) mod elementwise;
pub(crate) mod folds;
pub(crate) mod gaussian;
pub(crate) mod gru;
pub(crate) mod gru_gate;
pub(crate) mod lanes;
pub(crate) mod lstm;
pub(crate) mod math;
pub(crate) mod matmul;
pub(crate) mod matrix_memory;
pub(crate) mod modules;
pub(crate) mod nearest;
pub(crate) mod norm;
pub(crate) mod ntm;
pub(crate) mod parts;
pub(crate) mod pool;
pub(crate) mod positional;
pub(crate) mod ppo;
pub(crate) mod raster;
pub(crate) mod relative_attention;
pub(crate) mod rows;
pub(crate) mod scan;
pub(crate) mod transpose;
pub(crate) mod window_hops;
