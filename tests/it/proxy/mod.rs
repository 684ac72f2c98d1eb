//! `countersign proxy`, the program, between clients and engines that are scripted here.

mod refusals;
mod streams;
mod world;
