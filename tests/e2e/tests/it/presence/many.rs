//! Many who watch: the bench of subscriptions, small.

use std::process::Command;

use test_support::binary;

/// PRS-01, F20: every watcher is told of a change, and every refresh of a storm is answered.
#[test]
fn all_of_many_watchers_are_told_and_all_refreshes_answered() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../bench/subscriptions.py");
    let small = ["--watchers", "600", "--of-one", "300", "--changes", "1", "--settle", "0", "--bound"];
    let done = Command::new("python3").arg(script).arg(binary()).args(small).output();
    let done = done.expect("python3 is installed (make test installs it)");
    let (said, wrong) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{said}{wrong}");
    for figure in [
        "memory of a subscription: ",
        "a change reaches 300 of 300 in ",
        " of CPU for a NOTIFY",
        "storm of refreshes: 600 in ",
    ] {
        assert!(said.contains(figure), "{figure}: {said}");
    }
}
