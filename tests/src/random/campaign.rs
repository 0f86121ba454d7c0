//! Runs random queries on several targets and compares what they give.

use super::{Query, Universe, random_query, shrink};
use crate::{Answer, Target, TargetError};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::fmt::Write;
use std::time::{Duration, Instant};

/// A query that takes longer has failed.
const QUERY_TIMEOUT: Duration = Duration::from_secs(60);
/// Shrinking one failure takes no longer than this and one query.
const SHRINK_TIME: Duration = Duration::from_secs(60);
/// A campaign ends after this many failures: more say no more.
const FAILURES_MAX: usize = 5;
/// Of a hundred queries, at most so many may fail on every target alike.
const SKIPPED_PERCENT_MAX: usize = 10;

/// `$DAMSON_SEED`, or one that is the same every day.
///
/// # Panics
/// When the variable is not a number.
pub fn seed_from_env() -> u64 {
    std::env::var("DAMSON_SEED").map_or(20_241_121, |seed| seed.parse().expect("DAMSON_SEED is a number"))
}

/// How much to run.
pub struct Campaign {
    pub seed: u64,
    /// Sets of tables.
    pub universes: usize,
    /// Queries over each.
    pub queries: usize,
}

impl Campaign {
    /// Every query must give the same rows on every target; the first is the reference.
    ///
    /// # Panics
    /// With the seed and, for each mismatch, the smallest query found and a script that reproduces it.
    pub async fn run(&self, targets: &mut [Box<dyn Target>]) {
        println!("DAMSON_SEED={}", self.seed);
        let mut failures = vec![];
        let mut skipped = vec![];
        'all: for number in 0..self.universes {
            let mut rng = StdRng::seed_from_u64(self.seed.wrapping_add(number as u64));
            let universe = Universe::random(&format!("u{number}"), &mut rng);
            for target in targets.iter_mut() {
                for statement in universe.statements() {
                    let result = target.run(statement).await;
                    result.unwrap_or_else(|e| panic!("{}: {e}\n{statement:.300}", target.name()));
                }
            }
            for _ in 0..self.queries {
                let query = random_query(&universe, &mut rng);
                match compare(&query, targets).await {
                    Verdict::Same => {}
                    Verdict::AllFailed(error) => skipped.push(format!("{error}\n    {}", query.to_sql())),
                    Verdict::Different(_) => {
                        failures.push(describe(query, &universe, targets).await);
                        if failures.len() == FAILURES_MAX {
                            break 'all;
                        }
                    }
                }
            }
            for target in targets.iter_mut() {
                for table in &universe.tables {
                    let result = target.run(&format!("DROP TABLE {}", table.name)).await;
                    result.unwrap_or_else(|e| panic!("{}: {e}", target.name()));
                }
            }
        }
        let total = self.universes * self.queries;
        println!("{total} queries, {} failed on every target alike", skipped.len());
        let seed = self.seed;
        assert!(failures.is_empty(), "DAMSON_SEED={seed}: {} mismatches\n\n{}", failures.len(), failures.join("\n\n"));
        let bound = total * SKIPPED_PERCENT_MAX / 100;
        assert!(skipped.len() <= bound, "DAMSON_SEED={seed}: too many queries fail:\n{}", skipped.join("\n"));
    }
}

enum Verdict {
    Same,
    AllFailed(TargetError),
    /// What each target gave.
    Different(String),
}

async fn compare(query: &Query, targets: &mut [Box<dyn Target>]) -> Verdict {
    let sql = query.to_sql();
    let mut results = vec![];
    for target in targets.iter_mut() {
        let result = match tokio::time::timeout(QUERY_TIMEOUT, target.run(&sql)).await {
            Ok(result) => result,
            Err(_) => Err(TargetError { message: format!("no end within {QUERY_TIMEOUT:?}"), sqlstate: None }),
        };
        results.push(result);
    }
    if let Some(Err(error)) = results.first()
        && results.iter().all(Result::is_err)
    {
        return Verdict::AllFailed(error.clone());
    }
    let lines = |answer: &Answer| if query.is_ordered() { answer.lines() } else { answer.sorted_lines() };
    let rows: Vec<_> = results.iter().map(|r| r.as_ref().map(lines).map_err(ToString::to_string)).collect();
    if rows.iter().all(|r| *r == rows[0]) { Verdict::Same } else { Verdict::Different(differences(&rows)) }
}

/// What each target gave, the rows that all share left out.
fn differences(rows: &[Result<Vec<String>, String>]) -> String {
    let mut text = String::new();
    for (number, result) in rows.iter().enumerate() {
        match (result, &rows[0]) {
            (Err(error), _) => writeln!(text, "target {number}: ERROR {error}"),
            (Ok(lines), Ok(reference)) if number > 0 => {
                let missing: Vec<_> = reference.iter().filter(|l| !lines.contains(l)).take(5).collect();
                let surplus: Vec<_> = lines.iter().filter(|l| !reference.contains(l)).take(5).collect();
                writeln!(text, "target {number}: {} rows; missing {missing:?}; surplus {surplus:?}", lines.len())
            }
            (Ok(lines), _) => {
                writeln!(text, "target {number}: {} rows: {:?}", lines.len(), lines.iter().take(5).collect::<Vec<_>>())
            }
        }
        .expect("a string");
    }
    text
}

/// Shrinks a mismatch and says how to see it again.
async fn describe(query: Query, universe: &Universe, targets: &mut [Box<dyn Target>]) -> String {
    let original = query.to_sql();
    let started = Instant::now();
    let smallest = shrink(query, async |candidate: &Query| {
        started.elapsed() < SHRINK_TIME
            && targets[0].run(&candidate.to_sql()).await.is_ok()
            && matches!(compare(candidate, targets).await, Verdict::Different(_))
    })
    .await;
    let sql = smallest.to_sql();
    let Verdict::Different(what) = compare(&smallest, targets).await else {
        return format!("not the same twice: {original}");
    };
    format!("{sql}\n{what}as generated: {original}\nto reproduce:\n{}{sql};", universe.script_for(&sql))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PlainDataFusion;

    /// The generator's own test: its queries run, and do not depend on how rows are spread over threads.
    #[tokio::test(flavor = "multi_thread")]
    async fn queries_run_and_are_deterministic() {
        let mut targets: Vec<Box<dyn Target>> =
            vec![Box::new(PlainDataFusion::new()), Box::new(PlainDataFusion::with_partitions(3))];
        Campaign { seed: seed_from_env(), universes: 2, queries: 100 }.run(&mut targets).await;
    }

    #[test]
    fn the_same_seed_gives_the_same_queries() {
        let generate = || {
            let mut rng = StdRng::seed_from_u64(7);
            let universe = Universe::random("u", &mut rng);
            let queries: Vec<String> = (0..20).map(|_| random_query(&universe, &mut rng).to_sql()).collect();
            (universe.statements().map(String::from).collect::<Vec<_>>(), queries)
        };
        assert_eq!(generate(), generate());
    }
}
