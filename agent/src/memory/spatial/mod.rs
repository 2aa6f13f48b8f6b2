//! Memories that are maps of places.

pub mod mvprop;
pub mod neural_map;
pub mod pose;
pub mod raster;
