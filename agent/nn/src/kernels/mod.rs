//! Arithmetic on slices. Nothing here knows of tensors or tapes.
//!
//! Functions marked `multiversion` are compiled once for each SIMD level (AVX-512, AVX2 with FMA,
//! baseline; NEON) and the best one for the processor is taken at run time, so no compiler flags
//! are needed; matrix products, where it matters that registers are used well, are written with
//! `pulp`'s explicit vectors, which chooses likewise. Closures in multiversioned functions are
//! avoided unless trivial: one that is not inlined loses its SIMD level.
//!
//! Without FMA `mul_add` is a slow library call: correct, but such processors are older than ten
//! years.

pub(crate) mod activation;
pub(crate) mod attention;
pub(crate) mod elementwise;
pub(crate) mod lstm;
pub(crate) mod math;
pub(crate) mod matmul;
pub(crate) mod norm;
pub(crate) mod ppo;
