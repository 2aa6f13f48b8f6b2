//! The agent's tensor: a dfdx tensor with two sizes known at run time, and access to its numbers.

use dfdx::shapes::HasShape;
use dfdx::tensor::{Cpu, TensorFromVec};

/// A matrix `[rows, columns]` of `f32`, row-major and contiguous.
pub type Tensor = dfdx::tensor::Tensor<(usize, usize), f32, Cpu>;

/// Creates a tensor that owns `data`, without a copy.
///
/// # Panics
/// When `data` does not hold `shape.0 * shape.1` values.
pub(crate) fn from_vec(device: &Cpu, data: Vec<f32>, shape: (usize, usize)) -> Tensor {
    assert_eq!(
        data.len(),
        shape.0 * shape.1,
        "a tensor of shape {shape:?} was given {} values",
        data.len()
    );
    device.tensor_from_vec(data, shape)
}

/// Rows and columns of a tensor.
pub(crate) fn shape(tensor: &Tensor) -> (usize, usize) {
    *HasShape::shape(tensor)
}

/// The numbers of a tensor, row after row, without a copy.
///
/// # Panics
/// When the tensor is not row-major and contiguous. Every operation of this crate returns tensors
/// that are.
pub fn values(tensor: &Tensor) -> &[f32] {
    let (rows, columns) = shape(tensor);
    if rows * columns == 0 {
        return &[];
    }
    assert_contiguous(tensor, (rows, columns));
    // SAFETY: the elements of a tensor lie in one `Vec`. The first element, the last element and
    // the end of the first row have the addresses of a contiguous row-major layout, so `rows *
    // columns` initialised values start at the first. They stay alive and unchanged while `tensor`
    // is borrowed. dfdx 0.13 offers only element access and copies, hence the pointer.
    unsafe { std::slice::from_raw_parts(&raw const tensor[[0, 0]], rows * columns) }
}

/// The numbers of a tensor, for writing. They are copied first if another clone shares them.
///
/// # Panics
/// As [`values`].
pub(crate) fn values_mut(tensor: &mut Tensor) -> &mut [f32] {
    let (rows, columns) = shape(tensor);
    if rows * columns == 0 {
        return &mut [];
    }
    assert_contiguous(tensor, (rows, columns));
    // SAFETY: as in `values`; indexing mutably has made the storage unique to this tensor.
    unsafe { std::slice::from_raw_parts_mut(&raw mut tensor[[0, 0]], rows * columns) }
}

fn assert_contiguous(tensor: &Tensor, (rows, columns): (usize, usize)) {
    let address = |row: usize, column: usize| &raw const tensor[[row, column]] as usize;
    let first = address(0, 0);
    assert!(
        address(0, columns - 1) - first == (columns - 1) * size_of::<f32>()
            && address(rows - 1, columns - 1) - first == (rows * columns - 1) * size_of::<f32>(),
        "a tensor of shape ({rows}, {columns}) is not contiguous; copy it first"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use dfdx::tensor_ops::{BroadcastTo, PermuteTo};

    #[test]
    fn values_are_row_major() {
        let device = Cpu::default();
        let mut tensor = from_vec(&device, vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0], (2, 3));
        assert_eq!(values(&tensor), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(tensor[[1, 0]], 4.0);
        values_mut(&mut tensor)[3] = 7.0;
        assert_eq!(tensor[[1, 0]], 7.0);
        assert!(values(&from_vec(&device, vec![], (0, 3))).is_empty());
    }

    #[test]
    fn writing_does_not_change_clones() {
        let device = Cpu::default();
        let mut tensor = from_vec(&device, vec![1.0, 2.0], (1, 2));
        let clone = tensor.clone();
        values_mut(&mut tensor)[0] = 9.0;
        assert_eq!(values(&clone), [1.0, 2.0]);
    }

    #[test]
    #[should_panic(expected = "not contiguous")]
    fn a_transposed_tensor_is_refused() {
        let device = Cpu::default();
        let tensor = from_vec(&device, vec![0.0; 6], (2, 3));
        let transposed: Tensor = tensor.permute::<_, dfdx::shapes::Axes2<1, 0>>();
        values(&transposed);
    }

    #[test]
    #[should_panic(expected = "not contiguous")]
    fn a_broadcast_tensor_is_refused() {
        let device = Cpu::default();
        let row = device.tensor_from_vec(vec![0.0; 3], (3usize,));
        let broadcast: Tensor = row.broadcast_like::<_, dfdx::shapes::Axis<0>>(&(2usize, 3usize));
        values(&broadcast);
    }
}
