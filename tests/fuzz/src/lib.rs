// SPDX-License-Identifier: GPL-2.0
//! What the fuzzer and the other campaigns share: layers on disk, system calls, snapshots of trees,
//! random cases, and the comparison of the two modules.

pub mod accepted;
pub mod case;
pub mod damage;
pub mod execute;
pub mod generate;
pub mod hostile;
pub mod kmsg;
pub mod layers;
pub mod rng;
pub mod runner;
pub mod shrink;
pub mod snapshot;
pub mod sys;
