//! Both halves against a bare socket.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::{
    metrics::Metrics,
    net::{MemoryLimits, OutputError, OutputLimits, Rate, Stream, open},
};

/// Our end, and a peer's bare socket.
async fn pair(ends: LineEnds, memory: usize) -> (Input, crate::net::Output, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (ours, _) = listener.accept().await.unwrap();
    let limits = MemoryLimits { all: memory, ..MemoryLimits::default() };
    let memory = Memory::new(limits, &Metrics::new());
    let (input, output) = open(Stream::new(ours).unwrap(), ends, &memory);
    (input, output, peer)
}

#[tokio::test]
async fn lines_come_one_by_one_and_then_the_end() {
    let (mut input, _output, mut peer) = pair(LineEnds::Strict, 1 << 20).await;
    peer.write_all(b"EHLO x\r\nQUIT\r\n").await.unwrap();
    drop(peer);
    assert_eq!(input.line(100).await.unwrap().unwrap(), b"EHLO x");
    assert!(input.has_buffered());
    assert_eq!(input.line(100).await.unwrap().unwrap(), b"QUIT");
    assert!(input.line(100).await.unwrap().is_none());
}

#[tokio::test]
async fn half_a_line_at_the_end_is_a_fault() {
    let (mut input, _output, mut peer) = pair(LineEnds::Strict, 1 << 20).await;
    peer.write_all(b"QUI").await.unwrap();
    drop(peer);
    assert!(matches!(input.line(100).await, Err(InputError::Ended)));
}

#[tokio::test]
async fn a_line_dropped_half_way_is_not_lost() {
    let (mut input, _output, mut peer) = pair(LineEnds::Lenient, 1 << 20).await;
    peer.write_all(b"DO").await.unwrap();
    while !input.has_buffered() {
        tokio::select! {
            biased;
            _ = input.line(100) => panic!("half a line is none"),
            () = tokio::task::yield_now() => {}
        }
    }
    peer.write_all(b"NE\r\n").await.unwrap();
    assert_eq!(input.line(100).await.unwrap().unwrap(), b"DONE");
}

#[tokio::test]
async fn a_literal_comes_in_pieces_and_the_line_goes_on_behind_it() {
    let (mut input, _output, mut peer) = pair(LineEnds::Lenient, 1 << 20).await;
    let size = 200_000_usize;
    let sending = tokio::spawn(async move {
        peer.write_all(&vec![b'x'; size]).await.unwrap();
        peer.write_all(b" tail\r\n").await.unwrap();
        peer
    });
    let mut octets = Octets::new(size as u64, Rate::default());
    let mut sum = 0;
    while let Some(piece) = input.piece(&mut octets).await.unwrap() {
        assert!(piece.len() <= STEP);
        sum += piece.len();
    }
    assert_eq!((sum, octets.left()), (size, 0));
    assert_eq!(input.line(100).await.unwrap().unwrap(), b" tail");
    sending.await.unwrap();
}

#[tokio::test]
async fn data_stops_at_its_dot_and_leaves_the_next_command() {
    let (mut input, _output, mut peer) = pair(LineEnds::Strict, 1 << 20).await;
    peer.write_all(b"a\r\n..\r\n.\r\nNOOP\r\n").await.unwrap();
    let (mut body, mut text) = (DataBody::new(Rate::default()), Vec::new());
    while let Some(piece) = input.data(&mut body).await.unwrap() {
        text.extend(piece);
    }
    assert_eq!(text, b"a\r\n.\r\n");
    assert!(!body.data().damage().any());
    assert_eq!(input.line(100).await.unwrap().unwrap(), b"NOOP");
}

#[tokio::test]
async fn the_faults_of_a_slow_peer_tell_why() {
    let (mut input, _output, _peer) = pair(LineEnds::Strict, 1 << 20).await;
    input.set_deadline(Some(Instant::now()));
    assert!(matches!(input.line(100).await, Err(InputError::TimedOut)));
    input.set_deadline(None);
    let rate = Rate { grace: Duration::ZERO, ..Rate::default() };
    let mut body = DataBody::new(rate);
    assert!(matches!(input.data(&mut body).await, Err(InputError::TooSlow)));
    let mut octets = Octets::new(1, Rate { pause: Duration::ZERO, ..Rate::default() });
    assert!(matches!(input.piece(&mut octets).await, Err(InputError::TimedOut)));
}

#[tokio::test]
async fn what_all_may_hold_together_is_a_limit() {
    let (mut input, _output, mut peer) = pair(LineEnds::Strict, 5).await;
    peer.write_all(b"12345\r\n").await.unwrap();
    assert!(matches!(input.line(100).await, Err(InputError::NoMemory)));
}

#[tokio::test]
async fn an_early_talker_is_heard_and_his_words_are_thrown_away() {
    let (mut input, _output, mut peer) = pair(LineEnds::Strict, 1 << 20).await;
    assert!(!input.has_spoken());
    peer.write_all(b"EHLO").await.unwrap();
    poll_fn(|context| input.stream.lock().poll_readable(context)).await.unwrap();
    assert!(input.has_spoken());
    assert_eq!(input.discard_buffered(), 4);
    peer.write_all(b"NOOP\r\n").await.unwrap();
    assert_eq!(input.line(100).await.unwrap().unwrap(), b"NOOP");
}

#[tokio::test]
async fn a_leaving_peer_is_noticed_behind_what_it_sent() {
    let (mut input, _output, mut peer) = pair(LineEnds::Lenient, 1 << 20).await;
    peer.write_all(b"a NOOP\r\n").await.unwrap();
    drop(peer);
    input.ended(2).await;
    assert_eq!(input.line(100).await.unwrap().unwrap(), b"a NOOP");
    assert!(input.line(100).await.unwrap().is_none());
}

#[tokio::test]
async fn reading_stops_when_so_many_lines_wait() {
    for (most, read) in [(0, 0), (1, 1), (2, 2), (3, 3), (4, 3), (100, 4)] {
        let (mut input, _output, mut peer) = pair(LineEnds::Lenient, 1 << 20).await;
        for lines in [3, 1] {
            peer.write_all(&b"a NOOP\r\n".repeat(lines)).await.unwrap();
            poll_fn(|context| input.stream.lock().poll_readable(context)).await.unwrap();
            tokio::select! {
                biased;
                () = input.ended(most) => panic!("the peer is still there"),
                () = std::future::ready(()) => {}
            }
        }
        assert_eq!(memchr::memchr_iter(b'\n', input.rest()).count(), read, "{most}");
        for _ in 0..4 {
            assert_eq!(input.line(100).await.unwrap().unwrap(), b"a NOOP");
        }
    }
}

#[tokio::test]
async fn an_answer_larger_than_all_buffers_arrives_whole() {
    let (_input, mut output, mut peer) = pair(LineEnds::Lenient, 1 << 20).await;
    let reading = tokio::spawn(async move {
        let mut all = Vec::new();
        peer.read_to_end(&mut all).await.unwrap();
        all
    });
    let chunk: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    for _ in 0..100 {
        output.put(&chunk);
        output.room().await.unwrap();
        assert!(output.waiting() <= 1024 * 1024);
    }
    output.close().await.unwrap();
    assert_eq!(output.waiting(), 0);
    assert!(reading.await.unwrap() == chunk.repeat(100));
}

#[tokio::test]
async fn a_reader_that_does_not_read_holds_the_maker_back() {
    let (_input, mut output, _peer) = pair(LineEnds::Lenient, 1 << 20).await;
    let chunk = vec![0; 100_000];
    let mut held_back = false;
    for _ in 0..1000 {
        output.put(&chunk);
        tokio::select! {
            biased;
            room = output.room() => room.unwrap(),
            () = std::future::ready(()) => held_back = true,
        }
        if held_back {
            break;
        }
    }
    assert!(held_back);
    assert!(output.waiting() > 1024 * 1024);
}

#[tokio::test]
async fn a_reader_that_never_reads_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let _peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (ours, _) = listener.accept().await.unwrap();
    let output = OutputLimits { stalled: Duration::ZERO, ..OutputLimits::default() };
    let (limits, metrics) = (MemoryLimits { output, ..MemoryLimits::default() }, Metrics::new());
    let memory = Memory::new(limits, &metrics);
    let (_input, mut output) = open(Stream::new(ours).unwrap(), LineEnds::Strict, &memory);
    output.put(vec![0; 100_000_000]);
    assert!(matches!(output.flush().await, Err(OutputError::Stalled)));
    assert_eq!(metrics.times_exceeded(Limit::OutputWaitingTime), 1);
}

/// Octets as a peer deflates them.
fn deflated(octets: &[u8]) -> Vec<u8> {
    let mut deflate = flate2::Compress::new(flate2::Compression::best(), false);
    let mut out = Vec::with_capacity(octets.len() + 1_000);
    deflate.compress_vec(octets, &mut out, flate2::FlushCompress::Sync).unwrap();
    out
}

#[tokio::test]
async fn lines_that_inflate_from_next_to_nothing_end_the_conversation() {
    let (mut input, _output, mut peer) = pair(LineEnds::Lenient, 64 << 20).await;
    input.compress();
    let line = [vec![b'x'; 998], b"\r\n".to_vec()].concat();
    let bomb = deflated(&line.repeat(4_000));
    let most = (bomb.len() as u64 * 200).max(1 << 20);
    assert!(most < 4_000_000);
    let sending = tokio::spawn(async move {
        let _ = peer.write_all(&bomb).await;
        peer
    });
    let mut lines = 0_u64;
    let fault = loop {
        match input.line(2_000).await {
            Ok(line) => assert_eq!(line.unwrap().len(), 998),
            Err(fault) => break fault,
        }
        lines += 1;
    };
    assert!(matches!(fault, InputError::Inflated), "{fault}");
    assert!(((1 << 20) / 1_000 - 1..=most / 1_000).contains(&lines), "{lines}");
    drop(sending.await);
}

#[tokio::test]
async fn message_data_may_inflate_as_it_likes() {
    let (mut input, _output, mut peer) = pair(LineEnds::Lenient, 64 << 20).await;
    input.compress();
    let zeros = deflated(&[&[b'0'; 4 << 20][..], b"a NOOP\r\n"].concat());
    let sending = tokio::spawn(async move {
        peer.write_all(&zeros).await.unwrap();
        peer
    });
    let mut octets = Octets::new(4 << 20, Rate::default());
    input.discard(&mut octets).await.unwrap();
    assert_eq!(input.line(100).await.unwrap().unwrap(), b"a NOOP");
    drop(sending.await);
}
