//! No code. This crate's manifest names the features that the programs' shared dependencies have, so that a dependency is
//! built once and is the same whether one program is built or all of them.
