//! An agent that has learned, for others: described, served over HTTP, exported.

pub mod describe;
pub mod onnx_export;
#[cfg(feature = "serve")]
pub mod serve;
