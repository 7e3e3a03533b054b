//! Lists and their members, which live in many partitions.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use store::{Batch, Expect, Partition, StoreError, Versioned};

use super::{Read, Repository, Seeker, names};
use crate::elsewhere::WANTED_MS;
use crate::engine::Package;
use crate::topics::list::{Found, List, Listed, MAX_DEPTH, MOST_READ, Record};
use crate::topics::{Policy, presentity};

/// Records of one partition that are read at once.
const AT_ONCE: usize = 800;
/// Lists above one member that are told of its changes.
const MOST_ABOVE: usize = 4_096;
/// Tries to tell a member which lists it is on while others do.
const ATTEMPTS: usize = 16;

/// One page of lists.
pub type Page = (Vec<Record>, Option<String>);

impl Repository {
    /// Reads a list, also one that was removed and is not gone yet.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn list(&self, uri: &str) -> Result<(Option<Record>, Expect), StoreError> {
        let (value, expect) = self.record(uri, &names::list(uri)).await?;
        Ok((value.as_ref().map(Record::read).transpose()?, expect))
    }

    /// A page of lists by URI.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn lists(&self, after: Option<&str>, limit: usize) -> Result<Page, StoreError> {
        let mut uris = Vec::new();
        for partition in self.partitions() {
            // One more than is shown says whether there are more.
            let page = self.store.index(partition, names::LISTS, after, limit + 1).await?;
            uris.extend(page.entries.into_iter().map(|(uri, _)| uri));
        }
        uris.sort_unstable();
        let has_more = uris.len() > limit;
        uris.truncate(limit);
        let found = self.read_of(&uris, |uri| vec![names::list(uri)]).await?;
        let records = uris.iter().filter_map(|uri| found.get(uri)?.first()?.as_ref());
        let records = records.map(|found| Record::read(&found.value)).collect::<Result<Vec<_>, _>>()?;
        Ok((records, uris.pop().filter(|_| has_more)))
    }

    /// Reads a list with what it shows.
    pub(super) async fn list_topic(&self, uri: &str, seeker: Option<Seeker>) -> Result<Read, StoreError> {
        let (record, expect) = self.list(uri).await?;
        let mut list = List { uri: uri.to_owned(), found: HashMap::new(), sought: None };
        let mut level: Vec<String> = Vec::new();
        if let Some(record) = record.filter(|record| !record.is_removed) {
            level.extend(record.own_members().map(str::to_owned));
            list.found.insert(uri.to_owned(), Found::List(record));
        }
        for _ in 0..MAX_DEPTH {
            let mut asked = HashSet::new();
            level.retain(|uri| !list.found.contains_key(uri) && asked.insert(uri.clone()));
            level.truncate((MOST_READ + 1).saturating_sub(list.found.len()));
            if level.is_empty() {
                break;
            }
            let mut next = Vec::new();
            for (uri, values) in self.read_of(&level, member_records).await? {
                let found = read_member(&uri, &values)?;
                if let Found::List(record) = &found {
                    next.extend(record.own_members().map(str::to_owned));
                }
                list.found.insert(uri, found);
            }
            // Which of them are read, where not all are, does not depend on chance.
            next.sort_unstable();
            level = next;
        }
        let (mut elsewhere, mut unsought) = (Vec::new(), Vec::new());
        if let Some(Seeker { watcher, subscription }) = seeker {
            elsewhere = list.elsewhere(&watcher);
            let sought = self.sought(&watcher, &elsewhere).await?;
            // Said again long before it is forgotten.
            let until_ms = self.now_ms() + WANTED_MS / 2;
            let is_wanted = |member: &String| {
                sought.get(member).is_some_and(|sought| sought.is_wanted_by(&subscription, until_ms))
            };
            unsought = elsewhere.iter().filter(|member| !is_wanted(member)).cloned().collect();
            list.sought = Some(sought);
        }
        let checks = vec![(names::list(uri), expect)];
        Ok(Read { checks, topic: Box::new(list), elsewhere, unsought, learnt: None })
    }

    /// Reads records of resources, wherever they live.
    async fn read_of(
        &self,
        resources: &[String],
        records: impl Fn(&str) -> Vec<String>,
    ) -> Result<HashMap<String, Vec<Option<Versioned>>>, StoreError> {
        let mut found = HashMap::with_capacity(resources.len());
        for (partition, resources) in self.by_home(resources.iter().map(String::as_str)) {
            let each = records("").len();
            for some in resources.chunks(AT_ONCE / each.max(1)) {
                let names: Vec<String> = some.iter().flat_map(|uri| records(uri)).collect();
                let mut values = self.store.get_many(partition, &names).await?.into_iter();
                for uri in some {
                    found.insert((*uri).to_owned(), values.by_ref().take(each).collect());
                }
            }
        }
        Ok(found)
    }

    fn by_home<'a>(&self, resources: impl Iterator<Item = &'a str>) -> Vec<(&Partition, Vec<&'a str>)> {
        let mut homes: Vec<(&Partition, Vec<&str>)> = Vec::new();
        for resource in resources {
            let home = self.partition(resource);
            match homes.iter_mut().find(|(known, _)| *known == home) {
                Some((_, there)) => there.push(resource),
                None => homes.push((home, vec![resource])),
            }
        }
        homes
    }

    /// How many lists each of these is on, beside this one.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn lists_beside(
        &self,
        uri: &str,
        members: &[String],
    ) -> Result<HashMap<String, usize>, StoreError> {
        let found = self.read_of(members, |member| vec![names::listed(member)]).await?;
        let count = |(member, values): (String, Vec<Option<Versioned>>)| {
            let listed = Listed::read(value(&values, 0))?;
            Ok((member, listed.on.iter().filter(|on| on.list != uri).count()))
        };
        found.into_iter().map(count).collect()
    }

    /// Tells the members of a list, and the former ones, as this revision of it says.
    ///
    /// # Errors
    /// When the store fails, or others keep changing the same.
    pub async fn tell_members(&self, record: &Record) -> Result<(), StoreError> {
        let current: HashSet<&str> = record.own_members().collect();
        let former = record.former.iter().map(String::as_str);
        for (partition, members) in self.by_home(current.iter().copied().chain(former)) {
            for some in members.chunks(AT_ONCE / 2) {
                self.tell_some(partition, record, some, |member| current.contains(member)).await?;
            }
        }
        Ok(())
    }

    async fn tell_some(
        &self,
        partition: &Partition,
        record: &Record,
        members: &[&str],
        is_on: impl Fn(&str) -> bool,
    ) -> Result<(), StoreError> {
        let head = |member: &str| names::head(Package::Presence, member);
        let names: Vec<String> =
            members.iter().flat_map(|member| [names::listed(member), head(member)]).collect();
        for _ in 0..ATTEMPTS {
            let mut batch = Batch::new(partition);
            let found = self.store.get_many(partition, &names).await?;
            for (member, found) in members.iter().zip(found.chunks(2)) {
                let mut listed = Listed::read(value(found, 0))?;
                if !listed.says(&record.list.list_uri, record.revision, is_on(member)) {
                    continue;
                }
                let known = found.first().and_then(Option::as_ref);
                let expect = known.map_or(Expect::Absent, |known| Expect::Version(known.version));
                match listed.write() {
                    Some(value) => batch.put(names::listed(member), value, expect),
                    None => batch.delete(names::listed(member), expect),
                };
                if listed.on.is_empty() && value(found, 1).is_none() {
                    // Nobody watches it in any way: nobody goes on to learn where it is registered.
                    batch.check(head(member), Expect::Absent);
                    batch.delete(names::bindings(Package::Presence, member), Expect::Any);
                }
            }
            if batch.ops.is_empty() {
                return Ok(());
            }
            match self.store.commit(batch).await {
                Ok(_) => return Ok(()),
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Conflict)
    }

    /// The watched lists that show somebody, directly or within other lists; and whether there were too many to look at.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn lists_above(&self, member: &str) -> Result<(Vec<String>, bool), StoreError> {
        let mut above: Vec<String> = Vec::new();
        let mut seen = HashSet::from([member.to_owned()]);
        let (mut level, mut is_cut) = (vec![member.to_owned()], false);
        for _ in 0..MAX_DEPTH {
            let found = self.read_of(&level, |uri| vec![names::listed(uri)]).await?;
            level = Vec::new();
            for values in found.values() {
                for on in Listed::read(value(values, 0))?.on {
                    is_cut |= seen.len() > MOST_ABOVE;
                    if !is_cut && seen.insert(on.list.clone()) {
                        level.push(on.list);
                    }
                }
            }
            if level.is_empty() {
                break;
            }
            above.extend(level.iter().cloned());
        }
        let heads = self.read_of(&above, |uri| vec![names::head(Package::Presence, uri)]).await?;
        above.retain(|uri| heads.get(uri).is_some_and(|head| head.iter().any(Option::is_some)));
        Ok((above, is_cut))
    }
}

fn value(values: &[Option<Versioned>], at: usize) -> Option<&Bytes> {
    values.get(at).and_then(Option::as_ref).map(|found| &found.value)
}

/// What a member is read from.
fn member_records(uri: &str) -> Vec<String> {
    let package = Package::Presence;
    vec![
        names::list(uri),
        crate::topics::policy_record(uri),
        names::state(package, uri),
        names::bindings(package, uri),
    ]
}

fn read_member(uri: &str, values: &[Option<Versioned>]) -> Result<Found, StoreError> {
    let record = value(values, 0).map(Record::read).transpose()?;
    if let Some(record) = record.filter(|record| !record.is_removed) {
        return Ok(Found::List(record));
    }
    let policy = Policy::read(uri, value(values, 1))?;
    presentity(uri, policy, value(values, 2), value(values, 3)).map(Found::User)
}
