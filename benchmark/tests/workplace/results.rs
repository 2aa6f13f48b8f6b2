//! Results of runs that must be equal.

use serde_json::Value;

use crate::workplace::Workplace;

/// Records without what may differ between two equal runs: the times, and the commit, for this repository may change during a
/// test.
pub fn results(place: &Workplace, run: &str) -> Vec<Value> {
    let mut records = place.records(run);
    for record in &mut records {
        let fields = record.as_object_mut().unwrap();
        for passing in ["finished_at", "commit"] {
            fields.remove(passing);
        }
        let result = record["result"].as_object_mut().unwrap();
        for clock in ["steps_per_s", "train_duration_s"] {
            assert!(result.remove(clock).is_some());
        }
    }
    records
}
