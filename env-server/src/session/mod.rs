//! What stands behind an id: environments, the number of the next operation, the last reply.

pub mod vector;
