//! Advantages: the worth of each action, from rewards and values.

/// Time-major columns of a rollout: index `t * batch + lane`, T·B long each.
pub struct AdvantageInputs<'a> {
    /// Lanes B.
    pub batch: usize,
    /// r_t: the reward of the action taken at t.
    pub rewards: &'a [f32],
    /// V(s_t).
    pub values: &'a [f32],
    /// V of the state that followed the action: V(s_{t+1}), at a truncation the value of the episode's last observation,
    /// 0 at a termination.
    pub next_values: &'a [f32],
    /// Whether the action ended its episode, by termination or truncation.
    pub ends: &'a [bool],
}

/// Generalised advantage estimation (Schulman et al. 2016, arXiv:1506.02438, eq. 16):
/// `δ_t = r_t + γ·V_next − V_t`, `A_t = δ_t + γλ·(1 − end_t)·A_{t+1}`.
pub fn gae(inputs: &AdvantageInputs<'_>, gamma: f32, lambda: f32) -> Vec<f32> {
    let rows = inputs.rewards.len();
    let mut advantages = vec![0.0; rows];
    for row in (0..rows).rev() {
        let delta = inputs.rewards[row] + gamma * inputs.next_values[row] - inputs.values[row];
        let after = row + inputs.batch;
        let carried = if inputs.ends[row] || after >= rows {
            0.0
        } else {
            gamma * lambda * advantages[after]
        };
        advantages[row] = delta + carried;
    }
    advantages
}

/// Shifts and scales to mean 0 and (population) deviation 1; constant input becomes zeros.
pub fn normalize(values: &mut [f32]) {
    let n = values.len() as f64;
    let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
    let variance = values
        .iter()
        .map(|&v| (f64::from(v) - mean).powi(2))
        .sum::<f64>()
        / n;
    let scale = 1.0 / (variance.sqrt() + 1e-8);
    for value in values {
        *value = ((f64::from(*value) - mean) * scale) as f32;
    }
}

/// The share of the returns' variance that the values explain: `1 − Var(R − V) / Var(R)`; `None` where returns do not
/// vary.
pub fn explained_variance(values: &[f32], returns: &[f32]) -> Option<f64> {
    let variance = |xs: &mut dyn Iterator<Item = f64>| {
        let (mut n, mut mean, mut m2) = (0.0, 0.0, 0.0);
        for x in xs {
            n += 1.0;
            let delta = x - mean;
            mean += delta / n;
            m2 += delta * (x - mean);
        }
        m2 / n
    };
    let of_returns = variance(&mut returns.iter().map(|&r| f64::from(r)));
    let of_errors = variance(
        &mut returns
            .iter()
            .zip(values)
            .map(|(&r, &v)| f64::from(r) - f64::from(v)),
    );
    (of_returns > 0.0).then(|| 1.0 - of_errors / of_returns)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Five steps of one lane, an end after the third. γ = 0.5, λ = 0.5; by hand, from the last step back:
    /// δ = 1 + 0.5·2 − 1 = 1 → A₄ = 1; δ₃ = 0 + 0.5·1 − 0 = 0.5 → A₃ = 0.5 + 0.25·1 = 0.75;
    /// δ₂ = 4 − 1 = 3 (end) → A₂ = 3; δ₁ = 0 + 0.5·1 − 2 = −1.5 → A₁ = −1.5 + 0.25·3 = −0.75;
    /// δ₀ = 1 + 0.5·2 − 0 = 2 → A₀ = 2 − 0.25·0.75 = 1.8125.
    #[test]
    fn gae_by_hand_with_an_end_in_the_middle() {
        let inputs = AdvantageInputs {
            batch: 1,
            rewards: &[1., 0., 4., 0., 1.],
            values: &[0., 2., 1., 0., 1.],
            next_values: &[2., 1., 0., 1., 2.],
            ends: &[false, false, true, false, false],
        };
        assert_eq!(gae(&inputs, 0.5, 0.5), [1.8125, -0.75, 3.0, 0.75, 1.0]);
    }

    #[test]
    fn lambda_one_is_the_discounted_return_less_the_value() {
        let inputs = AdvantageInputs {
            batch: 1,
            rewards: &[1., 2., 4.],
            values: &[3., 5., 7.],
            next_values: &[5., 7., 0.],
            ends: &[false, false, true],
        };
        // 1 + 0.5·2 + 0.25·4 = 3; 2 + 0.5·4 = 4; 4.
        assert_eq!(gae(&inputs, 0.5, 1.0), [0.0, -1.0, -3.0]);
    }

    #[test]
    fn lanes_do_not_mix() {
        let inputs = AdvantageInputs {
            batch: 2,
            rewards: &[0., 0., 1., 0.],
            values: &[0.; 4],
            next_values: &[0.; 4],
            ends: &[false; 4],
        };
        assert_eq!(gae(&inputs, 1.0, 1.0), [1., 0., 1., 0.]);
    }

    #[test]
    fn normalized_values_have_mean_zero_and_deviation_one() {
        let mut values = [1.0, 3.0];
        normalize(&mut values);
        assert_eq!(values, [-1.0, 1.0]);
        let mut constant = [2.0; 3];
        normalize(&mut constant);
        assert_eq!(constant, [0.0; 3]);
    }

    #[test]
    fn explained_variance_by_hand() {
        // Var(R) = 1, R − V = ±0.5 → variance 0.25.
        assert_eq!(explained_variance(&[0.5, -0.5], &[1.0, -1.0]), Some(0.75));
        assert_eq!(explained_variance(&[0.5, -0.5], &[1.0, 1.0]), None);
    }
}
