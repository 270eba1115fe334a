//! The ways to credentials that people use, each with a real profile and a server on loopback in the place of AWS's.

use aws_sdk_dynamodb::types::{AttributeValue, StreamViewType};
use tailrace::command::table;

use super::*;
use crate::support::identity_server::IdentityServer;
use crate::support::tap::Tap;

struct Scene {
    shell: Shell,
    tap: Tap,
    identity: IdentityServer,
}

impl Scene {
    /// Nothing of credentials but what `~/.aws/config` says.
    async fn begin(config: &str) -> Self {
        let dynamo = Dynamo::start().await;
        dynamo.create_table("orders", Some(StreamViewType::NewAndOldImages)).await;
        let put = dynamo.client.put_item().table_name("orders");
        put.item("pk", AttributeValue::S("a".into())).item("sk", AttributeValue::N("1".into())).send().await.unwrap();
        let (tap, identity) = (Tap::before(dynamo.config.endpoint_url().unwrap()).await, IdentityServer::start().await);
        let mut shell = Shell::with_archive(&dynamo).await.with("AWS_ENDPOINT_URL", &tap.endpoint);
        for service in ["STS", "SSO", "SSO_OIDC"] {
            shell = shell.with(&format!("AWS_ENDPOINT_URL_{service}"), &identity.endpoint);
        }
        for key in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
            shell.variables.remove(key);
        }
        std::fs::create_dir_all(shell.path(".aws/sso/cache")).unwrap();
        shell.write(".aws/config", config);
        Self { shell, tap, identity }
    }

    /// A capture works, and signs with this key alone.
    async fn signs_with(&self, key: &str) {
        let capture = ["capture", "--once", "--table", "orders", "--settle", "1s", "--flush-age", "200ms"];
        self.shell.run(&capture).await.is(0);
        assert_eq!(self.tap.keys(), [key.to_owned()].into(), "{:?}", self.identity.asked());
        let store = LocalStore::new(self.shell.path("archive"));
        assert_eq!(table::timelines(&store).await.unwrap().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_gives_the_credentials() {
    let scene = Scene::begin("[profile by-process]\ncredential_process = sh keys.sh\n").await;
    let keys = r#"{"Version":1,"AccessKeyId":"AKIAPROCESS","SecretAccessKey":"s","SessionToken":"t","Expiration":"2099-01-01T00:00:00Z"}"#;
    scene.shell.write("keys.sh", format!("echo '{keys}'\n"));
    let shell = scene.shell.with("AWS_PROFILE", "by-process");
    Scene { shell, ..scene }.signs_with("AKIAPROCESS").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_is_assumed_by_a_profile() {
    let config = "[profile own]\naws_access_key_id = AKIAOWN\naws_secret_access_key = s\n\
                  [profile by-role]\nrole_arn = arn:aws:iam::111122223333:role/archive\nsource_profile = own\n";
    let scene = Scene::begin(config).await;
    let shell = scene.shell.with("AWS_PROFILE", "by-role");
    let scene = Scene { shell, ..scene };
    scene.signs_with("ASIAROLE").await;
    assert!(
        scene.identity.asked()[0].contains("Credential=AKIAOWN/"),
        "the role is asked for with the profile's own key"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_identity_is_a_role() {
    let scene = Scene::begin("").await;
    scene.shell.write("token", "a.web.token");
    let token = scene.shell.path("token").display().to_string();
    let shell = scene.shell.with("AWS_WEB_IDENTITY_TOKEN_FILE", &token);
    let shell = shell.with("AWS_ROLE_ARN", "arn:aws:iam::111122223333:role/pod");
    let scene = Scene { shell, ..scene };
    scene.signs_with("ASIAWEBIDENTITY").await;
    assert!(scene.identity.asked()[0].contains("WebIdentityToken=a.web.token"));
}

const SSO: &str = "[sso-session corp]\nsso_start_url = https://corp.awsapps.com/start\nsso_region = eu-west-1\n\
                   sso_registration_scopes = sso:account:access\n\
                   [profile by-sso]\nsso_session = corp\nsso_account_id = 111122223333\nsso_role_name = archive\n";

/// The name of the cached token: SHA-1 of the session's name.
const CORP: &str = "ee0bfd2552fbd840c02cc48b6e823320543c450f";

/// What `aws sso login` leaves behind.
fn sign_in(shell: &Shell, expires: &str) {
    let token = format!(
        r#"{{"accessToken":"first","expiresAt":"{expires}","refreshToken":"renew","clientId":"c","clientSecret":"s","registrationExpiresAt":"2099-01-01T00:00:00Z","region":"eu-west-1","startUrl":"https://corp.awsapps.com/start"}}"#
    );
    shell.write(&format!(".aws/sso/cache/{CORP}.json"), token);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_by_the_browser_is_used_and_renewed() {
    for (expires, token) in [("2099-01-01T00:00:00Z", "first"), ("2026-01-01T00:00:00Z", "renewed")] {
        let scene = Scene::begin(SSO).await;
        sign_in(&scene.shell, expires);
        let shell = scene.shell.with("AWS_PROFILE", "by-sso");
        let scene = Scene { shell, ..scene };
        scene.signs_with("ASIASSO").await;
        let asked = scene.identity.asked();
        assert!(
            asked.last().unwrap().to_lowercase().contains(&format!("x-amz-sso_bearer_token: {token}")),
            "{asked:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_not_signed_in_is_told_how() {
    let scene = Scene::begin(SSO).await;
    let shell = scene.shell.with("AWS_PROFILE", "by-sso");
    shell.refuses(&["capture", "--table", "orders"], Exit::Credentials, &["aws sso login --profile by-sso"]).await;
}
