//! The interconnect when something is wrong: peers that die, stop or cannot be reached, links that lose and delay,
//! receivers that do not read, and strangers at the door. Real processes; rows 5–11, 31 and 37 of the table of faults. And
//! what it tells of itself.

mod counters;
mod cut_links;
mod lost_peers;
mod scene;
mod settings;
mod slow_receivers;
mod strangers;
