//! Cores of threads. A thread is only ever moved within the cores that the process was given.

use std::io;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The cores that this thread may run on, in order.
///
/// # Errors
/// Fails when the kernel does not say.
pub fn allowed() -> io::Result<Vec<usize>> {
    let set = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|&core| set.is_set(core)).collect())
}

/// Keeps the calling thread on one core.
///
/// # Errors
/// Fails when the thread may not run on that core.
pub fn pin(core: usize) -> io::Result<()> {
    if !allowed()?.contains(&core) {
        return Err(io::Error::from(io::ErrorKind::PermissionDenied));
    }
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set)?;
    Ok(())
}

/// Does something while the calling thread keeps to these cores: processes and threads that it
/// starts meanwhile inherit them. Afterwards it has again those it had.
///
/// # Errors
/// Fails when the thread may not run on one of the cores, or there are none; then nothing is done.
pub fn keeping_to<T>(cores: &[usize], what: impl FnOnce() -> T) -> io::Result<T> {
    let before = sched_getaffinity(None)?;
    let mut set = CpuSet::new();
    for core in cores {
        if *core >= CpuSet::MAX_CPU || !before.is_set(*core) {
            return Err(io::Error::from(io::ErrorKind::PermissionDenied));
        }
        set.set(*core);
    }
    sched_setaffinity(None, &set)?;
    let done = what();
    sched_setaffinity(None, &before)?;
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_has_one_core_and_keeps_to_those_it_had() {
        std::thread::spawn(|| {
            let before = allowed().unwrap();
            let outside = (0..CpuSet::MAX_CPU).find(|core| !before.contains(core)).unwrap();
            assert!(pin(outside).is_err());
            assert_eq!(allowed().unwrap(), before);
            pin(before[0]).unwrap();
            assert_eq!(allowed().unwrap(), before[..1]);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn what_is_started_meanwhile_inherits_the_cores() {
        let before = allowed().unwrap();
        let inner = keeping_to(&before[..1], || std::thread::spawn(allowed).join().unwrap());
        assert_eq!(inner.unwrap().unwrap(), before[..1]);
        assert_eq!(allowed().unwrap(), before);
        let outside = (0..CpuSet::MAX_CPU).find(|core| !before.contains(core)).unwrap();
        for cores in [&[outside][..], &[CpuSet::MAX_CPU], &[]] {
            assert!(keeping_to(cores, || panic!("done all the same")).is_err(), "{cores:?}");
        }
        assert_eq!(allowed().unwrap(), before);
    }
}
