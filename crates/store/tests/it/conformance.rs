//! What every engine must do.

mod due;
mod index;
mod log;
mod records;

/// Runs each scenario on every engine.
macro_rules! on_every_engine {
    ($($(#[$meta:meta])* async fn $name:ident($rig:ident) $body:block)*) => {
        mod scenarios {
            use super::*;
            $(pub async fn $name($rig: $crate::rig::Rig) $body)*
        }
        mod memory {
            $($(#[$meta])* #[tokio::test] async fn $name() {
                super::scenarios::$name($crate::rig::Rig::memory().await).await
            })*
        }
        mod redis {
            $($(#[$meta])* #[tokio::test] async fn $name() {
                super::scenarios::$name($crate::rig::Rig::redis().await).await
            })*
        }
    };
}
pub(crate) use on_every_engine;
