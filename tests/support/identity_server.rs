//! Where credentials come from, on loopback: the calls of STS and of IAM Identity Center that lead to them.

use std::sync::{Arc, Mutex};

use tailrace::platform::tasks;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A running server; it ends with the test's runtime.
#[derive(Clone)]
pub(crate) struct IdentityServer {
    pub(crate) endpoint: String,
    asked: Arc<Mutex<Vec<String>>>,
}

/// Good for a day from any day that a test runs on.
const EXPIRES: &str = "2099-01-01T00:00:00Z";

impl IdentityServer {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let server = Self { endpoint, asked: Arc::default() };
        let serving = server.clone();
        drop(tasks::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                drop(tasks::spawn(serving.clone().serve(socket)));
            }
        }));
        server
    }

    /// Every request so far: its head and its body.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    async fn serve(self, mut socket: TcpStream) {
        let (mut text, mut buffer) = (String::new(), vec![0; 16 << 10]);
        while let Ok(read @ 1..) = socket.read(&mut buffer).await {
            text.push_str(&String::from_utf8_lossy(&buffer[..read]));
            if let Some((head, body)) = text.split_once("\r\n\r\n")
                && body.len() >= length(head)
            {
                break;
            }
        }
        let (status, kind, body) = answer(&text);
        self.asked.lock().unwrap().push(text);
        let head = format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n", body.len());
        let _ = socket.write_all(format!("{head}Connection: close\r\n\r\n{body}").as_bytes()).await;
    }
}

fn length(head: &str) -> usize {
    let headers = head.lines().filter_map(|line| line.split_once(':'));
    let length = headers.filter(|(name, _)| name.eq_ignore_ascii_case("content-length")).map(|(_, value)| value.trim());
    length.filter_map(|value| value.parse().ok()).next().unwrap_or(0)
}

fn answer(request: &str) -> (&'static str, &'static str, String) {
    let sts = |action: &str, key: &str| {
        let keys = format!(
            "<Credentials><AccessKeyId>{key}</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
             <SessionToken>t</SessionToken><Expiration>{EXPIRES}</Expiration></Credentials>"
        );
        let who = "<AssumedRoleUser><Arn>arn:aws:sts::1:assumed-role/r/s</Arn><AssumedRoleId>A:s</AssumedRoleId></AssumedRoleUser>";
        let result = format!("<{action}Result>{keys}{who}</{action}Result>");
        let space = "xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"";
        ("200 OK", "text/xml", format!("<{action}Response {space}>{result}</{action}Response>"))
    };
    if request.contains("Action=AssumeRoleWithWebIdentity&") {
        return sts("AssumeRoleWithWebIdentity", "ASIAWEBIDENTITY");
    }
    if request.contains("Action=AssumeRole&") {
        return sts("AssumeRole", "ASIAROLE");
    }
    if request.starts_with("GET /federation/credentials") {
        let keys = format!(
            r#"{{"roleCredentials":{{"accessKeyId":"ASIASSO","secretAccessKey":"s","sessionToken":"t","expiration":{}}}}}"#,
            4_070_908_800_000_u64
        );
        return ("200 OK", "application/json", keys);
    }
    if request.starts_with("POST /token") {
        let token = r#"{"accessToken":"renewed","tokenType":"Bearer","expiresIn":28800,"refreshToken":"next"}"#;
        return ("200 OK", "application/json", token.to_owned());
    }
    ("404 Not Found", "text/plain", String::new())
}
