//! Process life: the one spawn, shutdown, drain, health and signals.
