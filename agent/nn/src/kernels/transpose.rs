//! Matrices turned round: rows become columns.

/// Rows and columns of a block that is turned round in registers.
const BLOCK: usize = 8;

/// `b[rows, columns]ᵀ`.
pub(crate) fn transpose(b: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let mut transposed = vec![0.0; rows * columns];
    transpose_into((&mut transposed, rows), (b, columns), (rows, columns));
    transposed
}

/// `to = fromᵀ` for a matrix of so many rows and columns. A slice comes with the distance between its rows, which may be
/// less than a row in `from`: then rows overlap.
///
/// # Panics
/// When a slice is too short.
pub(crate) fn transpose_into(
    (to, to_stride): (&mut [f32], usize),
    (from, from_stride): (&[f32], usize),
    (rows, columns): (usize, usize),
) {
    let [whole_rows, whole_columns] = [rows, columns].map(|count| count / BLOCK * BLOCK);
    transpose_blocks(
        (to, to_stride),
        (from, from_stride),
        (whole_rows, whole_columns),
    );
    let mut copy = |row: usize, column: usize| {
        to[column * to_stride + row] = from[row * from_stride + column];
    };
    for row in 0..rows {
        let first = if row < whole_rows { whole_columns } else { 0 };
        (first..columns).for_each(|column| copy(row, column));
    }
}

/// Turns a matrix of whole blocks round.
fn transpose_blocks(
    (to, to_stride): (&mut [f32], usize),
    (from, from_stride): (&[f32], usize),
    (rows, columns): (usize, usize),
) {
    if rows == 0 || columns == 0 {
        return;
    }
    assert!(
        to.len() >= (columns - 1) * to_stride + rows
            && from.len() >= (rows - 1) * from_stride + columns,
        "{rows} x {columns} numbers, {from_stride} and {to_stride} apart, do not fit into {} and {}",
        from.len(),
        to.len()
    );
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx") {
        let (to, from) = ((to.as_mut_ptr(), to_stride), (from.as_ptr(), from_stride));
        // SAFETY: the processor has the instructions, and the slices hold the last rows, so also those before.
        unsafe { avx::transpose_blocks(to, from, (rows, columns)) }
        return;
    }
    for row in 0..rows {
        for column in 0..columns {
            to[column * to_stride + row] = from[row * from_stride + column];
        }
    }
}

/// Compilers move the numbers of such a block one by one, or gather and scatter them, which takes three times as long.
#[cfg(target_arch = "x86_64")]
mod avx {
    use std::arch::x86_64::{
        _mm256_loadu_ps, _mm256_permute2f128_ps, _mm256_shuffle_ps, _mm256_storeu_ps,
        _mm256_unpackhi_ps, _mm256_unpacklo_ps,
    };

    use super::BLOCK;

    /// Turns a matrix of whole blocks round.
    ///
    /// # Safety
    /// The processor must have AVX. So many rows of so many numbers must begin at `from`, and rows for them at `to`, at
    /// these distances.
    #[target_feature(enable = "avx")]
    pub unsafe fn transpose_blocks(
        (to, to_stride): (*mut f32, usize),
        (from, from_stride): (*const f32, usize),
        (rows, columns): (usize, usize),
    ) {
        let mut row = 0;
        while row < rows {
            let mut column = 0;
            while column < columns {
                // SAFETY: the caller vouches for the rows, and the block is one of theirs.
                unsafe {
                    let to = to.add(column * to_stride + row);
                    let from = from.add(row * from_stride + column);
                    transpose_block((to, to_stride), (from, from_stride));
                }
                column += BLOCK;
            }
            row += BLOCK;
        }
    }

    /// Turns a block of 8 x 8 numbers round.
    ///
    /// # Safety
    /// As for [`transpose_blocks`], of one block.
    #[target_feature(enable = "avx")]
    #[inline]
    unsafe fn transpose_block(
        (to, to_stride): (*mut f32, usize),
        (from, from_stride): (*const f32, usize),
    ) {
        // Closures would not be inlined: what calls them lacks the instructions.
        macro_rules! four_columns {
            ($first:expr) => {{
                // SAFETY: the caller vouches for the rows.
                let (a, b, c, d) = unsafe {
                    let from = from.add($first * from_stride);
                    (
                        _mm256_loadu_ps(from),
                        _mm256_loadu_ps(from.add(from_stride)),
                        _mm256_loadu_ps(from.add(2 * from_stride)),
                        _mm256_loadu_ps(from.add(3 * from_stride)),
                    )
                };
                // Numbers 0, 1, 4 and 5 of two rows, and 2, 3, 6 and 7.
                let (ab_low, ab_high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
                let (cd_low, cd_high) = (_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
                // Columns 0 and 4 of four rows, 1 and 5, 2 and 6, 3 and 7.
                [
                    _mm256_shuffle_ps::<0x44>(ab_low, cd_low),
                    _mm256_shuffle_ps::<0xee>(ab_low, cd_low),
                    _mm256_shuffle_ps::<0x44>(ab_high, cd_high),
                    _mm256_shuffle_ps::<0xee>(ab_high, cd_high),
                ]
            }};
        }
        let (upper, lower) = (four_columns!(0), four_columns!(4));
        for column in 0..4 {
            let (upper, lower) = (upper[column], lower[column]);
            let low = _mm256_permute2f128_ps::<0x20>(upper, lower);
            let high = _mm256_permute2f128_ps::<0x31>(upper, lower);
            // SAFETY: the caller vouches for the rows.
            unsafe {
                _mm256_storeu_ps(to.add(column * to_stride), low);
                _mm256_storeu_ps(to.add((column + 4) * to_stride), high);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes below, at and beyond blocks.
    #[test]
    fn every_number_finds_its_place() {
        for rows in [1, 3, 8, 16, 19] {
            for columns in [1, 7, 8, 9, 24] {
                let b: Vec<f32> = (0..rows * columns).map(|i| i as f32).collect();
                let expected: Vec<f32> = (0..columns)
                    .flat_map(|column| (0..rows).map(move |row| (row * columns + column) as f32))
                    .collect();
                assert_eq!(transpose(&b, rows, columns), expected);
            }
        }
    }

    /// Rows that begin one number after each other, into rows with a gap.
    #[test]
    fn rows_may_overlap_and_stand_apart() {
        let from: Vec<f32> = (0..20).map(|i| i as f32).collect();
        let mut to = vec![-1.0; 11 * 10];
        transpose_into((&mut to, 10), (&from, 1), (9, 11));
        for (column, row) in to.chunks_exact(10).enumerate() {
            let expected: Vec<f32> = (0..9).map(|i| (column + i) as f32).collect();
            assert_eq!(row[..9], expected);
            assert_eq!(row[9], -1.0);
        }
    }

    #[test]
    #[should_panic(expected = "do not fit")]
    fn a_slice_that_is_too_short_panics() {
        transpose_into((&mut [0.0; 63], 8), (&[0.0; 64], 8), (8, 8));
    }
}
