//! Pointwise functions after a linear map, and their derivatives, computed from the output.

use std::ops::Range;

use multiversion::multiversion;

use super::math::{sigmoid, tanh};

/// The function applied after a linear map.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Activation {
    /// x
    Identity,
    /// tanh x
    Tanh,
    /// max(x, 0), with derivative 0 at 0
    Relu,
    /// 1 / (1 + e^-x)
    Sigmoid,
    /// ln(1 / (1 + e^-x)), computed without overflow
    LogSigmoid,
}

/// `y = activation(y)`.
#[multiversion(targets = "simd")]
pub(crate) fn activate(y: &mut [f32], activation: Activation) {
    match activation {
        Activation::Identity => {}
        Activation::Tanh => y.iter_mut().for_each(|y| *y = tanh(*y)),
        Activation::Relu => y
            .iter_mut()
            .for_each(|y| *y = if *y < 0.0 { 0.0 } else { *y }),
        Activation::Sigmoid => y.iter_mut().for_each(|y| *y = sigmoid(*y)),
        Activation::LogSigmoid => y.iter_mut().for_each(|y| *y = log_sigmoid(*y)),
    }
}

fn log_sigmoid(x: f32) -> f32 {
    x.min(0.0) - (-x.abs()).exp().ln_1p()
}

/// Turns the gradient of the output `y` into the gradient of the input, in place.
#[multiversion(targets = "simd")]
pub(crate) fn activation_gradient(dy: &mut [f32], y: &[f32], activation: Activation) {
    let pairs = dy.iter_mut().zip(y);
    match activation {
        Activation::Identity => {}
        Activation::Tanh => pairs.for_each(|(d, y)| *d *= (-y).mul_add(*y, 1.0)),
        Activation::Relu => pairs.for_each(|(d, y)| *d = if *y > 0.0 { *d } else { 0.0 }),
        Activation::Sigmoid => pairs.for_each(|(d, y)| *d *= y * (1.0 - y)),
        // The derivative 1 - σ is 1 - e^y; `exp_m1` keeps its digits where y is near 0.
        Activation::LogSigmoid => pairs.for_each(|(d, y)| *d *= -y.exp_m1()),
    }
}

/// Replaces some columns of the rows of `y` `[rows, width]` by max(y, 0).
#[multiversion(targets = "simd")]
pub(crate) fn rectify(y: &mut [f32], width: usize, columns: Range<usize>) {
    for row in y.chunks_exact_mut(width) {
        for y in &mut row[columns.clone()] {
            *y = if *y < 0.0 { 0.0 } else { *y };
        }
    }
}

/// Turns the gradient of the output `y` of [`rectify`] into the gradient of the input, in place.
#[multiversion(targets = "simd")]
pub(crate) fn rectify_gradient(dy: &mut [f32], y: &[f32], width: usize, columns: Range<usize>) {
    for (dy, y) in dy.chunks_exact_mut(width).zip(y.chunks_exact(width)) {
        for (d, y) in dy[columns.clone()].iter_mut().zip(&y[columns.clone()]) {
            *d = if *y > 0.0 { *d } else { 0.0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_slopes() {
        let cases = [
            (Activation::Identity, [-0.5, 2.0], [1.0, 1.0]),
            (
                Activation::Tanh,
                [-0.462_117_16, 0.964_027_6],
                [0.786_447_7, 0.070_650_82],
            ),
            (Activation::Relu, [0.0, 2.0], [0.0, 1.0]),
            (
                Activation::Sigmoid,
                [0.377_540_67, 0.880_797_1],
                [0.235_003_71, 0.104_993_59],
            ),
            (
                Activation::LogSigmoid,
                [-0.974_077, -0.126_928],
                [0.622_459_3, 0.119_202_92],
            ),
        ];
        for (activation, expected, slopes) in cases {
            let mut y = [-0.5, 2.0];
            activate(&mut y, activation);
            let mut d = [1.0, 1.0];
            activation_gradient(&mut d, &y, activation);
            for i in 0..2 {
                assert!((y[i] - expected[i]).abs() < 1e-6, "{activation:?} {y:?}");
                assert!((d[i] - slopes[i]).abs() < 1e-6, "{activation:?} {d:?}");
            }
        }
    }

    #[test]
    fn log_sigmoid_of_large_arguments() {
        let mut y = [-200.0, 200.0];
        activate(&mut y, Activation::LogSigmoid);
        assert_eq!(y, [-200.0, 0.0]);
    }

    #[test]
    fn relu_keeps_nan() {
        let mut y = [f32::NAN];
        activate(&mut y, Activation::Relu);
        assert!(y[0].is_nan());
    }
}
