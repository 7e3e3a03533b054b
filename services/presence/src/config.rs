//! What can be set about presence.

use std::time::Duration;

/// Settings of the service. Every default says where it comes from.
#[derive(Clone, Debug)]
pub struct Config {
    /// Shortest time of a subscription or publication; who asks for less gets 423. Default 60 s (`presence.min_expires`).
    pub min_expires: Duration,
    /// Longest time of a subscription or publication. Default 7200 s (`presence.max_expires`). A subscription has that of its package
    /// at most.
    pub max_expires: Duration,
    /// Partitions of the store over which resources are spread. Default 16; part of the stored layout.
    pub partitions: u16,
    /// How long a NOTIFY is left to the replica that committed it before another one asks after it. Default 3 s: within the 10 s
    /// in which watchers are up to date after a loss.
    pub notify_lease: Duration,
    /// How long a replica may work on claimed work before another takes it over. Default 5 s.
    pub lease: Duration,
    /// How often due work is looked for. Default 200 ms.
    pub due_interval: Duration,
    /// How long the first NOTIFY of a subscription is held back, so that the 200 is first on most ways: there are phones that take
    /// no NOTIFY before it. Default 20 ms.
    pub head_start: Duration,
    /// Tries to commit a step when others change the same. Default 16.
    pub commit_attempts: usize,
    /// Watchers of one resource in one package; further ones get 503. Default 1000 (`limits.watchers`).
    pub watchers: u32,
    /// Members of other domains that are sought for one watcher of lists; further ones are shown without their state. Default 256, which
    /// is a full list (`limits.members_elsewhere`).
    pub members_elsewhere: u32,
    /// Tasks that send and work on due entries at a time. Default 20 000 (`limits.presence_tasks`).
    pub tasks: usize,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            min_expires: Duration::from_secs(60),
            max_expires: Duration::from_secs(7_200),
            partitions: 16,
            notify_lease: Duration::from_secs(3),
            lease: Duration::from_secs(5),
            due_interval: Duration::from_millis(200),
            head_start: Duration::from_millis(20),
            commit_attempts: 16,
            watchers: 1_000,
            members_elsewhere: 256,
            tasks: 20_000,
        }
    }
}
