//! What flags, environment and `tailrace.toml` may say. One type serves all three, so they cannot drift apart.

use serde::{Deserialize, Serialize};

use super::limits::REPLAY_MEMORY_LEAST;
use super::unit::{Dollars, Length, Size, UnitError};

/// `tailrace.toml`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct File {
    /// The archive: `s3://bucket/prefix`, `file:///path` or a path.
    pub archive: Option<String>,
    /// `[capture]`
    pub capture: CaptureOptions,
    /// `[[source]]`: tables of other accounts and regions.
    #[serde(rename = "source", skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<SourceOptions>,
    /// `[service]`
    pub service: ServiceOptions,
    /// `[base]`
    pub base: BaseOptions,
    /// `[replay]`
    pub replay: ReplayOptions,
    /// `[status]`
    pub status: StatusOptions,
}

/// Settings of `capture`.
#[derive(Debug, Clone, Default, clap::Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CaptureOptions {
    /// A table: NAME, REGION/NAME, ACCOUNT/REGION/NAME or an ARN; `capture` takes several, and patterns (orders-*) and
    /// tags (tag:KEY=VALUE) too
    #[arg(long = "table", short = 't', value_name = "TABLE", env = "TAILRACE_TABLE", value_delimiter = ',')]
    #[serde(rename = "table")]
    pub tables: Option<Vec<String>>,
    /// How long an idle shard stays quiet before time is taken to have passed there [default: 2m]
    #[arg(long, value_name = "LENGTH", env = "TAILRACE_SETTLE")]
    pub settle: Option<Length>,
    /// Write what was read after at most this long [default: 1m]
    #[arg(long, value_name = "LENGTH", env = "TAILRACE_FLUSH_AGE")]
    pub flush_age: Option<Length>,
    /// Write what was read once it reaches this size [default: 32MiB]
    #[arg(long, value_name = "SIZE", env = "TAILRACE_FLUSH_BYTES")]
    pub flush_bytes: Option<Size>,
}

/// One `[[source]]`: what one set of credentials sees.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SourceOptions {
    /// The ARN of a role to assume.
    pub role: Option<String>,
    /// The external id that the role's owner asks for.
    pub external_id: Option<String>,
    /// Regions to look into; the environment's own where none is named.
    pub regions: Option<Vec<String>>,
    /// Tables by name, pattern or tag.
    pub include: Vec<String>,
    /// Those of them that are not meant.
    pub exclude: Vec<String>,
}

/// Settings of a `capture` that runs as a service.
#[derive(Debug, Clone, Default, clap::Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServiceOptions {
    /// Serve /metrics, /healthz and /readyz there, e.g. 127.0.0.1:9464
    #[arg(long, value_name = "ADDRESS", env = "TAILRACE_LISTEN")]
    pub listen: Option<String>,
    /// Call this address once a minute while every table is healthy; whoever is behind it alarms when that stops
    #[arg(long, value_name = "URL", env = "TAILRACE_HEARTBEAT_URL", hide_env_values = true)]
    pub heartbeat_url: Option<String>,
    /// Take the first snapshot of a table by itself while it costs at most this; 0 for never [default: $1.00]
    #[arg(long, value_name = "DOLLARS", env = "TAILRACE_BASE_BUDGET")]
    pub base_budget: Option<Dollars>,
}

/// Settings of `base`.
#[derive(Debug, Clone, Default, clap::Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BaseOptions {
    /// How much later than its write a change may become readable [default: 15m]
    #[arg(long, value_name = "LENGTH", env = "TAILRACE_SLACK")]
    pub slack: Option<Length>,
    /// Spend at most this many read units per second on the scan [default: 100]
    #[arg(long, value_name = "UNITS", env = "TAILRACE_READ_UNITS", value_parser = clap::value_parser!(u32).range(1..))]
    pub read_units: Option<u32>,
    /// Let DynamoDB export the table there instead of scanning it: for large tables; needs point-in-time recovery
    #[arg(long, value_name = "s3://BUCKET/PREFIX", env = "TAILRACE_EXPORT")]
    pub export: Option<String>,
}

/// Settings of `replay`.
#[derive(Debug, Clone, Default, clap::Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReplayOptions {
    /// Spend at most this many write units per second on a destination table [default: 1000]
    #[arg(long, value_name = "UNITS", env = "TAILRACE_WRITE_UNITS", value_parser = clap::value_parser!(u32).range(1..))]
    pub write_units: Option<u32>,
    /// Hold at most so many bytes of keys, images and segments; with less, the archive is read more often [default: 384MiB]
    #[arg(long, value_name = "SIZE", env = "TAILRACE_REPLAY_MEMORY", value_parser = replay_memory)]
    pub memory: Option<Size>,
}

fn replay_memory(text: &str) -> Result<Size, String> {
    let size: Size = text.parse().map_err(|error: UnitError| error.to_string())?;
    let least = Size(REPLAY_MEMORY_LEAST);
    if size.0 < least.0 { Err(format!("{size} is too little: at least {least}")) } else { Ok(size) }
}

/// Settings of `status`.
#[derive(Debug, Clone, Default, clap::Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StatusOptions {
    /// Exit with 21 when a table is not likely complete up to this long ago
    #[arg(long, value_name = "LENGTH", env = "TAILRACE_FAIL_IF_OLDER")]
    pub fail_if_older: Option<Length>,
}
