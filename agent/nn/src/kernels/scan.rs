//! Linear recurrences over a time-major sequence with resets: row `t * batch + b` follows row `(t - 1) * batch + b`.

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
}

/// `h' = h + z ⊙ (c − h)` with `z = σ(a)` (minGRU, Feng et al. 2024, arXiv:2410.01201). `x` `[rows, 2 * width]` holds a,
/// then c. Writes `h` and `z`, `[rows, width]`.
#[multiversion(targets = "simd")]
pub(crate) fn gated_scan(h: &mut [f32], z: &mut [f32], x: &[f32], sequence: Sequence<'_>) {
    let width = sequence.width;
    let zeros = vec![0.0; width];
    for (row, x) in x.chunks_exact(2 * width).enumerate() {
        let (past, now) = h.split_at_mut(row * width);
        let before = sequence.before(past, row, &zeros);
        let (gates, candidates) = x.split_at(width);
        let (h, z) = (&mut now[..width], &mut z[row * width..][..width]);
        for j in 0..width {
            z[j] = sigmoid(gates[j]);
            h[j] = z[j].mul_add(candidates[j] - before[j], before[j]);
        }
    }
}

/// Backward pass of [`gated_scan`]: writes `dx` `[rows, 2 * width]`. `dh` `[rows, width]` holds the gradient of the
/// states and is used up.
#[multiversion(targets = "simd")]
pub(crate) fn gated_scan_gradient(
    dx: &mut [f32],
    dh: &mut [f32],
    (x, h, z): (&[f32], &[f32], &[f32]),
    sequence: Sequence<'_>,
) {
    let width = sequence.width;
    let zeros = vec![0.0; width];
    for row in (0..sequence.starts.len()).rev() {
        let before = sequence.before(h, row, &zeros);
        let candidates = &x[(2 * row + 1) * width..][..width];
        let z = &z[row * width..][..width];
        let (d_gates, d_candidates) = dx[2 * row * width..][..2 * width].split_at_mut(width);
        let (past, now) = dh.split_at_mut(row * width);
        let dh = &now[..width];
        for j in 0..width {
            d_candidates[j] = dh[j] * z[j];
            d_gates[j] = dh[j] * (candidates[j] - before[j]) * z[j] * (1.0 - z[j]);
        }
        if row >= sequence.batch && !sequence.starts[row] {
            let d_before = &mut past[(row - sequence.batch) * width..][..width];
            for j in 0..width {
                d_before[j] = dh[j].mul_add(1.0 - z[j], d_before[j]);
            }
        }
    }
}

/// The eigenvalues of a diagonal recurrence and the factors of its inputs, `[units]` each.
pub(crate) struct Eigenvalues<'a> {
    pub re: &'a [f32],
    pub im: &'a [f32],
    pub gamma: &'a [f32],
}

/// `x' = λ x + γ u` with complex λ, x and u: real parts first, then imaginary ones. `x` and `u` are `[rows, 2 * units]`.
#[multiversion(targets = "simd")]
pub(crate) fn complex_scan(x: &mut [f32], u: &[f32], by: Eigenvalues<'_>, sequence: Sequence<'_>) {
    let width = sequence.width;
    let units = width / 2;
    let (re, im, gamma) = (&by.re[..units], &by.im[..units], &by.gamma[..units]);
    let zeros = vec![0.0; width];
    for (row, u) in u.chunks_exact(width).enumerate() {
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

/// Backward pass of [`complex_scan`]: writes `du`. `dx` holds the gradient of the states and is used up.
#[multiversion(targets = "simd")]
pub(crate) fn complex_scan_gradient(
    (du, d_by): (&mut [f32], EigenvalueGradients<'_>),
    dx: &mut [f32],
    (u, x): (&[f32], &[f32]),
    by: Eigenvalues<'_>,
    sequence: Sequence<'_>,
) {
    let width = sequence.width;
    let units = width / 2;
    let (re, im, gamma) = (&by.re[..units], &by.im[..units], &by.gamma[..units]);
    let d_re = &mut d_by.re[..units];
    let d_im = &mut d_by.im[..units];
    let d_gamma = &mut d_by.gamma[..units];
    let zeros = vec![0.0; width];
    for row in (0..sequence.starts.len()).rev() {
        let (before_re, before_im) = sequence.before(x, row, &zeros).split_at(units);
        let (u_re, u_im) = u[row * width..][..width].split_at(units);
        let (du_re, du_im) = du[row * width..][..width].split_at_mut(units);
        let (past, now) = dx.split_at_mut(row * width);
        let (dx_re, dx_im) = now[..width].split_at(units);
        for j in 0..units {
            let (r, i) = (dx_re[j], dx_im[j]);
            du_re[j] = gamma[j] * r;
            du_im[j] = gamma[j] * i;
            d_gamma[j] += r.mul_add(u_re[j], i * u_im[j]);
            d_re[j] += r.mul_add(before_re[j], i * before_im[j]);
            d_im[j] += i.mul_add(before_re[j], -r * before_im[j]);
        }
        if row >= sequence.batch && !sequence.starts[row] {
            let before = &mut past[(row - sequence.batch) * width..][..width];
            let (before_re, before_im) = before.split_at_mut(units);
            for j in 0..units {
                let (r, i) = (dx_re[j], dx_im[j]);
                before_re[j] += re[j].mul_add(r, im[j] * i);
                before_im[j] += re[j].mul_add(i, -im[j] * r);
            }
        }
    }
}
