//! Rows of parts of equal width, such as those of heads: copies of one part, and sums into it.

use multiversion::multiversion;

/// Evaluates a call with the width of a part as a constant, if it is a usual one: rows of known length are copied without a
/// call.
macro_rules! with_known_width {
    ($d:ident, $call:expr, $($known:literal)*) => {
        match $d {
            $($known => {
                let $d = $known;
                $call
            })*
            _ => $call,
        }
    };
}

/// Copies a part of the named rows of `all`, whose rows have `parts` of them, to `out`, `[rows, d]`.
#[multiversion(targets = "simd")]
pub(crate) fn copy_rows(out: &mut [f32], all: &[f32], rows: &[u32], (part, parts): (usize, usize)) {
    if rows.is_empty() {
        return;
    }
    let d = out.len() / rows.len();
    with_known_width!(d, copy(out, all, rows, (part, parts), d), 8 16 32);
}

#[inline(always)]
fn copy(out: &mut [f32], all: &[f32], rows: &[u32], (part, parts): (usize, usize), d: usize) {
    for (out, &row) in out.chunks_exact_mut(d).zip(rows) {
        out.copy_from_slice(&all[(row as usize * parts + part) * d..][..d]);
    }
}

/// Writes `numbers` `[rows, d]` to a part of the named rows of `all`, where [`copy_rows`] takes it from.
#[multiversion(targets = "simd")]
pub(crate) fn put_rows(
    all: &mut [f32],
    numbers: &[f32],
    rows: &[u32],
    (part, parts): (usize, usize),
) {
    if rows.is_empty() {
        return;
    }
    let d = numbers.len() / rows.len();
    with_known_width!(d, put(all, numbers, rows, (part, parts), d), 8 16 32);
}

#[inline(always)]
fn put(all: &mut [f32], numbers: &[f32], rows: &[u32], (part, parts): (usize, usize), d: usize) {
    for (numbers, &row) in numbers.chunks_exact(d).zip(rows) {
        all[(row as usize * parts + part) * d..][..d].copy_from_slice(numbers);
    }
}

/// Adds `factor · numbers` to a part of the named rows of `all`, where [`copy_rows`] took it from.
#[multiversion(targets = "simd")]
pub(crate) fn add_rows(
    all: &mut [f32],
    numbers: &[f32],
    rows: &[u32],
    (part, parts): (usize, usize),
    factor: f32,
) {
    if rows.is_empty() {
        return;
    }
    let d = numbers.len() / rows.len();
    with_known_width!(d, add(all, numbers, rows, (part, parts), (d, factor)), 8 16 32);
}

#[inline(always)]
fn add(
    all: &mut [f32],
    numbers: &[f32],
    rows: &[u32],
    (part, parts): (usize, usize),
    (d, factor): (usize, f32),
) {
    for (numbers, &row) in numbers.chunks_exact(d).zip(rows) {
        let sums = &mut all[(row as usize * parts + part) * d..][..d];
        for j in 0..d {
            sums[j] = factor.mul_add(numbers[j], sums[j]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_some_rows() {
        for d in [2, 8] {
            let mut all: Vec<f32> = (0..3 * 2 * d).map(|i| i as f32).collect();
            let mut out = vec![0.0; 2 * d];
            copy_rows(&mut out, &all, &[2, 0], (1, 2));
            let expected: Vec<f32> = all[5 * d..].iter().chain(&all[d..2 * d]).copied().collect();
            assert_eq!(out, expected);
            add_rows(&mut all, &out, &[2, 0], (1, 2), -1.0);
            assert!(all[5 * d..].iter().chain(&all[d..2 * d]).all(|&x| x == 0.0));
            assert_eq!(all[2 * d], 2.0 * d as f32);
            put_rows(&mut all, &out, &[1, 0], (0, 2));
            assert_eq!((&all[2 * d..3 * d], &all[..d]), (&out[..d], &out[d..]));
            put_rows(&mut all, &[], &[], (0, 2));
            copy_rows(&mut [], &all, &[], (0, 2));
            add_rows(&mut all, &[], &[], (0, 2), 1.0);
        }
    }
}
