//! Actions as they stand in an entry.
//!
//! What each of ours asks of a program that does not know it. Whatever decides an image, or up to when it is
//! final, needs readers; bookkeeping of the stream needs writers only; the rest may be carried along.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::action::{Action, CoverageEnded, Need, STREAM_DISABLED, TABLE_DELETED, UNSELECTED};

/// What each of our actions asks.
const NEEDS: &[(&str, Need)] = &[
    ("epoch_started", Need::Read),
    ("epoch_closed", Need::Read),
    ("segments", Need::Read),
    ("heartbeat", Need::Read),
    ("seal", Need::Read),
    ("base", Need::Read),
    ("void", Need::Read),
    ("shard_awaited", Need::Write),
    ("shard_opened", Need::Write),
    ("shard_closed", Need::Write),
    ("shard_released", Need::Write),
    ("seal_started", Need::Write),
    ("base_started", Need::Write),
    ("intent_abandoned", Need::Write),
    ("collect", Need::Write),
    ("definition", Need::None),
    ("gap_acknowledged", Need::None),
    ("coverage_ended", Need::None),
];
/// Why coverage may end.
const ENDS: [&str; 3] = [TABLE_DELETED, STREAM_DISABLED, UNSELECTED];

fn need_of(name: &str) -> Option<Need> {
    NEEDS.iter().find(|(known, _)| *known == name).map(|(_, need)| *need)
}

/// The members that every action has.
#[derive(Deserialize)]
struct Head {
    action: String,
    need: Option<Need>,
}

/// The JSON of an action: its name, its need, then its members in the order of the schema.
pub(super) fn encode(action: &Action) -> Result<Box<RawValue>, serde_json::Error> {
    let json = match action {
        Action::Unknown { json, .. } => json.clone(),
        Action::EpochStarted(body) => own("epoch_started", body)?,
        Action::EpochClosed(body) => own("epoch_closed", body)?,
        Action::ShardAwaited(body) => own("shard_awaited", body)?,
        Action::ShardOpened(body) => own("shard_opened", body)?,
        Action::ShardClosed(body) => own("shard_closed", body)?,
        Action::ShardReleased(body) => own("shard_released", body)?,
        Action::Segments(body) => own("segments", body)?,
        Action::Heartbeat(body) => own("heartbeat", body)?,
        Action::Definition(body) => own("definition", body)?,
        Action::SealStarted(body) => own("seal_started", body)?,
        Action::Seal(body) => own("seal", body)?,
        Action::BaseStarted(body) => own("base_started", body)?,
        Action::Base(body) => own("base", body)?,
        Action::IntentAbandoned(body) => own("intent_abandoned", body)?,
        Action::GapAcknowledged(body) => own("gap_acknowledged", body)?,
        Action::Void(body) => own("void", body)?,
        Action::Collect(body) => own("collect", body)?,
        Action::CoverageEnded(body) => own("coverage_ended", body)?,
    };
    RawValue::from_string(json)
}

fn own(name: &str, body: &impl Serialize) -> Result<String, serde_json::Error> {
    let need = need_of(name).unwrap_or_default();
    let (need, body) = (serde_json::to_string(&need)?, serde_json::to_string(body)?);
    // Every body has members, so what follows its brace continues the object.
    Ok(format!(r#"{{"action":"{name}","need":{need},{}"#, &body[1..]))
}

/// The action that `json` spells; a name that is not ours is kept as it lies.
pub(super) fn decode(json: &RawValue) -> Result<Action, serde_json::Error> {
    let head: Head = serde_json::from_str(json.get())?;
    if let (Some(known), Some(said)) = (need_of(&head.action), head.need)
        && known != said
    {
        return Err(serde::de::Error::custom(format!("{} with another need than its own", head.action)));
    }
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
        "coverage_ended" => Action::CoverageEnded(ending(body(json)?)?),
        _ => Action::Unknown { name: head.action, need: head.need.unwrap_or_default(), json: json.get().to_owned() },
    })
}

fn ending(ended: CoverageEnded) -> Result<CoverageEnded, serde_json::Error> {
    if ENDS.contains(&ended.reason.as_str()) {
        return Ok(ended);
    }
    Err(serde::de::Error::custom(format!("coverage ends for no such reason as {}", ended.reason)))
}

/// The members but `action` and `need`; one more than the action has is refused.
fn body<T: DeserializeOwned>(json: &RawValue) -> Result<T, serde_json::Error> {
    let mut members: serde_json::Map<String, Value> = serde_json::from_str(json.get())?;
    members.remove("action");
    members.remove("need");
    serde_json::from_value(Value::Object(members))
}
