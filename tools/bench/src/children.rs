//! Programs that the benchmark starts: each is ended by its id, whatever happens to the benchmark.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

/// How long a program may take to end when it is asked to; then it is killed.
const PATIENCE: Duration = Duration::from_secs(90);
/// What is left of that when the benchmark itself is to end.
const LAST_PATIENCE: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Those that run, with what asks each of them to end.
static RUNNING: Mutex<Vec<(Pid, Signal)>> = Mutex::new(Vec::new());

fn running() -> std::sync::MutexGuard<'static, Vec<(Pid, Signal)>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends all that run, and then this process, when a signal asks for that.
pub fn end_with_signals() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::spawn(move || {
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let (Ok(mut interrupt), Ok(mut terminate)) =
                (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
            else {
                return;
            };
            tokio::select! { _ = interrupt.recv() => {} _ = terminate.recv() => {} }
            eprintln!("authledger-bench: ending what runs");
            end_all();
            std::process::exit(130);
        });
    });
    Ok(())
}

fn end_all() {
    let all: Vec<_> = running().drain(..).collect();
    for (pid, signal) in &all {
        // One that is gone already needs none.
        let _ = kill_process(*pid, *signal);
    }
    let until = Instant::now() + LAST_PATIENCE;
    for (pid, _) in all {
        if !has_ended(pid, until.saturating_duration_since(Instant::now())) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// Waits for the end of a program, as long as that. Its starter collects it.
fn has_ended(pid: Pid, patience: Duration) -> bool {
    // One that can't be found has ended.
    let Ok(program) = pidfd_open(pid, PidfdFlags::empty()) else { return true };
    let until = Instant::now() + patience;
    loop {
        let rest = until.saturating_duration_since(Instant::now());
        let timeout = Timespec { tv_sec: rest.as_secs().cast_signed(), tv_nsec: i64::from(rest.subsec_nanos()) };
        match poll(&mut [PollFd::new(&program, PollFlags::IN)], Some(&timeout)) {
            Err(Errno::INTR) => {}
            ended => return ended.is_ok_and(|ended| ended > 0),
        }
    }
}

/// A program that runs beside the benchmark. It is asked to end, and then killed, when this is dropped.
pub struct Program {
    name: String,
    child: Child,
    pid: Pid,
    /// Behind a lock so that a program can be asked about from several threads.
    lines: Mutex<Receiver<String>>,
    log: PathBuf,
}

impl Program {
    /// Starts it; what it writes to its standard error goes to the log file.
    pub fn start(name: &str, command: &mut Command, log: &Path, end_with: Signal) -> anyhow::Result<Self> {
        let errors = File::create(log).with_context(|| format!("write {}", log.display()))?;
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors);
        let mut child = command.spawn().with_context(|| format!("start {name}"))?;
        let pid = Pid::from_child(&child);
        running().push((pid, end_with));
        let (told, lines) = channel();
        if let Some(stdout) = child.stdout.take() {
            // Read to the end, so that no program waits for room in its pipe.
            thread::spawn(move || {
                BufReader::new(stdout).lines().map_while(Result::ok).for_each(|line| drop(told.send(line)))
            });
        }
        Ok(Self { name: name.to_owned(), child, pid, lines: Mutex::new(lines), log: log.to_owned() })
    }

    /// Its id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line of its standard output of which that makes something.
    pub fn wait_for<T>(&mut self, patience: Duration, mut wanted: impl FnMut(&str) -> Option<T>) -> anyhow::Result<T> {
        let until = Instant::now() + patience;
        loop {
            let lines = self.lines.get_mut().unwrap_or_else(PoisonError::into_inner);
            match lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    if let Some(found) = wanted(&line) {
                        return Ok(found);
                    }
                }
                Err(RecvTimeoutError::Timeout) => bail!("{} did not start within {patience:?}", self.name),
                Err(RecvTimeoutError::Disconnected) => bail!("{} ended at once: {}", self.name, self.last_words()),
            }
        }
    }

    /// Waits until that succeeds, which is when the program can be used.
    pub fn wait_until(&mut self, patience: Duration, mut ready: impl FnMut() -> bool) -> anyhow::Result<()> {
        let since = Instant::now();
        while !ready() {
            if self.child.try_wait()?.is_some() {
                bail!("{} ended at once: {}", self.name, self.last_words());
            }
            if since.elapsed() > patience {
                bail!("{} did not start within {patience:?}", self.name);
            }
            // It tells nobody when it can be used, so it is asked again.
            thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// The end of what it wrote to its standard error.
    fn last_words(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(3).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" / ")
    }

    /// Bytes of memory that are its own now: what it has touched, without what it shares.
    pub fn memory_bytes(&self) -> anyhow::Result<u64> {
        let path = format!("/proc/{}/status", self.id());
        let status = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap_or_default();
        let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().context("read a program's memory")?;
        Ok(kibibytes * 1_024)
    }

    /// Asks it to end and waits for that; how it ended.
    pub fn end(mut self) -> anyhow::Result<ExitStatus> {
        self.ask_to_end();
        if has_ended(self.pid, PATIENCE) {
            return Ok(self.child.wait()?);
        }
        bail!("{} did not end within {PATIENCE:?} and was killed", self.name)
    }

    fn ask_to_end(&self) {
        let with = running().iter().find(|(pid, _)| *pid == self.pid).map_or(Signal::TERM, |(_, signal)| *signal);
        let _ = kill_process(self.pid, with);
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            self.ask_to_end();
            if !has_ended(self.pid, LAST_PATIENCE) {
                // Gone in between is as good.
                let _ = self.child.kill();
            }
            let _ = self.child.wait();
        }
        running().retain(|(pid, _)| *pid != self.pid);
    }
}

/// What a tool printed that ran to its end, and how long it took.
pub struct Finished {
    /// Its standard output.
    pub output: String,
    /// Whether it says that all is well.
    pub success: bool,
    /// From start to end.
    pub elapsed: Duration,
}

/// Runs a tool to its end, killing it if that takes longer than the patience.
pub fn finish(command: &mut Command, patience: Duration) -> anyhow::Result<Finished> {
    let name = command.get_program().to_string_lossy().into_owned();
    let started = Instant::now();
    let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.with_context(|| format!("run {name}"))?;
    let pid = Pid::from_child(&child);
    running().push((pid, Signal::KILL));
    let read = |stream: Option<Box<dyn std::io::Read + Send>>| {
        thread::spawn(move || {
            let mut text = String::new();
            // What can't be read is not shown.
            stream.into_iter().for_each(|mut stream| drop(stream.read_to_string(&mut text)));
            text
        })
    };
    let output = read(child.stdout.take().map(|stream| Box::new(stream) as _));
    let errors = read(child.stderr.take().map(|stream| Box::new(stream) as _));
    let in_time = has_ended(pid, patience);
    let elapsed = started.elapsed();
    if !in_time {
        // Gone in between is as good.
        let _ = child.kill();
    }
    let status = child.wait()?;
    running().retain(|(other, _)| *other != pid);
    let (output, errors) = (output.join().unwrap_or_default(), errors.join().unwrap_or_default());
    if !in_time {
        bail!("{name} did not end within {patience:?}");
    }
    let success = status.success();
    Ok(Finished { output: if success { output } else { output + &errors }, success, elapsed })
}

/// Where a program is: in one of these directories, or where the shell looks.
pub fn find(name: &str, elsewhere: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain(elsewhere.iter().map(PathBuf::from));
    directories.map(|directory| directory.join(name)).find(|path| path.is_file())
}

/// The first line that a program says of its version.
pub fn version(program: &Path, argument: &str) -> String {
    let said = Command::new(program).arg(argument).stdin(Stdio::null()).output();
    let text = said.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().next().unwrap_or("version unknown").trim().to_owned()
}
