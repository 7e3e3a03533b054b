//! Subscriptions and what they bring, by watchers that speak plain SIP.

mod mailboxes;
mod watcher;
