//! Bytes on a socket, for what no HTTP client would send.

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// Writes the bytes to a new connection and reads until the server closes it or stays silent for `patience`.
///
/// # Errors
/// When no connection can be made.
pub async fn exchange(address: &str, bytes: &[u8], patience: Duration) -> io::Result<Vec<u8>> {
    let mut connection = Connection::open(address).await?;
    connection.send(bytes).await?;
    Ok(connection.read(patience).await.bytes)
}

/// A raw connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// All of it.
    pub bytes: Vec<u8>,
    /// The server closed the connection (or reset it).
    pub closed: bool,
}

impl Connection {
    /// Connects to `HOST:PORT`.
    ///
    /// # Errors
    /// When it cannot.
    pub async fn open(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream })
    }

    /// Connects to `HOST:PORT` from that address of this machine.
    ///
    /// # Errors
    /// When it cannot.
    pub async fn open_from(ip: Ipv4Addr, address: &str) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((ip, 0).into())?;
        let stream = socket.connect(address.parse().map_err(io::Error::other)?).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream })
    }

    /// Writes bytes as they are.
    ///
    /// # Errors
    /// When the other side has gone.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Says that nothing more comes, and still reads.
    ///
    /// # Errors
    /// When the other side has gone.
    pub async fn finish(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }

    /// Reads until the server closes or stays silent for `patience`.
    pub async fn read(&mut self, patience: Duration) -> Received {
        let mut bytes = Vec::new();
        loop {
            match timeout(patience, self.stream.read_buf(&mut bytes)).await {
                Err(_) => return Received { bytes, closed: false },
                Ok(Ok(0) | Err(_)) => return Received { bytes, closed: true },
                Ok(Ok(_)) => {}
            }
        }
    }
}

impl Received {
    /// The status of each answer in the bytes, in order.
    pub fn statuses(&self) -> Vec<u16> {
        let text = String::from_utf8_lossy(&self.bytes);
        // A status line follows the start, or directly the end of the body before it, which need not end a line.
        text.match_indices("HTTP/1.1 ")
            .filter_map(|(at, mark)| text.get(at + mark.len()..at + mark.len() + 3)?.parse().ok())
            .collect()
    }

    /// Everything as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}
