//! What may go better next time, and how long to wait for it.

use crate::limits::{BACKUP_RETRY_FIRST, BACKUP_RETRY_FOR, BACKUP_RETRY_LONGEST, LOOK_RETRY_FOR};
use crate::object_clients::{is_redirected, is_refused, lacks_credentials, told};
use object_store::{Error, Result};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// How often a place is asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RetryPolicy {
    first: Duration,
    longest: Duration,
    /// From an operation's begin. Zero: it is asked once.
    give_up_after: Duration,
    /// The same where nobody listens.
    give_up_refused_after: Duration,
}

impl RetryPolicy {
    /// Of buckets, over a network.
    pub(crate) const BUCKET: RetryPolicy = RetryPolicy {
        first: BACKUP_RETRY_FIRST,
        longest: BACKUP_RETRY_LONGEST,
        give_up_after: BACKUP_RETRY_FOR,
        give_up_refused_after: BACKUP_RETRY_FOR,
    };
    /// Of buckets, before anything was done: where nobody listens, the user may have named another place than was meant.
    pub(crate) const LOOK: RetryPolicy = RetryPolicy { give_up_refused_after: LOOK_RETRY_FOR, ..RetryPolicy::BUCKET };
    /// Of disks: what a disk has refused to write or read is an error, and not to be tried until it seems to work.
    pub(crate) const DISK: RetryPolicy = RetryPolicy {
        first: Duration::ZERO,
        longest: Duration::ZERO,
        give_up_after: Duration::ZERO,
        give_up_refused_after: Duration::ZERO,
    };

    /// Of buckets in memory, which are not waited for.
    #[cfg(test)]
    pub(crate) const TEST: RetryPolicy = RetryPolicy {
        first: Duration::from_millis(1),
        longest: Duration::from_millis(16),
        give_up_after: Duration::from_secs(10),
        give_up_refused_after: Duration::from_secs(10),
    };

    /// For one operation, of which `what` is the object.
    pub(crate) fn begin(self, what: &str) -> Patience {
        Patience { policy: self, began: Instant::now(), pause: self.first, seed: xxh3_64_with_seed(what.as_bytes(), 0) }
    }

    /// Asks again and again, until there is an answer that will not change.
    pub(crate) async fn retry<T, F>(self, what: &str, ask: impl FnMut() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        self.retry_until(&CancellationToken::new(), what, ask).await
    }

    /// As [`RetryPolicy::retry`], until `ended`: what is asked then is answered, and not asked again.
    pub(crate) async fn retry_until<T, F>(
        self,
        ended: &CancellationToken,
        what: &str,
        mut ask: impl FnMut() -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let mut patience = self.begin(what);
        loop {
            match ask().await {
                Err(error) if is_transient(&error) => {
                    let again = ended.run_until_cancelled(patience.wait(&error)).await;
                    if again != Some(true) {
                        return Err(error);
                    }
                }
                answer => return answer,
            }
        }
    }
}

/// What is left of the time of one operation.
#[derive(Debug)]
pub(crate) struct Patience {
    policy: RetryPolicy,
    began: Instant,
    pause: Duration,
    seed: u64,
}

impl Patience {
    /// Waits a while, longer each time; false, at once, when the time is over.
    pub(crate) async fn wait(&mut self, error: &Error) -> bool {
        let pause = self.part_of(self.pause);
        let RetryPolicy { give_up_after, give_up_refused_after, .. } = self.policy;
        let give_up_after = if is_refused(error) { give_up_refused_after } else { give_up_after };
        if self.began.elapsed() + pause > give_up_after || give_up_after.is_zero() {
            return false;
        }
        tracing::info!(error = told(error), pause_ms = pause.as_millis() as u64, "a place refused; trying again");
        sleep(pause).await;
        self.pause = (self.pause * 2).min(self.policy.longest);
        true
    }

    /// Half of it to all of it, other for each object and each time: all that were refused together must not come again together.
    fn part_of(&mut self, pause: Duration) -> Duration {
        self.seed = xxh3_64_with_seed(&self.seed.to_le_bytes(), self.seed);
        let half = pause / 2;
        half + half.mul_f64((self.seed >> 32) as f64 / f64::from(u32::MAX))
    }
}

/// Whether the same request may be answered otherwise: the network, or a server that is busy.
pub(crate) fn is_transient(error: &Error) -> bool {
    match error {
        // Whatever it says.
        error if lacks_credentials(error) || is_redirected(error) => false,
        // What is begun anew after a lasting answer.
        Error::Generic { store: BEGUN_ANEW, .. } | Error::JoinError { .. } => true,
        Error::Generic { .. } => {
            !status_of(error).is_some_and(|status| (300..500).contains(&status) && !is_busy(status))
        }
        _ => false,
    }
}

/// The store of an error that says that another attempt may do, whatever the answer to this one was.
pub(crate) const BEGUN_ANEW: &str = "backup";

/// An answer that ended early: it may be whole next time.
pub(crate) fn cut(bytes: u64, wanted: u64) -> Error {
    Error::Generic { store: "bucket", source: format!("{bytes} bytes of {wanted} came").into() }
}

/// Request timeout, too many requests.
fn is_busy(status: u16) -> bool {
    matches!(status, 408 | 429)
}

/// The HTTP status of an answer that the client has no name for. It tells it in its text alone.
pub(crate) fn status_of(error: &Error) -> Option<u16> {
    let text = error.to_string();
    let (_, status) = text.split_once("non-2xx status code: ")?;
    status.get(..3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn busy() -> Error {
        Error::Generic { store: "test", source: "503".into() }
    }

    fn absent() -> Error {
        Error::NotFound { path: "x".into(), source: "404".into() }
    }

    #[tokio::test]
    async fn what_is_busy_is_asked_again_until_the_time_is_over() {
        let (began, mut asked) = (Instant::now(), 0);
        let policy = RetryPolicy { give_up_after: Duration::from_millis(300), ..RetryPolicy::TEST };
        let answer = policy.retry("x", || {
            asked += 1;
            async { Err::<(), _>(busy()) }
        });
        assert!(matches!(answer.await, Err(Error::Generic { .. })));
        assert!(began.elapsed() >= policy.give_up_after - policy.longest);
        // 1 + 2 + 4 + 8 + 16 + 16 + … at the most, half of it at the least; a slow machine asks less often.
        assert!((2..=50).contains(&asked), "{asked}");
    }

    #[tokio::test]
    async fn a_place_where_nobody_listens_is_not_waited_for_as_long() {
        let refused = || Error::Generic {
            store: "test",
            source: Box::new(std::io::Error::from(std::io::ErrorKind::ConnectionRefused)),
        };
        let policy = RetryPolicy { give_up_refused_after: Duration::from_millis(100), ..RetryPolicy::TEST };
        let mut patience = policy.begin("x");
        while patience.wait(&refused()).await {}
        assert!(patience.began.elapsed() < policy.give_up_after);
        assert!(patience.wait(&busy()).await, "what is busy is waited for");
    }

    #[tokio::test]
    async fn the_first_good_answer_counts() {
        let mut asked = 0;
        let answer = RetryPolicy::TEST.retry("x", || {
            asked += 1;
            let time = asked;
            async move { if time < 4 { Err(busy()) } else { Ok(time) } }
        });
        assert_eq!(answer.await.unwrap(), 4);
    }

    #[tokio::test]
    async fn a_lasting_refusal_is_told_at_once() {
        for (policy, refusal) in [(RetryPolicy::BUCKET, absent as fn() -> Error), (RetryPolicy::DISK, busy)] {
            let mut asked = 0;
            let answer = policy.retry("x", || {
                asked += 1;
                async move { Err::<(), _>(refusal()) }
            });
            assert!(answer.await.is_err());
            assert_eq!(asked, 1);
        }
    }

    #[test]
    fn answers_that_last_and_that_do_not() {
        let answer = |status: &str| Error::Generic {
            store: "S3",
            source: format!("Server returned non-2xx status code: {status}: <Error>").into(),
        };
        for (status, transient) in
            [("404 Not Found", false), ("400 Bad Request", false), ("429 Too Many Requests", true), ("503", true)]
        {
            assert_eq!(is_transient(&answer(status)), transient, "{status}");
        }
        assert!(is_transient(&busy()) && !is_transient(&absent()));
        let role = "Error performing GET http://169.254.169.254/latest/meta-data/iam/security-credentials/ - 503";
        assert!(!is_transient(&Error::Generic { store: "S3", source: role.into() }));
        let anew = Error::Generic { store: BEGUN_ANEW, source: Box::new(answer("404 Not Found")) };
        assert!(is_transient(&anew));
    }

    #[test]
    fn pauses_differ() {
        let pause = Duration::from_secs(4);
        let mut pauses: Vec<Duration> = vec![];
        for name in ["a", "b"] {
            let mut patience = RetryPolicy::BUCKET.begin(name);
            pauses.extend([patience.part_of(pause), patience.part_of(pause)]);
        }
        assert!(pauses.iter().all(|part| (pause / 2..=pause).contains(part)), "{pauses:?}");
        pauses.sort();
        pauses.dedup();
        assert_eq!(pauses.len(), 4);
    }
}
