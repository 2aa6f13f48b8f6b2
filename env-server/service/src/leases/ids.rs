//! Checks of a client's choices for a new session: its id, its lanes, its lease.

use env_protocol::{ErrorCode, Problem};

/// The form of an id, as a regular expression; [`check_id`] checks the same.
pub const ID_PATTERN: &str = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$";

/// Checks the form of an id; `code` is that of the problem.
///
/// # Errors
/// A problem with `code`.
pub fn check_id(id: &str, code: ErrorCode) -> Result<(), Problem> {
    let is_letter_or_digit = |b: u8| b.is_ascii_alphanumeric();
    let is_allowed = |b: u8| is_letter_or_digit(b) || b"._-".contains(&b);
    let is_good = id.len() <= 64
        && id.bytes().next().is_some_and(is_letter_or_digit)
        && id.bytes().all(is_allowed);
    match is_good {
        true => Ok(()),
        false => Err(Problem::new(code, format!("{id:?} cannot be an id"))),
    }
}

/// Returns the number of lanes that a body asks for.
///
/// # Errors
/// `invalid-num-envs`, when it is 0 or greater than `max`.
pub fn check_lanes(asked: u64, max: usize) -> Result<usize, Problem> {
    let lanes = usize::try_from(asked).ok();
    lanes.filter(|n| (1..=max).contains(n)).ok_or_else(|| {
        let detail = format!("num_envs must be from 1 to {max}, not {asked}");
        Problem::new(ErrorCode::InvalidNumEnvs, detail).at("/num_envs")
    })
}

/// Returns the length of the lease that a body asks for, in seconds, or the default one.
///
/// # Errors
/// `invalid-ttl`, when it is 0 or greater than `max`.
pub fn check_ttl_s(asked: Option<u64>, default: u64, max: u64) -> Result<u64, Problem> {
    match asked {
        None => Ok(default.min(max)),
        Some(ttl_s) if (1..=max).contains(&ttl_s) => Ok(ttl_s),
        Some(ttl_s) => {
            let detail = format!("ttl_s must be from 1 to {max} seconds, not {ttl_s}");
            Err(Problem::new(ErrorCode::InvalidTtl, detail).at("/ttl_s"))
        }
    }
}

/// Draws a seed of 53 bits, which every JSON library can represent.
pub fn drawn_seed() -> u64 {
    rand::random::<u64>() >> 11
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_lanes_and_leases_have_bounds() {
        let is_id = |id: &str| check_id(id, ErrorCode::InvalidEnvId).is_ok();
        for id in ["a", "0", "a.b_c-d", &"x".repeat(64)] {
            assert!(is_id(id), "{id}");
        }
        for id in ["", ".x", "-x", "a b", "ä", "a/b", &"x".repeat(65)] {
            assert!(!is_id(id), "{id}");
        }
        assert_eq!(check_lanes(4, 4), Ok(4));
        for asked in [0, 5, u64::MAX] {
            let problem = check_lanes(asked, 4).unwrap_err();
            assert_eq!(problem.errors[0].pointer, "/num_envs");
        }
        assert_eq!(check_ttl_s(None, 10, 20), Ok(10));
        assert_eq!(check_ttl_s(None, 30, 20), Ok(20));
        assert_eq!(check_ttl_s(Some(20), 10, 20), Ok(20));
        for asked in [0, 21] {
            let problem = check_ttl_s(Some(asked), 10, 20).unwrap_err();
            assert_eq!(problem.code, ErrorCode::InvalidTtl);
        }
        assert!(drawn_seed() < 1 << 53);
    }
}
