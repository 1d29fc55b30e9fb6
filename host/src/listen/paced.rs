//! A stream whose other end must take what is written to it: a client that stops reading loses its connection.
//!
//! Deliberately not here: reading, whose bounds are those of requests.

use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// A stream under a bound of how long a write may stand.
pub(super) struct Paced<I> {
    inner: I,
    patience: Duration,
    standing: Option<Pin<Box<Sleep>>>,
}

impl<I> Paced<I> {
    pub(super) fn new(inner: I, patience: Duration) -> Paced<I> {
        Paced { inner, patience, standing: None }
    }

    /// What was answered, or that it took too long.
    fn bound<T>(&mut self, cx: &mut Context<'_>, answer: Poll<Result<T>>) -> Poll<Result<T>> {
        if answer.is_ready() {
            self.standing = None;
            return answer;
        }
        let patience = self.patience;
        let standing = self.standing.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        match standing.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(Error::new(ErrorKind::TimedOut, "the client takes nothing"))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Paced<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Paced<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize>> {
        let answer = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.bound(cx, answer)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let answer = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.bound(cx, answer)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let answer = Pin::new(&mut self.inner).poll_flush(cx);
        self.bound(cx, answer)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let answer = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.bound(cx, answer)
    }
}
