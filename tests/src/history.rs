//! Histories of list appends by concurrent clients, and what they say about isolation, as Elle does it (Kingsbury and Alvaro, "Elle:
//! Inferring Isolation Anomalies from Experimental Observations", VLDB 2020).

mod check;
mod lists;
mod processes;
mod takeover;

pub use check::{ClientOrder, End, Level, Op, Transaction, check};
pub use processes::ProcessCampaign;
pub use takeover::take_over;

use crate::{Damson, TestCluster};
use futures::future::join_all;
use lists::{KEYS, Lists, RETRIED};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

const LISTS: Lists = Lists { tables: "l" };

/// One run in this process.
pub struct Campaign {
    pub seed: u64,
    pub clients: usize,
    /// Of each client.
    pub transactions: usize,
    pub level: Level,
}

impl Campaign {
    /// # Panics
    /// With the seed and what was seen, when the level forbids it.
    pub async fn run(&self, cluster: &TestCluster) {
        let session = cluster.session();
        for sql in LISTS.create() {
            session.execute(&sql).await.unwrap();
        }
        let next = Arc::new(AtomicU32::new(1));
        let clients = (0..self.clients).map(|client| {
            let rng = StdRng::seed_from_u64(self.seed.wrapping_add(client as u64));
            self.client(client, cluster.session(), rng, Arc::clone(&next))
        });
        let is_done = AtomicBool::new(false);
        let compacting = async {
            while !is_done.load(Ordering::Relaxed) {
                session.execute("VACUUM").await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        let clients = async {
            let histories = join_all(clients).await;
            is_done.store(true, Ordering::Relaxed);
            histories
        };
        let (histories, ()) = futures::join!(clients, compacting);
        let history: Vec<Transaction> = histories.into_iter().flatten().collect();
        let mut lists = vec![];
        for key in 0..KEYS {
            lists.push(read(&session, key).await.unwrap_or_else(|e| panic!("{e:?}")));
        }
        let committed = history.iter().filter(|transaction| transaction.end == End::Committed).count();
        assert!(committed * 4 > history.len(), "too few transactions committed: {committed} of {}", history.len());
        if let Err(anomaly) = check(self.level, ClientOrder::All, &history, &lists) {
            panic!("seed {}, {:?}: {anomaly}", self.seed, self.level);
        }
    }

    async fn client(&self, client: usize, session: Damson, mut rng: StdRng, next: Arc<AtomicU32>) -> Vec<Transaction> {
        let mut history = vec![];
        for _ in 0..self.transactions {
            let level = self.level.name();
            session.execute(&format!("BEGIN ISOLATION LEVEL {level}")).await.unwrap();
            let mut ops = vec![];
            let mut outcome = Ok(());
            for _ in 0..rng.random_range(1..=4) {
                let key = rng.random_range(0..KEYS);
                let op = if rng.random_bool(0.5) {
                    let element = next.fetch_add(1, Ordering::Relaxed);
                    append(&session, key, element).await.map(|()| Op::Append { key, element })
                } else {
                    read(&session, key).await.map(|list| Op::Read { key, list })
                };
                match op {
                    Ok(op) => ops.push(op),
                    Err(error) => {
                        outcome = Err(error);
                        break;
                    }
                }
            }
            let gives_up = rng.random_bool(0.1);
            let committed = outcome.is_ok() && !gives_up;
            let end = session.execute(if committed { "COMMIT" } else { "ROLLBACK" }).await.map(|_| ());
            let end = end.map_err(|error| (error.state.0.to_owned(), error.to_string()));
            let committed = committed && end.is_ok();
            for (state, message) in [outcome, end].into_iter().filter_map(Result::err) {
                assert!(RETRIED.contains(&state.as_str()), "client {client}: {message}");
            }
            history.push(Transaction { client, ops, end: if committed { End::Committed } else { End::Aborted } });
        }
        history
    }
}

type Failure = (String, String);

async fn append(session: &Damson, key: usize, element: u32) -> Result<(), Failure> {
    let done = session.execute(&LISTS.append(key, element)).await;
    done.map(|_| ()).map_err(|error| (error.state.0.to_owned(), error.to_string()))
}

async fn read(session: &Damson, key: usize) -> Result<Vec<u32>, Failure> {
    let answer = session.execute(&LISTS.read(key)).await;
    let lines = answer.map_err(|error| (error.state.0.to_owned(), error.to_string()))?.lines();
    assert_eq!(lines.len(), 1, "one row a list");
    Ok(lists::parse(&lines[0]))
}
