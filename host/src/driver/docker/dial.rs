//! Reaching an engine: a stream to its API over a socket, TCP, TLS or ssh.
//!
//! What lies between us and an engine accepts connections whether or not the engine is there: a tunnel always does, and
//! under TLS the engine's no to our certificate comes after our yes to its own. So a far connection first proves itself
//! with a question that changes nothing; whatever fails until then was never sent. Deliberately not here: breaker,
//! versions and keeping connections ([`super::client`]).

use std::io::{Error, ErrorKind, Result};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

use super::endpoint::Endpoint;

mod ssh;
mod tls;

/// The question. Every engine answers it, even one too old to know it, and nothing comes after the head.
const QUESTION: &[u8] = b"HEAD /_ping HTTP/1.1\r\nHost: docker\r\n\r\n";
/// Bytes of an answer's head at the most: a real one has a few hundred.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// A stream to an engine.
pub(super) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// Reaches one endpoint.
#[derive(Debug)]
pub(super) struct Dialer {
    endpoint: Endpoint,
    /// Of an ssh endpoint.
    tunnel: Option<Arc<ssh::Tunnel>>,
}

impl Dialer {
    /// Reaches nothing yet.
    pub(super) fn new(endpoint: Endpoint, connect_timeout: Duration) -> Dialer {
        let tunnel = match &endpoint {
            Endpoint::Ssh(ssh) => Some(Arc::new(ssh::Tunnel::new(ssh.clone(), connect_timeout))),
            Endpoint::Unix(_) | Endpoint::Tcp(_) | Endpoint::Tls(_) => None,
        };
        Dialer { endpoint, tunnel }
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// A stream whose other end is the engine. Errors say what to do about it.
    pub(super) async fn stream(&self) -> Result<Box<dyn Io>> {
        let mut stream: Box<dyn Io> = match &self.endpoint {
            Endpoint::Unix(path) => Box::new(UnixStream::connect(path).await?),
            Endpoint::Tcp(address) => Box::new(tcp(address).await?),
            Endpoint::Tls(tls) => Box::new(tls::connect(tls, tcp(&tls.address).await?).await?),
            Endpoint::Ssh(_) => {
                let Some(tunnel) = &self.tunnel else { return Err(Error::other("an ssh endpoint without a tunnel")) };
                Box::new(UnixStream::connect(tunnel.clone().socket().await?).await?)
            }
        };
        if self.endpoint.is_far()
            && let Err(error) = prove(&mut *stream).await
        {
            if let Some(tunnel) = &self.tunnel {
                tunnel.words().await;
            }
            return Err(Error::other(self.explain(&error)));
        }
        if let Some(tunnel) = &self.tunnel {
            tunnel.works();
        }
        Ok(stream)
    }

    /// Why, where something between us and the engine knows more.
    pub(super) fn explain(&self, error: &Error) -> String {
        match &self.endpoint {
            Endpoint::Tls(tls) => tls::explain(tls, error),
            Endpoint::Ssh(_) => {
                let said = self.tunnel.as_ref().and_then(|tunnel| tunnel.explain());
                said.unwrap_or_else(|| error.to_string())
            }
            Endpoint::Unix(_) | Endpoint::Tcp(_) => error.to_string(),
        }
    }
}

async fn tcp(address: &str) -> Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Asks what changes nothing, and reads the answer's head, which is all of it.
async fn prove(stream: &mut dyn Io) -> Result<()> {
    stream.write_all(QUESTION).await?;
    stream.flush().await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= HEAD_BYTES_MAX {
            return Err(Error::new(ErrorKind::InvalidData, "the answer is not an engine's"));
        }
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                return Err(Error::new(
                    ErrorKind::UnexpectedEof,
                    "the connection was closed before the engine answered",
                ));
            }
            Err(error) => return Err(error),
        }
    }
    if head.starts_with(b"HTTP/1.") {
        return Ok(());
    }
    Err(Error::new(ErrorKind::InvalidData, "what answers there does not speak HTTP"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_an_answer_proves_that_somebody_is_there() {
        for (answer, proves) in [
            ("HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\n\r\n", true),
            ("SSH-2.0-x\r\n\r\n", false),
            ("HTTP/1.1 200", false),
        ] {
            let (mut near, mut far) = tokio::io::duplex(1024);
            far.write_all(answer.as_bytes()).await.expect("room");
            far.shutdown().await.expect("open");
            assert_eq!(prove(&mut near).await.is_ok(), proves, "{answer:?}");
        }
    }
}
