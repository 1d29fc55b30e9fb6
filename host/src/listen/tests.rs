//! A listener in this process, with clients that are slow, many, or strangers.

use std::io::{Read as _, Write as _};
use std::net::TcpStream as Blocking;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::Full;
use sandbook_tests::certs::{Ca, Pair};
use tokio::sync::oneshot;

use super::tls::Files;
use super::*;

/// What every client is answered within, however loaded the machine is.
const PATIENCE: Duration = Duration::from_secs(20);
/// The bounds of slowness here: short beside that, long beside a loopback round trip.
const SHORT: Duration = Duration::from_millis(300);
/// An answer that no socket buffers whole.
const LARGE: usize = 64 << 20;

struct Listening {
    address: SocketAddr,
    refused: Arc<std::sync::atomic::AtomicUsize>,
    stop: Option<oneshot::Sender<()>>,
    served: tokio::task::JoinHandle<()>,
}

fn bounds() -> Bounds {
    Bounds { connections: 8, per_address: 4, handshake: SHORT, head: SHORT, write: SHORT }
}

async fn listening(bounds: Bounds, certificates: Option<Arc<Certificates>>) -> Listening {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let service = tower::service_fn(|request: Request<Incoming>| async move {
        let from = request.extensions().get::<Peer>().expect("a peer").0.ip().to_string();
        let body = if request.uri().path() == "/large" { vec![b'x'; LARGE] } else { from.into_bytes() };
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(body))))
    });
    let refused = Arc::<std::sync::atomic::AtomicUsize>::default();
    let count = refused.clone();
    let (stop, stopped) = oneshot::channel();
    let served = tokio::spawn(serve(
        listener,
        certificates,
        bounds,
        service,
        move || {
            count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        },
        async move { drop(stopped.await) },
    ));
    Listening { address, refused, stop: Some(stop), served }
}

fn client(address: SocketAddr) -> Blocking {
    let stream = Blocking::connect(address).expect("accepted");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    stream
}

/// Sends, and reads until the other side has enough.
fn ask(stream: &mut Blocking, text: &str) -> String {
    stream.write_all(text.as_bytes()).expect("written");
    rest(stream)
}

fn rest(stream: &mut Blocking) -> String {
    let mut answer = Vec::new();
    // A connection that is cut rather than closed ends it as well.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

const GET: &str = "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn slow_heads_and_idle_connections_end_and_others_notice_nothing() {
    let listening = listening(bounds(), None).await;
    let address = listening.address;
    tokio::task::spawn_blocking(move || {
        let mut slow = client(address);
        let began = Instant::now();
        slow.write_all(b"GET / HTTP/1.1\r\nhost:").expect("written");
        let said = ask(&mut client(address), GET);
        assert!(said.starts_with("HTTP/1.1 200") && said.ends_with("127.0.0.1"), "{said}");
        rest(&mut slow);
        assert!(began.elapsed() >= SHORT && began.elapsed() < PATIENCE, "{:?}", began.elapsed());
        let mut idle = client(address);
        let said = ask(&mut idle, "GET / HTTP/1.1\r\nhost: x\r\n\r\n");
        assert!(said.starts_with("HTTP/1.1 200"), "answered, then ended: {said}");
    })
    .await
    .expect("no panic");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_has_its_share_and_gets_it_back() {
    let listening = listening(Bounds { head: PATIENCE, ..bounds() }, None).await;
    let address = listening.address;
    let refused = listening.refused.clone();
    tokio::task::spawn_blocking(move || {
        let held: Vec<Blocking> = (0..4).map(|_| client(address)).collect();
        let said = rest(&mut client(address));
        assert!(said.starts_with("HTTP/1.1 503") && said.contains("SB0116"), "{said}");
        let (head, body) = said.split_once("\r\n\r\n").expect("an answer");
        assert!(head.ends_with(&format!("content-length: {}", body.len())), "{said}");
        assert_eq!(refused.load(std::sync::atomic::Ordering::Relaxed), 1);
        drop(held);
        sandbook_tests::wait::until("a place to be free again", PATIENCE, String::new, || {
            let said = ask(&mut client(address), GET);
            if said.starts_with("HTTP/1.1 200") { Ok(()) } else { Err(said) }
        });
    })
    .await
    .expect("no panic");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_nothing_of_an_answer_loses_it() {
    let listening = listening(Bounds { head: PATIENCE, ..bounds() }, None).await;
    let address = listening.address;
    tokio::task::spawn_blocking(move || {
        let mut lazy = client(address);
        lazy.write_all(b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n").expect("written");
        std::thread::sleep(SHORT * 4);
        let taken = rest(&mut lazy).len();
        assert!(taken < LARGE, "{taken} bytes were kept for a client that slept");
    })
    .await
    .expect("no panic");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_ends_before_the_listener_does() {
    let mut listening = listening(Bounds { head: PATIENCE, ..bounds() }, None).await;
    let address = listening.address;
    let kept = tokio::task::spawn_blocking(move || client(address)).await.expect("connected");
    drop(listening.stop.take());
    tokio::time::timeout(PATIENCE, listening.served)
        .await
        .expect("an idle connection holds nobody up")
        .expect("no panic");
    drop(kept);
}

fn files(pair: &Pair, ca: Option<&Ca>) -> Files {
    Files { cert: pair.cert.clone(), key: pair.key.clone(), client_ca: ca.map(Ca::file) }
}

/// The answer to a request under TLS, or why there is none.
async fn secure(address: SocketAddr, ca: &Ca, own: Option<&Pair>) -> Result<String, String> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let pem = std::fs::read(ca.file()).expect("a CA");
    let roots = reqwest::Certificate::from_pem(&pem).expect("a certificate");
    let mut builder = reqwest::Client::builder().no_proxy().tls_certs_only([roots]).timeout(PATIENCE);
    if let Some(own) = own {
        let both = [std::fs::read(&own.cert).expect("ours"), std::fs::read(&own.key).expect("ours")].concat();
        builder = builder.identity(reqwest::Identity::from_pem(&both).expect("a pair"));
    }
    let client = builder.build().expect("a client");
    let answer = client.get(format!("https://{address}/")).send().await.map_err(|error| format!("{error:?}"))?;
    answer.text().await.map_err(|error| format!("{error:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_lets_in_who_has_a_certificate_and_takes_up_renewed_files() {
    let (ca, stranger) = (Ca::new("ours"), Ca::new("strangers"));
    let (own, client_pair, foreign) =
        (ca.pair("daemon", &["127.0.0.1"]), ca.pair("client", &["client"]), stranger.pair("foreign", &["client"]));
    let certificates = Arc::new(Certificates::load(files(&own, Some(&ca))).expect("sound files"));
    // Handshakes are work here, which a loaded machine does slowly; they are not what is bounded.
    let bounds = Bounds { handshake: SHORT * 10, head: SHORT * 10, ..bounds() };
    let listening = listening(bounds, Some(certificates.clone())).await;
    let address = listening.address;
    assert_eq!(secure(address, &ca, Some(&client_pair)).await.as_deref(), Ok("127.0.0.1"));
    for wrong in [None, Some(&foreign)] {
        // A client may notice that the connection is gone before it has read the alert that says why: asked again, it reads it.
        let mut told = Vec::new();
        let names_it = |why: &String| why.contains("ertificate") || why.contains("UnknownCA");
        while !told.iter().any(names_it) {
            told.push(secure(address, &ca, wrong).await.expect_err("no certificate of ours"));
            assert!(told.len() < 50, "refused, and never for its certificate: {told:?}");
        }
    }
    // Neither plain HTTP nor a handshake that never comes holds anything up.
    let said = tokio::task::spawn_blocking(move || (ask(&mut client(address), GET), rest(&mut client(address))));
    let (plain, silent) = said.await.expect("no panic");
    assert!(!plain.contains("200 OK") && silent.is_empty(), "{plain:?} {silent:?}");

    assert!(!certificates.refresh().expect("unchanged"), "nothing changed");
    let renewed = stranger.pair("renewed", &["127.0.0.1"]);
    std::fs::write(&own.cert, "no certificate").expect("our own file");
    let why = certificates.refresh().expect_err("half of it").to_string();
    assert!(why.contains("holds no certificate"), "{why}");
    assert!(!certificates.refresh().expect("the same files are not tried again"));
    assert_eq!(secure(address, &ca, Some(&client_pair)).await.as_deref(), Ok("127.0.0.1"), "the old one is in force");
    std::fs::copy(&renewed.cert, &own.cert).expect("our own file");
    std::fs::copy(&renewed.key, &own.key).expect("our own file");
    assert!(certificates.refresh().expect("sound files"));
    assert!(secure(address, &ca, Some(&client_pair)).await.is_err(), "another CA's certificate is in force");
    assert_eq!(secure(address, &stranger, Some(&client_pair)).await.as_deref(), Ok("127.0.0.1"));
}

#[test]
fn files_that_do_not_belong_together_are_refused_by_name() {
    let ca = Ca::new("ours");
    let (one, other) = (ca.pair("one", &["a"]), ca.pair("other", &["b"]));
    let mixed = Files { cert: one.cert.clone(), key: other.key.clone(), client_ca: None };
    let why = Certificates::load(mixed).err().expect("refused").to_string();
    assert!(why.contains("do not belong together"), "{why}");
    let swapped = Files { cert: one.key.clone(), key: one.cert.clone(), client_ca: None };
    let why = Certificates::load(swapped).err().expect("refused").to_string();
    assert!(why.contains("cert_file"), "{why}");
}

#[test]
fn a_network_of_ipv6_is_one_sender() {
    let peer = |text: &str| Peer(SocketAddr::new(text.parse().expect("an address"), 1)).counted();
    assert_eq!(peer("2001:db8::1"), peer("2001:db8::ffff:2"));
    assert_ne!(peer("2001:db8::1"), peer("2001:db8:0:1::1"));
    assert_eq!(peer("::ffff:10.0.0.1"), peer("10.0.0.1"));
}
