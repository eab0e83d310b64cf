//! A file that is read once, from its start to its end.

use std::path::Path;

use futures::future::BoxFuture;
use mosaik_streams::Frames;

use super::{off_thread, open_regular, opened::Opened, position::FilePosition};
use crate::{
    connector::FileSource,
    connector::{
        OpenError, Position, ResumeError, Source, SourceContext, SourceCounts, SourceError,
        format::intake::Intake, shown,
    },
};

/// Reads a file to its end.
#[derive(Debug)]
pub(in crate::connector) struct FileReader {
    file: Opened,
    /// Name of the file in messages.
    shown: String,
    intake: Intake,
    ended: bool,
}

impl FileReader {
    pub(in crate::connector) async fn open(
        config: &FileSource,
        context: &SourceContext,
    ) -> Result<Self, OpenError> {
        let open = |path: &Path| {
            let file = open_regular(path)?;
            let opened = file
                .metadata()
                .and_then(|metadata| Opened::new(file, &metadata));
            opened.map_err(|source| OpenError::File {
                path: path.to_owned(),
                source,
            })
        };
        let file = off_thread(&config.path, open).await?;
        let shown = shown(&config.path, &context.put_in);
        let intake = Intake::new(shown.clone(), config.cut(), context)?;
        Ok(Self {
            file,
            shown,
            intake,
            ended: false,
        })
    }

    async fn read(&mut self) -> Result<Option<Frames>, SourceError> {
        while !self.ended {
            if let Some(batch) = self.intake.cut()? {
                return Ok(Some(batch));
            }
            let read = self.file.read(self.intake.buffer()).await;
            if read.map_err(|error| self.intake.read_error(error))? == 0 {
                self.ended = true;
                return self.intake.finish();
            }
        }
        Ok(None)
    }

    /// Goes on in the same file. A file that is read once must not have been replaced or shortened.
    fn resume_at(&mut self, position: &FilePosition) -> Result<(), ResumeError> {
        let refused = |reason: String| {
            ResumeError::new(format!(
                "{} cannot be read on: {reason}; restore the file, or read everything again with `up --fresh`",
                self.shown
            ))
        };
        let Some(mark) = &position.file else {
            return Err(refused(
                "the checkpoint was made before it existed".to_owned(),
            ));
        };
        let file = self.file.handle();
        mark.check(file).map_err(refused)?;
        let found = self.file.resume(position.offset, mark.read);
        found.map_err(|error| refused(error.to_string()))?;
        let resumed = self.intake.resume(&position.place, position.offset > 0);
        resumed.map_err(|error| refused(error.to_string()))?;
        self.ended = position.ended;
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        self.intake.held_bytes() + crate::connector::format::intake::CHUNK_BYTES
    }
}

impl Source for FileReader {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Frames>, SourceError>> {
        Box::pin(self.read())
    }

    fn position(&self) -> Option<Position> {
        let (unread, place) = self.intake.place();
        FilePosition {
            file: Some(self.file.file_mark()),
            offset: self.file.position() - unread,
            ended: self.ended,
            ..FilePosition::new(self.shown.clone(), place)
        }
        .to_json()
    }

    fn resume<'a>(&'a mut self, position: &'a Position) -> BoxFuture<'a, Result<(), ResumeError>> {
        Box::pin(async move {
            let position = FilePosition::of_json(&self.shown, position)?;
            self.resume_at(&position)
        })
    }

    fn counts(&self) -> SourceCounts {
        self.intake.counts()
    }

    fn is_finite(&self) -> bool {
        true
    }
}
