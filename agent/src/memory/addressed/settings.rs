//! Settings of memories that a controller addresses.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::hyper::section::section;

/// The network that moves the heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ControllerKind {
    /// An LSTM, which remembers by itself as well.
    Lstm,
    /// A layer without a state: everything that is remembered is in the matrix.
    Dense,
}

section! {
    /// A matrix with learned addresses.
    pub struct Addressing, overridden by AddressingOverrides {
        /// Rows of the memory matrix.
        memory_slots: usize = 8, |&v| (1..=256).contains(&v), "1 to 256";
        /// Numbers of a row of the memory matrix.
        memory_width: usize = 16, |&v| (1..=256).contains(&v), "1 to 256";
        /// Heads that read the memory matrix. One head writes.
        read_heads: usize = 1, |&v| (1..=16).contains(&v), "1 to 16";
        /// Network that moves the heads: `lstm`, or `dense`, which has no state of its own.
        #[arg(value_name = "KIND")]
        controller: ControllerKind = ControllerKind::Lstm, |_| true, "lstm or dense";
    }
}
