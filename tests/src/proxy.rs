//! A small reverse proxy over real sockets, to stand between a client and a server.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;

/// Bytes of a request's head that it takes.
const MAX_HEAD: usize = 256 * 1024;

/// How it tells the server who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tells {
    /// Appends to the last `X-Forwarded-For`, as most do.
    List,
    /// Adds an `X-Forwarded-For` of its own behind the others, as some do.
    NewLine,
    /// Appends to `Forwarded` (RFC 7239).
    Forwarded,
    /// Appends to both.
    Both,
    /// Says nothing.
    Nothing,
}

/// A running proxy, gone on drop. It listens on an address of its own, asks the server from there, and passes on what
/// else clients send, forged headers too.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Proxy {
    /// One at `ip`, such as 127.0.0.9, before `upstream` (`HOST:PORT`).
    pub async fn start(ip: Ipv4Addr, upstream: &str, tells: Tells) -> Self {
        let listener = TcpListener::bind((ip, 0)).await.expect("a port for the proxy");
        let address = listener.local_addr().expect("its address");
        let upstream: SocketAddr = upstream.parse().expect("an upstream address");
        let task = tokio::spawn(async move {
            while let Ok((client, peer)) = listener.accept().await {
                tokio::spawn(async move {
                    // Either side may hang up at any time.
                    let _ = pass(client, peer, ip, upstream, tells).await;
                });
            }
        });
        Self { address, task }
    }

    /// `IP:PORT`
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// `http://IP:PORT`
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One request and its answer.
async fn pass(
    mut client: TcpStream,
    peer: SocketAddr,
    own: Ipv4Addr,
    upstream: SocketAddr,
    tells: Tells,
) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        if bytes.len() > MAX_HEAD || client.read_buf(&mut bytes).await? == 0 {
            return Ok(());
        }
    };
    let mut body = bytes.split_off(end + 4);
    bytes.truncate(end);
    let mut lines: Vec<Vec<u8>> =
        bytes.split(|byte| *byte == b'\n').map(|line| line.trim_ascii_end().to_vec()).collect();
    let length: usize = lines
        .iter()
        .find_map(|line| value_of(line, "content-length"))
        .and_then(|value| std::str::from_utf8(value).ok()?.parse().ok())
        .unwrap_or(0);
    while body.len() < length && client.read_buf(&mut body).await? > 0 {}

    tell(&mut lines, tells, peer.ip());
    lines.retain(|line| value_of(line, "connection").is_none());
    lines.push(b"connection: close".to_vec());
    let socket = TcpSocket::new_v4()?;
    socket.bind((own, 0).into())?;
    let mut server = socket.connect(upstream).await?;
    let mut request = lines.join(&b"\r\n"[..]);
    request.extend_from_slice(b"\r\n\r\n");
    request.extend_from_slice(&body);
    server.write_all(&request).await?;
    tokio::io::copy(&mut server, &mut client).await?;
    client.shutdown().await
}

fn value_of<'l>(line: &'l [u8], name: &str) -> Option<&'l [u8]> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (found, value) = line.split_at(colon);
    found.eq_ignore_ascii_case(name.as_bytes()).then(|| value[1..].trim_ascii())
}

fn tell(lines: &mut Vec<Vec<u8>>, tells: Tells, client: IpAddr) {
    let mut append = |name: &str, item: &str, own_line: bool| {
        let last = lines.iter_mut().rfind(|line| value_of(line, name).is_some());
        match last.filter(|_| !own_line) {
            Some(line) => line.extend_from_slice(format!(", {item}").as_bytes()),
            None => lines.push(format!("{name}: {item}").into_bytes()),
        }
    };
    let (plain, element) = (client.to_string(), format!("for={client};proto=http"));
    match tells {
        Tells::List => append("x-forwarded-for", &plain, false),
        Tells::NewLine => append("x-forwarded-for", &plain, true),
        Tells::Forwarded => append("forwarded", &element, false),
        Tells::Both => {
            append("x-forwarded-for", &plain, false);
            append("forwarded", &element, false);
        }
        Tells::Nothing => {}
    }
}
