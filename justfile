# Recipes for https://just.systems (`cargo install just`, or `pip install rust-just`); `just` lists them. Each calls a
# command that also works on its own.

# List the recipes
default:
    @just --list --unsorted

# After an edit: compile one crate and run its unit tests whose names contain FILTER
loop crate="agent" filter="":
    cargo check -p {{ crate }} --all-targets
    cargo test -p {{ crate }} --lib {{ filter }}

# Before a commit: format, imports, links, prose, features, lints and documentation, in the dev profile
check:
    cargo fmt --all --check
    scripts/check-imports
    scripts/check-links
    scripts/check-prose
    scripts/check-features
    python3 -m unittest discover --start-directory scripts/tests
    cargo clippy --workspace --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet

# Before a push: everything; with arguments the Rust tests that they choose, e.g. `just test -p agent`
test *arguments:
    scripts/test {{ arguments }}

# Format all Rust code
fmt:
    cargo fmt --all

# Check the packages that the workspace depends on: licences, duplicates, sources, advisories
dependencies:
    scripts/check-dependencies

# Open the documentation of all crates, private items included
docs:
    cargo doc --workspace --no-deps --document-private-items --open

# Write the documents that are made from code
write-documents:
    UPDATE_DOCUMENTS=1 cargo test -p agent --test documents
    UPDATE_DOCUMENTS=1 cargo test -p benchmark --test documents

# Measure the kernels and an HTTP step; docs/performance.md lists the other benchmarks
bench:
    cargo bench -p agent-nn --bench kernels
    scripts/bench-http

# Search for bytes that break a decoder, SECONDS for each target
fuzz target="all" seconds="60":
    scripts/fuzz {{ target }} {{ seconds }}
