//! Entry points for fuzz targets; see [`crate::fuzzing`].

use bytes::Bytes;

use super::reassembly::Reassembly;
use crate::frames::FramesError;

/// Feeds bytes in pieces of `cut` bytes. Returns the resulting frames, and the length of the frame that was refused.
pub(crate) fn reassemble(
    wire: &[u8],
    cut: usize,
    max_frame_len: usize,
) -> (Vec<Vec<u8>>, Option<usize>) {
    let mut reassembly = Reassembly::new(max_frame_len);
    let mut seen = Vec::new();
    for (round, piece) in wire.chunks(cut).enumerate() {
        let parts = piece.chunks(piece.len().div_ceil(1 + round % 3));
        let mut parts: Vec<Bytes> = parts.map(Bytes::copy_from_slice).collect();
        reassembly.extend(&mut parts);
        let refused = |error| match error {
            FramesError::TooLarge { len, .. } => Some(len),
            FramesError::Truncated { .. } => None,
        };
        // Every other round takes single frames, which is a separate code path.
        if round % 2 == 0 {
            match reassembly.take_frame() {
                Ok(frame) => seen.extend(frame.map(|frame| frame.to_vec())),
                Err(error) => return (seen, refused(error)),
            }
        }
        loop {
            match reassembly.take_frames() {
                Ok(None) => break,
                Ok(Some(frames)) => seen.extend(frames.iter().map(<[u8]>::to_vec)),
                Err(error) => return (seen, refused(error)),
            }
        }
    }
    (seen, None)
}
