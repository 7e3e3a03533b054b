//! Message bodies as far as signaling needs them: SDP, multipart, tone-info, sipfrag.
