//! Makes a failing query smaller.

use super::Query;

/// Leaves parts out one at a time while `still_fails` says that what remains shows the same failure.
pub async fn shrink<F>(query: Query, mut still_fails: F) -> Query
where
    F: AsyncFnMut(&Query) -> bool,
{
    let mut smallest = query;
    'again: loop {
        for candidate in smallest.reductions() {
            if still_fails(&candidate).await {
                smallest = candidate;
                continue 'again;
            }
        }
        return smallest;
    }
}
