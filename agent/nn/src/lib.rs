//! Neural networks on dfdx's tensors and tape. No other crate of the workspace names dfdx.
//!
//! # The main path
//!
//! [`Params`] holds named weights. A [`Graph`] computes with them and records its operations.
//! [`Graph::backward`] returns the [`Gradients`] of a loss, and [`Adam`] applies them:
//!
//! ```
//! use agent_nn::{Activation, Adam, Graph, Init, Params, values};
//! use rand::SeedableRng;
//! use rand_xoshiro::Xoshiro256PlusPlus;
//!
//! // A network with one hidden layer of eight units.
//! let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
//! let mut params = Params::new();
//! let w1 = params.add("hidden/weight", (2, 8), Init::Orthogonal { gain: 1.0 }, &mut rng);
//! let b1 = params.add("hidden/bias", (1, 8), Init::Zeros, &mut rng);
//! let w2 = params.add("output/weight", (8, 1), Init::Orthogonal { gain: 1.0 }, &mut rng);
//!
//! // The four rows of XOR, a target for each, and the weight of each in the loss.
//! let inputs = vec![0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0];
//! let (targets, weights) = ([0.0, 1.0, 1.0, 0.0], [1.0; 4]);
//!
//! let mut adam = Adam::new(&params);
//! let mut losses = Vec::new();
//! for _ in 0..200 {
//!     let mut graph = Graph::training(&params);
//!     let x = graph.constant(inputs.clone(), (4, 2));
//!     let hidden = graph.linear(&x, w1, Some(b1), Activation::Tanh);
//!     let y = graph.linear(&hidden, w2, None, Activation::Identity);
//!     let loss = graph.mse(&y, &targets, &weights);
//!     losses.push(values(&loss)[0]);
//!     let gradients = graph.backward(&loss);
//!     // Learning rate 0.05; gradients are clipped to a global norm of 0.5.
//!     adam.step(&mut params, &gradients, 0.05, Some(0.5));
//! }
//! assert!(losses[199] < 0.01, "{losses:?}");
//! ```
//!
//! # Contents
//!
//! - [`Params`], [`ParamId`], [`Init`], [`NamedArray`]: weights, their initial values, and their
//!   form in checkpoints.
//! - [`Graph`]: layers ([`Graph::linear`], [`Graph::lstm`], [`Graph::gru`], [`Graph::min_gru`],
//!   [`Graph::lru`], [`Graph::matrix_memory`], [`Graph::controlled_ntm`],
//!   [`Graph::attention_read`], [`Graph::pool_read`], [`Graph::relative_attention`], [`Graph::window_hops`], [`Graph::modules`],
//!   [`Graph::layer_norm`]), arithmetic, and losses ([`Graph::mse`], [`Graph::cross_entropy`],
//!   [`Graph::ppo_loss`], [`Graph::retention_score`]).
//! - [`Adam`], [`AdamConfig`], [`AdamState`]: the optimiser and its saved state.
//! - [`categorical`], [`normal`]: distributions over actions, for acting.
//! - [`check`]: comparison of gradients with finite differences, for tests of new memories.
//!
//! # Conventions
//!
//! Activations are two-dimensional and row-major. A sequence is time-major: step `t` of sequence
//! `b` is row `t * batch + b`. Wrong shapes are bugs of the caller and panic with a message that
//! names both shapes. Everything runs on the calling thread, and the same inputs give the same
//! bits.
//!
//! The arithmetic is in `kernels`, functions on slices that know nothing of tapes. The recording is
//! in `ops`, one file for each family of operations.

mod adam;
pub mod categorical;
pub mod check;
mod error;
mod graph;
mod init;
mod kernels;
pub mod normal;
mod ops;
mod params;
mod tensor;

pub use adam::{Adam, AdamConfig, AdamState};
pub use error::NnError;
pub use graph::{Gradients, Graph};
pub use init::Init;
pub use kernels::activation::Activation;
pub use kernels::addressing::MemorySizes;
pub use kernels::attention::Weighting;
pub use kernels::cpu::cpu_class;
pub use kernels::matrix_memory::{Calibration, LIMIT as MATRIX_LIMIT};
pub use kernels::nearest::{BLOCK as NEAREST_BLOCK, Neighbour, nearest};
pub use kernels::raster::GridSize;
pub use kernels::relative_attention::Windows;
pub use ops::addressing::ContentRead;
pub use ops::attention::{AttentionRead, Heads, ScoreTerms, attend, attend_to_pool};
pub use ops::controlled::{ControlledOutput, ControllerParams};
pub use ops::gru::{GruOutput, GruParams};
pub use ops::gru_gate::GruGateParams;
pub use ops::lru::LruParams;
pub use ops::lstm::{LstmOutput, LstmParams};
pub use ops::matrix_memory::MatrixMemory;
pub use ops::modules::{ModuleParams, ModuleSizes, ModulesOutput};
pub use ops::ppo::{Head, PpoBatch, PpoCoefficients, PpoStats};
pub use ops::relative_attention::{RelativeTerms, attend_relatively};
pub use ops::window_hops::{HopParams, HopsRead};
pub use params::{NamedArray, ParamId, Params};
pub use tensor::{Tensor, values};
