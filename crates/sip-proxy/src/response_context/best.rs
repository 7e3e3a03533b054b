//! Which of the failures goes up, RFC 3261 16.7 step 6.

use super::plan::Condition;
use crate::Response;

/// A final answer other than 2xx, by a peer or by us in a peer's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Best<R> {
    /// As received.
    Received(R),
    /// No peer said so: a timeout (408), a transport error (503), no target (480), and the like.
    Local(u16),
}

impl<R: Response> Best<R> {
    /// The status code.
    pub fn status(&self) -> u16 {
        match self {
            Self::Received(response) => response.status(),
            Self::Local(status) => *status,
        }
    }

    /// The status to send upstream: 503 and 430 are matters between neighbours.
    // RFC 3261 16.7 step 6, RFC 5626 5.3.1
    pub fn status_upstream(&self) -> u16 {
        match self.status() {
            503 => 500,
            430 => 480,
            status => status,
        }
    }
}

/// How one branch ended without success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ending<R> {
    /// A final response, or what stands for one.
    Failed(Best<R>),
    /// It rang until we gave it up.
    Unanswered,
    /// It said nothing until we gave it up.
    Silent,
    /// Others took its place: a redirection that was followed.
    Replaced,
}

impl<R: Response> Ending<R> {
    /// Its part in the choice; a branch that was replaced has none.
    pub(super) fn best(&self) -> Option<Best<R>> {
        match self {
            Self::Failed(best) => Some(best.clone()),
            Self::Unanswered | Self::Silent => Some(Best::Local(408)),
            Self::Replaced => None,
        }
    }

    /// May another flow of the same device be tried? RFC 5626 7
    pub(super) fn is_flow_failure(&self) -> bool {
        match self {
            Self::Failed(best) => matches!(best.status(), 408 | 430) || matches!(best, Best::Local(503)),
            Self::Unanswered | Self::Silent | Self::Replaced => false,
        }
    }

    /// Did the server come to nothing, rather than the callee behind it?
    pub(super) fn is_unserved(&self) -> bool {
        match self {
            Self::Failed(Best::Received(response)) => matches!(response.status(), 500 | 502..=504),
            Self::Failed(Best::Local(status)) => matches!(status, 408 | 430 | 503),
            Self::Silent => true,
            Self::Unanswered | Self::Replaced => false,
        }
    }
}

/// The best of several failures, and the responses whose challenges go with it.
pub(super) fn choose<R: Response>(endings: impl Iterator<Item = Best<R>>) -> Option<(Best<R>, Vec<R>)> {
    let failures: Vec<Best<R>> = endings.collect();
    let best = failures.iter().min_by_key(|best| rank(best.status()))?.clone();
    // RFC 3261 16.7 step 7: a chosen 401 or 407 carries the challenges of all others.
    let challenges = match &best {
        Best::Received(chosen) if matches!(chosen.status(), 401 | 407) => {
            let mut seen_chosen = false;
            let others = failures.iter().filter_map(|failure| match failure {
                Best::Received(response) if matches!(response.status(), 401 | 407) => Some(response),
                Best::Received(_) | Best::Local(_) => None,
            });
            others
                .filter(|other| {
                    let is_chosen = !seen_chosen && other.status() == chosen.status();
                    seen_chosen |= is_chosen;
                    !is_chosen
                })
                .cloned()
                .collect()
        }
        Best::Received(_) | Best::Local(_) => Vec::new(),
    };
    Some((best, challenges))
}

/// Smaller is better: class first, then what helps the caller to send a better request, then what says something about
/// the callee, then what says only that a branch came to nothing.
fn rank(status: u16) -> (u16, u16) {
    let class = match status / 100 {
        6 => 0,
        class => class,
    };
    let within = match status {
        401 | 407 => 0,
        415 => 1,
        420 => 2,
        484 => 3,
        486 => 4,
        480 => 6,
        408 | 481 | 482 | 483 | 487 | 440 => 7,
        430 => 8,
        503 => 9,
        _ => 5,
    };
    (class, within)
}

/// Which forwardings the endings of the callee's own devices call for, best fitting first: who says 600 speaks for all of them, a device
/// that rang until its time was over was there and free, and busy is who has no other.
pub(super) fn conditions_met<R: Response>(endings: &[&Ending<R>]) -> &'static [Condition] {
    use Condition::{Busy, NoAnswer, Unreachable};
    let statuses = || endings.iter().filter_map(|ending| ending.best()).map(|best| best.status());
    let is_any = |wanted: fn(&Ending<R>) -> bool| endings.iter().any(|ending| wanted(ending));
    if statuses().any(|status| status == 600) {
        &[Busy]
    } else if is_any(|ending| matches!(ending, Ending::Unanswered)) {
        &[NoAnswer]
    } else if statuses().any(|status| status == 486) {
        &[Busy]
    } else if is_any(|ending| matches!(ending, Ending::Silent)) {
        &[NoAnswer]
    } else if statuses().all(|status| matches!(status, 408 | 430 | 480 | 503)) {
        // Some phones and many proxies say 408 or 480 when it rang in vain.
        if endings.is_empty() { &[Unreachable] } else { &[Unreachable, NoAnswer] }
    } else {
        &[]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, PartialEq, Eq)]
    struct Answer(u16, &'static str);

    impl Response for Answer {
        fn status(&self) -> u16 {
            self.0
        }
    }

    fn best_of(statuses: &[u16]) -> u16 {
        choose(statuses.iter().map(|status| Best::Received(Answer(*status, "")))).unwrap().0.status()
    }

    /// PXY-17
    #[test]
    fn six_hundreds_come_first_then_the_lowest_class() {
        assert_eq!(best_of(&[404, 603]), 603);
        assert_eq!(best_of(&[503, 404]), 404);
        assert_eq!(best_of(&[404, 302]), 302);
        assert_eq!(best_of(&[503, 500]), 500);
    }

    /// PXY-17
    #[test]
    fn among_400s_the_one_that_helps_the_caller_wins() {
        assert_eq!(best_of(&[404, 486, 407]), 407);
        assert_eq!(best_of(&[404, 415]), 415);
        assert_eq!(best_of(&[486, 420]), 420);
        assert_eq!(best_of(&[404, 484]), 484);
        assert_eq!(best_of(&[487, 408, 486]), 486);
    }

    /// PXY-20
    #[test]
    fn the_other_challenges_go_along_in_order() {
        let failures = [Answer(404, "a"), Answer(407, "b"), Answer(401, "c"), Answer(407, "d")];
        let (best, others) = choose(failures.into_iter().map(Best::Received)).unwrap();
        assert_eq!(best, Best::Received(Answer(407, "b")));
        assert_eq!(others, [Answer(401, "c"), Answer(407, "d")]);
    }

    /// PXY-19, OBD-05
    #[test]
    fn what_concerns_only_neighbours_is_not_passed_up() {
        assert_eq!(Best::<Answer>::Local(503).status_upstream(), 500);
        assert_eq!(Best::Received(Answer(430, "")).status_upstream(), 480);
        assert_eq!(Best::Received(Answer(486, "")).status_upstream(), 486);
    }

    /// FWD-03, FWD-04, FWD-05
    #[test]
    fn the_ending_of_the_callees_devices_decides_which_forwarding_applies() {
        let busy = Ending::Failed(Best::Received(Answer(486, "")));
        let gone = Ending::Failed(Best::Local(503));
        let declined = Ending::Failed(Best::Received(Answer(603, "")));
        let unanswered: Ending<Answer> = Ending::Unanswered;
        let everywhere = Ending::Failed(Best::Received(Answer(600, "")));
        assert_eq!(conditions_met(&[&gone, &busy]), [Condition::Busy]);
        assert_eq!(
            conditions_met(&[&busy, &Ending::Silent]),
            [Condition::Busy],
            "who says nothing is not there"
        );
        assert_eq!(conditions_met(&[&gone, &busy, &unanswered]), [Condition::NoAnswer]);
        assert_eq!(conditions_met(&[&unanswered, &everywhere]), [Condition::Busy]);
        assert_eq!(conditions_met(&[&gone, &unanswered]), [Condition::NoAnswer]);
        assert_eq!(conditions_met(&[&gone]), [Condition::Unreachable, Condition::NoAnswer]);
        assert_eq!(conditions_met(&[&gone, &declined]), []);
        assert_eq!(conditions_met::<Answer>(&[]), [Condition::Unreachable]);
    }
}
