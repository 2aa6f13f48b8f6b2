//! Comparison with other programs. Their results lie in `agent/tests/parity`; weights and inputs are waves, which scripts in
//! `scripts/parity` and this module compute alike.

use serde_json::Value;

use crate::nn::Params;

/// Reads a file of results.
pub fn reference(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Sets every parameter to a wave with the phase of its name, given without `core.`.
pub fn fill(params: &mut Params, phase: impl Fn(&str) -> f64) {
    for id in params.ids() {
        let phase = phase(params.name(id).strip_prefix("core.").unwrap());
        for (i, weight) in params.data_mut(id).iter_mut().enumerate() {
            *weight = (0.6 * (1.7 * i as f64 + 0.9 * phase).sin()) as f32;
        }
    }
}

/// Returns the inputs of a step, `[lanes, columns]`.
pub fn inputs(step: usize, lanes: usize, columns: usize) -> Vec<f32> {
    let angle =
        |lane: usize, column: usize| 0.8 * step as f64 + 1.3 * lane as f64 + 2.1 * column as f64;
    (0..lanes)
        .flat_map(|lane| (0..columns).map(move |column| angle(lane, column).cos() as f32))
        .collect()
}

/// Compares features of a step with the reference's.
pub fn assert_close(found: &[f32], reference: &Value, step: usize) {
    let expected = reference["features"][step].as_array().unwrap();
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        let difference = f64::from(*found) - expected.as_f64().unwrap();
        assert!(
            difference.abs() < 2e-6,
            "step {step}: {found}, not {expected}"
        );
    }
}
