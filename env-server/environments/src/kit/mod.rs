//! Parts that tasks are built from: checked arguments, draws, recorded draws, batches.

pub mod arguments;
pub(crate) mod batch;
pub mod draws;
pub(crate) mod recording;
pub mod script;

/// Returns the bytes that a vector occupies on the heap.
pub(crate) fn vec_bytes<T>(vector: &Vec<T>) -> usize {
    vector.capacity() * size_of::<T>()
}
