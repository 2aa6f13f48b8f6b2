//! What a person and a file see of a training run.
