//! What it was measured on.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

/// The machine, as far as it decides about numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's model.
    pub cpu: String,
    /// How many of its cores there are here.
    pub cores: usize,
    /// Mebibytes of memory.
    pub memory_mib: u64,
    /// The system's kernel.
    pub kernel: String,
    /// The file system that the work directory is on, and its options.
    pub file_system: String,
    /// Connections that this process may have.
    pub descriptors: u64,
}

impl Machine {
    /// This one, with the file system of that directory.
    pub fn of(work: &Path) -> Self {
        let cpu = line("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned());
        let memory = line("/proc/meminfo", "MemTotal").unwrap_or_default();
        let memory_mib = memory.trim_end_matches(" kB").parse::<u64>().unwrap_or(0) / 1_024;
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned();
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        Self { cpu, cores, memory_mib, kernel, file_system: file_system(work), descriptors: raise_descriptor_limit() }
    }

    /// One line for people.
    pub fn sentence(&self) -> String {
        let Self { cpu, cores, memory_mib, kernel, file_system, .. } = self;
        format!("{cpu}, {cores} cores, {memory_mib} MiB, Linux {kernel}, {file_system}")
    }
}

/// What a file of `name: value` lines says.
fn line(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':'))?;
    Some(value.trim().to_owned())
}

fn file_system(work: &Path) -> String {
    let asked = Command::new("findmnt").args(["-n", "-o", "FSTYPE,OPTIONS", "-T"]).arg(work).output();
    let text = asked.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    if text.is_empty() {
        "file system unknown".to_owned()
    } else {
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

/// Lets this process, and those that it starts, have as many descriptors as the system allows; how many that is.
fn raise_descriptor_limit() -> u64 {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // One that can't be raised is as it was, and too many followers say so.
    let _ = setrlimit(Resource::Nofile, limit);
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}
