//! The class of this machine's processor.

/// Returns the class of this machine's processor: its architecture, and those of its instruction
/// sets between which the kernels choose, such as `x86_64+avx2+fma`.
///
/// On machines of one class, equal computations have equal bits. Between classes sums are added up
/// in different orders.
pub fn cpu_class() -> String {
    let mut class = std::env::consts::ARCH.to_owned();
    for (name, is_there) in instruction_sets() {
        if is_there {
            class = class + "+" + name;
        }
    }
    class
}

#[cfg(target_arch = "x86_64")]
fn instruction_sets() -> impl Iterator<Item = (&'static str, bool)> {
    use std::arch::is_x86_feature_detected as has;
    [
        ("sse4.2", has!("sse4.2")),
        ("avx", has!("avx")),
        ("avx2", has!("avx2")),
        ("fma", has!("fma")),
        ("avx512f", has!("avx512f")),
        ("avx512bw", has!("avx512bw")),
        ("avx512dq", has!("avx512dq")),
        ("avx512vl", has!("avx512vl")),
    ]
    .into_iter()
}

#[cfg(not(target_arch = "x86_64"))]
fn instruction_sets() -> impl Iterator<Item = (&'static str, bool)> {
    std::iter::empty()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_class_begins_with_the_architecture_and_does_not_change() {
        let class = super::cpu_class();
        assert!(class.starts_with(std::env::consts::ARCH), "{class}");
        assert_eq!(class, super::cpu_class());
    }
}
