//! Actions as they stand in an entry.
//!
//! What each of ours asks of a program that does not know it. Whatever decides an image, or up to when it is
//! final, needs readers; bookkeeping of the stream needs writers only; the rest may be carried along.
//!
//! | action | need |
//! |---|---|
//! | `epoch_started`, `epoch_closed`, `segments`, `heartbeat`, `seal`, `base`, `void` | read |
//! | `shard_awaited`, `shard_opened`, `shard_closed`, `shard_released` | write |
//! | `seal_started`, `base_started`, `intent_abandoned`, `collect` | write |
//! | `definition`, `gap_acknowledged`, `coverage_ended` | none |

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::action::{Action, Need};

/// The members that every action has.
#[derive(Deserialize)]
struct Head {
    action: String,
    #[serde(default)]
    need: Need,
}

/// The JSON of an action: its name, its need, then its members in the order of the schema.
pub(super) fn encode(action: &Action) -> Result<Box<RawValue>, serde_json::Error> {
    let json = match action {
        Action::Unknown { json, .. } => json.clone(),
        Action::EpochStarted(body) => own("epoch_started", Need::Read, body)?,
        Action::EpochClosed(body) => own("epoch_closed", Need::Read, body)?,
        Action::ShardAwaited(body) => own("shard_awaited", Need::Write, body)?,
        Action::ShardOpened(body) => own("shard_opened", Need::Write, body)?,
        Action::ShardClosed(body) => own("shard_closed", Need::Write, body)?,
        Action::ShardReleased(body) => own("shard_released", Need::Write, body)?,
        Action::Segments(body) => own("segments", Need::Read, body)?,
        Action::Heartbeat(body) => own("heartbeat", Need::Read, body)?,
        Action::Definition(body) => own("definition", Need::None, body)?,
        Action::SealStarted(body) => own("seal_started", Need::Write, body)?,
        Action::Seal(body) => own("seal", Need::Read, body)?,
        Action::BaseStarted(body) => own("base_started", Need::Write, body)?,
        Action::Base(body) => own("base", Need::Read, body)?,
        Action::IntentAbandoned(body) => own("intent_abandoned", Need::Write, body)?,
        Action::GapAcknowledged(body) => own("gap_acknowledged", Need::None, body)?,
        Action::Void(body) => own("void", Need::Read, body)?,
        Action::Collect(body) => own("collect", Need::Write, body)?,
        Action::CoverageEnded(body) => own("coverage_ended", Need::None, body)?,
    };
    RawValue::from_string(json)
}

fn own(name: &str, need: Need, body: &impl Serialize) -> Result<String, serde_json::Error> {
    let (need, body) = (serde_json::to_string(&need)?, serde_json::to_string(body)?);
    // Every body has members, so what follows its brace continues the object.
    Ok(format!(r#"{{"action":"{name}","need":{need},{}"#, &body[1..]))
}

/// The action that `json` spells; a name that is not ours is kept as it lies.
pub(super) fn decode(json: &RawValue) -> Result<Action, serde_json::Error> {
    let head: Head = serde_json::from_str(json.get())?;
    Ok(match head.action.as_str() {
        "epoch_started" => Action::EpochStarted(body(json)?),
        "epoch_closed" => Action::EpochClosed(body(json)?),
        "shard_awaited" => Action::ShardAwaited(body(json)?),
        "shard_opened" => Action::ShardOpened(body(json)?),
        "shard_closed" => Action::ShardClosed(body(json)?),
        "shard_released" => Action::ShardReleased(body(json)?),
        "segments" => Action::Segments(body(json)?),
        "heartbeat" => Action::Heartbeat(body(json)?),
        "definition" => Action::Definition(body(json)?),
        "seal_started" => Action::SealStarted(body(json)?),
        "seal" => Action::Seal(body(json)?),
        "base_started" => Action::BaseStarted(body(json)?),
        "base" => Action::Base(body(json)?),
        "intent_abandoned" => Action::IntentAbandoned(body(json)?),
        "gap_acknowledged" => Action::GapAcknowledged(body(json)?),
        "void" => Action::Void(body(json)?),
        "collect" => Action::Collect(body(json)?),
        "coverage_ended" => Action::CoverageEnded(body(json)?),
        _ => Action::Unknown { name: head.action, need: head.need, json: json.get().to_owned() },
    })
}

/// The members but `action` and `need`; one more than the action has is refused.
fn body<T: DeserializeOwned>(json: &RawValue) -> Result<T, serde_json::Error> {
    let mut members: serde_json::Map<String, Value> = serde_json::from_str(json.get())?;
    members.remove("action");
    members.remove("need");
    serde_json::from_value(Value::Object(members))
}
