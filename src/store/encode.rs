//! Encodes a stored body, whole and in one go.

use std::io::{self, Write};
use std::ops::RangeInclusive;

use brotli::enc::BrotliEncoderParams;
use bytes::Bytes;

use crate::policy::coding::Coding;

/// The encoded body must be smaller by one part in so many: less does not pay for the decoding.
const SAVING: usize = 10;

/// Beyond it the time nearly doubles for one part in a hundred.
const GZIP_LEVEL: u32 = 6;

/// The lowest that makes it smaller than gzip does.
const BROTLI_QUALITY: i32 = 5;

/// Logarithms of bytes. Up to 16 the encoder searches another way, thirty times as long for 10
/// KiB; at 22 it takes twice as long for them as at 18; and a client has to hold all of it.
const BROTLI_WINDOW: RangeInclusive<u32> = 18..=22;

/// zstd's own default. Its window stays within the 8 MiB that RFC 9659, section 3 allows.
const ZSTD_LEVEL: i32 = 3;

/// The body in `coding`; `None` if that is identity, or not smaller by a tenth.
///
/// The same body gives the same bytes in every process of the same build: no time, no name, no
/// chance. Takes about 0.1 ms for 10 KiB and up to 15 ms for 1 MiB of JSON, all of it computing:
/// call it on a blocking thread. The answer occupies as many bytes as it says.
pub fn encode(body: &[u8], coding: Coding) -> Option<Bytes> {
    let most = body.len() - body.len().div_ceil(SAVING);
    let encoded = match coding {
        Coding::Identity => return None,
        Coding::Gzip => gzip(body, most),
        Coding::Brotli => brotli(body, most),
        Coding::Zstd => zstd::bulk::compress(body, ZSTD_LEVEL),
    };
    // The only error is that there was no room, be it below `most` or in the machine's memory.
    let encoded = encoded.ok().filter(|encoded| encoded.len() <= most)?;
    // Into a box first: a vector's spare capacity would be held, and counted by nobody.
    Some(Bytes::from(encoded.into_boxed_slice()))
}

fn gzip(body: &[u8], most: usize) -> io::Result<Vec<u8>> {
    let level = flate2::Compression::new(GZIP_LEVEL);
    // RFC 1952, section 2.3.1: a time of zero means that none is given.
    let mut encoder = flate2::GzBuilder::new().mtime(0).write(Bounded::new(most), level);
    encoder.write_all(body)?;
    Ok(encoder.finish()?.bytes)
}

fn brotli(body: &[u8], most: usize) -> io::Result<Vec<u8>> {
    // RFC 7932, section 9.1: a window is 16 bytes short of a power of two.
    let needed = (body.len() + 16).next_power_of_two().trailing_zeros();
    let window = needed.clamp(*BROTLI_WINDOW.start(), *BROTLI_WINDOW.end());
    let parameters = BrotliEncoderParams {
        quality: BROTLI_QUALITY,
        lgwin: window.cast_signed(),
        size_hint: body.len(),
        ..BrotliEncoderParams::default()
    };
    let mut encoded = Bounded::new(most);
    brotli::BrotliCompress(&mut &*body, &mut encoded, &parameters)?;
    Ok(encoded.bytes)
}

/// Refuses to grow beyond what is worth keeping, so a dense body ends early.
struct Bounded {
    bytes: Vec<u8>,
    most: usize,
}

impl Bounded {
    fn new(most: usize) -> Self {
        Self { bytes: Vec::new(), most }
    }
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.most {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use proptest::prelude::*;

    use super::*;
    use crate::policy::coding::PREFERRED;

    fn decode(encoded: &[u8], coding: Coding) -> Vec<u8> {
        let mut body = Vec::new();
        match coding {
            Coding::Identity => body.extend_from_slice(encoded),
            Coding::Gzip => {
                flate2::read::GzDecoder::new(encoded).read_to_end(&mut body).unwrap();
            }
            Coding::Brotli => {
                brotli::Decompressor::new(encoded, 4096).read_to_end(&mut body).unwrap();
            }
            Coding::Zstd => body = zstd::stream::decode_all(encoded).unwrap(),
        }
        body
    }

    fn listing(users: usize) -> Vec<u8> {
        let user = |i: usize| format!(r#"{{"id":"{:08x}","name":"user {i}"}}"#, i * 2_654_435_761);
        format!("[{}]", (0..users).map(user).collect::<Vec<_>>().join(",")).into_bytes()
    }

    /// Bytes without any pattern.
    fn noise(len: usize) -> Vec<u8> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        };
        (0..len).map(|_| next()).collect()
    }

    #[test]
    fn a_listing_shrinks_and_comes_back_as_it_was() {
        for users in [50, 500, 30_000] {
            let body = listing(users);
            for coding in PREFERRED {
                let encoded = encode(&body, coding).unwrap();
                assert!(encoded.len() < body.len() / 2, "{coding:?}: {}", encoded.len());
                assert!(decode(&encoded, coding) == body, "{coding:?}");
            }
        }
    }

    #[test]
    fn what_does_not_shrink_by_a_tenth_stays() {
        // Nine parts of noise and one that vanishes, and the other way about.
        let nearly = [noise(9_500), vec![b'a'; 500]].concat();
        let easily = [noise(5_000), vec![b'a'; 5_000]].concat();
        for coding in PREFERRED {
            assert_eq!(encode(b"", coding), None, "{coding:?}");
            assert_eq!(encode(b"{}", coding), None, "{coding:?}");
            assert_eq!(encode(&noise(10_000), coding), None, "{coding:?}");
            assert_eq!(encode(&nearly, coding), None, "{coding:?}");
            assert!(encode(&easily, coding).is_some(), "{coding:?}");
        }
        assert_eq!(encode(&easily, Coding::Identity), None);
    }

    #[test]
    fn a_dense_body_ends_at_the_bound() {
        let mut bounded = Bounded::new(10);
        bounded.write_all(&[0; 10]).unwrap();
        assert_eq!(bounded.write(&[0]).unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(bounded.bytes.len(), 10);
        for encoded in [gzip(&noise(100_000), 90_000), brotli(&noise(100_000), 90_000)] {
            assert!(encoded.is_err());
        }
    }

    /// Two processes that share a client must send the same bytes under the same tag.
    #[test]
    fn the_same_body_gives_the_same_bytes() {
        let body = listing(400);
        for coding in PREFERRED {
            assert_eq!(encode(&body, coding), encode(&body, coding), "{coding:?}");
        }
        // RFC 1952, section 2.3: magic, deflate, no flags, no time.
        let gzip = encode(&body, Coding::Gzip).unwrap();
        assert_eq!(&gzip[..8], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0]);
    }

    /// RFC 7932, section 9.1: how the first bits of a stream spell its window.
    #[test]
    fn brotlis_window_fits_the_body_and_its_quick_search() {
        for (users, first_bits) in [(50, 0b0011), (500, 0b0011), (10_000, 0b0101)] {
            let encoded = encode(&listing(users), Coding::Brotli).unwrap();
            assert_eq!(encoded[0] & 15, first_bits, "{users}");
        }
    }

    fn bodies() -> impl Strategy<Value = Vec<u8>> {
        let lengths = prop_oneof![0..64_usize, 64..4096_usize];
        let dull = (lengths, any::<u8>()).prop_map(|(len, byte)| vec![byte; len]);
        let random = proptest::collection::vec(any::<u8>(), 0..2000);
        let words = proptest::collection::vec("[a-d]{1,6}|\"name\":|[0-9]{4}", 0..400)
            .prop_map(|words| words.concat().into_bytes());
        prop_oneof![dull, random, words]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_is_encoded_comes_back(body in bodies()) {
            for coding in PREFERRED {
                if let Some(encoded) = encode(&body, coding) {
                    prop_assert!(encoded.len() <= body.len() * 9 / 10, "{:?}", coding);
                    prop_assert!(decode(&encoded, coding) == body, "{:?}", coding);
                }
            }
        }
    }
}
