//! [`Answers`]: the parts of the answer to one call, within bounds.

use mosaik_streams::Frames;

use super::task::{Progress, Task};
use crate::operator::{CallError, Instance, Processed};

/// Maximum number of answers to one call: 1,048,576. An operator announces a further answer with
/// `more`.
///
/// Each answer is handed on before the next is requested. The bound therefore limits time, not
/// memory.
const ANSWERS_MAX: u32 = 1 << 20;
/// Maximum total size of all answers to one call, in bytes: 4 GiB.
const ANSWERS_BYTES_MAX: usize = 4 << 30;

/// The parts of the answer to one call.
pub(super) struct Answers<'t> {
    task: &'t Task,
    /// The index of the task's first record in its batch.
    first: u32,
    count: u32,
    bytes: usize,
}

impl<'t> Answers<'t> {
    /// Begins an attempt at a task.
    pub(super) fn begin(
        task: &'t Task,
        first: u32,
        instance: &mut Instance,
        progress: &mut Progress,
    ) -> Self {
        progress.forget_reports();
        instance.begin(std::mem::take(&mut progress.clock));
        Self {
            task,
            first,
            count: 0,
            bytes: 0,
        }
    }

    /// Requests the next part, and removes what an earlier attempt has handed on. There is another
    /// part if the answer has [`more`](Processed::more).
    ///
    /// # Errors
    /// See [`CallError`]; [`Malformed`](CallError::Malformed) beyond the bounds.
    pub(super) fn next(
        &mut self,
        instance: &mut Instance,
        progress: &mut Progress,
    ) -> Result<Processed, CallError> {
        let beyond = |what| CallError::Malformed {
            call: "resume",
            what,
        };
        if self.bytes > ANSWERS_BYTES_MAX {
            let what = format!("more than {ANSWERS_BYTES_MAX} bytes in answer to one batch");
            return Err(beyond(what));
        }
        if self.count == ANSWERS_MAX {
            let what = format!("more than {ANSWERS_MAX} answers to one batch");
            return Err(beyond(what));
        }
        let mut processed = match self.count {
            0 => self.task.call(instance),
            _ => instance.resume(),
        }?;
        self.count += 1;
        let frames = processed.outputs.iter().map(|(_, frames)| frames);
        self.bytes += frames.map(Frames::wire_len).sum::<usize>();
        progress.note(self.first, &mut processed);
        Ok(processed)
    }
}
