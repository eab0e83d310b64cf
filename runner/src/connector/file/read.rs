//! A file that is read once, from its start to its end.

use futures::future::BoxFuture;
use mosaik_streams::Frames;
use tokio::{fs::File, io::AsyncReadExt};

use super::{off_thread, open_regular};
use crate::{
    connector::FileSource,
    connector::{
        OpenError, Source, SourceContext, SourceCounts, SourceError,
        format::intake::{CHUNK_BYTES, Intake},
        shown,
    },
};

/// Reads a file to its end.
#[derive(Debug)]
pub(in crate::connector) struct FileReader {
    file: File,
    intake: Intake,
    ended: bool,
}

impl FileReader {
    pub(in crate::connector) async fn open(
        config: &FileSource,
        context: &SourceContext,
    ) -> Result<Self, OpenError> {
        let file = off_thread(&config.path, open_regular).await?;
        let intake = Intake::new(shown(&config.path, &context.put_in), config.cut(), context)?;
        Ok(Self {
            file: tokio_file(file),
            intake,
            ended: false,
        })
    }

    async fn read(&mut self) -> Result<Option<Frames>, SourceError> {
        while !self.ended {
            if let Some(batch) = self.intake.cut()? {
                return Ok(Some(batch));
            }
            let read = self.file.read_buf(self.intake.buffer()).await;
            if read.map_err(|error| self.intake.read_error(error))? == 0 {
                self.ended = true;
                return self.intake.finish();
            }
        }
        Ok(None)
    }

    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        self.intake.held_bytes() + CHUNK_BYTES
    }
}

impl Source for FileReader {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Frames>, SourceError>> {
        Box::pin(self.read())
    }

    fn counts(&self) -> SourceCounts {
        self.intake.counts()
    }

    fn is_finite(&self) -> bool {
        true
    }
}

/// Creates a file handle that reads one chunk at a time.
pub(super) fn tokio_file(file: std::fs::File) -> File {
    let mut file = File::from_std(file);
    file.set_max_buf_size(CHUNK_BYTES);
    file
}
