//! Text into small buffers without a string in between.

use std::fmt;

use smallvec::SmallVec;

pub(super) fn write_fmt<const N: usize>(out: &mut SmallVec<[u8; N]>, value: fmt::Arguments<'_>) {
    struct Writer<'a, const N: usize>(&'a mut SmallVec<[u8; N]>);
    impl<const N: usize> fmt::Write for Writer<'_, N> {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0.extend_from_slice(text.as_bytes());
            Ok(())
        }
    }
    // The writer itself never fails; a Display that does leaves a shortened value, not a broken line.
    let _ = fmt::Write::write_fmt(&mut Writer(out), value);
}

/// A number in decimal digits; formatting machinery costs more than the rest of an edit.
pub(crate) struct Digits {
    text: [u8; 20],
    start: usize,
}

impl Digits {
    pub(crate) fn of(number: u64) -> Digits {
        let mut digits = Digits { text: [b'0'; 20], start: 20 };
        let mut rest = number;
        loop {
            digits.start -= 1;
            digits.text[digits.start] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                return digits;
            }
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.text[self.start..]
    }
}
