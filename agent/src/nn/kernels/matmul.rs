//! Matrix products of row-major matrices. `n` and `t` in a name say which factor is transposed.

use gemm::Parallelism;

/// `c[m, n] (+)= a[m, k] · b[k, n]`.
pub(crate) fn matmul_nn(c: &mut [f32], a: &[f32], b: &[f32], (m, k, n): Sizes, accumulate: bool) {
    product(c, (a, k, 1), (b, n, 1), (m, k, n), accumulate);
}

/// `c[m, n] (+)= a[m, k] · b[n, k]ᵀ`.
pub(crate) fn matmul_nt(c: &mut [f32], a: &[f32], b: &[f32], (m, k, n): Sizes, accumulate: bool) {
    product(c, (a, k, 1), (b, 1, k), (m, k, n), accumulate);
}

/// `c[m, n] (+)= a[k, m]ᵀ · b[k, n]`.
pub(crate) fn matmul_tn(c: &mut [f32], a: &[f32], b: &[f32], (m, k, n): Sizes, accumulate: bool) {
    product(c, (a, 1, m), (b, n, 1), (m, k, n), accumulate);
}

/// (m, k, n): rows of the result, length of the sums, columns of the result.
type Sizes = (usize, usize, usize);
/// Values, distance between rows, distance between columns.
type Strided<'a> = (&'a [f32], usize, usize);

fn product(
    c: &mut [f32],
    (a, a_row, a_column): Strided<'_>,
    (b, b_row, b_column): Strided<'_>,
    (m, k, n): Sizes,
    accumulate: bool,
) {
    assert!(
        c.len() == m * n && a.len() == m * k && b.len() == k * n,
        "a product of {m} x {k} by {k} x {n} was given {} and {} values for {} results",
        a.len(),
        b.len(),
        c.len()
    );
    // SAFETY: the assertion above bounds every index that sizes and strides can form, `c` is
    // borrowed mutably and so overlaps neither factor.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            1,
            n as isize,
            accumulate,
            a.as_ptr(),
            a_column as isize,
            a_row as isize,
            b.as_ptr(),
            b_column as isize,
            b_row as isize,
            1.0f32,
            1.0f32,
            false,
            false,
            false,
            Parallelism::None,
        );
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
        let mut c = [0.0; 4];
        matmul_nn(&mut c, &A, &B, (2, 3, 2), false);
        assert_eq!(c, AB);
        let b_transposed = [7.0, 9.0, 11.0, 8.0, 10.0, 12.0];
        matmul_nt(&mut c, &A, &b_transposed, (2, 3, 2), false);
        assert_eq!(c, AB);
        let a_transposed = [1.0, 4.0, 2.0, 5.0, 3.0, 6.0];
        matmul_tn(&mut c, &a_transposed, &B, (2, 3, 2), true);
        assert_eq!(c, AB.map(|x| 2.0 * x));
    }

    #[test]
    fn an_empty_sum_is_zero() {
        let mut c = [5.0; 4];
        matmul_nn(&mut c, &[], &[], (2, 0, 2), false);
        assert_eq!(c, [0.0; 4]);
    }

    #[test]
    #[should_panic(expected = "a product of 2 x 3 by 3 x 2")]
    fn wrong_sizes_panic() {
        matmul_nn(&mut [0.0; 4], &A, &B[1..], (2, 3, 2), false);
    }
}
