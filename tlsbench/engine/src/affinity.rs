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
}
