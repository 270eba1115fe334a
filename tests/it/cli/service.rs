//! `capture --listen`: what an operator and a supervisor see of it.

use aws_sdk_dynamodb::types::{AttributeValue, StreamViewType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// One page: its status line, and its body.
async fn get(address: &str, path: &str) -> (String, String) {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

/// Where it says that it listens.
fn address(capture: &Running) -> String {
    let told = capture.told();
    let (_, rest) = told.split_once("metrics at http://").unwrap();
    rest.split('/').next().unwrap().to_owned()
}

/// The value of a metric of `orders`.
fn value(body: &str, name: &str) -> f64 {
    let start = format!("{name}{{table=\"orders\"}} ");
    let line = body.lines().find_map(|line| line.strip_prefix(&start));
    line.unwrap_or_else(|| panic!("no {name} in\n{body}")).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capture_tells_its_metrics_and_its_own_health() {
    let dynamo = Dynamo::start().await;
    dynamo.create_table("orders", Some(StreamViewType::NewAndOldImages)).await;
    let put = dynamo.client.put_item().table_name("orders");
    let put = put.item("pk", AttributeValue::S("secret-key".into())).item("sk", AttributeValue::N("1".into()));
    put.send().await.unwrap();
    let shell = Shell::with_archive(&dynamo).await;
    let capture = ["capture", "--table", "orders", "--table", "nowhere", "--settle", "1s", "--flush-age", "200ms"];
    let mut capture = shell.start(&[&capture[..], &["--listen", "127.0.0.1:0"]].concat());
    capture.until("metrics at http://").await;
    let address = address(&capture);
    assert_eq!(get(&address, "/healthz").await.0, "HTTP/1.1 200 OK");
    capture.until("archiving begins after").await;
    let metrics = loop {
        let (status, body) = get(&address, "/metrics").await;
        assert_eq!(status, "HTTP/1.1 200 OK");
        if body.contains("tailrace_capture_changes_total{table=\"orders\"} 1\n") {
            break body;
        }
        clock::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!((value(&metrics, "tailrace_gaps_total"), value(&metrics, "tailrace_table_failed")), (0.0, 0.0));
    assert!(value(&metrics, "tailrace_unarchived_age_seconds") < 3600.0, "{metrics}");
    assert!(metrics.contains("tailrace_table_failed{table=\"nowhere\"} 1\n"), "{metrics}");
    assert!(!metrics.contains("secret-key") && !metrics.contains("shardId"), "{metrics}");
    assert_eq!(get(&address, "/readyz").await, ("HTTP/1.1 200 OK".to_owned(), "ok\n".to_owned()));
    assert_eq!(get(&address, "/else").await.0, "HTTP/1.1 404 Not Found");
    capture.signal("TERM");
    capture.end().await;
}

/// Whoever is behind the heartbeat's address: counts calls, and answers each.
async fn monitor() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let calls: Arc<Mutex<Vec<String>>> = Arc::default();
    let heard = Arc::clone(&calls);
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let read = socket.read(&mut request).await.unwrap();
            heard.lock().unwrap().push(String::from_utf8_lossy(&request[..read]).into_owned());
            socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await.unwrap();
        }
    });
    (format!("http://{address}/ping/secret-uuid"), calls)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_heartbeat_is_sent_once_every_table_is_healthy_and_not_before() {
    let dynamo = Dynamo::start().await;
    dynamo.create_table("orders", Some(StreamViewType::NewAndOldImages)).await;
    let shell = Shell::with_archive(&dynamo).await;
    let (url, calls) = monitor().await;
    let quick = ["--settle", "1s", "--flush-age", "200ms", "--heartbeat-url", url.as_str()];
    let ill = [&["capture", "--table", "orders", "--table", "nowhere"], &quick[..]].concat();
    let mut capture = shell.start(&ill);
    capture.until("archiving begins after").await;
    clock::sleep(Duration::from_secs(4)).await;
    assert!(calls.lock().unwrap().is_empty(), "one of its tables is not there: {:?}", calls.lock().unwrap());
    capture.signal("TERM");
    assert!(!capture.end().await.err.contains("secret-uuid"));
    let capture = shell.start(&[&["capture", "--table", "orders"], &quick[..]].concat());
    let called = async {
        while calls.lock().unwrap().is_empty() {
            clock::sleep(Duration::from_millis(50)).await;
        }
    };
    assert!(clock::within(PATIENCE, called).await.is_some(), "no heartbeat: {}", capture.told());
    assert!(calls.lock().unwrap()[0].starts_with("GET /ping/secret-uuid HTTP/1.1\r\n"), "{:?}", calls.lock().unwrap());
    capture.signal("TERM");
    capture.end().await;
    shell
        .refuses(
            &["capture", "--table", "orders", "--heartbeat-url", "hc-ping"],
            Exit::Usage,
            &["http://", "--heartbeat-url"],
        )
        .await;
}

#[tokio::test]
async fn an_address_that_cannot_be_listened_at_is_refused_before_anything_is_captured() {
    let (shell, _world) = Shell::with_world(61).await;
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for wrong in [taken.as_str(), "nonsense"] {
        let arguments = ["capture", "--table", "orders", "--listen", wrong];
        shell.refuses(&arguments, Exit::Usage, &[wrong, "--listen", "127.0.0.1:9464"]).await;
    }
}
