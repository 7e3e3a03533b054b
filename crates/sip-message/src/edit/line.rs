//! The list of lines behind an edit: finding them, and composing new ones in the scratch buffer.

use smallvec::SmallVec;

use super::{Edit, Line, Scratch};
use crate::error::BuildError;
use crate::grammar::is_token;
use crate::header::HeaderId;

impl Edit<'_> {
    pub(super) fn push_front_with(&mut self, id: HeaderId, write: impl FnOnce(&mut Scratch)) -> &mut Self {
        let at = self.find(id).unwrap_or_else(|| {
            let last_via = self.lines.iter().rposition(|line| line.id == HeaderId::Via);
            if id == HeaderId::Via { 0 } else { last_via.map_or(0, |via| via + 1) }
        });
        if let Some(line) = self.compose(id, id.as_str(), write) {
            self.lines.insert(at, line);
        }
        self
    }

    pub(super) fn replace_with(&mut self, id: HeaderId, write: impl FnOnce(&mut Scratch)) -> &mut Self {
        match self.find(id) {
            Some(index) => {
                if let Some(line) = self.compose_like(index, write) {
                    self.lines[index] = line;
                }
            }
            None => {
                if let Some(line) = self.compose(id, id.as_str(), write) {
                    self.lines.push(line);
                }
            }
        }
        self
    }

    pub(super) fn replace_at(&mut self, index: usize, value: &[u8]) -> &mut Self {
        let line = self.compose_like(index, |scratch| {
            // A value that came from the message may hold folds; they are undone as it is copied.
            if memchr::memchr2(b'\r', b'\n', value).is_none() {
                scratch.extend_from_slice(value);
            } else {
                let unfolded = |byte: &u8| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte };
                scratch.extend(value.iter().map(unfolded));
            }
        });
        if let Some(line) = line {
            self.lines[index] = line;
        }
        self
    }

    /// Writes a line with the name of an existing one, spelled as there.
    pub(super) fn compose_like(&mut self, index: usize, write: impl FnOnce(&mut Scratch)) -> Option<Line> {
        let line = self.lines[index];
        let name = line.start as usize..line.start as usize + usize::from(line.name_len);
        if line.own {
            let name: SmallVec<[u8; 64]> = SmallVec::from_slice(&self.scratch[name]);
            self.compose_checked(line.id, &name, write)
        } else {
            self.compose_checked(line.id, &self.message.bytes[name], write)
        }
    }

    /// Writes a line with a name that still has to be checked.
    pub(super) fn compose(
        &mut self,
        id: HeaderId,
        name: &str,
        write: impl FnOnce(&mut Scratch),
    ) -> Option<Line> {
        if (id == HeaderId::Other && !is_token(name.as_bytes())) || name.len() > usize::from(u8::MAX) {
            self.fail(BuildError::Name(name.to_owned()));
            return None;
        }
        self.compose_checked(id, name.as_bytes(), write)
    }

    /// Writes a line into the scratch buffer and checks its value there.
    pub(super) fn compose_checked(
        &mut self,
        id: HeaderId,
        name: &[u8],
        write: impl FnOnce(&mut Scratch),
    ) -> Option<Line> {
        if id == HeaderId::ContentLength {
            self.fail(BuildError::Reserved(id));
            return None;
        }
        let start = self.scratch.len();
        self.scratch.extend_from_slice(name);
        self.scratch.extend_from_slice(b": ");
        let value = self.scratch.len();
        write(&mut self.scratch);
        let end = self.scratch.len();
        if let Some(offset) = memchr::memchr3(b'\r', b'\n', 0, &self.scratch[value..]) {
            self.fail(BuildError::Value { name: String::from_utf8_lossy(name).into_owned(), offset });
            return None;
        }
        self.scratch.extend_from_slice(b"\r\n");
        Some(Line {
            start: start as u32,
            value: value as u32,
            end: end as u32,
            next: self.scratch.len() as u32,
            id,
            name_len: name.len() as u8,
            own: true,
        })
    }

    pub(super) fn fail(&mut self, error: BuildError) {
        self.error.get_or_insert(error);
    }

    pub(super) fn find(&self, id: HeaderId) -> Option<usize> {
        self.lines.iter().position(|line| line.id == id)
    }

    pub(super) fn text(&self, line: &Line) -> &[u8] {
        if line.own { &self.scratch } else { &self.message.bytes }
    }

    pub(super) fn name(&self, index: usize) -> &[u8] {
        let line = &self.lines[index];
        let start = line.start as usize;
        &self.text(line)[start..start + usize::from(line.name_len)]
    }

    pub(super) fn value(&self, index: usize) -> &[u8] {
        let line = &self.lines[index];
        &self.text(line)[line.value as usize..line.end as usize]
    }
}
