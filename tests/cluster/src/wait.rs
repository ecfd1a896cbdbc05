//! Waiting for something to become true, with a limit and a last word on why it did not.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

/// Tries until an attempt succeeds, and gives its value.
///
/// An attempt says by its error what is still missing. That of the last one is in the error of the
/// whole, so a failure shows the state that it stopped at.
///
/// # Errors
/// Fails when `limit` has passed. An attempt that hangs counts as one that has not succeeded.
pub async fn eventually<T>(
    what: &str,
    limit: Duration,
    mut attempt: impl AsyncFnMut() -> Result<T>,
) -> Result<T> {
    let start = Instant::now();
    let mut pause = PAUSE_MIN;
    let mut last = anyhow!("the first attempt did not end");
    loop {
        let left = limit.saturating_sub(start.elapsed());
        match tokio::time::timeout(left, attempt()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => last = error,
            Err(_) => {}
        }
        if start.elapsed() + pause >= limit {
            return Err(last.context(format!("not within {limit:?}: {what}")));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Most of what tests wait for takes one or two round trips of a millisecond each.
const PAUSE_MIN: Duration = Duration::from_millis(10);

/// Ten attempts a second at the most, each of one request or a few: nothing beside what is tested.
const PAUSE_MAX: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn gives_what_the_first_success_gives() {
        let mut attempts = 0;
        let value = eventually("three", Duration::from_secs(60), async || {
            attempts += 1;
            if attempts < 3 { Err(anyhow!("{attempts}")) } else { Ok(attempts) }
        });
        assert_eq!(value.await.unwrap(), 3);
    }

    #[tokio::test]
    async fn the_failure_tells_the_last_state() {
        let error = eventually("a flag", Duration::from_millis(50), async || {
            Err::<(), _>(anyhow!("the flag is down"))
        });
        let text = format!("{:#}", error.await.unwrap_err());
        assert_eq!(text, "not within 50ms: a flag: the flag is down");
    }

    #[tokio::test]
    async fn an_attempt_that_hangs_ends_with_the_limit() {
        let error = eventually("an answer", Duration::from_millis(50), async || {
            std::future::pending::<Result<()>>().await
        });
        assert!(error.await.is_err());
    }
}
