//! Connections that run a statement again and again, each its next one as soon as it has an answer.

use super::client::Client;
use super::{Latency, Point};
use crate::cluster::Addresses;
use crate::limits::CONNECTING_MAX;
use futures::{StreamExt, TryStreamExt, stream};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// One point's work.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub point: Point,
    /// Keys that are looked up are below it.
    pub rows: u64,
    /// How long statements run before the window opens.
    pub warm_up: Duration,
    pub window: Duration,
}

/// When statements count.
#[derive(Clone, Copy)]
struct Window {
    opens: Instant,
    closes: Instant,
}

/// Of one connection.
struct Worked {
    client: Client,
    /// Of the statements that began in the window.
    times: Vec<Duration>,
    /// Statements that ended in the window.
    ended: usize,
}

impl Load {
    /// Opens all connections, lets them work at once, and closes them.
    ///
    /// # Errors
    /// The first statement that fails, or gives a wrong answer.
    pub async fn run(self, addresses: Addresses) -> Result<Latency, String> {
        let Load { point, .. } = self;
        let connecting = stream::iter(0..point.connections).map(|_| Client::connect(addresses, point));
        let clients: Vec<Client> = connecting.buffer_unordered(CONNECTING_MAX).try_collect().await?;
        let opens = Instant::now() + self.warm_up;
        let window = Window { opens, closes: opens + self.window };
        let mut working = JoinSet::new();
        for (seed, client) in (0..).zip(clients) {
            working.spawn(work(client, window, self.rows, seed));
        }
        let (mut clients, mut times, mut ended) = (vec![], vec![], 0);
        // Those that still work when one has failed end with the set.
        while let Some(worked) = working.join_next().await {
            let worked = worked.map_err(|error| error.to_string())??;
            clients.push(worked.client);
            times.extend(worked.times);
            ended += worked.ended;
        }
        let closing = stream::iter(clients).map(Client::close);
        closing.buffer_unordered(CONNECTING_MAX).try_collect::<()>().await?;
        Latency::of(times, ended, self.window)
    }
}

async fn work(mut client: Client, window: Window, rows: u64, seed: u64) -> Result<Worked, String> {
    let mut random = StdRng::seed_from_u64(seed);
    let keys = i64::try_from(rows).map_err(|error| error.to_string())?;
    let (mut times, mut ended) = (vec![], 0);
    loop {
        let key = random.random_range(0..keys);
        let began = Instant::now();
        if began >= window.closes {
            return Ok(Worked { client, times, ended });
        }
        client.run(key).await?;
        let now = Instant::now();
        if began >= window.opens {
            times.push(now - began);
        }
        if now >= window.opens && now < window.closes {
            ended += 1;
        }
    }
}
