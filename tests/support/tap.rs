//! A wire tap between a client and a server: it passes every byte on, and notes the operations that are asked for.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use tailrace::platform::tasks;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
use tokio::net::TcpListener;
use tokio::net::TcpStream;

/// The header in which the AWS protocols of DynamoDB and its streams name the operation.
const TARGET: &str = "x-amz-target: ";

/// A tap; it ends with the test's runtime.
#[derive(Clone)]
pub(crate) struct Tap {
    /// Where clients connect.
    pub(crate) endpoint: String,
    seen: Arc<Mutex<BTreeSet<String>>>,
    keys: Arc<Mutex<BTreeSet<String>>>,
}

impl Tap {
    /// In front of the server at `endpoint`.
    pub(crate) async fn before(endpoint: &str) -> Self {
        let server = endpoint.strip_prefix("http://").unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let tap = Self { endpoint, seen: Arc::default(), keys: Arc::default() };
        let taps = tap.clone();
        drop(tasks::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                drop(tasks::spawn(taps.clone().pass(client, server.clone())));
            }
        }));
        tap
    }

    /// Operations asked for so far, as `DynamoDB_20120810.Scan`.
    pub(crate) fn seen(&self) -> BTreeSet<String> {
        self.seen.lock().unwrap().clone()
    }

    /// The access keys that signed what was asked for.
    pub(crate) fn keys(&self) -> BTreeSet<String> {
        self.keys.lock().unwrap().clone()
    }

    async fn pass(self, client: TcpStream, server: String) {
        let Ok(server) = TcpStream::connect(server).await else { return };
        let (mut asks, mut hears) = client.into_split();
        let (mut answers, mut to) = server.into_split();
        let back = tasks::spawn(async move { copy(&mut answers, &mut hears).await });
        // A header may be cut between two reads: what came last is looked at again.
        let (mut buffer, mut last) = (vec![0; 64 << 10], String::new());
        while let Ok(read @ 1..) = asks.read(&mut buffer).await {
            last.push_str(&String::from_utf8_lossy(&buffer[..read]));
            self.note(&last);
            last = last.chars().rev().take(200).collect::<Vec<_>>().into_iter().rev().collect();
            if to.write_all(&buffer[..read]).await.is_err() {
                break;
            }
        }
        back.abort();
    }

    fn note(&self, text: &str) {
        let whole = text.lines().filter(|line| text.contains(&format!("{line}\r\n")));
        let signed = whole.clone().filter_map(|line| line.split_once("Credential=")?.1.split('/').next());
        self.keys.lock().unwrap().extend(signed.map(str::to_owned));
        let targets = whole.filter(|line| line.to_ascii_lowercase().starts_with(TARGET));
        self.seen.lock().unwrap().extend(targets.map(|line| line[TARGET.len()..].trim().to_owned()));
    }
}
