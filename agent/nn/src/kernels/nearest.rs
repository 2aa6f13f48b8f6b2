//! Exact search for nearest rows by squared distance, and reads weighted by it.

use multiversion::multiversion;
use pulp::{Arch, Simd, WithSimd};

/// Numbers of a row that are computed with at a time. The width of rows is a multiple of it.
pub const BLOCK: usize = 8;
/// Rows that are compared with all queries before the next ones are read, so that they stay in the nearest cache.
const TILE: usize = 32;

/// A row that is near to a query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbour {
    /// `‖row − query‖²`.
    pub squared_distance: f32,
    /// Number of the row.
    pub row: usize,
}

/// Returns, for each of `queries` `[Q, width]`, the `count` nearest of `rows` `[N, width]`, or all of them if there are
/// fewer: the nearest first, of equally near ones the earlier first. Rows at a distance that is not finite are left out.
///
/// Every row is considered. Of a row that is too far by its first number alone the rest is not read, so rows that begin
/// with a number that keeps them apart, such as the time, are found sooner.
///
/// # Panics
/// When `width` is not a multiple of [`BLOCK`], or the slices are not rows of it.
pub fn nearest(rows: &[f32], queries: &[f32], width: usize, count: usize) -> Vec<Vec<Neighbour>> {
    assert!(
        width > 0 && [width % BLOCK, rows.len() % width, queries.len() % width] == [0; 3],
        "rows of {width} numbers, in blocks of {BLOCK}"
    );
    let room = count.min(rows.len() / width);
    let lists = (0..queries.len() / width).map(|_| Vec::with_capacity(room));
    let mut found: Vec<_> = lists.collect();
    if count > 0 {
        Arch::new().dispatch(Search {
            rows,
            queries,
            width,
            count,
            found: &mut found,
        });
    }
    found
}

/// The arguments of a search, for the best SIMD level that there is.
struct Search<'a> {
    rows: &'a [f32],
    queries: &'a [f32],
    width: usize,
    count: usize,
    found: &'a mut [Vec<Neighbour>],
}

impl WithSimd for Search<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        search(self);
    }
}

#[inline(always)]
fn search(search: Search<'_>) {
    let Search {
        rows,
        queries,
        width,
        count,
        found,
    } = search;
    let groups = groups(queries, width);
    let mut limits = vec![f32::INFINITY; queries.len() / width];
    for (tile, rows) in rows.chunks(TILE * width).enumerate() {
        let mut firsts = [0.0; TILE];
        for (first, row) in firsts.iter_mut().zip(rows.chunks_exact(width)) {
            *first = row[0];
        }
        let firsts = &firsts[..rows.len() / width];
        for (first, group) in &groups {
            let limit = group.iter().fold(0.0f32, |most, &q| most.max(limits[q]));
            let mut near = [0; TILE];
            let count_near = select(firsts, *first, limit, &mut near);
            let near = &near[..count_near];
            for &number in group {
                let query = &queries[number * width..][..width];
                let mut distances = [0.0; TILE];
                squared_distances(rows, near, query, &mut distances);
                for (&row, &squared_distance) in near.iter().zip(&distances) {
                    if squared_distance < limits[number] {
                        let row = tile * TILE + row;
                        let neighbour = Neighbour {
                            squared_distance,
                            row,
                        };
                        insert(&mut found[number], neighbour, count);
                        limits[number] = self::limit(&found[number], count);
                    }
                }
            }
        }
    }
}

/// Groups queries that begin with the same number: those of lanes in step have the same time.
fn groups(queries: &[f32], width: usize) -> Vec<(f32, Vec<usize>)> {
    let mut groups: Vec<(f32, Vec<usize>)> = Vec::new();
    for (number, query) in queries.chunks_exact(width).enumerate() {
        let same = |group: &&mut (f32, Vec<usize>)| group.0.to_bits() == query[0].to_bits();
        match groups.iter_mut().find(same) {
            Some((_, group)) => group.push(number),
            None => groups.push((query[0], vec![number])),
        }
    }
    groups
}

/// Lists the rows that their first number alone does not keep at a squared distance of `limit` or more; returns how many.
#[inline(always)]
fn select(firsts: &[f32], first: f32, limit: f32, near: &mut [usize; TILE]) -> usize {
    let mut count = 0;
    for (row, number) in firsts.iter().enumerate() {
        let gap = number - first;
        near[count] = row;
        // A gap that is no number leaves the row out, as the whole distance would.
        count += usize::from(gap * gap < limit);
    }
    count
}

/// Returns the squared distance that a further neighbour must stay below.
#[inline(always)]
fn limit(found: &[Neighbour], count: usize) -> f32 {
    match found.last() {
        Some(last) if found.len() == count => last.squared_distance,
        _ => f32::INFINITY,
    }
}

/// Puts a neighbour behind all that are not farther, and leaves at most `count`.
#[inline(always)]
fn insert(found: &mut Vec<Neighbour>, neighbour: Neighbour, count: usize) {
    found.truncate(count - 1);
    let mut place = found.len();
    while place > 0 && found[place - 1].squared_distance > neighbour.squared_distance {
        place -= 1;
    }
    found.insert(place, neighbour);
}

/// Writes the squared distances of the `near` rows of a tile.
///
/// The blocks of each row are summed up in memory first and each block's lanes after that: a compiler that sees both at once
/// turns rows and lanes round in the inner loop.
#[inline(always)]
fn squared_distances(rows: &[f32], near: &[usize], query: &[f32], distances: &mut [f32; TILE]) {
    let (width, query) = (query.len(), blocks(query));
    let row = |row: usize| blocks(&rows[row * width..][..width]);
    let mut sums = [[0.0; BLOCK]; TILE];
    let (groups, rest) = near.as_chunks::<4>();
    let (of_groups, of_rest) = sums.split_at_mut(groups.len() * 4);
    for (group, sums) in groups.iter().zip(of_groups.as_chunks_mut::<4>().0) {
        let [a, b, c, d] = group.map(row);
        let [mut sum_a, mut sum_b, mut sum_c, mut sum_d] = [[0.0; BLOCK]; 4];
        for ((((query, a), b), c), d) in query.iter().zip(a).zip(b).zip(c).zip(d) {
            sum_a = with_squares(sum_a, a, query);
            sum_b = with_squares(sum_b, b, query);
            sum_c = with_squares(sum_c, c, query);
            sum_d = with_squares(sum_d, d, query);
        }
        *sums = [sum_a, sum_b, sum_c, sum_d];
    }
    for (&number, sums) in rest.iter().zip(of_rest) {
        for (query, row) in query.iter().zip(row(number)) {
            *sums = with_squares(*sums, row, query);
        }
    }
    for (distance, &sums) in distances.iter_mut().zip(&sums[..near.len()]) {
        *distance = sum(sums);
    }
}

/// The blocks of a row.
#[inline(always)]
fn blocks(row: &[f32]) -> &[[f32; BLOCK]] {
    row.as_chunks().0
}

/// Adds the squares of differences to sums. By value, so that sums stay in registers.
#[inline(always)]
fn with_squares(sums: [f32; BLOCK], row: &[f32; BLOCK], query: &[f32; BLOCK]) -> [f32; BLOCK] {
    std::array::from_fn(|i| {
        let difference = row[i] - query[i];
        difference.mul_add(difference, sums[i])
    })
}

/// Sums in a fixed order, so that a row has the same distance in every tile.
#[inline(always)]
fn sum(sums: [f32; BLOCK]) -> f32 {
    let [a, b, c, d, e, f, g, h] = sums;
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}

/// Sizes of a read that is weighted by distance.
#[derive(Clone, Copy)]
pub(crate) struct DistanceSizes {
    /// Numbers of a key, d.
    pub width: usize,
    /// Neighbours of a row at most, p.
    pub neighbours: usize,
    /// Added to squared distances, δ.
    pub delta: f32,
}

/// Writes the kernels `k_i` of one row; returns their sum and `Σ k_i v_i`.
#[inline(always)]
fn kernels_of(h: &[f32], keys: &[f32], v: &[f32], delta: f32, kernels: &mut [f32]) -> (f32, f32) {
    let (mut total, mut weighted) = (0.0, 0.0);
    for ((key, v), kernel) in keys.chunks_exact(h.len()).zip(v).zip(kernels) {
        let mut squared_distance = 0.0;
        for (a, b) in h.iter().zip(key) {
            squared_distance = (a - b).mul_add(a - b, squared_distance);
        }
        *kernel = 1.0 / (squared_distance + delta);
        total += *kernel;
        weighted = kernel.mul_add(*v, weighted);
    }
    (total, weighted)
}

/// Returns `Q` `[R]` of `h`, keys and values as [`crate::Graph::distance_read`] has them.
#[multiversion(targets = "simd")]
pub(crate) fn distance_read(
    [h, keys, v]: [&[f32]; 3],
    counts: &[usize],
    sizes: DistanceSizes,
) -> Vec<f32> {
    let DistanceSizes {
        width,
        neighbours,
        delta,
    } = sizes;
    let mut kernels = vec![0.0; neighbours];
    let mut q = Vec::with_capacity(counts.len());
    for (row, &count) in counts.iter().enumerate() {
        let keys = &keys[row * neighbours * width..][..count * width];
        let v = &v[row * neighbours..][..count];
        let h = &h[row * width..][..width];
        let (total, weighted) = kernels_of(h, keys, v, delta, &mut kernels);
        q.push(if count == 0 { 0.0 } else { weighted / total });
    }
    q
}

/// Returns the gradients of `h`, keys and values: `dv_i = w_i dQ`, and with `c_i = −2 k_i² (v_i − Q) / Σ k · dQ`,
/// `dh = Σ c_i (h − h_i)` and `dh_i = −c_i (h − h_i)`.
#[multiversion(targets = "simd")]
pub(crate) fn distance_read_gradient(
    dq: &[f32],
    [h, keys, v]: [&[f32]; 3],
    counts: &[usize],
    sizes: DistanceSizes,
) -> [Vec<f32>; 3] {
    let DistanceSizes {
        width,
        neighbours,
        delta,
    } = sizes;
    let mut kernels = vec![0.0; neighbours];
    let mut dh = vec![0.0; h.len()];
    let mut d_keys = vec![0.0; keys.len()];
    let mut dv = vec![0.0; v.len()];
    for (row, &count) in counts.iter().enumerate() {
        let first = row * neighbours;
        let h = &h[row * width..][..width];
        let keys = &keys[first * width..][..count * width];
        let (total, weighted) = kernels_of(h, keys, &v[first..][..count], delta, &mut kernels);
        let q = weighted / total;
        for i in 0..count {
            let kernel = kernels[i];
            dv[first + i] = dq[row] * kernel / total;
            let factor = -2.0 * kernel * kernel * (v[first + i] - q) / total * dq[row];
            let dh = &mut dh[row * width..][..width];
            let d_key = &mut d_keys[(first + i) * width..][..width];
            for (j, key) in keys[i * width..][..width].iter().enumerate() {
                let d = factor * (h[j] - key);
                dh[j] += d;
                d_key[j] = -d;
            }
        }
    }
    [dh, d_keys, dv]
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_xoshiro::Xoshiro256PlusPlus;

    use super::*;

    fn numbers(count: usize, seed: u64) -> Vec<f32> {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        (0..count)
            .map(|_| f32::from(rng.random_range(0..4u8)))
            .collect()
    }

    /// All distances, sorted. Small whole numbers are exact, and many are equal.
    fn sorted(rows: &[f32], query: &[f32], width: usize) -> Vec<Neighbour> {
        let mut all: Vec<Neighbour> = rows
            .chunks_exact(width)
            .enumerate()
            .map(|(row, numbers)| Neighbour {
                squared_distance: numbers
                    .iter()
                    .zip(query)
                    .map(|(a, b)| (a - b).powi(2))
                    .sum(),
                row,
            })
            .collect();
        all.sort_by(|a, b| a.squared_distance.total_cmp(&b.squared_distance));
        all
    }

    #[test]
    fn it_finds_what_sorting_all_rows_finds() {
        for (width, rows) in [(8, 0), (8, 1), (16, 37), (24, 200)] {
            let (rows, queries) = (numbers(rows * width, 1), numbers(5 * width, 2));
            for count in [0, 1, 11, 50] {
                let found = nearest(&rows, &queries, width, count);
                for (found, query) in found.iter().zip(queries.chunks_exact(width)) {
                    let mut expected = sorted(&rows, query, width);
                    expected.truncate(count);
                    assert_eq!(*found, expected, "{count} of {width}");
                }
            }
        }
    }

    #[test]
    fn rows_far_away_by_their_first_number_are_left_out_and_none_else() {
        let (width, mut rows) = (8, numbers(400 * 8, 3));
        for (row, numbers) in rows.chunks_exact_mut(width).enumerate() {
            numbers[0] = (row / 20) as f32 * 3.0;
        }
        let query = &rows[217 * width..218 * width].to_vec();
        let mut expected = sorted(&rows, query, width);
        expected.truncate(30);
        assert_eq!(nearest(&rows, query, width, 30), [expected]);
    }

    #[test]
    fn what_is_no_number_is_no_neighbour() {
        let mut rows = vec![1.0; 24];
        (rows[3], rows[9]) = (f32::NAN, f32::INFINITY);
        let found = nearest(&rows, &[1.0; 8], 8, 3);
        let only = Neighbour {
            squared_distance: 0.0,
            row: 2,
        };
        assert_eq!(found, [[only]]);
    }
}
