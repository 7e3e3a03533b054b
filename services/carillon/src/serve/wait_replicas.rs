//! `redis.wait_replicas`: a number, or what Redis has.

use serde::{Deserialize, Serialize};

/// Replicas that must have a write before it is acknowledged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "toml::Value", into = "toml::Value")]
pub enum WaitReplicas {
    /// 1 where Redis has replicas, 0 where it has none.
    #[default]
    Auto,
    /// So many.
    These(u32),
}

impl WaitReplicas {
    /// As the store takes it.
    pub fn set(self) -> Option<u32> {
        match self {
            Self::Auto => None,
            Self::These(replicas) => Some(replicas),
        }
    }
}

impl TryFrom<toml::Value> for WaitReplicas {
    type Error = &'static str;

    fn try_from(value: toml::Value) -> Result<Self, Self::Error> {
        let number = match value {
            toml::Value::String(text) if text == "auto" => return Ok(Self::Auto),
            toml::Value::String(text) => text.parse().ok(),
            toml::Value::Integer(number) => u32::try_from(number).ok(),
            _ => None,
        };
        number.map(Self::These).ok_or("expected a number or \"auto\"")
    }
}

impl From<WaitReplicas> for toml::Value {
    fn from(replicas: WaitReplicas) -> Self {
        match replicas {
            WaitReplicas::Auto => Self::from("auto"),
            WaitReplicas::These(replicas) => Self::from(i64::from(replicas)),
        }
    }
}
