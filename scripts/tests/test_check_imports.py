"""Tests of scripts/check-imports on small crates that are written into a temporary folder."""

import tempfile
import unittest
from pathlib import Path

from loading import load

check_imports = load("check-imports")


class Crate(unittest.TestCase):
    def write(self, files):
        """Writes the files of a crate, given as path and text, and returns their folder."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        source = Path(folder.name)
        for name, text in files.items():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_text(text)
        return source

    def arrows(self, files):
        """The arrows of a crate, as a set of texts such as `a.rs -> b.rs`."""
        source = self.write(files)
        graph = check_imports.arrows(check_imports.read(source))
        return {
            f"{file.relative_to(source)} -> {goal.relative_to(source)}"
            for file, goals in graph.items()
            for goal in goals
        }

    def names(self, files):
        """The names that make the arrows of a crate."""
        graph = check_imports.arrows(check_imports.read(self.write(files)))
        return {name for goals in graph.values() for names in goals.values() for name in names}

    def failures(self, files, floors=()):
        return check_imports.failures(self.write(files), list(floors))


class Circles(Crate):
    def test_two_files_that_import_each_other_are_a_circle_with_the_names_that_make_it(self):
        found = self.failures(
            {
                "lib.rs": "mod a; mod b; mod c;",
                "a.rs": "use crate::b::B; pub struct A;",
                "b.rs": "use crate::a::A; use crate::c::C; pub struct B;",
                "c.rs": "pub struct C;",
            }
        )
        self.assertEqual(
            found,
            [
                "2 files import each other in a circle:",
                "  a.rs -> b.rs (B)",
                "  b.rs -> a.rs (A)",
            ],
        )

    def test_a_circle_may_be_longer(self):
        files = {"lib.rs": "mod a; mod b; mod c;"}
        for name, following in ("ab", "bc", "ca"):
            files[f"{name}.rs"] = f"pub fn {name}() {{ crate::{following}::{following}() }}"
        self.assertIn("3 files import each other in a circle:", self.failures(files))

    def test_one_direction_passes(self):
        files = {"lib.rs": "mod a; mod b;", "a.rs": "use crate::b::B;", "b.rs": "pub struct B;"}
        self.assertEqual(self.failures(files), [])

    def test_a_parent_that_calls_its_child_and_a_child_that_uses_its_parent_are_a_circle(self):
        files = {
            "lib.rs": "mod shop;",
            "shop/mod.rs": "mod till; pub struct Price; pub fn pay() { till::ring() }",
            "shop/till.rs": "use super::Price; pub fn ring() {}",
        }
        self.assertIn("2 files import each other in a circle:", self.failures(files))


class Resolution(Crate):
    def test_a_reexport_leads_to_the_file_that_defines_the_item(self):
        files = {
            "lib.rs": "mod memory; mod policy;",
            "memory/mod.rs": "mod state; pub use state::State as Carried; pub(crate) use self::state::build;",
            "memory/state.rs": "pub struct State; pub fn build() {}",
            "policy.rs": "use crate::memory::{Carried, build};",
        }
        self.assertEqual(self.arrows(files), {"policy.rs -> memory/state.rs"})

    def test_a_reexport_of_everything_is_searched(self):
        files = {
            "lib.rs": "mod a; mod b; mod c; pub use a::*; pub use b::*;",
            "a.rs": "pub use crate::b::*; pub struct A;",
            "b.rs": "pub use crate::a::*; pub struct B;",
            "c.rs": "use crate::{A, B};",
        }
        self.assertEqual(self.arrows(files), {"c.rs -> a.rs", "c.rs -> b.rs"})

    def test_a_public_use_is_an_arrow_only_where_the_file_uses_the_name(self):
        files = {
            "lib.rs": "mod a; mod b; mod c;",
            "a.rs": "pub use crate::c::C;",
            "b.rs": "pub(super) use crate::c::C; pub fn b(c: C) {}",
            "c.rs": "pub struct C;",
        }
        self.assertEqual(self.arrows(files), {"b.rs -> c.rs"})

    def test_a_variable_is_not_a_use_of_a_public_function(self):
        files = {
            "lib.rs": "mod a; mod b; mod c;",
            "a.rs": "pub use crate::c::part; fn f(part: u8) -> u8 { self.part(part.part) }",
            "b.rs": "pub use crate::c::part; fn f() { part(1) }",
            "c.rs": "pub fn part(n: u8) {}",
        }
        self.assertEqual(self.arrows(files), {"b.rs -> c.rs"})

    def test_importing_a_module_is_no_arrow_and_naming_through_it_is_one(self):
        files = {
            "lib.rs": "mod memory; mod policy; mod quiet;",
            "memory/mod.rs": "pub mod state; use crate::policy::Policy;",
            "memory/state.rs": "pub fn build() {}",
            "policy.rs": "use crate::memory::{self, state as carried}; pub struct Policy; fn f() { memory::state::build() }",
            "quiet.rs": "use crate::memory;",
        }
        self.assertEqual(self.arrows(files), {"policy.rs -> memory/state.rs", "memory/mod.rs -> policy.rs"})

    def test_an_import_of_all_of_the_parent_is_an_arrow_and_brings_its_modules(self):
        files = {
            "lib.rs": "mod a; mod b;",
            "a/mod.rs": "pub mod x; mod y;",
            "a/x.rs": "pub fn x() {}",
            "a/y.rs": "use super::*; fn y() { x::x() }",
            "b.rs": "pub enum Kind { One } fn f() { use Kind::*; }",
        }
        self.assertEqual(self.arrows(files), {"a/y.rs -> a/mod.rs", "a/y.rs -> a/x.rs"})

    def test_a_function_may_share_its_name_with_a_module(self):
        files = {
            "lib.rs": "mod show; mod user;",
            "show/mod.rs": "mod log_box; pub use log_box::log_box; pub mod run; pub fn run() {}",
            "show/log_box.rs": "pub fn log_box() {}",
            "show/run.rs": "pub struct Run;",
            "user.rs": "use crate::show::{log_box, run::Run}; fn f() { crate::show::run() }",
        }
        self.assertEqual(
            self.arrows(files), {"user.rs -> show/log_box.rs", "user.rs -> show/run.rs", "user.rs -> show/mod.rs"}
        )

    def test_other_crates_are_no_arrows(self):
        files = {
            "lib.rs": "pub use agent_nn as nn; mod a; pub mod serde;",
            "a.rs": "use crate::nn::Tensor; use ::serde::Deserialize; use tokio::tokio; fn f() { tokio::x(); serde::y() }",
            "serde.rs": "pub struct Deserialize;",
        }
        self.assertEqual(self.arrows(files), set())

    def test_a_name_that_a_macro_makes_belongs_to_the_module_before_it(self):
        files = {"lib.rs": "mod a; mod b;", "a.rs": "make! { Made }", "b.rs": "use crate::a::Made;"}
        self.assertEqual(self.arrows(files), {"b.rs -> a.rs"})


class Places(Crate):
    """Where an import may stand."""

    TREE = {
        "lib.rs": "mod a; mod b;",
        "b.rs": "pub struct B; impl B { pub fn new() {} } pub mod inner { pub struct I; }",
    }

    def test_inside_a_function(self):
        self.assertEqual(self.arrows({**self.TREE, "a.rs": "fn f() { use crate::b::B; }"}), {"a.rs -> b.rs"})

    def test_a_path_without_use(self):
        for text in ("fn f() -> crate::b::B {}", "fn f() { super::b::B::new() }", "impl From<crate::b::B> for u8 {}"):
            self.assertEqual(self.arrows({**self.TREE, "a.rs": text}), {"a.rs -> b.rs"}, text)

    def test_inside_an_inline_module_whose_parent_is_the_file(self):
        text = "struct Own; mod inner { use super::Own; use super::super::b::B; }"
        self.assertEqual(self.arrows({**self.TREE, "a.rs": text}), {"a.rs -> b.rs"})
        self.assertEqual(self.arrows({**self.TREE, "a.rs": "use crate::b::inner::I;"}), {"a.rs -> b.rs"})

    def test_inside_a_macro(self):
        text = "macro_rules! make { () => { $crate::b::B::new() } }"
        self.assertEqual(self.arrows({**self.TREE, "a.rs": text}), {"a.rs -> b.rs"})
        self.assertEqual(self.arrows({**self.TREE, "a.rs": "fn f() { vec![crate::b::B::new()]; }"}), {"a.rs -> b.rs"})

    def test_a_path_in_an_attribute(self):
        text = '#[serde(default = "crate::b::B::new")] struct A;'
        self.assertEqual(self.arrows({**self.TREE, "a.rs": text}), {"a.rs -> b.rs"})

    def test_not_a_visibility(self):
        files = {
            "lib.rs": "mod a;",
            "a/mod.rs": "pub mod x;",
            "a/x.rs": "pub(in crate::a) struct X; pub struct Y(pub (u8, u8));",
        }
        self.assertEqual(self.arrows(files), set())

    def test_not_comments_or_literals(self):
        for text in (
            "// crate::b::B",
            "/* crate::b::B /* nested */ crate::b::B */",
            'const S: &str = "crate::b::B // \\" crate::b::B";',
            'const S: &str = r#"a " crate::b::B"#;',
            """const Q: char = '"'; // an odd quote: " """,
            "/// [`crate::b::B`], it's \"quoted\nstruct A<'a>(&'a u8);",
        ):
            self.assertEqual(self.arrows({**self.TREE, "a.rs": text}), set(), text)

    def test_after_a_literal_of_a_quote(self):
        text = "const Q: char = '\"'; use crate::b::B; const R: char = '\"';"
        self.assertEqual(self.arrows({**self.TREE, "a.rs": text}), {"a.rs -> b.rs"})

    def test_a_raw_identifier(self):
        files = {"lib.rs": "mod r#type; mod b;", "type.rs": "pub struct T;", "b.rs": "use crate::r#type::T;"}
        self.assertEqual(self.arrows(files), {"b.rs -> type.rs"})


class Macros(Crate):
    def test_a_macro_in_scope_is_an_arrow_to_the_file_that_defines_it(self):
        files = {
            "lib.rs": "#[macro_use] mod macros; macro_rules! own { () => {} } mod a; mod b;",
            "macros.rs": "#[macro_export] macro_rules! shared { () => {} }",
            "a.rs": "fn f() { own!(); }",
            "b.rs": "fn f() { crate::shared!(); println!(); }",
        }
        self.assertEqual(self.arrows(files), {"a.rs -> lib.rs", "b.rs -> macros.rs"})

    def test_a_module_given_to_a_macro_is_used(self):
        files = {
            "lib.rs": "mod a; mod b;",
            "a.rs": "use crate::b; macro_rules! call { ($m:ident) => { $m::go() } } fn f() { call!(b) }",
            "b.rs": "pub fn go() {}",
        }
        self.assertEqual(self.arrows(files), {"a.rs -> b.rs"})


class Modules(Crate):
    def test_a_path_attribute_names_the_file(self):
        files = {
            "lib.rs": 'mod a; #[path = "odd/place.rs"] mod b;',
            "a.rs": "use crate::b::B;",
            "odd/place.rs": "pub struct B;",
        }
        self.assertEqual(self.arrows(files), {"a.rs -> odd/place.rs"})

    def test_a_module_file_next_to_its_folder(self):
        files = {"lib.rs": "mod a;", "a.rs": "mod x; struct A;", "a/x.rs": "use super::A;"}
        self.assertEqual(self.arrows(files), {"a/x.rs -> a.rs"})

    def test_a_file_of_an_inline_module(self):
        files = {"lib.rs": "mod a { pub mod x; } mod b;", "a/x.rs": "pub struct X;", "b.rs": "use crate::a::x::X;"}
        self.assertEqual(self.arrows(files), {"b.rs -> a/x.rs"})

    def test_a_program_without_a_library(self):
        self.assertEqual(
            self.arrows({"main.rs": "mod a; fn main() { a::a() }", "a.rs": "pub fn a() {}"}), {"main.rs -> a.rs"}
        )


class Tests(Crate):
    """Code for tests is left out, and only that."""

    TREE = {"lib.rs": "mod a; mod b;", "b.rs": "pub struct B;"}

    def test_left_out(self):
        for text in (
            "#[cfg(test)] mod tests { mod deeper { use crate::b::B; } fn f() { crate::b::B; } }",
            "#[cfg(test)] use crate::b::B;",
            '#[cfg(all(test, feature = "x"))] #[allow(unused)] fn f() { crate::b::B; }',
            "#[cfg(any(test, fuzzing))] pub mod fuzz { use crate::b::B; }",
            "struct A { #[cfg(test)] b: crate::b::B, c: u8 }",
            "struct A { #[cfg(test)] b: crate::b::B }",
            "#[test] fn f() { crate::b::B; }",
            "#[tokio::test(start_paused = true)] async fn f() { crate::b::B; }",
            "mod outer { #[cfg(test)] mod tests { use crate::b::B; } }",
            "#![cfg(test)] use crate::b::B;",
            "fn f() { #[cfg(test)] crate::b::B::new(1, 2); }",
        ):
            self.assertEqual(self.arrows({**self.TREE, "a.rs": text}), set(), text)

    def test_kept(self):
        for text in (
            "#[cfg(not(test))] use crate::b::B;",
            '#[cfg(any(test, feature = "x"))] use crate::b::B;',
            "#[cfg(test)] mod tests { fn f() {} } use crate::b::B;",
            "#[cfg(test)] use std::fmt; use crate::b::B;",
            "struct A { #[cfg(test)] c: u8, b: crate::b::B }",
            "#[cfg(test)] const N: [u8; 2] = [1, 2]; use crate::b::B;",
            "#[cfg_attr(test, derive(Debug))] struct A(crate::b::B);",
        ):
            self.assertEqual(self.arrows({**self.TREE, "a.rs": text}), {"a.rs -> b.rs"}, text)

    def test_a_file_of_tests_is_not_read(self):
        files = {
            "lib.rs": "mod a; mod b;",
            "a.rs": "#[cfg(test)] mod tests;",
            "a/tests.rs": "use crate::b::B;",
            "b.rs": "",
        }
        self.assertEqual(self.arrows(files), set())


class Floors(Crate):
    TREE = {
        "lib.rs": "pub mod low; pub mod high; mod run; use high::High;",
        "low.rs": "pub struct Low;",
        "high.rs": "use crate::low::Low; pub struct High;",
        "run/mod.rs": "pub mod clock; use crate::high::High;",
        "run/clock.rs": "pub struct Clock;",
    }

    def test_kept(self):
        self.assertEqual(self.failures(self.TREE, ["low, run::clock", "high", "run"]), [])

    def test_an_import_from_a_floor_above_fails(self):
        found = self.failures(self.TREE, ["high", "low", "run"])
        self.assertEqual(found, ["high.rs imports low.rs (Low) from a floor above it"])

    def test_the_longest_room_counts_in_any_order(self):
        tree = {**self.TREE, "low.rs": "use crate::run::clock::Clock; pub struct Low;"}
        self.assertEqual(self.failures(tree, ["run::clock", "low", "high", "run"]), [])
        found = self.failures(tree, ["low", "high", "run"])
        self.assertEqual(found, ["low.rs imports run/clock.rs (Clock) from a floor above it"])
        found = self.failures(tree, ["run", "low", "high, run::clock"])
        self.assertIn("low.rs imports run/clock.rs (Clock) from a floor above it", found)

    def test_a_file_on_no_floor_fails(self):
        found = self.failures(self.TREE, ["low", "high"])
        self.assertEqual(
            found,
            [
                "run/clock.rs stands on no floor; scripts/check-imports lists the floors",
                "run/mod.rs stands on no floor; scripts/check-imports lists the floors",
            ],
        )


class Project(unittest.TestCase):
    def test_the_crates_are_read(self):
        for crate in ("agent/src", "benchmark/src", "env-server/src"):
            with self.subTest(crate):
                self.assertGreater(len(check_imports.read(check_imports.ROOT / crate).files), 20)

    def test_every_room_holds_a_file(self):
        for crate, floors in check_imports.FLOORS.items():
            paths = check_imports.read(check_imports.ROOT / crate)
            for room in ", ".join(floors).split(", "):
                with self.subTest(crate=crate, room=room):
                    self.assertIn(tuple(room.split("::")), paths)


if __name__ == "__main__":
    unittest.main()
