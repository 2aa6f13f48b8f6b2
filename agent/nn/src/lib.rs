//! Neural networks on dfdx's tensors and tape: the only room of the agent that names dfdx.
//!
//! [`Params`] holds the weights under their names, [`Graph`] computes with them and records what it
//! did, [`Graph::backward`] returns [`Gradients`], and [`Adam`] applies those. Activations are
//! two-dimensional and row-major; a sequence is time-major, so step `t` of sequence `b` is row
//! `t * batch + b`.
//!
//! The arithmetic is in `kernels` (functions on slices that know nothing of tapes), the recording
//! in `ops` (one file a family). Wrong shapes are bugs of the caller and panic with both shapes.
//! Everything runs on the calling thread, and the same inputs give the same bits.

mod adam;
pub mod categorical;
pub mod check;
mod error;
mod graph;
mod init;
mod kernels;
mod ops;
mod params;
mod tensor;

pub use adam::{Adam, AdamConfig, AdamState};
pub use error::NnError;
pub use graph::{Gradients, Graph};
pub use init::Init;
pub use kernels::activation::Activation;
pub use ops::attention::{AttentionRead, ScoreTerms, attend};
pub use ops::lstm::{LstmOutput, LstmParams};
pub use ops::ppo::{PpoBatch, PpoCoefficients, PpoStats};
pub use params::{NamedArray, ParamId, Params};
pub use tensor::{Tensor, values};
