//! A server of HTTP for fakes: on loopback, until it is dropped. What it answers is the fake's.
//!
//! Deliberately not here: the fake Docker daemon's socket, which breaks connections in ways this does not.

use std::error::Error;
use std::net::SocketAddr;

use bytes::Buf;
use hyper::body::{Body, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::http::runtime;

/// A server; gone when dropped, with its connections: whoever waits for a hanging answer sees that.
#[derive(Debug)]
pub(crate) struct Wire {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    server: JoinHandle<()>,
}

impl Wire {
    /// Listens on a port of loopback, 0 for a free one, and answers each request.
    #[track_caller]
    pub(crate) fn listen<A, F, B, E>(port: u16, answer: A) -> Wire
    where
        A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
        F: Future<Output = Result<Response<B>, E>> + Send + 'static,
        B: Body<Data: Buf + Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>> + Send + 'static,
    {
        let _inside = runtime().enter();
        let listener = std::net::TcpListener::bind(("127.0.0.1", port)).expect("loopback has that port free");
        listener.set_nonblocking(true).expect("it is a socket");
        let address = listener.local_addr().expect("it is bound");
        let listener = TcpListener::from_std(listener).expect("it listens");
        Wire { address, server: runtime().spawn(serve(listener, answer)) }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve<A, F, B, E>(listener: TcpListener, answer: A)
where
    A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Result<Response<B>, E>> + Send + 'static,
    B: Body<Data: Buf + Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
    E: Into<Box<dyn Error + Send + Sync>> + Send + 'static,
{
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let service = hyper::service::service_fn(answer.clone());
        connections.spawn(async move {
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
