//! The book of a pool: a line for each number that is lent or rests. Pure: the time and the choice are arguments.

/// The book as it is stored.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Book {
    #[prost(uint32, tag = "1")]
    pub schema: u32,
    #[prost(message, repeated, tag = "2")]
    pub lines: Vec<Line>,
}

/// One number that is not free.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Line {
    /// Its place in the pool.
    #[prost(uint32, tag = "1")]
    pub place: u32,
    /// When the loan ends, or ended.
    #[prost(uint64, tag = "2")]
    pub ends_ms: u64,
    /// How long it rests after that.
    #[prost(uint64, tag = "3")]
    pub rest_ms: u64,
    /// Who has it; empty when it rests.
    #[prost(string, tag = "4")]
    pub requester: String,
    /// What was asked, so that the same ask gets the same number.
    #[prost(string, tag = "5")]
    pub ask: String,
    /// Of a gateway elsewhere: its number in global form; empty while it is asked, when `ends_ms` is when that is given up.
    #[prost(string, tag = "6")]
    pub number: String,
    /// While a gateway is asked: what Call-ID, tag and branch are made of, so that whoever asks on sends the same request.
    #[prost(string, tag = "7")]
    pub token: String,
    /// While a gateway is asked: the edge by which it is.
    #[prost(string, tag = "8")]
    pub edge_id: String,
}

/// What somebody asks of a book.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish<'a> {
    pub requester: &'a str,
    /// Empty for an ask that is never repeated.
    pub ask: &'a str,
    pub life_ms: u64,
    pub rest_ms: u64,
    /// Numbers in the pool.
    pub size: u32,
    /// Numbers that the requester may have.
    pub quota: u32,
    /// Where to begin to look for a free one.
    pub from: u32,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wished {
    /// This one is lent from now on.
    Lent(u32),
    /// The same ask had it already.
    Repeated(u32),
    /// The requester has all it may.
    Quota,
    /// None is free before this many milliseconds from now.
    Empty(u64),
}

/// How a gateway elsewhere is asked.
#[derive(Clone, Debug)]
pub(super) struct Way {
    /// What the request is made of.
    pub token: String,
    pub edge_id: String,
}

/// Why nothing is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// The requester has all it may.
    Quota,
    /// There is room in this many milliseconds.
    Pool(u64),
}

impl Line {
    fn is_lent(&self, now_ms: u64) -> bool {
        now_ms < self.ends_ms
    }

    /// Whether a gateway is being asked for it.
    pub(super) fn is_asked_for(&self) -> bool {
        self.number.is_empty() && !self.token.is_empty()
    }

    fn is_free(&self, now_ms: u64) -> bool {
        self.ends_ms.saturating_add(self.rest_ms) <= now_ms
    }
}

impl Book {
    /// Lends a number.
    pub(super) fn lend(&mut self, wish: Wish<'_>, now_ms: u64) -> Wished {
        self.tidy(now_ms);
        if let Some(line) = self.of_ask(wish.ask, now_ms) {
            return Wished::Repeated(line.place);
        }
        if self.has_all(wish, now_ms) {
            return Wished::Quota;
        }
        let mut is_taken = vec![false; usize::try_from(wish.size).unwrap_or(0)];
        for line in &self.lines {
            // a pool that was made smaller still has lines beyond its end
            if let Some(taken) = usize::try_from(line.place).ok().and_then(|place| is_taken.get_mut(place)) {
                *taken = true;
            }
        }
        let places = (wish.from..wish.size).chain(0..wish.from.min(wish.size));
        let free = |place: &u32| {
            usize::try_from(*place).ok().and_then(|place| is_taken.get(place)).is_some_and(|taken| !taken)
        };
        let Some(place) = places.into_iter().find(free) else {
            let next = self.lines.iter().map(|line| line.ends_ms.saturating_add(line.rest_ms)).min();
            return Wished::Empty(next.unwrap_or(now_ms).saturating_sub(now_ms));
        };
        self.lines.push(Line {
            place,
            ends_ms: now_ms.saturating_add(wish.life_ms),
            rest_ms: wish.rest_ms,
            requester: wish.requester.to_owned(),
            ask: wish.ask.to_owned(),
            ..Line::default()
        });
        Wished::Lent(place)
    }

    /// Begins to ask a gateway elsewhere: a line without a number, which counts against the quota from now on.
    ///
    /// # Errors
    /// When there are as many lines as there may be.
    pub(super) fn begin(&mut self, wish: Wish<'_>, way: Way, now_ms: u64) -> Result<Line, Full> {
        self.tidy(now_ms);
        if self.has_all(wish, now_ms) {
            return Err(Full::Quota);
        }
        if self.lines.len() >= usize::try_from(wish.size).unwrap_or(usize::MAX) {
            let next = self.lines.iter().map(|line| line.ends_ms).min();
            return Err(Full::Pool(next.unwrap_or(now_ms).saturating_sub(now_ms)));
        }
        let line = Line {
            ends_ms: now_ms.saturating_add(wish.life_ms),
            requester: wish.requester.to_owned(),
            ask: wish.ask.to_owned(),
            token: way.token,
            edge_id: way.edge_id,
            ..Line::default()
        };
        self.lines.push(line.clone());
        Ok(line)
    }

    /// The line of an ask.
    pub(super) fn of_ask(&self, ask: &str, now_ms: u64) -> Option<&Line> {
        let is_same = |line: &&Line| !ask.is_empty() && line.ask == ask && line.is_lent(now_ms);
        self.lines.iter().find(is_same)
    }

    /// The line that a gateway is asked for in this way.
    pub(super) fn of_token(&mut self, token: &str) -> Option<&mut Line> {
        self.lines.iter_mut().find(|line| line.token == token && line.is_asked_for())
    }

    /// The gateway gave nothing.
    pub(super) fn forget(&mut self, token: &str) {
        self.lines.retain(|line| line.token != token || !line.is_asked_for());
    }

    fn has_all(&self, wish: Wish<'_>, now_ms: u64) -> bool {
        let has = self.lent(now_ms).filter(|line| line.requester == wish.requester).count();
        has >= usize::try_from(wish.quota).unwrap_or(usize::MAX)
    }

    /// The loan of a number ends now, and it rests; returns whether it was lent.
    pub(super) fn end(&mut self, place: u32, now_ms: u64) -> bool {
        let line = self.lines.iter_mut().find(|line| line.place == place && line.is_lent(now_ms));
        let Some(line) = line else { return false };
        line.ends_ms = now_ms;
        self.tidy(now_ms);
        true
    }

    /// The lines of numbers that are lent.
    pub(super) fn lent(&self, now_ms: u64) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(move |line| line.is_lent(now_ms))
    }

    /// When nothing in it matters any more.
    pub(super) fn until_ms(&self) -> u64 {
        self.lines.iter().map(|line| line.ends_ms.saturating_add(line.rest_ms)).max().unwrap_or(0)
    }

    /// Free numbers have no line, and nobody needs to know who had one that rests.
    fn tidy(&mut self, now_ms: u64) {
        self.lines.retain(|line| !line.is_free(now_ms));
        for line in self.lines.iter_mut().filter(|line| !line.is_lent(now_ms)) {
            line.requester.clear();
            line.ask.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ALC-02, ALC-09: what is being asked for counts, has its end, and becomes a number once.
    #[test]
    fn an_ask_of_a_gateway_counts_until_it_is_over() {
        let mut book = Book::default();
        let way = |token: &str| Way { token: token.to_owned(), edge_id: "e".to_owned() };
        let begun = book.begin(wish("alice", "1"), way("t1"), 0).unwrap();
        assert!(begun.is_asked_for() && book.of_ask("1", 99) == Some(&begun));
        assert!(book.begin(wish("alice", "2"), way("t2"), 0).is_ok());
        assert_eq!(book.begin(wish("alice", "3"), way("t3"), 0), Err(Full::Quota));
        book.forget("t2");
        assert!(book.begin(wish("alice", "3"), way("t3"), 10).is_ok());
        assert!(book.begin(wish("bob", "4"), way("t4"), 10).is_ok());
        assert_eq!(book.begin(wish("bob", "5"), way("t5"), 10), Err(Full::Pool(90)));

        let line = book.of_token("t1").unwrap();
        (line.number, line.ends_ms) = ("+13235554258".to_owned(), 500);
        assert!(book.of_token("t1").is_none(), "once");
        book.forget("t1");
        assert!(!book.of_ask("1", 499).unwrap().is_asked_for());
        assert!(book.of_ask("3", 110).is_none(), "it was given up");
        assert_eq!((book.of_ask("1", 500), book.until_ms()), (None, 500));
    }

    fn wish<'a>(requester: &'a str, ask: &'a str) -> Wish<'a> {
        Wish { requester, ask, life_ms: 100, rest_ms: 200, size: 3, quota: 2, from: 1 }
    }

    /// ALC-06: a new ask gets a new number, the same one its own.
    #[test]
    fn an_ask_gets_one_number_and_another_ask_another() {
        let mut book = Book::default();
        assert_eq!(book.lend(wish("alice", "1"), 0), Wished::Lent(1));
        assert_eq!(book.lend(wish("alice", "1"), 99), Wished::Repeated(1));
        assert_eq!(book.lend(wish("alice", "2"), 99), Wished::Lent(2));
        assert_eq!(book.lend(wish("bob", ""), 99), Wished::Lent(0));
    }

    /// ALC-09: a quota for each requester, and a time after which it is worth to ask again.
    #[test]
    fn a_requester_has_its_quota_and_a_pool_its_end() {
        let mut book = Book::default();
        for expected in [Wished::Lent(1), Wished::Lent(2), Wished::Quota] {
            assert_eq!(book.lend(wish("alice", ""), 0), expected);
        }
        assert_eq!(book.lend(wish("bob", ""), 10), Wished::Lent(0));
        assert_eq!(book.lend(wish("carol", ""), 60), Wished::Empty(240), "the first one lent is free at 300");
    }

    /// ALC-08: what was used, or not used in time, rests before somebody else has it.
    #[test]
    fn a_number_rests_before_it_is_lent_again() {
        let mut book = Book::default();
        assert_eq!(book.lend(Wish { size: 1, from: 0, ..wish("alice", "1") }, 0), Wished::Lent(0));
        assert!(book.end(0, 50));
        assert!(!book.end(0, 50), "it ends once");
        assert_eq!(book.lent(50).count(), 0);
        let again = Wish { size: 1, from: 0, ..wish("alice", "1") };
        assert_eq!(book.lend(again, 249), Wished::Empty(1), "nor has its borrower it again");
        assert_eq!(book.lend(again, 250), Wished::Lent(0));
        assert_eq!(book.lend(again, 549), Wished::Empty(1), "unused: its time, and its rest");
        assert_eq!((book.until_ms(), book.lend(again, 550)), (550, Wished::Lent(0)));
    }
}
