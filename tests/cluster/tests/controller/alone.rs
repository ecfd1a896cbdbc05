//! A second cluster, on which tests take turns: those that start trustd themselves, with flags of
//! their own, or do to the cluster what others would not bear.

/// The cluster, alone, or the end of the test where there is none to run.
macro_rules! alone {
    () => {
        match cluster::Cluster::shared()? {
            Some(cluster) => cluster.turn().await?,
            None => return Ok(()),
        }
    };
}
pub(crate) use alone;
