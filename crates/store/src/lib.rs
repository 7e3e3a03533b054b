//! One small versioned store interface with a memory and a Redis engine.
