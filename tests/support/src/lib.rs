//! Test doubles: servers on free ports, scripted phones, peers started as real processes.
