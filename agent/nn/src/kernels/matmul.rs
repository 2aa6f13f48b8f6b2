//! Matrix products of row-major matrices, for the sizes of an agent: tens to hundreds of columns,
//! sums over tens of inputs or thousands of rows.
//!
//! A tile of the result stays in registers while its sums are computed. The right factor is read in
//! place: its rows are contiguous, and at these sizes a panel of it fits the first-level cache, so
//! the packing that general libraries need would only cost time.

use pulp::{Arch, MemMask, Simd, WithSimd};

/// (m, k, n): rows of the result, length of the sums, columns of the result.
pub(crate) type Sizes = (usize, usize, usize);

/// Initial value of the sums.
#[derive(Clone, Copy)]
enum Start<'a> {
    Zero,
    /// The current values of the result.
    Result,
    /// One value per column.
    Bias(&'a [f32]),
}

/// Returns `a[m, k] · b[k, n] + bias[n]`; an empty `bias` counts as zeros.
pub(crate) fn matmul_bias(a: &[f32], b: &[f32], bias: &[f32], sizes: Sizes) -> Vec<f32> {
    let (m, k, n) = sizes;
    let mut c = Vec::with_capacity(m * n);
    append_matmul_bias(&mut c, a, b, bias, (m, k, n));
    c
}

/// Appends the result of [`matmul_bias`] to a vector.
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

/// `c[m, n] += a[k, m]ᵀ · b[k, n]`; an empty `c` counts as zeros and grows to the size of the
/// result.
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
    // SAFETY: `check` bounds the factors. There is room for m · n results. They are initialised if
    // the sums start from them, and otherwise written before they are read.
    unsafe {
        product(c.as_mut_ptr(), (a, 1, m), b, start, (m, k, n));
        c.set_len(m * n);
    }
}

/// Number of columns below which most of a vector register would be empty.
const NARROW: usize = 8;

fn check(a: &[f32], b: &[f32], results: usize, (m, k, n): Sizes) {
    assert!(
        results == m * n && a.len() == m * k && b.len() == k * n,
        "a product of {m} x {k} by {k} x {n} was given {} and {} values for {results} results",
        a.len(),
        b.len(),
    );
}

/// A matrix: its values, the distance between rows, and the distance between columns.
type Strided<'a> = (&'a [f32], usize, usize);

/// Rows of a tile of many columns, and of any with 16 registers.
const TILE_ROWS: usize = 6;
/// Rows of a tile of one or two vectors with 32 registers. Sums of fewer rows would wait for each other, and matrices of
/// agents often have a multiple of eight rows.
const NARROW_TILE_ROWS: usize = 8;
/// Number of terms from which on tiles of four vectors are faster.
const WIDE_DEPTH: usize = 48;
/// Number of terms added before moving to the next rows of `b`, so that the current rows stay in
/// cache.
const TILE_DEPTH: usize = 128;

/// `c = start + a · b`.
///
/// # Safety
/// `c` must have room for m · n values, which must be initialised if the sums start from them. The
/// strides must keep m x k elements of `a` within its slice. `b` must hold k · n values and a bias
/// n.
unsafe fn product(c: *mut f32, a: Strided<'_>, b: &[f32], start: Start<'_>, sizes: Sizes) {
    let (_, k, n) = sizes;
    let mut start = start;
    let mut depth = 0;
    loop {
        let depth_len = TILE_DEPTH.min(k - depth);
        Arch::new().dispatch(Product {
            c,
            a: a.0.as_ptr().wrapping_add(depth * a.2),
            a_strides: (a.1, a.2),
            b: b.as_ptr().wrapping_add(depth * n),
            start,
            sizes: (sizes.0, depth_len, n),
        });
        depth += depth_len;
        if depth == k {
            return;
        }
        start = Start::Result;
    }
}

/// A product whose pointers and sizes meet the requirements of [`product`]. It is written with
/// explicit vectors, because compilers do not reliably keep a tile in registers.
struct Product<'a> {
    c: *mut f32,
    a: *const f32,
    a_strides: (usize, usize),
    b: *const f32,
    start: Start<'a>,
    sizes: Sizes,
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let lanes = S::F32_LANES;
        let mut column = 0;
        // Use as many columns at once as the registers can hold for six rows. Short sums would spend their time on what comes
        // before and after them: two vectors of eight rows leave less of that at the end of a matrix.
        if S::REGISTER_COUNT >= 32 && self.sizes.1 >= WIDE_DEPTH {
            column = self.panels::<S, 4>(simd, column, None);
        }
        column = self.panels::<S, 2>(simd, column, None);
        column = self.panels::<S, 1>(simd, column, None);
        let rest = self.sizes.2 - column;
        if rest > 0 {
            debug_assert!(rest < lanes);
            let mask = simd.mask_between_m32s(0, rest as u32);
            self.panels::<S, 1>(simd, column, Some(mask));
        }
    }
}

impl Product<'_> {
    /// Computes all panels of `VECTORS` whole vectors of columns from `column`, or, with a mask,
    /// the last partial vector. Returns the first column that is left.
    #[inline(always)]
    fn panels<S: Simd, const VECTORS: usize>(
        &self,
        simd: S,
        mut column: usize,
        mask: Option<MemMask<S::m32s>>,
    ) -> usize {
        let (m, _, n) = self.sizes;
        let width = if mask.is_some() {
            n - column
        } else {
            VECTORS * S::F32_LANES
        };
        let most_rows = match S::REGISTER_COUNT >= 32 && VECTORS <= 2 {
            true => NARROW_TILE_ROWS,
            false => TILE_ROWS,
        };
        while column < n && column + width <= n {
            let mut row = 0;
            while row < m {
                let rows = most_rows.min(m - row);
                // SAFETY: rows and columns of the tile are within the result.
                unsafe {
                    match rows {
                        1 => self.tile::<S, 1, VECTORS>(simd, row, column, mask),
                        2 => self.tile::<S, 2, VECTORS>(simd, row, column, mask),
                        3 => self.tile::<S, 3, VECTORS>(simd, row, column, mask),
                        4 => self.tile::<S, 4, VECTORS>(simd, row, column, mask),
                        5 => self.tile::<S, 5, VECTORS>(simd, row, column, mask),
                        TILE_ROWS => self.tile::<S, TILE_ROWS, VECTORS>(simd, row, column, mask),
                        7 => self.tile::<S, 7, VECTORS>(simd, row, column, mask),
                        _ => self.tile::<S, NARROW_TILE_ROWS, VECTORS>(simd, row, column, mask),
                    }
                }
                row += rows;
            }
            column += width;
        }
        column
    }

    /// Computes one tile of the result, held in registers until its sums are complete.
    ///
    /// # Safety
    /// The tile must lie within the result, except for columns that the mask excludes.
    #[inline(always)]
    unsafe fn tile<S: Simd, const ROWS: usize, const VECTORS: usize>(
        &self,
        simd: S,
        row: usize,
        column: usize,
        mask: Option<MemMask<S::m32s>>,
    ) {
        let (_, k, n) = self.sizes;
        let (a_row, a_column) = self.a_strides;
        // SAFETY: the tile lies within the result, so its rows of `a` and its columns of `b` and of
        // a bias exist. Without a mask every vector is whole.
        unsafe {
            let load = |from: *const f32| match mask {
                Some(mask) => simd.mask_load_ptr_f32s(mask, from),
                None => from.cast::<S::f32s>().read_unaligned(),
            };
            let a = self.a.wrapping_add(row * a_row);
            let b = self.b.wrapping_add(column);
            let mut sums = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
            for p in 0..k {
                let mut b_row = [simd.splat_f32s(0.0); VECTORS];
                for (v, b_row) in b_row.iter_mut().enumerate() {
                    *b_row = load(b.add(p * n + v * S::F32_LANES));
                }
                for (r, sums) in sums.iter_mut().enumerate() {
                    let factor = simd.splat_f32s(*a.add(r * a_row + p * a_column));
                    for (sum, b) in sums.iter_mut().zip(b_row) {
                        *sum = simd.mul_add_e_f32s(factor, b, *sum);
                    }
                }
            }
            for (r, sums) in sums.iter().enumerate() {
                for (v, &sum) in sums.iter().enumerate() {
                    let at = column + v * S::F32_LANES;
                    let c = self.c.add((row + r) * n + at);
                    let sum = match self.start {
                        Start::Zero => sum,
                        Start::Result => simd.add_f32s(load(c), sum),
                        Start::Bias(bias) => simd.add_f32s(load(bias.as_ptr().add(at)), sum),
                    };
                    match mask {
                        Some(mask) => simd.mask_store_ptr_f32s(mask, c, sum),
                        None => c.cast::<S::f32s>().write_unaligned(sum),
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::transpose::transpose;
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

    /// Sizes that reach every kind of tile, with integers, for which `f32` is exact.
    #[test]
    fn all_sizes_agree_with_the_definition() {
        for m in [1, 2, 5, 6, 7, 8, 13, 15] {
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
