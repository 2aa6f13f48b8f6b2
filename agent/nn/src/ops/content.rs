//! Reads of a memory of rows by content.

use crate::graph::Graph;
use crate::kernels::elementwise::add_to;
use crate::tensor::{Tensor, shape, values};

const TINY: f32 = 1e-6;

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn norm(x: &[f32]) -> f32 {
    (dot(x, x) + TINY).sqrt()
}

/// Reads and weights.
pub struct ContentRead {
    /// Reads.
    pub reads: Tensor,
    /// Weights.
    pub weights: Vec<f32>,
}

impl Graph<'_> {
    /// Reads by content: `w = softmax(β cos(k, M))` over the filled rows, `Σ w M`.
    pub fn content_read(
        &mut self,
        memory: &Tensor,
        keys: &Tensor,
        strengths: &Tensor,
        filled: Option<&[bool]>,
    ) -> ContentRead {
        let (lanes, cells) = shape(memory);
        let heads = shape(strengths).1;
        let width = shape(keys).1 / heads;
        let rows = cells / width;
        let mut weights = vec![0.0; lanes * heads * rows];
        let mut cosines = weights.clone();
        let mut reads = vec![0.0; lanes * heads * width];
        let is_filled = |at: usize| filled.is_none_or(|filled| filled[at]);
        let (m, k, s) = (values(memory), values(keys), values(strengths));
        for lane in 0..lanes {
            let norms: Vec<f32> = m[lane * cells..][..cells]
                .chunks_exact(width)
                .map(norm)
                .collect();
            for head in lane * heads..(lane + 1) * heads {
                let key = &k[head * width..][..width];
                let factor = 1.0 / norm(key);
                let w = &mut weights[head * rows..][..rows];
                let c = &mut cosines[head * rows..][..rows];
                let mut largest = f32::NEG_INFINITY;
                for row in (0..rows).filter(|row| is_filled(lane * rows + row)) {
                    c[row] =
                        dot(key, &m[lane * cells + row * width..][..width]) * factor / norms[row];
                    largest = largest.max(s[head] * c[row]);
                }
                let mut sum = 0.0;
                for row in (0..rows).filter(|row| is_filled(lane * rows + row)) {
                    w[row] = (s[head] * c[row] - largest).exp();
                    sum += w[row];
                }
                for row in (0..rows).filter(|row| is_filled(lane * rows + row)) {
                    w[row] /= sum;
                    let read = &mut reads[head * width..][..width];
                    let m = &m[lane * cells + row * width..][..width];
                    read.iter_mut().zip(m).for_each(|(r, m)| *r += w[row] * m);
                }
            }
        }
        let reads = self.constant(reads, (lanes, heads * width));
        let wanted = [self.key(memory), self.key(keys), self.key(strengths)];
        if wanted.iter().any(|key| key.wanted()) {
            let (memory, keys, strengths) = (memory.clone(), keys.clone(), strengths.clone());
            let w = weights.clone();
            self.record(&reads, move |d, grads| {
                let (m, k, s) = (values(&memory), values(&keys), values(&strengths));
                let mut dm = vec![0.0; m.len()];
                let (mut dk, mut ds) = (vec![0.0; k.len()], vec![0.0; s.len()]);
                let mut dw = vec![0.0; rows];
                for head in 0..lanes * heads {
                    let lane = head / heads;
                    let d = &d[head * width..][..width];
                    let (w, c) = (&w[head * rows..][..rows], &cosines[head * rows..][..rows]);
                    let key = &k[head * width..][..width];
                    let key_norm = norm(key);
                    for row in 0..rows {
                        dw[row] = dot(d, &m[lane * cells + row * width..][..width]);
                    }
                    let mean = dot(&dw, w);
                    for row in (0..rows).filter(|&row| w[row] > 0.0) {
                        let at = lane * cells + row * width;
                        let (m, dm) = (&m[at..at + width], &mut dm[at..at + width]);
                        dm.iter_mut().zip(d).for_each(|(dm, d)| *dm += w[row] * d);
                        let score = w[row] * (dw[row] - mean);
                        ds[head] += score * c[row];
                        let row_norm = norm(m);
                        let d_cos = score * s[head];
                        let both = d_cos / (key_norm * row_norm);
                        let (own, other) = (
                            d_cos * c[row] / (key_norm * key_norm),
                            d_cos * c[row] / (row_norm * row_norm),
                        );
                        let dk = &mut dk[head * width..][..width];
                        for i in 0..width {
                            dk[i] += both * m[i] - own * key[i];
                            dm[i] += both * key[i] - other * m[i];
                        }
                    }
                }
                let [m_key, k_key, s_key] = &wanted;
                if m_key.wanted() {
                    grads.update(m_key, |held| {
                        held.resize(dm.len(), 0.0);
                        add_to(held, &dm);
                    });
                }
                grads.give(k_key, dk);
                grads.give(s_key, ds);
            });
        }
        ContentRead { reads, weights }
    }
}
