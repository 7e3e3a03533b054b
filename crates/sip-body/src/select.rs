//! Which part of a body is the session description, and whether the rest may be ignored (RFC 5621 8, MSG-16).

use bytes::Bytes;

use crate::multipart::{Content, Entity};

/// What the parts of a body are to a user agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selected<'a> {
    /// The session description: the first `application/sdp` with disposition `session`.
    pub session: Option<&'a Bytes>,
    /// Every other part of a type that is understood, in order.
    pub others: Vec<&'a Entity>,
}

/// A part whose handling is required is of a type that is not understood: the answer is 415 with Accept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no handling for the required body part {content_type}")]
pub struct NotUnderstood {
    /// The type of the part.
    pub content_type: String,
}

/// Sorts the parts of `body`. `is_understood` is asked for types other than SDP, as "main/sub" in lower case.
///
/// In `multipart/alternative` the last alternative that is understood as a whole counts (RFC 2046 5.1.4); every other
/// multipart is a sequence of parts. A part with disposition `by-reference` waits to be referred to and is never refused.
///
/// # Errors
/// [`NotUnderstood`] for the first part that is required and not understood.
pub fn session_part<'a>(
    body: &'a Entity,
    is_understood: &dyn Fn(&str) -> bool,
) -> Result<Selected<'a>, NotUnderstood> {
    let mut selected = Selected::default();
    sort(body, is_understood, &mut selected)?;
    Ok(selected)
}

fn sort<'a>(
    entity: &'a Entity,
    is_understood: &dyn Fn(&str) -> bool,
    selected: &mut Selected<'a>,
) -> Result<(), NotUnderstood> {
    let essence = entity.content_type.essence();
    let refusal = || NotUnderstood { content_type: essence.clone() };
    match &entity.content {
        Content::Single(octets) => {
            let is_sdp = essence == crate::sdp::CONTENT_TYPE;
            if is_sdp && entity.disposition.kind == "session" && selected.session.is_none() {
                selected.session = Some(octets);
            } else if is_understood(&essence) {
                selected.others.push(entity);
            } else if entity.disposition.is_required && entity.disposition.kind != "by-reference" {
                return Err(refusal());
            }
            Ok(())
        }
        Content::Parts(parts) if entity.content_type.sub == "alternative" => {
            let understood = parts.iter().rev().find_map(|part| {
                let mut attempt = selected.clone();
                let before = (attempt.session, attempt.others.len());
                let is_taken = sort(part, is_understood, &mut attempt).is_ok()
                    && before != (attempt.session, attempt.others.len());
                is_taken.then_some(attempt)
            });
            match understood {
                Some(attempt) => *selected = attempt,
                None if entity.disposition.is_required => return Err(refusal()),
                None => {}
            }
            Ok(())
        }
        Content::Parts(parts) => {
            let mut attempt = selected.clone();
            for part in parts {
                match sort(part, is_understood, &mut attempt) {
                    Ok(()) => {}
                    // RFC 5621 8: an optional multipart may be ignored with all that is in it
                    Err(_) if !entity.disposition.is_required => return Ok(()),
                    Err(refused) => return Err(refused),
                }
            }
            *selected = attempt;
            Ok(())
        }
    }
}
