//! Both ends against each other, over connections of any pace.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex},
};

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;

/// One end as a connection.
#[derive(Clone)]
struct End(Arc<Mutex<(Deflated, DuplexStream)>>);

impl End {
    fn over(stream: DuplexStream) -> Self {
        Self(Arc::new(Mutex::new((Deflated::new(), stream))))
    }

    async fn send(&self, octets: &[u8]) {
        let mut sent = 0;
        while sent < octets.len() {
            sent += poll_fn(|context| {
                let (deflate, stream) = &mut *self.0.lock().unwrap();
                deflate.poll_write(stream, context, &octets[sent..])
            })
            .await
            .unwrap();
        }
    }

    async fn flush(&self) {
        let flush = poll_fn(|context| {
            let (deflate, stream) = &mut *self.0.lock().unwrap();
            deflate.poll_flush(stream, context)
        });
        flush.await.unwrap();
    }

    async fn close(&self) {
        let close = poll_fn(|context| {
            let (deflate, stream) = &mut *self.0.lock().unwrap();
            deflate.poll_shutdown(stream, context)
        });
        close.await.unwrap();
    }

    fn rest(&self) {
        self.0.lock().unwrap().0.rest();
    }

    /// What comes next, into so much room; nothing at the end.
    async fn hear(&self, room: usize) -> io::Result<Vec<u8>> {
        let mut buffer = vec![0; room];
        let read = poll_fn(|context| {
            let (deflate, stream) = &mut *self.0.lock().unwrap();
            let mut read = ReadBuf::new(&mut buffer);
            ready!(deflate.poll_read(stream, context, &mut read))?;
            Poll::Ready(io::Result::Ok(read.filled().len()))
        });
        let read = read.await?;
        buffer.truncate(read);
        Ok(buffer)
    }

    async fn hear_all(&self, octets: usize, room: usize) -> Vec<u8> {
        let mut heard = Vec::new();
        while heard.len() < octets {
            let piece = self.hear(room).await.unwrap();
            assert!(!piece.is_empty(), "it ended after {} octets", heard.len());
            heard.extend(piece);
        }
        heard
    }
}

/// What one end does.
#[derive(Clone, Debug)]
enum Step {
    Send(Vec<u8>),
    Flush,
    Rest,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..2_000).prop_map(Step::Send),
        (0..100_000_usize).prop_map(|length| Step::Send(vec![b'x'; length])),
        Just(Step::Flush),
        Just(Step::Rest),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_flushed_is_heard(
        steps in prop::collection::vec(step(), 1..12),
        pipe in 1..3_000_usize,
        room in 1..3_000_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (ours, theirs) = duplex(pipe);
            let (ours, theirs) = (End::over(ours), End::over(theirs));
            let sends: Vec<u8> = steps
                .iter()
                .filter_map(|step| if let Step::Send(octets) = step { Some(&octets[..]) } else { None })
                .collect::<Vec<_>>()
                .concat();
            let sending = async {
                for step in &steps {
                    match step {
                        Step::Send(octets) => ours.send(octets).await,
                        Step::Flush => ours.flush().await,
                        Step::Rest => ours.rest(),
                    }
                }
                ours.flush().await;
            };
            // All of it comes without the stream's end.
            let (heard, ()) = tokio::join!(theirs.hear_all(sends.len(), room), sending);
            assert!(heard == sends);
            let (end, ()) = tokio::join!(theirs.hear(room), ours.close());
            assert_eq!(end.unwrap(), b"");
        });
    }
}

#[tokio::test]
async fn a_flush_lets_the_peer_have_it_octet_by_octet() {
    let (ours, mut raw) = duplex(1 << 16);
    let ours = End::over(ours);
    let mut inflate = Decompress::new_with_window_bits(false, WINDOW_BITS);
    for line in ["* OK one\r\n", "* OK two\r\n", "* OK three\r\n"] {
        ours.send(line.as_bytes()).await;
        ours.flush().await;
        ours.rest();
        let mut heard = Vec::with_capacity(1_000);
        while heard.len() < line.len() {
            let octet = raw.read_u8().await.unwrap();
            inflate.decompress_vec(&[octet], &mut heard, FlushDecompress::None).unwrap();
        }
        assert_eq!(heard, line.as_bytes());
        // What the flush left behind the line.
        while let Ok(octet) = tokio::time::timeout(std::time::Duration::ZERO, raw.read_u8()).await {
            inflate.decompress_vec(&[octet.unwrap()], &mut heard, FlushDecompress::None).unwrap();
        }
    }
}

#[tokio::test]
async fn nothing_is_inflated_ahead_of_the_room() {
    let (ours, theirs) = duplex(1 << 20);
    let (ours, theirs) = (End::over(ours), End::over(theirs));
    ours.send(&vec![0; 16 << 20]).await;
    ours.flush().await;
    assert_eq!(theirs.hear(1_000).await.unwrap().len(), 1_000);
    let state = theirs.0.lock().unwrap();
    assert!(state.0.has_more());
    assert_eq!(state.0.inflate.total_out(), 1_000);
    assert!(state.0.came.len() <= STEP);
}

#[tokio::test]
async fn octets_that_are_not_deflated_are_an_error() {
    let (ours, mut raw) = duplex(1_000);
    raw.write_all(b"a NOOP\r\n\xff\xff\xff\xff").await.unwrap();
    let ours = End::over(ours);
    let error = ours.hear(100).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
}

#[tokio::test]
async fn an_end_without_a_mark_is_an_end_too() {
    let (ours, raw) = duplex(1_000);
    drop(raw);
    let ours = End::over(ours);
    assert_eq!(ours.hear(100).await.unwrap(), b"");
    assert_eq!(ours.hear(100).await.unwrap(), b"");
    let failed = poll_fn(|context| {
        let (deflate, stream) = &mut *ours.0.lock().unwrap();
        let _ = deflate.poll_write(Pin::new(&mut *stream), context, b"x");
        deflate.poll_flush(stream, context)
    });
    assert!(failed.await.is_err(), "and writing fails as on any connection");
}
