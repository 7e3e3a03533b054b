use std::collections::BTreeMap;

use super::*;

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

#[test]
fn timers_fire_in_the_order_of_their_times() {
    let start = Instant::now();
    let mut wheel = Wheel::new(start);
    for (id, at) in [(0, 32_000), (1, 500), (2, 5), (3, 0), (4, 4_000_000)] {
        wheel.schedule(id, start + ms(at));
    }
    assert_eq!(fired(&mut wheel), [(3, 0), (2, 5), (1, 500), (0, 32_000), (4, 4_000_000)]);
}

#[test]
fn a_time_already_past_fires_at_once() {
    let start = Instant::now();
    let mut wheel = Wheel::new(start);
    wheel.schedule(0, start);
    assert_eq!(wheel.pop(start + ms(900)), Some(0));
    wheel.schedule(1, start + ms(100));
    assert!(wheel.next_deadline().is_some_and(|at| at <= start + ms(900)));
    assert_eq!(wheel.pop(start + ms(900)), Some(1));
}

#[test]
fn a_timer_never_fires_before_its_time() {
    let start = Instant::now();
    let mut wheel = Wheel::new(start);
    wheel.schedule(1, start + Duration::from_micros(10_100));
    assert_eq!(wheel.pop(start + ms(10)), None);
    assert_eq!(wheel.pop(start + ms(11)), Some(1));
}

#[test]
fn a_cancelled_timer_never_fires_and_cancelling_twice_is_harmless() {
    let start = Instant::now();
    let mut wheel = Wheel::new(start);
    wheel.schedule(0, start + ms(10));
    wheel.schedule(1, start + ms(10));
    wheel.cancel(0);
    wheel.cancel(0);
    wheel.cancel(77);
    assert_eq!(fired(&mut wheel), [(1, 10)]);
}

/// Compares ten thousand random steps with a sorted map.
#[test]
fn random_steps_agree_with_a_sorted_map() {
    let start = Instant::now();
    let mut wheel = Wheel::new(start);
    let mut model: BTreeMap<u32, u64> = BTreeMap::new();
    let mut now = 0;
    let mut seed: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut random = move |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    for _ in 0..10_000 {
        let id = random(200) as u32;
        match random(4) {
            0 | 1 => {
                let span = [1, 70, 5_000, 300_000, 20_000_000][random(5) as usize];
                let at = now + random(span + 1);
                wheel.schedule(id, start + ms(at));
                model.insert(id, at);
            }
            2 => {
                wheel.cancel(id);
                model.remove(&id);
            }
            _ => {
                let span = [2, 100, 10_000][random(3) as usize];
                now += random(span);
                let mut expected: Vec<u32> =
                    model.extract_if(.., |_, at| *at <= now).map(|(id, _)| id).collect();
                let mut seen: Vec<u32> = std::iter::from_fn(|| wheel.pop(start + ms(now))).collect();
                expected.sort_unstable();
                seen.sort_unstable();
                assert_eq!(seen, expected, "at {now}");
            }
        }
        let earliest = model.values().min().map(|at| start + ms(*at));
        match (wheel.next_deadline(), earliest) {
            (None, None) => {}
            (Some(hint), Some(earliest)) => assert!(hint <= earliest, "the hint came too late"),
            (hint, earliest) => panic!("hint {hint:?}, earliest {earliest:?}"),
        }
    }
}

/// Visits the wheel at each of its own deadlines. Times are relative to its beginning.
fn fired(wheel: &mut Wheel) -> Vec<(u32, u64)> {
    let start = wheel.start;
    let mut seen = Vec::new();
    while let Some(at) = wheel.next_deadline() {
        while let Some(id) = wheel.pop(at) {
            seen.push((id, (at - start).as_millis() as u64));
        }
    }
    seen
}
