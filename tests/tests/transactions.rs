//! Transactions of several statements: what they see of each other, and what waits.

mod anomalies;
mod flight;
mod histories;
mod locks;
