//! A chunked body (RFC 9112, section 7.1).

use super::Breach;

/// Extensions and trailers beyond this, in one chunk, are not looked through.
const MAX_ASIDE: u32 = 16 * 1024;

#[derive(Debug, Default)]
pub(super) struct Chunks {
    at: At,
    aside: u32,
}

#[derive(Clone, Copy, Debug)]
enum At {
    /// Of digits so many, which make so much.
    Size {
        digits: u8,
        size: u64,
    },
    Extension {
        size: u64,
    },
    SizeLf {
        size: u64,
    },
    Data {
        left: u64,
    },
    DataCr,
    DataLf,
    /// After the last chunk; of the line at hand so many bytes.
    Trailer {
        line: u32,
    },
    TrailerLf {
        line: u32,
    },
}

impl Default for At {
    fn default() -> Self {
        Self::Size { digits: 0, size: 0 }
    }
}

impl Chunks {
    /// How many bytes belong to it, and whether it has ended.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<(usize, bool), Breach> {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if let At::Data { left } = self.at {
                let used = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len() - at);
                let left = left - used as u64;
                self.at = if left == 0 { At::DataCr } else { At::Data { left } };
                at += used;
                continue;
            }
            at += 1;
            if let (At::TrailerLf { line: 0 }, b'\n') = (self.at, byte) {
                return Ok((at, true));
            }
            self.at = self.step(byte)?;
        }
        Ok((bytes.len(), false))
    }

    fn step(&mut self, byte: u8) -> Result<At, Breach> {
        let next = match (self.at, byte) {
            (At::Size { digits: 1.., size } | At::Extension { size }, b'\r') => At::SizeLf { size },
            (At::Size { digits: 1.., size }, b';') => At::Extension { size },
            (At::Size { digits, size }, _) => {
                let digit = char::from(byte).to_digit(16).ok_or(Breach::Chunk)?;
                // More would be a larger number than any length.
                let digits = digits.checked_add(1).filter(|&n| n <= 15).ok_or(Breach::Chunk)?;
                At::Size { digits, size: size * 16 + u64::from(digit) }
            }
            (At::SizeLf { size: 0 } | At::TrailerLf { line: 1.. }, b'\n') => {
                At::Trailer { line: 0 }
            }
            (At::SizeLf { size: left }, b'\n') => At::Data { left },
            (At::DataCr, b'\r') => At::DataLf,
            (At::DataLf, b'\n') => {
                self.aside = 0;
                At::default()
            }
            (At::Trailer { line }, b'\r') => At::TrailerLf { line },
            // Nothing but a tab is no text below the space, and DEL is not.
            (At::Extension { .. } | At::Trailer { .. }, 0..=8 | 10..=31 | 0x7f) => {
                return Err(Breach::Chunk);
            }
            (at @ At::Extension { .. }, _) => at,
            (At::Trailer { line }, _) => At::Trailer { line: line.saturating_add(1) },
            _ => return Err(Breach::Chunk),
        };
        if matches!(next, At::Extension { .. } | At::Trailer { .. }) {
            self.aside += 1;
            if self.aside > MAX_ASIDE {
                return Err(Breach::Chunk);
            }
        }
        Ok(next)
    }
}
