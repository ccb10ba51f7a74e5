//! A connection that breaks when the other side takes nothing for too long.
//!
//! A peer that has gone without a word, or that never reads, leaves its answer in our buffers. Nothing else would end it: a body that nobody
//! takes is not asked for more, and so does not come to its end.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// A connection with patience.
pub(super) struct Unstalled<S> {
    stream: S,
    patience: Duration,
    /// Runs while something waits to be taken.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Unstalled<S> {
    /// `stream`, of which each write makes some progress within `patience`.
    pub(super) fn new(stream: S, patience: Duration) -> Self {
        Self { stream, patience, stalled: None }
    }

    /// The connection, with no patience left.
    pub(super) fn into_inner(self) -> S {
        self.stream
    }

    fn watch<T>(&mut self, context: &mut Context<'_>, progress: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if progress.is_ready() {
            self.stalled = None;
            return progress;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(self.patience)));
        match stalled.as_mut().poll(context) {
            Poll::Ready(()) => {
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the other side takes nothing")))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Unstalled<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Unstalled<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, progress)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watch(context, progress)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let progress = Pin::new(&mut self.stream).poll_flush(context);
        self.watch(context, progress)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_write_that_nobody_takes_breaks_the_connection() {
        let (ours, theirs) = tokio::io::duplex(16);
        let mut ours = Unstalled::new(ours, PATIENCE);
        let begun = tokio::time::Instant::now();
        let broken = ours.write_all(&[7; 64]).await.expect_err("nobody takes it");
        assert_eq!((broken.kind(), begun.elapsed().as_secs()), (io::ErrorKind::TimedOut, PATIENCE.as_secs()));
        drop(theirs);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_takes_a_little_from_time_to_time_gets_everything() {
        let (ours, mut theirs) = tokio::io::duplex(16);
        let mut ours = Unstalled::new(ours, PATIENCE);
        let slow = tokio::spawn(async move {
            let (mut all, mut some) = (Vec::<u8>::new(), [0; 8]);
            while all.len() < 64 {
                tokio::time::sleep(PATIENCE * 9 / 10).await;
                let count = theirs.read(&mut some).await.expect("open");
                all.extend(&some[..count]);
            }
            all
        });
        ours.write_all(&[7; 64]).await.expect("it is taken, if slowly");
        assert_eq!(slow.await.expect("no panic"), [7; 64]);
    }
}
