//! Commands of the program besides `serve`.

pub mod health;
pub mod replay;
pub mod verify;
