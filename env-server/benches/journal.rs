//! The cost of an append, and of reading a journal back.

use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use env_server::journal::{Durability, Journal, JournalConfig, Record};

/// Environments in the recovery bench, and records of each.
const NUM_ENVS: u64 = 10_000;
const NUM_RECORDS: u64 = 20;

fn open(dir: &Path) -> Journal {
    let config = JournalConfig::new(dir, Durability::Process);
    let journal = Journal::open(config, &mut |_, _, payload| {
        black_box(payload);
    });
    journal.unwrap().0
}

/// Runs a compaction that leaves one record, to keep the bench's disk use small.
fn compact(journal: &Journal) {
    if let Some(token) = journal.begin_compaction().unwrap() {
        journal.append(&[Record::new(1, &[0; 60])]).unwrap();
        journal.finish_compaction(token).unwrap();
    }
}

fn append(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("journal/append");
    for num_bytes in [60, 300] {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let journal = open(folder.path());
        let payload = vec![7; num_bytes];
        let mut key = 0;
        group.bench_function(format!("{num_bytes} bytes"), |bencher| {
            bencher.iter(|| {
                key = (key + 1) % 1_000;
                journal.append(&[Record::new(key, &payload)]).unwrap()
            });
            compact(&journal);
        });
    }
    group.finish();
}

fn recovery(criterion: &mut Criterion) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let journal = open(folder.path());
    for _ in 0..NUM_RECORDS {
        for key in 0..NUM_ENVS {
            journal.append(&[Record::new(key, &[7; 60])]).unwrap();
        }
    }
    drop(journal);
    let mut group = criterion.benchmark_group("journal/recovery");
    group.throughput(Throughput::Elements(NUM_ENVS * NUM_RECORDS));
    group.sample_size(20);
    group.bench_function("10,000 environments of 20 records", |bencher| {
        bencher.iter(|| open(folder.path()));
    });
    group.finish();
}

criterion_group!(benches, append, recovery);
criterion_main!(benches);
