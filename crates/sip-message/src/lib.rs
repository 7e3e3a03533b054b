//! Bytes to SIP messages and back: parse, print, edit by splicing, headers, URIs, stream framing.
