//! Settings of a memory that learns by prediction.

use crate::hyper::section::section;

section! {
    /// A memory that learns by prediction.
    pub struct Predictive, overridden by PredictiveOverrides {
        /// Numbers of a state variable z. A row of the memory holds two: z, and a summary of those that followed.
        latent_size: usize = 16, |&v| (1..=1_024).contains(&v), "1 to 1024";
        /// Rows of the memory. When all are taken, the one that is read least makes room.
        memory_rows: usize = 32, |&v| (1..=4_096).contains(&v), "1 to 4096";
        /// Reads of the predictor at every step; the policy has one.
        predictor_reads: usize = 2, |&v| (1..=16).contains(&v), "1 to 16";
        /// γ of the retroactive writes: a row gathers (1 − γ) Σ γᵏ⁻¹ z of the k-th step after its own.
        retroactive_decay: f32 = 0.96, |&v| (0.0..=1.0).contains(&v), "0 to 1";
        /// Weight of the reconstruction of inputs (a sum of squares) against the divergence and the policy's loss.
        reconstruction_weight: f32 = 100.0, |&v| (0.0..=1e4).contains(&v), "0 to 10000";
        /// Let z tell as well whether an episode starts, like one more number of the input.
        #[arg(num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
        reconstruct_starts: bool = false, |_| true, "true or false";
        /// Weight of the divergence KL(posterior ‖ prior).
        kl_weight: f32 = 1.0, |&v| (0.0..=1e4).contains(&v), "0 to 10000";
        /// Weight of the squared error of the return that is predicted with the action known.
        return_weight: f32 = 0.5, |&v| (0.0..=1e4).contains(&v), "0 to 10000";
        /// Train the predictor by its own losses alone. Off, it has none, its noise is off, and the policy's gradient trains all: RL-MEM.
        #[arg(num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
        predictive_losses: bool = true, |_| true, "true or false";
        /// Read the memory. Off, all reads are zeros: a control.
        #[arg(num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
        memory_reads: bool = true, |_| true, "true or false";
    }
}
