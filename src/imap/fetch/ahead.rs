//! Work that is begun now and needed later: the store reads on while an answer is being written.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::Poll,
};

/// A future that has been started. Dropping it gives the work up.
pub struct Ahead<'f, T> {
    future: Pin<Box<dyn Future<Output = T> + Send + 'f>>,
    done: Option<T>,
}

impl<'f, T> Ahead<'f, T> {
    /// Starts it: a job of the store is on its way when this returns.
    pub async fn start(future: impl Future<Output = T> + Send + 'f) -> Self {
        let mut ahead = Self { future: Box::pin(future), done: None };
        poll_fn(|context| {
            if let Poll::Ready(done) = ahead.future.as_mut().poll(context) {
                ahead.done = Some(done);
            }
            Poll::Ready(())
        })
        .await;
        ahead
    }

    /// Waits for its end.
    pub async fn finish(self) -> T {
        match self.done {
            Some(done) => done,
            None => self.future.await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_ready_at_once_and_what_takes_time_both_come() {
        assert_eq!(Ahead::start(async { 1 }).await.finish().await, 1);
        let (send, receive) = tokio::sync::oneshot::channel();
        let ahead = Ahead::start(receive).await;
        send.send(2).unwrap();
        assert_eq!(ahead.finish().await, Ok(2));
    }
}
