//! `process_*`: what the kernel says of this process, read from `/proc/self` at every scrape.
//! Where there is no `/proc`, these families are absent.

use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Linux tells processes about time in this unit on every architecture weir is built for.
const TICKS_PER_SECOND: f64 = 100.0;

#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let stat = read("/proc/self/stat").and_then(|text| Stat::parse(&text));
        let status = read("/proc/self/status").unwrap_or_default();
        if let Some(stat) = &stat {
            let value = ConstCounter::new(stat.cpu_seconds);
            let help = "Time this process spent on processors";
            write(&mut encoder, "process_cpu_seconds", help, &value)?;
        }
        let boot = read("/proc/stat").and_then(|text| boot_time(&text));
        let gauges = [
            (
                "process_resident_memory_bytes",
                "Memory this process holds",
                memory(&status, "VmRSS:"),
            ),
            (
                "process_virtual_memory_bytes",
                "Address space of this process",
                memory(&status, "VmSize:"),
            ),
            ("process_open_fds", "Open file descriptors", open_fds()),
            (
                "process_max_fds",
                "Most file descriptors this process may open",
                read("/proc/self/limits").and_then(|text| max_fds(&text)),
            ),
            (
                "process_start_time_seconds",
                "When this process began, in seconds since 1970",
                stat.zip(boot).map(|(stat, boot)| boot + stat.started_after_boot),
            ),
        ];
        for (name, help, value) in gauges {
            if let Some(value) = value {
                write(&mut encoder, name, help, &ConstGauge::new(value))?;
            }
        }
        Ok(())
    }
}

fn write(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    metric: &impl EncodeMetric,
) -> Result<(), std::fmt::Error> {
    // The registry adds this full stop to every help text of its own.
    let help = format!("{help}.");
    metric.encode(encoder.encode_descriptor(name, &help, None, metric.metric_type())?)
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok()
}

/// Of proc_pid_stat(5).
struct Stat {
    cpu_seconds: f64,
    started_after_boot: f64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The second field is the program's name and may hold blanks and parentheses.
        let (_, fields) = text.rsplit_once(") ")?;
        let field = |number: usize| fields.split(' ').nth(number - 3)?.parse::<f64>().ok();
        Some(Self {
            cpu_seconds: (field(14)? + field(15)?) / TICKS_PER_SECOND,
            started_after_boot: field(22)? / TICKS_PER_SECOND,
        })
    }
}

/// A line of proc_pid_status(5), which counts in KiB.
fn memory(status: &str, key: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<f64>().ok()? * 1024.0)
}

fn boot_time(stat: &str) -> Option<f64> {
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

fn open_fds() -> Option<f64> {
    let count = fs::read_dir("/proc/self/fd").ok()?.count();
    // The directory that is being read is one of them.
    u32::try_from(count.saturating_sub(1)).ok().map(f64::from)
}

fn max_fds(limits: &str) -> Option<f64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    // "unlimited" is no number, and the family is left out.
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_with_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194304 100 0 0 0 250 150 0 0 20 0 1 0 13903 0 0";
        let stat = Stat::parse(stat).unwrap();
        assert_eq!((stat.cpu_seconds, stat.started_after_boot), (4.0, 139.03));
    }

    #[test]
    fn sizes_are_bytes_and_limits_are_the_soft_ones() {
        assert_eq!(memory("VmSize:\t  20 kB\nVmRSS:\t  3 kB\n", "VmRSS:"), Some(3072.0));
        assert_eq!(memory("", "VmRSS:"), None);
        let limits = "Max open files            1024                 4096                 files\n";
        assert_eq!(max_fds(limits), Some(1024.0));
        assert_eq!(max_fds("Max open files unlimited unlimited files\n"), None);
        assert_eq!(boot_time("cpu 1\nbtime 1700000000\n"), Some(1_700_000_000.0));
    }
}
