//! The parts of a step of recurrent modules (Goyal et al. 2021, arXiv:1909.10893) that are no matrix products. Modules
//! stand one after the other, each with a row for every lane; of active modules only the rows of some lanes are computed.

use multiversion::multiversion;

use super::math::{add_scaled, dot, exp, sigmoid};

/// Writes `scores[lane] = scale · query · key` for each lane. Rows of `entries` hold a key and then a value.
#[multiversion(targets("x86_64+avx+avx2+fma"))]
pub(crate) fn entry_scores(
    scores: &mut [f32],
    queries: &[f32],
    entries: &[f32],
    key: usize,
    scale: f32,
) {
    let width = entries.len() / scores.len().max(1);
    let rows = queries.chunks_exact(key).zip(entries.chunks_exact(width));
    for (score, (query, entry)) in scores.iter_mut().zip(rows) {
        *score = scale * dot(query, &entry[..key]);
    }
}

/// Appends to `joined`, for each of some lanes of a module, `σ(score) · value` and then the module's state.
#[multiversion(targets = "simd")]
pub(crate) fn join_inputs(
    joined: &mut Vec<f32>,
    (entries, key): (&[f32], usize),
    scores: &[f32],
    states: &[f32],
    lanes: &[u32],
) {
    let [width, size] = [entries, states].map(|all| all.len() / scores.len());
    for &lane in lanes {
        let lane = lane as usize;
        let weight = sigmoid(scores[lane]);
        let value = &entries[lane * width + key..(lane + 1) * width];
        joined.extend(value.iter().map(|value| weight * value));
        joined.extend_from_slice(&states[lane * size..][..size]);
    }
}

/// A module's reads from the inputs of some lanes: backward pass of [`join_inputs`] and [`entry_scores`]. `d_joined` has a
/// row for each of the lanes, as `d_queries` `[lanes, key]` has, which is written; `d_entries` is added to.
#[multiversion(targets("x86_64+avx+avx2+fma"))]
pub(crate) fn entry_gradient(
    (d_queries, d_entries): (&mut [f32], &mut [f32]),
    d_joined: &[f32],
    (queries, entries, scores): (&[f32], &[f32], &[f32]),
    lanes: &[u32],
    (key, scale): (usize, f32),
) {
    let width = entries.len() / scores.len();
    let joined = d_joined.len() / lanes.len().max(1);
    let rows = d_queries
        .chunks_exact_mut(key)
        .zip(d_joined.chunks_exact(joined.max(1)));
    for (&lane, (d_query, d_joined)) in lanes.iter().zip(rows) {
        let lane = lane as usize;
        let part = lane * width..(lane + 1) * width;
        let (of_key, of_value) = entries[part.clone()].split_at(key);
        let (d_key, d_value) = d_entries[part].split_at_mut(key);
        let d_read = &d_joined[..of_value.len()];
        let weight = sigmoid(scores[lane]);
        let d_score = scale * weight * (1.0 - weight) * dot(d_read, of_value);
        for (d, key) in d_query.iter_mut().zip(of_key) {
            *d = d_score * key;
        }
        add_scaled(d_key, d_score, &queries[lane * key..][..key]);
        add_scaled(d_value, weight, d_read);
    }
}

/// Sizes of what modules tell each other: rows of queries, keys and values, `heads` of each, `size` wide.
#[derive(Clone, Copy)]
pub(crate) struct Talk {
    pub modules: usize,
    pub heads: usize,
    pub size: usize,
    pub lanes: usize,
}

impl Talk {
    /// The range of a head in the row of a module's lane: of its query, key or value, which are parts 0, 1 and 2.
    #[inline(always)]
    fn at(self, (module, lane): (usize, usize), part: usize, head: usize) -> usize {
        ((((module * self.lanes + lane) * 3) + part) * self.heads + head) * self.size
    }

    #[inline(always)]
    fn row(self, all: &[f32], row: (usize, usize), part: usize, head: usize) -> &[f32] {
        &all[self.at(row, part, head)..][..self.size]
    }

    #[inline(always)]
    fn row_mut(self, all: &mut [f32], row: (usize, usize), part: usize, head: usize) -> &mut [f32] {
        let first = self.at(row, part, head);
        &mut all[first..][..self.size]
    }

    fn scale(self) -> f32 {
        1.0 / (self.size as f32).sqrt()
    }
}

/// Evaluates a call with the size of a module as a constant, if it is a usual one.
macro_rules! with_known_size {
    ($talk:ident, $call:expr, $($known:literal)*) => {
        match $talk.size {
            $($known => {
                let $talk = Talk { size: $known, ..$talk };
                $call
            })*
            _ => $call,
        }
    };
}

/// One module of some lanes attends to all modules of its lane, itself included. `asked` is `[modules, lanes, 3 * heads *
/// size]`. Writes `weights` `[lanes, heads, modules]` and `heard` `[lanes, heads * size]`.
#[multiversion(targets("x86_64+avx+avx2+fma"))]
pub(crate) fn hear(
    (heard, weights): (&mut [f32], &mut [f32]),
    asked: &[f32],
    (module, lanes): (usize, &[u32]),
    talk: Talk,
) {
    with_known_size!(talk, hear_rows((heard, weights), asked, (module, lanes), talk), 8 16 32);
}

#[inline(always)]
fn hear_rows(
    (heard, weights): (&mut [f32], &mut [f32]),
    asked: &[f32],
    (module, lanes): (usize, &[u32]),
    talk: Talk,
) {
    let rows = heard
        .chunks_exact_mut(talk.size)
        .zip(weights.chunks_exact_mut(talk.modules));
    for (row, (heard, weights)) in rows.enumerate() {
        let (lane, head) = (lanes[row / talk.heads] as usize, row % talk.heads);
        let query = talk.row(asked, (module, lane), 0, head);
        let mut largest = f32::NEG_INFINITY;
        for (other, weight) in weights.iter_mut().enumerate() {
            *weight = talk.scale() * dot(query, talk.row(asked, (other, lane), 1, head));
            largest = largest.max(*weight);
        }
        let mut total = 0.0;
        for weight in weights.iter_mut() {
            *weight = exp(*weight - largest);
            total += *weight;
        }
        heard.fill(0.0);
        for (other, weight) in weights.iter_mut().enumerate() {
            *weight /= total;
            add_scaled(heard, *weight, talk.row(asked, (other, lane), 2, head));
        }
    }
}

/// Backward pass of [`hear`]: adds to `d_asked`.
#[multiversion(targets("x86_64+avx+avx2+fma"))]
pub(crate) fn hear_gradient(
    d_asked: &mut [f32],
    d_heard: &[f32],
    (asked, weights): (&[f32], &[f32]),
    (module, lanes): (usize, &[u32]),
    talk: Talk,
) {
    with_known_size!(
        talk,
        hear_gradients(d_asked, d_heard, (asked, weights), (module, lanes), talk),
        8 16 32
    );
}

#[inline(always)]
fn hear_gradients(
    d_asked: &mut [f32],
    d_heard: &[f32],
    (asked, weights): (&[f32], &[f32]),
    (module, lanes): (usize, &[u32]),
    talk: Talk,
) {
    let rows = d_heard
        .chunks_exact(talk.size)
        .zip(weights.chunks_exact(talk.modules));
    let mut d_scores = vec![0.0; talk.modules];
    for (row, (d_heard, weights)) in rows.enumerate() {
        let (lane, head) = (lanes[row / talk.heads] as usize, row % talk.heads);
        let mut mean = 0.0;
        for (other, (d, weight)) in d_scores.iter_mut().zip(weights).enumerate() {
            *d = dot(d_heard, talk.row(asked, (other, lane), 2, head));
            mean += *d * weight;
        }
        let query = talk.row(asked, (module, lane), 0, head);
        for (other, (d, weight)) in d_scores.iter().zip(weights).enumerate() {
            let d_score = talk.scale() * weight * (d - mean);
            let key = talk.row(asked, (other, lane), 1, head);
            add_scaled(talk.row_mut(d_asked, (module, lane), 0, head), d_score, key);
            add_scaled(
                talk.row_mut(d_asked, (other, lane), 1, head),
                d_score,
                query,
            );
            add_scaled(
                talk.row_mut(d_asked, (other, lane), 2, head),
                *weight,
                d_heard,
            );
        }
    }
}
