//! What /usr can lie on: a guest for each layout, by `cargo xtask test --fs`. A test's module has the
//! layout's name.

mod extension;
mod frozen;
mod own;
mod several;
mod shared;
mod story;
