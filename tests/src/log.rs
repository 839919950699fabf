//! What the agent logs.

/// The values of `key` in the lines about removed holds, in their order.
pub(crate) fn of_reaps(log: &str, key: &str) -> Vec<u64> {
    log.lines()
        .filter(|line| line.contains(" reaped "))
        .flat_map(str::split_whitespace)
        .filter_map(|word| word.strip_prefix(key)?.strip_prefix('=')?.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_lines_about_reaps() {
        let log = " INFO reaped holds=2 path=\"/usr/a, /usr/b\" latency_us=900 verdict_us=310 level=\"sealed\"\n\
                   INFO began verdict_us=1\n\
                   INFO reaped holds=1 bytes=4096 latency_us=901 verdict_us=12\n\
                   INFO reaped holds=1 bytes=4096\n";
        assert_eq!(of_reaps(log, "verdict_us"), [310, 12]);
        assert_eq!(of_reaps(log, "latency_us"), [900, 901]);
        assert_eq!(of_reaps(log, "holds"), [2, 1, 1]);
    }
}
