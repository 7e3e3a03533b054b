//! The presence service: subscriptions, publications, lists, summaries, stored messages.
