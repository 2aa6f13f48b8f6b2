//! Linear recurrences over a time-major sequence with resets: row `t * batch + b` follows row `(t - 1) * batch + b`. The
//! kernels take some consecutive rows at a time, so that the caller can use their results while they are in cache.

use std::ops::Range;

use multiversion::multiversion;

use super::math::sigmoid;

/// Where a row's state comes from.
#[derive(Clone, Copy)]
pub(crate) struct Sequence<'a> {
    /// `[rows]`: rows whose state before them is zero.
    pub starts: &'a [bool],
    /// State before the first step, `[batch, width]`.
    pub initial: &'a [f32],
    pub batch: usize,
    /// Numbers of a state.
    pub width: usize,
}

impl Sequence<'_> {
    /// Returns the state before row `row`, given the states of the rows before it; `zeros` where a sequence starts.
    #[inline(always)]
    fn before<'s>(&'s self, past: &'s [f32], row: usize, zeros: &'s [f32]) -> &'s [f32] {
        let width = self.width;
        if self.starts[row] {
            &zeros[..width]
        } else if row < self.batch {
            &self.initial[row * width..][..width]
        } else {
            &past[(row - self.batch) * width..][..width]
        }
    }

    /// The numbers of the sequence of row `row` in `[batch, width]`.
    #[inline(always)]
    fn lane(&self, row: usize) -> Range<usize> {
        let first = row % self.batch * self.width;
        first..first + self.width
    }
}

/// `h' = h + z ⊙ (c − h)` with `z = σ(a)` (minGRU, Feng et al. 2024, arXiv:2410.01201), for the rows `rows`. `h` `[.., width]`
/// has the states of all rows before them. `sums` `[rows.len(), 2 * width]` holds a, then c; z replaces a.
#[multiversion(targets = "simd")]
pub(crate) fn gated_scan(
    h: &mut [f32],
    sums: &mut [f32],
    rows: Range<usize>,
    sequence: Sequence<'_>,
) {
    let width = sequence.width;
    let zeros = vec![0.0; width];
    for (row, sums) in rows.zip(sums.chunks_exact_mut(2 * width)) {
        let (past, now) = h.split_at_mut(row * width);
        let before = sequence.before(past, row, &zeros);
        let (gates, candidates) = sums.split_at_mut(width);
        gates.iter_mut().for_each(|gate| *gate = sigmoid(*gate));
        let h = &mut now[..width];
        for j in 0..width {
            h[j] = gates[j].mul_add(candidates[j] - before[j], before[j]);
        }
    }
}

/// Backward pass of [`gated_scan`]: writes the gradient of a and c to `d_sums` `[rows.len(), 2 * width]`. `dh`
/// `[rows.len(), width]` is the gradient of the states, except what comes from later steps: that is in `carried`
/// `[batch, width]`, which is replaced by what goes to earlier ones. `sums` is as [`gated_scan`] leaves it.
#[multiversion(targets = "simd")]
pub(crate) fn gated_scan_gradient(
    d_sums: &mut [f32],
    carried: &mut [f32],
    dh: &[f32],
    (sums, h): (&[f32], &[f32]),
    rows: Range<usize>,
    sequence: Sequence<'_>,
) {
    let width = sequence.width;
    let zeros = vec![0.0; width];
    for (number, row) in rows.enumerate().rev() {
        let before = sequence.before(h, row, &zeros);
        let (z, candidates) = sums[2 * number * width..][..2 * width].split_at(width);
        let (d_gates, d_candidates) = d_sums[2 * number * width..][..2 * width].split_at_mut(width);
        let carried = &mut carried[sequence.lane(row)];
        let dh = &dh[number * width..][..width];
        for j in 0..width {
            carried[j] += dh[j];
        }
        for j in 0..width {
            let d = carried[j] * z[j];
            d_candidates[j] = d;
            d_gates[j] = d * (candidates[j] - before[j]) * (1.0 - z[j]);
        }
        if sequence.starts[row] {
            carried.fill(0.0);
        } else {
            for j in 0..width {
                carried[j] *= 1.0 - z[j];
            }
        }
    }
}

/// The eigenvalues of a diagonal recurrence and the factors of its inputs, `[units]` each.
#[derive(Clone, Copy)]
pub(crate) struct Eigenvalues<'a> {
    pub re: &'a [f32],
    pub im: &'a [f32],
    pub gamma: &'a [f32],
}

/// `x' = λ x + γ u` with complex λ, x and u: real parts first, then imaginary ones, for the rows `rows`. `u` is
/// `[rows.len(), 2 * units]`, and `x` `[.., 2 * units]` has the states of all rows before them.
#[multiversion(targets = "simd")]
pub(crate) fn complex_scan(
    x: &mut [f32],
    u: &[f32],
    by: Eigenvalues<'_>,
    rows: Range<usize>,
    sequence: Sequence<'_>,
) {
    let width = sequence.width;
    let units = width / 2;
    let (re, im, gamma) = (&by.re[..units], &by.im[..units], &by.gamma[..units]);
    let zeros = vec![0.0; width];
    for (row, u) in rows.zip(u.chunks_exact(width)) {
        let (past, now) = x.split_at_mut(row * width);
        let (before_re, before_im) = sequence.before(past, row, &zeros).split_at(units);
        let (x_re, x_im) = now[..width].split_at_mut(units);
        let (u_re, u_im) = u.split_at(units);
        for j in 0..units {
            let (r, i) = (before_re[j], before_im[j]);
            x_re[j] = gamma[j].mul_add(u_re[j], re[j].mul_add(r, -im[j] * i));
            x_im[j] = gamma[j].mul_add(u_im[j], re[j].mul_add(i, im[j] * r));
        }
    }
}

/// Gradients of the parts of [`Eigenvalues`], `[units]` each; added to.
pub(crate) struct EigenvalueGradients<'a> {
    pub re: &'a mut [f32],
    pub im: &'a mut [f32],
    pub gamma: &'a mut [f32],
}

/// Units whose numbers stay in registers while the rows go by: as many as an AVX-512 register has numbers.
pub(crate) const LANES: usize = 16;

/// Backward pass of [`complex_scan`]. `d` `[rows.len(), 2 * units]` holds the gradient of the states, except what comes from
/// later steps, and is replaced by that of `u`; `carried` is as in [`gated_scan_gradient`].
#[multiversion(targets = "simd")]
pub(crate) fn complex_scan_gradient(
    (d, carried): (&mut [f32], &mut [f32]),
    mut d_by: EigenvalueGradients<'_>,
    (u, x): (&[f32], &[f32]),
    by: Eigenvalues<'_>,
    rows: Range<usize>,
    sequence: Sequence<'_>,
) {
    let zeros = vec![0.0; sequence.width];
    let units = sequence.width / 2;
    let whole = units - units % LANES;
    for unit in (0..whole).step_by(LANES) {
        let d = (&mut *d, &mut *carried, &mut d_by);
        units_gradient::<LANES>(unit, d, (u, x, &zeros), by, rows.clone(), sequence);
    }
    for unit in whole..units {
        let d = (&mut *d, &mut *carried, &mut d_by);
        units_gradient::<1>(unit, d, (u, x, &zeros), by, rows.clone(), sequence);
    }
}

/// The `N` numbers at `from`.
#[inline(always)]
fn take<const N: usize>(numbers: &[f32], from: usize) -> [f32; N] {
    *numbers[from..].first_chunk().expect("N numbers")
}

#[inline(always)]
fn put<const N: usize>(numbers: &mut [f32], from: usize, new: [f32; N]) {
    *numbers[from..].first_chunk_mut().expect("N numbers") = new;
}

/// [`complex_scan_gradient`] for the units `unit..unit + N`. Numbers are copied to arrays, which cannot overlap, so that
/// compilers use vectors.
#[inline(always)]
fn units_gradient<const N: usize>(
    unit: usize,
    (d, carried, d_by): (&mut [f32], &mut [f32], &mut EigenvalueGradients<'_>),
    (u, x, zeros): (&[f32], &[f32], &[f32]),
    by: Eigenvalues<'_>,
    rows: Range<usize>,
    sequence: Sequence<'_>,
) {
    let width = sequence.width;
    let units = width / 2;
    let [re, im, gamma] = [by.re, by.im, by.gamma].map(|part| take::<N>(part, unit));
    let mut d_re: [f32; N] = take(d_by.re, unit);
    let mut d_im: [f32; N] = take(d_by.im, unit);
    let mut d_gamma: [f32; N] = take(d_by.gamma, unit);
    for (number, row) in rows.enumerate().rev() {
        let before = sequence.before(x, row, zeros);
        let (before_re, before_im) = (take::<N>(before, unit), take::<N>(before, units + unit));
        let here = number * width + unit;
        let (u_re, u_im) = (take::<N>(u, here), take::<N>(u, here + units));
        let lane = sequence.lane(row).start + unit;
        let (mut r, mut i) = (take::<N>(carried, lane), take::<N>(carried, lane + units));
        let (mut du_re, mut du_im) = (take::<N>(d, here), take::<N>(d, here + units));
        for j in 0..N {
            r[j] += du_re[j];
            i[j] += du_im[j];
            du_re[j] = gamma[j] * r[j];
            du_im[j] = gamma[j] * i[j];
            d_gamma[j] += r[j].mul_add(u_re[j], i[j] * u_im[j]);
            d_re[j] += r[j].mul_add(before_re[j], i[j] * before_im[j]);
            d_im[j] += i[j].mul_add(before_re[j], -r[j] * before_im[j]);
        }
        put(d, here, du_re);
        put(d, here + units, du_im);
        let kept = if sequence.starts[row] { 0.0 } else { 1.0 };
        let (mut back_re, mut back_im) = ([0.0; N], [0.0; N]);
        for j in 0..N {
            back_re[j] = kept * re[j].mul_add(r[j], im[j] * i[j]);
            back_im[j] = kept * re[j].mul_add(i[j], -im[j] * r[j]);
        }
        put(carried, lane, back_re);
        put(carried, lane + units, back_im);
    }
    put(d_by.re, unit, d_re);
    put(d_by.im, unit, d_im);
    put(d_by.gamma, unit, d_gamma);
}
