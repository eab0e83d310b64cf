//! A process, as far as the network can tell.

use tokio::runtime::{Builder, Runtime};

/// Tasks that can be killed all at once: then they say nothing to anybody.
pub(crate) struct Process(Option<Runtime>);

impl Process {
    pub(crate) fn start() -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build();
        Self(Some(runtime.expect("threads start")))
    }

    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<T> {
        self.0.as_ref().expect("it lives").spawn(task)
    }

    /// Stops all its tasks where they are; what they hold is never dropped while they could still say goodbye.
    pub(crate) fn kill(&mut self) {
        self.0.take().expect("it lives").shutdown_background();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
