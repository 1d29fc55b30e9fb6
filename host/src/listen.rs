//! The daemon's own address: connections from their first byte to their last, under TLS where that is configured.
//!
//! Whoever is slow is bounded: in the handshake, in sending a request's head, in taking an answer. Whoever is many is
//! bounded in number, of all addresses and of each. Beyond the bound of all, connections wait in the system's queue and
//! nobody is told no; beyond the bound of one address they are answered 503, which Alertmanager takes for "later".
//!
//! Deliberately not here: requests ([`crate::api`]), and which certificates are in force ([`tls`]).

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

mod paced;
pub mod tls;

use paced::Paced;
use tls::Certificates;

/// Bytes of a request's head at the most: tokens, cookies and a proxy's headers have a few thousand.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// A listener that cannot accept (no file handles) tries again after this.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// What a connection too many is answered; its sender tries again.
const TOO_MANY: &str = "{\"error\":{\"code\":\"SB0116\",\"message\":\"too many connections of this address\",\
    \"fix\":\"close some, or raise [server] connections_per_address\",\"details\":[]}}";

/// Bounds of connections.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// At once.
    pub connections: usize,
    /// Of one address at once.
    pub per_address: usize,
    /// Of a TLS handshake.
    pub handshake: Duration,
    /// Of a request's head, and how long a kept connection may be idle.
    pub head: Duration,
    /// How long a client may take nothing of an answer that waits for it.
    pub write: Duration,
}

/// From where a request came, as the system says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

impl Peer {
    /// Whom that counts for: an IPv6 network of one customer is one sender.
    pub fn counted(self) -> IpAddr {
        match self.0.ip().to_canonical() {
            IpAddr::V6(ip) => {
                let bits = ip.to_bits() & !u128::from(u64::MAX);
                IpAddr::V6(Ipv6Addr::from_bits(bits))
            }
            ip @ IpAddr::V4(_) => ip,
        }
    }
}

/// Serves until `stop`, then lets what is under way end.
pub async fn serve<S, B>(
    listener: TcpListener,
    certificates: Option<Arc<Certificates>>,
    bounds: Bounds,
    service: S,
    refused: impl Fn() + Send + Sync + 'static,
    stop: impl Future<Output = ()>,
) where
    S: tower::Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let places = Places::new(&bounds);
    let (tell, told) = watch::channel(());
    let mut stop = std::pin::pin!(stop);
    loop {
        let next = async {
            let all = places.any().await;
            (all, listener.accept().await)
        };
        let (all, accepted) = tokio::select! {
            () = &mut stop => break,
            next = next => next,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!("a connection cannot be accepted: {error}");
                tokio::time::sleep(ACCEPT_AGAIN).await;
                continue;
            }
        };
        let peer = Peer(address);
        let Some(place) = places.take(all, peer.counted()) else {
            refused();
            tokio::spawn(refuse(stream, certificates.is_some(), bounds.write));
            continue;
        };
        let (certificates, bounds, told, service) =
            (certificates.clone(), bounds.clone(), told.clone(), With { service: service.clone(), peer });
        tokio::spawn(async move {
            let _place = place;
            let _ = stream.set_nodelay(true);
            match certificates {
                None => converse(stream, &bounds, service, told).await,
                Some(certificates) => {
                    match tokio::time::timeout(bounds.handshake, certificates.acceptor().accept(stream)).await {
                        Ok(Ok(stream)) => converse(stream, &bounds, service, told).await,
                        Ok(Err(error)) => tracing::debug!(%address, "no TLS: {error}"),
                        Err(_) => tracing::debug!(%address, "no TLS within its time"),
                    }
                }
            }
        });
    }
    drop((listener, told));
    let _ = tell.send(());
    tell.closed().await;
}

/// Requests of one connection, one after the other.
async fn converse<I, S, B>(stream: I, bounds: &Bounds, service: With<S>, mut told: watch::Receiver<()>)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: tower::Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let io = TokioIo::new(Paced::new(stream, bounds.write));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.head)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(io, TowerToHyperService::new(service));
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = told.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!("a connection ended early: {error}");
    }
}

/// Says why, where that can be said without a handshake.
async fn refuse(mut stream: TcpStream, tls: bool, within: Duration) {
    if !tls {
        let head =
            "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 5\r\nconnection: close";
        let answer = format!("{head}\r\ncontent-length: {}\r\n\r\n{TOO_MANY}", TOO_MANY.len());
        let _ = tokio::time::timeout(within, async {
            stream.write_all(answer.as_bytes()).await?;
            stream.shutdown().await
        })
        .await;
    }
}

/// A service that is told from where its requests come.
#[derive(Clone)]
struct With<S> {
    service: S,
    peer: Peer,
}

impl<S: tower::Service<Request<Incoming>>> tower::Service<Request<Incoming>> for With<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), S::Error>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Incoming>) -> S::Future {
        request.extensions_mut().insert(self.peer);
        self.service.call(request)
    }
}

/// Places for connections.
struct Places {
    all: Arc<Semaphore>,
    each: Arc<Mutex<HashMap<IpAddr, usize>>>,
    per_address: usize,
}

/// A place, given back when dropped.
struct Place {
    address: IpAddr,
    each: Arc<Mutex<HashMap<IpAddr, usize>>>,
    _all: Option<OwnedSemaphorePermit>,
}

impl Places {
    fn new(bounds: &Bounds) -> Places {
        let all = Arc::new(Semaphore::new(bounds.connections));
        Places { all, each: Arc::default(), per_address: bounds.per_address }
    }

    /// Waits for one.
    async fn any(&self) -> Option<OwnedSemaphorePermit> {
        self.all.clone().acquire_owned().await.ok()
    }

    /// One of that address; none when it has its share.
    fn take(&self, all: Option<OwnedSemaphorePermit>, address: IpAddr) -> Option<Place> {
        let mut each = self.each.lock().unwrap_or_else(PoisonError::into_inner);
        let count = each.entry(address).or_default();
        if *count >= self.per_address {
            return None;
        }
        *count += 1;
        Some(Place { address, each: self.each.clone(), _all: all })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut each = self.each.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = each.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                each.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests;
