//! A list that grows without moving what it holds.

use std::ops::{Index, IndexMut};

/// Items of one segment.
const SIZE: usize = 512;

/// A list in segments. To grow costs one small allocation however long the list is: a vector would copy hundreds of thousands
/// of timers in one go, and every message would wait for it.
#[derive(Debug)]
pub(crate) struct Segments<T> {
    segments: Vec<Vec<T>>,
    len: usize,
}

impl<T> Segments<T> {
    pub(crate) fn new() -> Self {
        Self { segments: Vec::new(), len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn push(&mut self, item: T) {
        match self.segments.last_mut() {
            Some(last) if last.len() < SIZE => last.push(item),
            Some(_) | None => {
                let mut segment = Vec::with_capacity(SIZE);
                segment.push(item);
                self.segments.push(segment);
            }
        }
        self.len += 1;
    }

    pub(crate) fn get(&self, at: usize) -> Option<&T> {
        self.segments.get(at / SIZE)?.get(at % SIZE)
    }
}

impl<T> Index<usize> for Segments<T> {
    type Output = T;

    fn index(&self, at: usize) -> &T {
        &self.segments[at / SIZE][at % SIZE]
    }
}

impl<T> IndexMut<usize> for Segments<T> {
    fn index_mut(&mut self, at: usize) -> &mut T {
        &mut self.segments[at / SIZE][at % SIZE]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_stay_where_they_were_put() {
        let mut list = Segments::new();
        for n in 0..3 * SIZE + 1 {
            list.push(n);
        }
        list[SIZE] = 7;
        let expected = |at| if at == SIZE { 7 } else { at };
        assert!((0..list.len()).all(|at| list[at] == expected(at)));
        assert_eq!((list.len(), list.get(3 * SIZE + 1)), (3 * SIZE + 1, None));
        assert!(list.segments.iter().all(|segment| segment.capacity() == SIZE));
    }
}
