//! `/metrics`, `/healthz` and `/readyz`: three pages, read only.
//!
//! Health is this process's own: a service that does not answer, or a table that waits for a person, is told by the
//! metrics and by `status`. Restarting us mends neither.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::board::{Board, Phase};
use super::metrics;
use crate::platform::tasks;

/// A server; it ends when this is dropped.
#[derive(Debug)]
pub struct Listening {
    /// Where it listens.
    pub address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Serves the pages at `address` (`127.0.0.1:9464`, `[::]:9464`; port 0 takes a free one).
///
/// # Errors
/// The address is no address, is taken, or is not this machine's.
pub async fn listen(address: &str, board: Arc<Board>) -> io::Result<Listening> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    Ok(Listening { address, serving: tasks::spawn(serve(listener, board)) })
}

async fn serve(listener: TcpListener, board: Arc<Board>) {
    loop {
        let socket = match listener.accept().await {
            Ok((socket, _)) => socket,
            Err(error) => {
                tracing::debug!(%error, "a connection to the metrics was not taken");
                continue;
            }
        };
        let board = Arc::clone(&board);
        tasks::spawn(async move {
            let pages = service_fn(move |request| {
                let answer = page(&board, &request);
                async move { Ok::<_, Infallible>(answer) }
            });
            if let Err(error) = http1::Builder::new().serve_connection(TokioIo::new(socket), pages).await {
                tracing::debug!(%error, "a reader of the metrics went away");
            }
        });
    }
}

fn page(board: &Board, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let (status, kind, text) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/metrics") => {
            (StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", metrics::text(board))
        }
        (&Method::GET | &Method::HEAD, "/healthz") => (StatusCode::OK, PLAIN, "ok\n".to_owned()),
        (&Method::GET | &Method::HEAD, "/readyz") => match board.phase() {
            Phase::Running => (StatusCode::OK, PLAIN, "ok\n".to_owned()),
            Phase::Starting => (StatusCode::SERVICE_UNAVAILABLE, PLAIN, "starting\n".to_owned()),
            Phase::Draining => (StatusCode::SERVICE_UNAVAILABLE, PLAIN, "stopping\n".to_owned()),
        },
        (&Method::GET | &Method::HEAD, _) => {
            (StatusCode::NOT_FOUND, PLAIN, "there are /metrics, /healthz and /readyz\n".to_owned())
        }
        _ => (StatusCode::METHOD_NOT_ALLOWED, PLAIN, "only GET and HEAD\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    response
}

const PLAIN: &str = "text/plain; charset=utf-8";
