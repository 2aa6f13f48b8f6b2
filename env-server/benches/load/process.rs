//! Memory of a process, as reported by Linux.

use std::fs;

/// Resident memory of a process.
pub struct Process(u32);

impl Process {
    pub fn new(id: u32) -> Self {
        Process(id)
    }

    /// Resets the peak, so that it covers only the time from now on.
    pub fn forget_peak(&self) {
        let path = format!("/proc/{}/clear_refs", self.0);
        fs::write(path, "5").expect("Linux");
    }

    /// Returns the peak since [`Self::forget_peak`], in MB.
    pub fn peak_mb(&self) -> f64 {
        self.mb("VmHWM:")
    }

    /// Returns the present size in MB.
    pub fn resident_mb(&self) -> f64 {
        self.mb("VmRSS:")
    }

    fn mb(&self, name: &str) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0)).expect("Linux");
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|line| line.split_whitespace().next());
        let kib: f64 = kib.expect("a size").parse().expect("a number");
        kib * 1024.0 / 1e6
    }
}
