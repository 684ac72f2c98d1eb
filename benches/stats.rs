//! Medians and percentiles.

use std::time::Duration;

/// What one round of calls took.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    /// Half of the calls took no longer, in microseconds.
    pub p50: f64,
    /// 99 of 100 took no longer, in microseconds.
    pub p99: f64,
    /// Calls answered in a second.
    pub per_second: f64,
}

impl Round {
    pub fn new(mut times: Vec<Duration>, took: Duration) -> Self {
        times.sort_unstable();
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        Self {
            p50: micros(percentile(&times, 50)),
            p99: micros(percentile(&times, 99)),
            per_second: times.len() as f64 / took.as_secs_f64(),
        }
    }
}

/// The smallest of sorted times that so many percent of them do not exceed.
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() * percent).div_ceil(100).saturating_sub(1)]
}

/// The middle of what was measured; of an even number, the mean of the two in the middle.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    assert!(!values.is_empty(), "nothing was measured");
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values[middle]
    } else {
        f64::midpoint(values[middle - 1], values[middle])
    }
}
