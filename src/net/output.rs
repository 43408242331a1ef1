//! What goes out: answers gathered in memory, and written with regard to a slow reader.
//!
//! An answer is gathered by [`Output::put`]; while a long one is made, [`Output::room`] lets it
//! flow and holds its maker back when too much waits; [`Output::flush`] ends it.

use std::{future::poll_fn, io, pin::Pin, sync::Arc, task::Poll};

use tokio::{io::AsyncWrite, time::timeout};

use super::{Memory, memory::OutputLimits, stream::Shared};
use crate::metrics::Limit;

/// When so much waits it is worth a write.
const WORTH_WRITING: usize = 64 * 1024;
/// What an idle connection may keep for the next answer.
const KEPT: usize = 1024;

/// Why an answer did not leave.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// The peer read nothing for too long: five minutes, unless told otherwise.
    #[error("the peer does not read")]
    Stalled,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The writing half of a connection.
#[derive(Debug)]
pub struct Output {
    stream: Shared,
    bytes: Vec<u8>,
    /// How much of the bytes has left.
    written: usize,
    limits: OutputLimits,
    memory: Arc<Memory>,
}

impl Output {
    pub(super) fn new(stream: Shared, memory: &Arc<Memory>) -> Self {
        let (limits, memory) = (memory.output(), Arc::clone(memory));
        Self { stream, bytes: Vec::new(), written: 0, limits, memory }
    }

    /// Adds to what waits. Nothing is written yet.
    pub fn put(&mut self, bytes: impl AsRef<[u8]>) {
        self.bytes.extend_from_slice(bytes.as_ref());
    }

    /// Adds to what waits without copying it, when nothing waits yet.
    pub fn give(&mut self, bytes: Vec<u8>) {
        if self.bytes.is_empty() {
            self.bytes = bytes;
        } else {
            self.bytes.extend_from_slice(&bytes);
        }
    }

    /// The end of what waits, for a writer that adds to it in place.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Octets that wait.
    pub fn waiting(&self) -> usize {
        self.bytes.len() - self.written
    }

    /// Lets a long answer flow: writes what the peer takes at once, and waits only when more than
    /// 1 MiB stays behind. Can be dropped without loss.
    pub async fn room(&mut self) -> Result<(), OutputError> {
        if self.waiting() < WORTH_WRITING {
            return Ok(());
        }
        self.write(self.limits.waiting).await
    }

    /// Writes all that waits. Can be dropped without loss: the next call goes on.
    pub async fn flush(&mut self) -> Result<(), OutputError> {
        self.write(0).await?;
        let stream = &self.stream;
        let flushed = poll_fn(|context| Pin::new(&mut *stream.lock()).poll_flush(context));
        timeout(self.limits.stalled, flushed).await.map_err(|_| self.stalled())??;
        Ok(())
    }

    /// Writes all that waits and says that nothing follows.
    pub async fn close(&mut self) -> Result<(), OutputError> {
        self.flush().await?;
        let stream = &self.stream;
        let closed = poll_fn(|context| Pin::new(&mut *stream.lock()).poll_shutdown(context));
        timeout(self.limits.stalled, closed).await.map_err(|_| self.stalled())??;
        Ok(())
    }

    /// Writes until nothing more can be written at once and no more than `most` stays behind.
    async fn write(&mut self, most: usize) -> Result<(), OutputError> {
        while self.waiting() > 0 {
            let (stream, bytes) = (&self.stream, self.bytes.get(self.written..));
            let bytes = bytes.unwrap_or_default();
            let write =
                poll_fn(|context| match Pin::new(&mut *stream.lock()).poll_write(context, bytes) {
                    Poll::Pending if bytes.len() <= most => Poll::Ready(Ok(None)),
                    other => other.map_ok(Some),
                });
            match timeout(self.limits.stalled, write).await.map_err(|_| self.stalled())?? {
                Some(0) => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                Some(written) => self.written += written,
                None => break,
            }
        }
        self.forget_written();
        Ok(())
    }

    fn stalled(&self) -> OutputError {
        self.memory.metrics().exceeded(Limit::OutputWaitingTime);
        OutputError::Stalled
    }

    /// Lets go of what has left.
    fn forget_written(&mut self) {
        if self.written == self.bytes.len() {
            self.bytes.clear();
            self.bytes.shrink_to(KEPT);
            self.written = 0;
        } else if self.written > self.bytes.len() / 2 {
            self.bytes.drain(..self.written);
            self.written = 0;
        }
    }
}
