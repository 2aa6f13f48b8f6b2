//! Matrix products of row-major matrices, for the sizes of an agent: tens to hundreds of columns,
//! sums over tens of inputs or thousands of rows.
//!
//! A tile of the result stays in registers while the sum runs; the right factor is read in place.
//! Its rows are contiguous and a panel of it fits the first-level cache at these sizes, so packing,
//! which general libraries must do, would only cost.

use multiversion::multiversion;
use multiversion::target::match_target;

/// (m, k, n): rows of the result, length of the sums, columns of the result.
pub(crate) type Sizes = (usize, usize, usize);

/// What the sums start from.
#[derive(Clone, Copy)]
enum Start<'a> {
    Zero,
    /// The values that the result holds.
    Result,
    /// One value per column.
    Bias(&'a [f32]),
}

/// `a[m, k] · b[k, n] + bias[n]` in a new vector; an empty bias is none.
pub(crate) fn matmul_bias(a: &[f32], b: &[f32], bias: &[f32], sizes: Sizes) -> Vec<f32> {
    let (m, k, n) = sizes;
    let mut c = Vec::with_capacity(m * n);
    append_matmul_bias(&mut c, a, b, bias, (m, k, n));
    c
}

/// [`matmul_bias`] at the end of a vector.
pub(crate) fn append_matmul_bias(
    c: &mut Vec<f32>,
    a: &[f32],
    b: &[f32],
    bias: &[f32],
    (m, k, n): Sizes,
) {
    check(a, b, m * n, (m, k, n));
    assert!(
        bias.is_empty() || bias.len() == n,
        "a bias has one value per column"
    );
    let start = if bias.is_empty() {
        Start::Zero
    } else {
        Start::Bias(bias)
    };
    c.reserve(m * n);
    // SAFETY: `check` bounds the factors, the reserved space holds the m · n results, and with
    // these starts `product` writes all of them before anything reads them.
    unsafe {
        product(
            c.spare_capacity_mut().as_mut_ptr().cast(),
            (a, k, 1),
            b,
            start,
            (m, k, n),
        );
        c.set_len(c.len() + m * n);
    }
}

/// `c[m, n] += a[m, k] · b[k, n]`.
pub(crate) fn add_matmul(c: &mut [f32], a: &[f32], b: &[f32], (m, k, n): Sizes) {
    check(a, b, c.len(), (m, k, n));
    // SAFETY: `check` bounds the factors and the result.
    unsafe { product(c.as_mut_ptr(), (a, k, 1), b, Start::Result, (m, k, n)) }
}

/// `c[m, n] += a[k, m]ᵀ · b[k, n]`; an empty `c` counts as zeros and is filled.
pub(crate) fn add_matmul_transposed(c: &mut Vec<f32>, a: &[f32], b: &[f32], (m, k, n): Sizes) {
    if n < NARROW && m > n {
        // The result is narrow: compute its transpose, whose rows are long.
        let mut transposed = Vec::new();
        add_matmul_transposed(&mut transposed, b, a, (n, k, m));
        c.resize(m * n, 0.0);
        for (row, c) in c.chunks_exact_mut(n).enumerate() {
            for (column, c) in c.iter_mut().enumerate() {
                *c += transposed[column * m + row];
            }
        }
        return;
    }
    let mut start = Start::Result;
    if c.is_empty() {
        c.reserve_exact(m * n);
        start = Start::Zero;
    } else {
        assert_eq!(c.len(), m * n, "a result of {m} x {n}");
    }
    check(a, b, m * n, (m, k, n));
    // SAFETY: `check` bounds the factors; there is room for m · n results, which are initialised
    // if they are the start, and written before they are read otherwise.
    unsafe {
        product(c.as_mut_ptr(), (a, 1, m), b, start, (m, k, n));
        c.set_len(m * n);
    }
}

/// Fewer columns than this fill a vector register badly.
const NARROW: usize = 8;

/// `b[rows, columns]ᵀ`.
#[multiversion(targets = "simd")]
pub(crate) fn transpose(b: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    const BLOCK: usize = 16;
    let mut transposed = vec![0.0; rows * columns];
    for first_row in (0..rows).step_by(BLOCK) {
        let end_row = (first_row + BLOCK).min(rows);
        for column in 0..columns {
            for row in first_row..end_row {
                transposed[column * rows + row] = b[row * columns + column];
            }
        }
    }
    transposed
}

fn check(a: &[f32], b: &[f32], results: usize, (m, k, n): Sizes) {
    assert!(
        results == m * n && a.len() == m * k && b.len() == k * n,
        "a product of {m} x {k} by {k} x {n} was given {} and {} values for {results} results",
        a.len(),
        b.len(),
    );
}

/// Values, distance between rows, distance between columns.
type Strided<'a> = (&'a [f32], usize, usize);

/// Rows of a tile.
const TILE_ROWS: usize = 6;
/// Length of the sums that are finished before the next rows of `b` are read: they stay in cache.
const TILE_DEPTH: usize = 128;

/// `c = start + a · b`.
///
/// # Safety
/// `c` must have room for m · n values, initialised if they are the start. The strides must keep
/// m x k elements of `a` within its slice; `b` must hold k · n values and a bias n.
#[multiversion(targets = "simd")]
unsafe fn product(c: *mut f32, a: Strided<'_>, b: &[f32], start: Start<'_>, (m, k, n): Sizes) {
    let mut depth = 0;
    let mut start = start;
    loop {
        let depth_len = TILE_DEPTH.min(k - depth);
        let a_block = (a.0.as_ptr().wrapping_add(depth * a.2), a.1, a.2);
        let b_block = b.as_ptr().wrapping_add(depth * n);
        let mut column = 0;
        // As many columns at once as the registers hold beside six rows.
        match_target! {
            "x86_64+avx512f" => {
                // SAFETY: the caller's promises; panels stay within n columns.
                column = unsafe { panels::<64>(c, a_block, b_block, start, (m, depth_len, n), column) };
                column = unsafe { panels::<32>(c, a_block, b_block, start, (m, depth_len, n), column) };
            }
            _ => {}
        }
        // SAFETY: as above.
        unsafe {
            column = panels::<16>(c, a_block, b_block, start, (m, depth_len, n), column);
            last_columns(c, a_block, b_block, start, (m, depth_len, n), column);
        }
        depth += depth_len;
        if depth == k {
            return;
        }
        start = Start::Result;
    }
}

/// A pointer to values, distance between rows, distance between columns.
type RawStrided = (*const f32, usize, usize);

/// All panels of `WIDTH` whole columns from `column` on; returns the first column left over.
///
/// # Safety
/// As [`product`].
#[inline(always)]
unsafe fn panels<const WIDTH: usize>(
    c: *mut f32,
    a: RawStrided,
    b: *const f32,
    start: Start<'_>,
    (m, k, n): Sizes,
    mut column: usize,
) -> usize {
    while column + WIDTH <= n {
        let start = start.skip_columns(column);
        let mut row = 0;
        while row < m {
            let rows = TILE_ROWS.min(m - row);
            // SAFETY: rows and columns of the tile are within m and n.
            unsafe {
                let c = c.add(row * n + column);
                let a = (a.0.wrapping_add(row * a.1), a.1, a.2);
                tile_of::<WIDTH>(rows, (c, n), a, (b.wrapping_add(column), n), start, k);
            }
            row += rows;
        }
        column += WIDTH;
    }
    column
}

/// The columns from `column` on, fewer than 16, by way of zero-padded copies.
///
/// # Safety
/// As [`product`].
#[inline(always)]
unsafe fn last_columns(
    c: *mut f32,
    a: RawStrided,
    b: *const f32,
    start: Start<'_>,
    (m, k, n): Sizes,
    column: usize,
) {
    const WIDTH: usize = 16;
    let columns = n - column;
    if columns == 0 {
        return;
    }
    let mut b_padded = [[0.0f32; WIDTH]; TILE_DEPTH];
    let mut bias_padded = [0.0f32; WIDTH];
    for (p, padded) in b_padded[..k].iter_mut().enumerate() {
        for (j, padded) in padded[..columns].iter_mut().enumerate() {
            // SAFETY: p < k and column + j < n.
            *padded = unsafe { *b.add(p * n + column + j) };
        }
    }
    let start = match start {
        Start::Bias(bias) => {
            bias_padded[..columns].copy_from_slice(&bias[column..]);
            Start::Bias(&bias_padded)
        }
        other => other,
    };
    let mut row = 0;
    while row < m {
        let rows = TILE_ROWS.min(m - row);
        let mut c_padded = [[0.0f32; WIDTH]; TILE_ROWS];
        // SAFETY: only `rows` rows and `columns` columns of `c` are touched, and read only if
        // they are the start; the padded copies have room for a whole tile.
        unsafe {
            let c = c.add(row * n + column);
            if matches!(start, Start::Result) {
                for (r, padded) in c_padded[..rows].iter_mut().enumerate() {
                    c.add(r * n)
                        .copy_to_nonoverlapping(padded.as_mut_ptr(), columns);
                }
            }
            let a = (a.0.wrapping_add(row * a.1), a.1, a.2);
            let c_tile = (c_padded.as_mut_ptr().cast(), WIDTH);
            tile_of::<WIDTH>(rows, c_tile, a, (b_padded.as_ptr().cast(), WIDTH), start, k);
            for (r, padded) in c_padded[..rows].iter().enumerate() {
                c.add(r * n)
                    .copy_from_nonoverlapping(padded.as_ptr(), columns);
            }
        }
        row += rows;
    }
}

impl<'a> Start<'a> {
    #[inline(always)]
    fn skip_columns(self, column: usize) -> Self {
        match self {
            Start::Bias(bias) => Start::Bias(&bias[column..]),
            other => other,
        }
    }
}

/// [`tile`] for a number of rows known at run time.
///
/// # Safety
/// As [`tile`]; `rows` is 1 to 6.
#[inline(always)]
unsafe fn tile_of<const WIDTH: usize>(
    rows: usize,
    c: (*mut f32, usize),
    a: RawStrided,
    b: (*const f32, usize),
    start: Start<'_>,
    k: usize,
) {
    // SAFETY: the caller's promises.
    unsafe {
        match rows {
            1 => tile::<1, WIDTH>(c, a, b, start, k),
            2 => tile::<2, WIDTH>(c, a, b, start, k),
            3 => tile::<3, WIDTH>(c, a, b, start, k),
            4 => tile::<4, WIDTH>(c, a, b, start, k),
            5 => tile::<5, WIDTH>(c, a, b, start, k),
            _ => tile::<6, WIDTH>(c, a, b, start, k),
        }
    }
}

/// One tile of the result, held in registers over `k` terms. `c` and `b` come with the distance
/// between their rows.
///
/// # Safety
/// `c` must have `ROWS` rows and `b` must have `k` rows of `WIDTH` values, `a` `ROWS` x `k`
/// elements; those of `c` must be initialised if they are the start. A bias has `WIDTH` values.
#[inline(always)]
unsafe fn tile<const ROWS: usize, const WIDTH: usize>(
    (c, c_row): (*mut f32, usize),
    (a, a_row, a_column): RawStrided,
    (b, b_row): (*const f32, usize),
    start: Start<'_>,
    k: usize,
) {
    // SAFETY: every access is within what the caller promises. Arrays of `f32` may lie anywhere
    // where an `f32` may.
    unsafe {
        let mut sums = [[0.0f32; WIDTH]; ROWS];
        match start {
            Start::Zero => {}
            Start::Result => {
                for (r, sums) in sums.iter_mut().enumerate() {
                    *sums = *c.add(r * c_row).cast::<[f32; WIDTH]>();
                }
            }
            Start::Bias(bias) => sums = [*bias.as_ptr().cast::<[f32; WIDTH]>(); ROWS],
        }
        for p in 0..k {
            let b = &*b.add(p * b_row).cast::<[f32; WIDTH]>();
            for (r, sums) in sums.iter_mut().enumerate() {
                let factor = *a.add(r * a_row + p * a_column);
                for j in 0..WIDTH {
                    sums[j] = factor.mul_add(b[j], sums[j]);
                }
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            *c.add(r * c_row).cast::<[f32; WIDTH]>() = *sums;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: [f32; 6] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]; // 2 x 3
    const B: [f32; 6] = [7.0, 8.0, 9.0, 10.0, 11.0, 12.0]; // 3 x 2
    const AB: [f32; 4] = [58.0, 64.0, 139.0, 154.0];

    #[test]
    fn hand_computed() {
        assert_eq!(matmul_bias(&A, &B, &[], (2, 3, 2)), AB);
        assert_eq!(
            matmul_bias(&A, &B, &[1.0, -1.0], (2, 3, 2)),
            [59.0, 63.0, 140.0, 153.0]
        );
        let mut c = AB;
        add_matmul(&mut c, &A, &B, (2, 3, 2));
        assert_eq!(c, AB.map(|x| 2.0 * x));
        let a_transposed = transpose(&A, 2, 3);
        assert_eq!(a_transposed, [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
        let mut c = Vec::new();
        add_matmul_transposed(&mut c, &a_transposed, &B, (2, 3, 2));
        assert_eq!(c, AB);
        add_matmul_transposed(&mut c, &a_transposed, &B, (2, 3, 2));
        assert_eq!(c, AB.map(|x| 2.0 * x));
    }

    #[test]
    fn an_empty_sum_is_its_start() {
        assert_eq!(matmul_bias(&[], &[], &[3.0], (2, 0, 1)), [3.0; 2]);
        assert!(matmul_bias(&[], &[1.0], &[], (0, 1, 1)).is_empty());
        let mut c = vec![5.0; 2];
        add_matmul(&mut c, &[], &[], (2, 0, 1));
        assert_eq!(c, [5.0; 2]);
    }

    /// Every way through the tiles, with integers, for which `f32` is exact.
    #[test]
    fn all_sizes_agree_with_the_definition() {
        for m in [1, 2, 5, 6, 7, 13] {
            for k in [1, 3, 127, 128, 300] {
                for n in [1, 2, 7, 15, 16, 17, 47, 64, 131] {
                    let a: Vec<f32> = (0..m * k).map(|i| (i % 7) as f32 - 3.0).collect();
                    let b: Vec<f32> = (0..k * n).map(|i| (i % 5) as f32 - 2.0).collect();
                    let bias: Vec<f32> = (0..n).map(|i| i as f32).collect();
                    let sum = |i: usize, j: usize| {
                        (0..k).map(|p| a[i * k + p] * b[p * n + j]).sum::<f32>()
                    };
                    let product: Vec<f32> = (0..m * n).map(|i| sum(i / n, i % n)).collect();
                    let with_bias: Vec<f32> =
                        (0..m * n).map(|i| product[i] + bias[i % n]).collect();
                    let sizes = (m, k, n);
                    assert_eq!(matmul_bias(&a, &b, &bias, sizes), with_bias, "{sizes:?}");
                    let mut c = Vec::new();
                    add_matmul_transposed(&mut c, &transpose(&a, m, k), &b, sizes);
                    assert_eq!(c, product, "{sizes:?}");
                    let negative: Vec<f32> = a.iter().map(|a| -a).collect();
                    add_matmul(&mut c, &negative, &b, sizes);
                    assert_eq!(c, vec![0.0; m * n], "{sizes:?}");
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "a product of 2 x 3 by 3 x 2")]
    fn wrong_sizes_panic() {
        matmul_bias(&A, &B[1..], &[], (2, 3, 2));
    }
}
