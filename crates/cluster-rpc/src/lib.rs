//! Links between services: in-process or TCP, deadlines, retries, discovery, membership, status mapping.
