//! Diagonal Gaussians. A row holds the means, then as many logarithms of standard deviations.

use multiversion::multiversion;

use super::math::exp;

/// `z = μ + e^s ε` for rows `x` of `2 * size` numbers; appends to `z`.
#[multiversion(targets = "simd")]
pub(crate) fn sample(z: &mut [f32], x: &[f32], noise: &[f32], size: usize) {
    let rows = x.chunks_exact(2 * size).zip(noise.chunks_exact(size));
    for (z, (x, noise)) in z.chunks_exact_mut(size).zip(rows) {
        let (means, logs) = x.split_at(size);
        for j in 0..size {
            z[j] = exp(logs[j]).mul_add(noise[j], means[j]);
        }
    }
}

/// Backward pass of [`sample`]: writes `dx`.
#[multiversion(targets = "simd")]
pub(crate) fn sample_gradient(dx: &mut [f32], dz: &[f32], x: &[f32], noise: &[f32], size: usize) {
    let rows = x.chunks_exact(2 * size).zip(noise.chunks_exact(size));
    let gradients = dx.chunks_exact_mut(2 * size).zip(dz.chunks_exact(size));
    for ((x, noise), (dx, dz)) in rows.zip(gradients) {
        let logs = &x[size..2 * size];
        let (d_means, d_logs) = dx.split_at_mut(size);
        let d_logs = &mut d_logs[..size];
        for j in 0..size {
            d_means[j] = dz[j];
            d_logs[j] = dz[j] * exp(logs[j]) * noise[j];
        }
    }
}

/// Returns `factor · Σ KL(q ‖ p)` over the rows, and writes its gradients:
/// `KL = Σ_j s_p − s_q + ½ (e^{2 (s_q − s_p)} + (μ_q − μ_p)² e^{−2 s_p} − 1)`.
#[multiversion(targets = "simd")]
pub(crate) fn divergence(
    (dq, dp): (&mut [f32], &mut [f32]),
    (q, p): (&[f32], &[f32]),
    size: usize,
    factor: f32,
) -> f64 {
    let mut total = 0.0;
    let rows = q.chunks_exact(2 * size).zip(p.chunks_exact(2 * size));
    let gradients = dq
        .chunks_exact_mut(2 * size)
        .zip(dp.chunks_exact_mut(2 * size));
    for ((q, p), (dq, dp)) in rows.zip(gradients) {
        let ((q_means, q_logs), (p_means, p_logs)) = (q.split_at(size), p.split_at(size));
        let ((dq_means, dq_logs), (dp_means, dp_logs)) =
            (dq.split_at_mut(size), dp.split_at_mut(size));
        let mut sum = 0.0;
        for j in 0..size {
            let (apart, wider) = (q_means[j] - p_means[j], q_logs[j] - p_logs[j]);
            let precision = exp(-2.0 * p_logs[j]);
            let (ratio, shift) = (exp(2.0 * wider), apart * apart * precision);
            sum += 0.5 * (ratio + shift - 1.0) - wider;
            dq_means[j] = factor * apart * precision;
            dp_means[j] = -dq_means[j];
            dq_logs[j] = factor * (ratio - 1.0);
            dp_logs[j] = factor * (1.0 - ratio - shift);
        }
        total += f64::from(factor * sum);
    }
    total
}
