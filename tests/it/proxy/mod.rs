//! `countersign proxy`, the program, between clients and engines that are scripted here.

mod refusals;
mod restarts;
mod streams;
mod world;
