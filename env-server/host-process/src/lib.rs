//! Facts about this process that the standard library does not tell.
//!
//! The programs of both servers and the agent's library share them; this crate has no runtime and no
//! server.

#![cfg(unix)]

/// Whether the process ignores a signal now, as `nohup` makes it ignore SIGHUP. `signal` is the
/// signal's number.
pub fn ignores(signal: i32) -> bool {
    let mut now = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: without a new action, sigaction only writes the present one, to memory of its size.
    // All zeros are a valid action, too.
    unsafe {
        libc::sigaction(signal, std::ptr::null(), now.as_mut_ptr()) == 0
            && now.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_ignored_once_the_process_says_so() {
        assert!(!ignores(libc::SIGUSR2));
        // SAFETY: no code of this test handles or sends the signal.
        unsafe { libc::signal(libc::SIGUSR2, libc::SIG_IGN) };
        assert!(ignores(libc::SIGUSR2));
        // SAFETY: as above.
        unsafe { libc::signal(libc::SIGUSR2, libc::SIG_DFL) };
        assert!(!ignores(libc::SIGUSR2) && !ignores(-1));
    }
}
