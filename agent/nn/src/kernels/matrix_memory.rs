//! A matrix memory over a time-major sequence with resets. Sequences are run one after another, so that a matrix stays in
//! the first-level cache from its first step to its last.

use multiversion::multiversion;

use super::math::tanh;

/// Numbers of a register. Rows of a matrix are filled up with zeros to whole registers, which no operation changes.
const LANES: usize = 16;
type Register = [f32; LANES];

/// Steps from one matrix that the forward pass keeps to the next. The backward pass computes those between them again.
const BLOCK: usize = 16;

/// Bound of the numbers of a matrix of [`Calibration::Hadamard`], whose factors can exceed 1 step after step.
pub const LIMIT: f32 = 100.0;

/// How the numbers of a matrix are multiplied before a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Calibration {
    /// By `1 + tanh(left right)`, in (0, 2); numbers stay within ±[`LIMIT`](crate::MATRIX_LIMIT).
    Hadamard,
    /// By `1 − left right`.
    Outer,
}

/// The inputs of all rows: `left` and `value` `[rows, values]`, `right`, `key` and `query` `[rows, keys]`.
#[derive(Clone, Copy)]
pub(crate) struct Inputs<'a> {
    pub left: &'a [f32],
    pub right: &'a [f32],
    pub value: &'a [f32],
    pub key: &'a [f32],
    pub query: &'a [f32],
}

/// Gradients of [`Inputs`], in their shapes.
pub(crate) struct InputGradients {
    pub left: Vec<f32>,
    pub right: Vec<f32>,
    pub value: Vec<f32>,
    pub key: Vec<f32>,
    pub query: Vec<f32>,
}

/// Sequences and the shape of a matrix.
#[derive(Clone, Copy)]
pub(crate) struct Shape<'a> {
    /// `[rows]`: rows before which the matrix is zeroed.
    pub starts: &'a [bool],
    pub batch: usize,
    /// Rows of a matrix.
    pub values: usize,
    /// Columns of a matrix.
    pub keys: usize,
}

impl Shape<'_> {
    fn steps(&self) -> usize {
        self.starts.len() / self.batch
    }

    /// Registers of a row of a matrix.
    fn width(&self) -> usize {
        self.keys.div_ceil(LANES)
    }

    /// Registers of a matrix.
    fn size(&self) -> usize {
        self.values * self.width()
    }
}

/// Matrices before every [`BLOCK`]th step, sequence by sequence.
pub(crate) struct Kept(Vec<Register>);

impl Kept {
    pub fn new() -> Self {
        Self(Vec::new())
    }

    /// The matrix before the steps of block `block` of sequence `lane`.
    fn before(&self, lane: usize, block: usize, shape: Shape<'_>) -> &[Register] {
        let number = lane * shape.steps().div_ceil(BLOCK) + block;
        &self.0[number * shape.size()..][..shape.size()]
    }
}

/// One row's numbers over the columns of a matrix, in whole registers.
struct Columns {
    right: Vec<Register>,
    key: Vec<Register>,
    query: Vec<Register>,
}

impl Columns {
    fn new(shape: Shape<'_>) -> Self {
        let zeros = || vec![[0.0; LANES]; shape.width()];
        Self {
            right: zeros(),
            key: zeros(),
            query: zeros(),
        }
    }

    #[inline(always)]
    fn load(&mut self, inputs: Inputs<'_>, row: usize, keys: usize) {
        let fill = |to: &mut [Register], from: &[f32]| {
            to.as_flattened_mut()[..keys].copy_from_slice(&from[row * keys..][..keys]);
        };
        fill(&mut self.right, inputs.right);
        fill(&mut self.key, inputs.key);
        fill(&mut self.query, inputs.query);
    }
}

#[inline(always)]
fn load(matrix: &mut [Register], numbers: &[f32], shape: Shape<'_>) {
    let rows = matrix.chunks_exact_mut(shape.width());
    for (row, numbers) in rows.zip(numbers.chunks_exact(shape.keys)) {
        row.as_flattened_mut()[..shape.keys].copy_from_slice(numbers);
    }
}

#[inline(always)]
fn store(numbers: &mut [f32], matrix: &[Register], shape: Shape<'_>) {
    let rows = matrix.chunks_exact(shape.width());
    for (row, numbers) in rows.zip(numbers.chunks_exact_mut(shape.keys)) {
        numbers.copy_from_slice(&row.as_flattened()[..shape.keys]);
    }
}

/// The factors of a register.
#[inline(always)]
fn factors<const HADAMARD: bool>(left: f32, right: Register) -> Register {
    let mut factors = [0.0; LANES];
    for lane in 0..LANES {
        let product = left * right[lane];
        factors[lane] = if HADAMARD {
            1.0 + tanh(product)
        } else {
            1.0 - product
        };
    }
    factors
}

/// `m factors + value key`.
#[inline(always)]
fn written<const HADAMARD: bool>(
    m: Register,
    factors: Register,
    value: f32,
    key: Register,
) -> Register {
    let mut after = [0.0; LANES];
    for lane in 0..LANES {
        after[lane] = m[lane].mul_add(factors[lane], value * key[lane]);
        if HADAMARD {
            after[lane] = after[lane].clamp(-LIMIT, LIMIT);
        }
    }
    after
}

/// `M' = M ⊙ C + v kᵀ`, `y = M' q`, for every sequence: writes `y` `[rows, values]`. `states` `[batch, values * keys]` holds
/// the matrices before the first step, then those after the last. Fills `kept` for the backward pass.
#[multiversion(targets = "simd")]
pub(crate) fn matrix_memory(
    y: &mut [f32],
    states: &mut [f32],
    kept: Option<&mut Kept>,
    inputs: Inputs<'_>,
    shape: Shape<'_>,
    calibration: Calibration,
) {
    match calibration {
        Calibration::Hadamard => run::<true>(y, states, kept, inputs, shape),
        Calibration::Outer => run::<false>(y, states, kept, inputs, shape),
    }
}

#[inline(always)]
fn run<const HADAMARD: bool>(
    y: &mut [f32],
    states: &mut [f32],
    mut kept: Option<&mut Kept>,
    inputs: Inputs<'_>,
    shape: Shape<'_>,
) {
    let Shape { values, keys, .. } = shape;
    let mut m = vec![[0.0; LANES]; shape.size()];
    let mut columns = Columns::new(shape);
    for (lane, state) in states.chunks_exact_mut(values * keys).enumerate() {
        load(&mut m, state, shape);
        for step in 0..shape.steps() {
            let row = step * shape.batch + lane;
            if let Some(kept) = &mut kept
                && step % BLOCK == 0
            {
                kept.0.extend_from_slice(&m);
            }
            if shape.starts[row] {
                m.fill([0.0; LANES]);
            }
            columns.load(inputs, row, keys);
            let left = &inputs.left[row * values..][..values];
            let value = &inputs.value[row * values..][..values];
            let y = &mut y[row * values..][..values];
            let width = shape.width();
            for i in 0..values {
                let m = &mut m[i * width..][..width];
                let mut sums = [0.0; LANES];
                for (j, m) in m.iter_mut().enumerate() {
                    let by = factors::<HADAMARD>(left[i], columns.right[j]);
                    let after = written::<HADAMARD>(*m, by, value[i], columns.key[j]);
                    for lane in 0..LANES {
                        sums[lane] = after[lane].mul_add(columns.query[j][lane], sums[lane]);
                    }
                    *m = after;
                }
                y[i] = total(sums);
            }
        }
        store(state, &m, shape);
    }
}

#[inline(always)]
fn total(sums: Register) -> f32 {
    let mut sums = sums;
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
        width /= 2;
    }
    sums[0]
}

/// The matrices of a block of steps, and the factors that led from one to the next.
struct Block {
    /// Before the first step, then after each.
    matrices: Vec<Register>,
    factors: Vec<Register>,
    zeros: Vec<Register>,
}

impl Block {
    fn new(shape: Shape<'_>) -> Self {
        let zeros = |matrices: usize| vec![[0.0; LANES]; matrices * shape.size()];
        Self {
            matrices: zeros(BLOCK + 1),
            factors: zeros(BLOCK),
            zeros: zeros(1),
        }
    }

    /// Computes the steps `first..end` of a sequence again.
    #[inline(always)]
    fn fill<const HADAMARD: bool>(
        &mut self,
        (lane, first, end): (usize, usize, usize),
        columns: &mut Columns,
        inputs: Inputs<'_>,
        shape: Shape<'_>,
    ) {
        let (values, width, size) = (shape.values, shape.width(), shape.size());
        for step in 0..end - first {
            let row = (first + step) * shape.batch + lane;
            columns.load(inputs, row, shape.keys);
            let (past, now) = self.matrices.split_at_mut((step + 1) * size);
            let before = match shape.starts[row] {
                true => &self.zeros[..],
                false => &past[step * size..],
            };
            let after = &mut now[..size];
            let factors_of_step = &mut self.factors[step * size..][..size];
            for i in 0..values {
                let (left, value) = (
                    inputs.left[row * values + i],
                    inputs.value[row * values + i],
                );
                let range = i * width..(i + 1) * width;
                let (before, after) = (&before[range.clone()], &mut after[range.clone()]);
                let by = &mut factors_of_step[range];
                for j in 0..width {
                    by[j] = factors::<HADAMARD>(left, columns.right[j]);
                    after[j] = written::<HADAMARD>(before[j], by[j], value, columns.key[j]);
                }
            }
        }
    }
}

/// Backward pass of [`matrix_memory`]: returns the gradients of its inputs. `dy` `[rows, values]` holds the gradient of y.
#[multiversion(targets = "simd")]
pub(crate) fn matrix_memory_gradient(
    dy: &[f32],
    kept: &Kept,
    inputs: Inputs<'_>,
    shape: Shape<'_>,
    calibration: Calibration,
) -> InputGradients {
    match calibration {
        Calibration::Hadamard => run_back::<true>(dy, kept, inputs, shape),
        Calibration::Outer => run_back::<false>(dy, kept, inputs, shape),
    }
}

#[inline(always)]
fn run_back<const HADAMARD: bool>(
    dy: &[f32],
    kept: &Kept,
    inputs: Inputs<'_>,
    shape: Shape<'_>,
) -> InputGradients {
    let mut d = InputGradients {
        left: vec![0.0; inputs.left.len()],
        right: vec![0.0; inputs.right.len()],
        value: vec![0.0; inputs.value.len()],
        key: vec![0.0; inputs.key.len()],
        query: vec![0.0; inputs.query.len()],
    };
    let (steps, size) = (shape.steps(), shape.size());
    let mut block = Block::new(shape);
    let (mut columns, mut d_columns) = (Columns::new(shape), Columns::new(shape));
    let mut d_m = vec![[0.0; LANES]; size];
    for lane in 0..shape.batch {
        d_m.fill([0.0; LANES]);
        for number in (0..steps.div_ceil(BLOCK)).rev() {
            let (first, end) = (number * BLOCK, steps.min((number + 1) * BLOCK));
            block.matrices[..size].copy_from_slice(kept.before(lane, number, shape));
            block.fill::<HADAMARD>((lane, first, end), &mut columns, inputs, shape);
            for step in (0..end - first).rev() {
                let row = (first + step) * shape.batch + lane;
                let starts = shape.starts[row];
                columns.load(inputs, row, shape.keys);
                let before = match starts {
                    true => &block.zeros[..],
                    false => &block.matrices[step * size..][..size],
                };
                let passage = Passage {
                    before,
                    after: &block.matrices[(step + 1) * size..][..size],
                    factors: &block.factors[step * size..][..size],
                };
                back::<HADAMARD>(
                    (&mut d, &mut d_columns, &mut d_m),
                    (dy, row),
                    &passage,
                    (inputs, &columns),
                    shape,
                );
                if starts {
                    d_m.fill([0.0; LANES]);
                }
            }
        }
    }
    d
}

/// One step's matrices and the factors between them.
struct Passage<'a> {
    before: &'a [Register],
    after: &'a [Register],
    factors: &'a [Register],
}

/// Goes back one step: from the gradient of the matrix after it to that of the matrix before it, in `d_m`.
#[inline(always)]
fn back<const HADAMARD: bool>(
    (d, d_columns, d_m): (&mut InputGradients, &mut Columns, &mut [Register]),
    (dy, row): (&[f32], usize),
    passage: &Passage<'_>,
    (inputs, columns): (Inputs<'_>, &Columns),
    shape: Shape<'_>,
) {
    let (values, keys, width) = (shape.values, shape.keys, shape.width());
    d_columns.right.fill([0.0; LANES]);
    d_columns.key.fill([0.0; LANES]);
    d_columns.query.fill([0.0; LANES]);
    for i in 0..values {
        let at = row * values + i;
        let (left, value, dy) = (inputs.left[at], inputs.value[at], dy[at]);
        let (mut d_left, mut d_value) = ([0.0; LANES], [0.0; LANES]);
        for j in 0..width {
            let cell = i * width + j;
            let (before, after) = (passage.before[cell], passage.after[cell]);
            let by = passage.factors[cell];
            let (right, key, query) = (columns.right[j], columns.key[j], columns.query[j]);
            let mut d_cell = d_m[cell];
            let (mut d_right, mut d_key) = (d_columns.right[j], d_columns.key[j]);
            let mut d_query = d_columns.query[j];
            for lane in 0..LANES {
                let mut dm = dy.mul_add(query[lane], d_cell[lane]);
                d_query[lane] = dy.mul_add(after[lane], d_query[lane]);
                let mut slope = -1.0;
                if HADAMARD {
                    dm = if after[lane].abs() < LIMIT { dm } else { 0.0 };
                    let tanh = by[lane] - 1.0;
                    slope = tanh.mul_add(-tanh, 1.0);
                }
                d_value[lane] = dm.mul_add(key[lane], d_value[lane]);
                d_key[lane] = dm.mul_add(value, d_key[lane]);
                let d_product = dm * before[lane] * slope;
                d_left[lane] = d_product.mul_add(right[lane], d_left[lane]);
                d_right[lane] = d_product.mul_add(left, d_right[lane]);
                d_cell[lane] = dm * by[lane];
            }
            d_m[cell] = d_cell;
            d_columns.right[j] = d_right;
            d_columns.key[j] = d_key;
            d_columns.query[j] = d_query;
        }
        d.left[at] = total(d_left);
        d.value[at] = total(d_value);
    }
    let give = |to: &mut [f32], from: &[Register]| {
        to[row * keys..][..keys].copy_from_slice(&from.as_flattened()[..keys]);
    };
    give(&mut d.right, &d_columns.right);
    give(&mut d.key, &d_columns.key);
    give(&mut d.query, &d_columns.query);
}

/// Divides rows of numbers by their last number, or by `floor` where that is less: `y` has a column less than `x`.
#[multiversion(targets = "simd")]
pub(crate) fn divide_by_last(y: &mut [f32], x: &[f32], columns: usize, floor: f32) {
    for (y, x) in y.chunks_exact_mut(columns - 1).zip(x.chunks_exact(columns)) {
        let factor = 1.0 / x[columns - 1].max(floor);
        for j in 0..columns - 1 {
            y[j] = x[j] * factor;
        }
    }
}

/// Backward pass of [`divide_by_last`]: writes `dx`.
#[multiversion(targets = "simd")]
pub(crate) fn divide_by_last_gradient(
    dx: &mut [f32],
    dy: &[f32],
    x: &[f32],
    columns: usize,
    floor: f32,
) {
    let rows = dx.chunks_exact_mut(columns).zip(x.chunks_exact(columns));
    for ((dx, x), dy) in rows.zip(dy.chunks_exact(columns - 1)) {
        let divisor = x[columns - 1];
        let factor = 1.0 / divisor.max(floor);
        let mut sum = 0.0;
        for j in 0..columns - 1 {
            dx[j] = dy[j] * factor;
            sum = dx[j].mul_add(x[j], sum);
        }
        dx[columns - 1] = if divisor > floor { -sum * factor } else { 0.0 };
    }
}
