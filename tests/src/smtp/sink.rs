//! The fastest SMTP server and client that there can be: no rule, no parsing, only the dialogue. They are the ceiling
//! against which draining the outbox is measured.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Takes every mail and counts it.
#[derive(Debug, Clone)]
pub struct Sink {
    address: SocketAddr,
    count: Arc<AtomicUsize>,
}

impl Sink {
    /// Listens on a free port of this machine.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let sink = Self {
            address: listener.local_addr().expect("its address"),
            count: Arc::new(AtomicUsize::new(0)),
        };
        let count = Arc::clone(&sink.count);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let count = Arc::clone(&count);
                // A client that goes away in the middle is no fault.
                tokio::spawn(async move { drop(serve(stream, &count).await) });
            }
        });
        sink
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Mails so far.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Waits until there are so many; how long that took since `start`.
    pub async fn reach(&self, count: usize, start: Instant) -> Duration {
        while self.count() < count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        start.elapsed()
    }
}

async fn serve(stream: TcpStream, count: &AtomicUsize) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 sink\r\n").await?;
    let (mut line, mut in_data) = (Vec::new(), false);
    loop {
        line.clear();
        if stream.read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        let answer: &[u8] = if in_data {
            if line != b".\r\n" {
                continue;
            }
            in_data = false;
            count.fetch_add(1, Ordering::Relaxed);
            b"250 taken\r\n"
        } else if line.starts_with(b"DATA") {
            in_data = true;
            b"354 go on\r\n"
        } else if line.starts_with(b"QUIT") {
            return stream.write_all(b"221 bye\r\n").await;
        } else {
            b"250 ok\r\n"
        };
        stream.write_all(answer).await?;
    }
}

/// Sends `count` mails of `size` bytes over so many connections with nothing but the dialogue; how long that took.
pub async fn flood(sink: &Sink, connections: usize, count: usize, size: usize) -> Duration {
    let mut message = b"x".repeat(70);
    message.extend_from_slice(b"\r\n");
    let mut message = message.repeat(size / 72 + 1);
    message.extend_from_slice(b".\r\n");
    let (message, left) = (Arc::new(message), Arc::new(AtomicUsize::new(count)));
    let start = Instant::now();
    let clients = (0..connections).map(|_| {
        let (address, message, left) = (sink.address, Arc::clone(&message), Arc::clone(&left));
        tokio::spawn(async move { client(address, &message, &left).await.expect("the dialogue") })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.expect("a client");
    }
    start.elapsed()
}

async fn client(address: SocketAddr, message: &[u8], left: &AtomicUsize) -> std::io::Result<()> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let next = || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok();
    while next() {
        for text in
            [&b"MAIL FROM:<a@example.com>\r\n"[..], b"RCPT TO:<b@example.com>\r\n", b"DATA\r\n", message]
        {
            stream.write_all(text).await?;
            line.clear();
            stream.read_line(&mut line).await?;
        }
    }
    Ok(())
}
