//! Reading takes work in proportion to length, whatever is written. Work is instructions, as valgrind counts them: the same on a busy
//! machine, and the same tomorrow.

use std::process::Command;

use speed::shapes::{SHAPES, SIZES, message, read_message};

/// How much more work than at the median size an octet may be at any size.
const FACTOR: f64 = 3.0;
/// Which shape and size the other process reads.
const READS: &str = "SPEED_READS";

/// T28: from 1 to 64 kB no octet takes more than three times the work of one at the median size. What is quadratic takes four to eight
/// times that at 64 kB.
#[test]
fn reading_takes_no_more_work_for_each_octet_of_a_long_message() {
    for (number, (name, shape)) in SHAPES.iter().enumerate() {
        let octet = |size: usize| instructions(number, size) as f64 / message(*shape, size).len() as f64;
        let each = SIZES.map(octet);
        let mut sorted = each;
        sorted.sort_by(f64::total_cmp);
        let median = sorted[SIZES.len() / 2];
        println!("{name}: {each:.1?} instructions for each octet");
        for (size, octet) in SIZES.iter().zip(&each) {
            assert!(*octet < FACTOR * median, "{name}: {octet:.1} at {size}, {median:.1} at the median");
        }
    }
}

/// What is counted: another process of these tests, below valgrind.
#[test]
#[ignore = "run and counted by the test above"]
fn read_one_message() {
    let reads = std::env::var(READS).expect("the test above says what to read");
    let (shape, size) = reads.split_once(' ').expect("two numbers");
    let shape = SHAPES[shape.parse::<usize>().expect("a number")].1;
    assert!(read_message(message(shape, size.parse().expect("a number"))) > 0);
}

/// The instructions of reading a message, and of nothing else.
fn instructions(shape: usize, size: usize) -> u64 {
    let folder = tempfile::tempdir().expect("a folder for callgrind's file");
    let done = Command::new("valgrind")
        .args(["--tool=callgrind", "--collect-atstart=no"])
        .arg(format!("--callgrind-out-file={}", folder.path().join("callgrind.out").display()))
        .arg("--toggle-collect=speed::shapes::read_message*")
        .arg(std::env::current_exe().expect("a test knows its path"))
        .args(["--exact", "linear::read_one_message", "--ignored", "--test-threads", "1"])
        .env(READS, format!("{shape} {size}"))
        .output()
        .expect("valgrind is installed (make test installs it)");
    let told = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{told}{}", String::from_utf8_lossy(&done.stdout));
    let count = told.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
    let count = count.unwrap_or_else(|| panic!("no count in {told}"));
    assert!(count > size as u64, "{count} instructions cannot read {size} octets");
    count
}
