//! What the frames of an HTTP/2 connection cost us, told from their headers (RFC 9113, section
//! 4.1): a frame that asks for nothing is cheap to send and not to handle.

/// Of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameLimits {
    /// Requests that the client may give up before they are answered, beyond a quarter of all.
    pub resets: u32,
    /// Frames that carry neither a request nor content (PING, SETTINGS, PRIORITY, RST_STREAM,
    /// CONTINUATION, empty DATA, unknown ones), beyond four for each request and for 16 KiB of
    /// content.
    pub idle_frames: u32,
}

/// What was done too often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abuse {
    /// Requests were given up.
    Resets,
    /// Frames that carry nothing.
    IdleFrames,
}

/// What one request earns and costs, in quarters.
const QUARTERS: u32 = 4;
const PREFACE: usize = 24;
const HEADER: usize = 9;
/// Content that is worth a request.
const EARNING: u64 = 16 * 1024;

/// Reads a connection's bytes from its preface on.
#[derive(Debug)]
pub struct FrameMeter {
    header: [u8; HEADER],
    have: usize,
    /// Bytes of the preface, or of the frame at hand, that are still to come.
    skip: usize,
    resets: Allowance,
    idle: Allowance,
    content: u64,
}

/// So many quarters left, and never more than at the beginning.
#[derive(Debug)]
struct Allowance {
    most: u32,
    left: u32,
}

impl Allowance {
    fn of(times: u32) -> Self {
        let most = times.saturating_mul(QUARTERS);
        Self { most, left: most }
    }

    fn earn(&mut self, quarters: u32) {
        self.left = self.left.saturating_add(quarters).min(self.most);
    }

    fn spend(&mut self, abuse: Abuse) -> Result<(), Abuse> {
        self.left = self.left.checked_sub(QUARTERS).ok_or(abuse)?;
        Ok(())
    }
}

impl FrameMeter {
    /// At the beginning of a connection.
    pub fn new(limits: FrameLimits) -> Self {
        Self {
            header: [0; HEADER],
            have: 0,
            skip: PREFACE,
            resets: Allowance::of(limits.resets),
            idle: Allowance::of(limits.idle_frames),
            content: 0,
        }
    }

    /// One more request was given up before it was answered. That RST_STREAM came tells nothing: a
    /// client also sends it when it has seen enough of an answer.
    pub fn gave_up(&mut self) -> Result<(), Abuse> {
        self.resets.spend(Abuse::Resets)
    }

    /// Counts the frames that begin in these bytes.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<(), Abuse> {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let skip = self.skip.min(bytes.len());
                self.skip -= skip;
                bytes = bytes.get(skip..).unwrap_or_default();
                continue;
            }
            let missing = self.header.get_mut(self.have..).unwrap_or_default();
            let here = missing.len().min(bytes.len());
            let (header, rest) = bytes.split_at(here);
            if let Some(missing) = missing.get_mut(..here) {
                missing.copy_from_slice(header);
            }
            self.have += here;
            bytes = rest;
            if self.have == HEADER {
                self.have = 0;
                self.frame()?;
            }
        }
        Ok(())
    }

    fn frame(&mut self) -> Result<(), Abuse> {
        let [a, b, c, kind, ..] = self.header;
        let length = u32::from_be_bytes([0, a, b, c]);
        self.skip = usize::try_from(length).unwrap_or(usize::MAX);
        match kind {
            // DATA
            0x0 if length > 0 => {
                self.content += u64::from(length);
                if self.content >= EARNING {
                    self.content = 0;
                    self.idle.earn(QUARTERS * QUARTERS);
                }
                Ok(())
            }
            // HEADERS
            0x1 => {
                self.resets.earn(1);
                self.idle.earn(QUARTERS * QUARTERS);
                Ok(())
            }
            // WINDOW_UPDATE: a reader of much sends many, and none of them costs more than this.
            0x8 => Ok(()),
            _ => self.idle.spend(Abuse::IdleFrames),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: FrameLimits = FrameLimits { resets: 3, idle_frames: 5 };

    fn frame(kind: u8, length: u8) -> Vec<u8> {
        let mut frame = vec![0, 0, length, kind, 0, 0, 0, 0, 1];
        frame.resize(HEADER + usize::from(length), 3);
        frame
    }

    /// How many of these frames in a row are let through, in pieces of this size.
    fn lets_through(kinds: &[(u8, u8)], piece: usize) -> (usize, Option<Abuse>) {
        let mut meter = FrameMeter::new(LIMITS);
        for byte in [7; PREFACE] {
            meter.feed(&[byte]).unwrap();
        }
        for (through, (kind, length)) in kinds.iter().cycle().take(1000).enumerate() {
            for piece in frame(*kind, *length).chunks(piece) {
                if let Err(abuse) = meter.feed(piece) {
                    return (through, Some(abuse));
                }
            }
        }
        (1000, None)
    }

    #[test]
    fn what_asks_for_nothing_is_counted() {
        let (headers, data, ping) = ((1, 30), (0, 200), (6, 8));
        for piece in [1, 7, 9, 500] {
            for (frames, through, abuse) in [
                (&[headers][..], 1000, None),
                (&[data], 1000, None),
                (&[(8, 4)], 1000, None),
                (&[(3, 4)], 5, Some(Abuse::IdleFrames)),
                (&[ping], 5, Some(Abuse::IdleFrames)),
                (&[(4, 6)], 5, Some(Abuse::IdleFrames)),
                (&[(2, 5)], 5, Some(Abuse::IdleFrames)),
                (&[(9, 0)], 5, Some(Abuse::IdleFrames)),
                (&[(0, 0)], 5, Some(Abuse::IdleFrames)),
                (&[(99, 1)], 5, Some(Abuse::IdleFrames)),
                // Four for each request, for ever; or five more, and what has been earned meanwhile.
                (&[headers, ping, ping, ping, ping], 1000, None),
                (&[headers, ping, ping, ping, ping, ping], 11, Some(Abuse::IdleFrames)),
            ] {
                assert_eq!(lets_through(frames, piece), (through, abuse), "{frames:?} {piece}");
            }
        }
    }

    #[test]
    fn a_quarter_may_be_given_up_and_three_more() {
        for (requests_for_each, given_up) in [(0, 3), (1, 3), (3, 9), (4, 1000)] {
            let mut meter = FrameMeter::new(LIMITS);
            meter.feed(&[7; PREFACE]).unwrap();
            let give_up = |_: &usize| {
                for _ in 0..requests_for_each {
                    meter.feed(&frame(1, 30)).unwrap();
                }
                meter.gave_up().is_ok()
            };
            assert_eq!((0..1000).take_while(give_up).count(), given_up, "{requests_for_each}");
        }
    }

    #[test]
    fn content_pays_for_frames() {
        let mut frames = vec![(0, 255); 65];
        frames.extend([(6, 8); 4]);
        assert_eq!(lets_through(&frames, 100), (1000, None));
        frames.push((6, 8));
        frames.push((6, 8));
        assert!(lets_through(&frames, 100).1.is_some());
    }
}
