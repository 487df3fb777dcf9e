//! Where requests come in: a TCP port or a Unix socket.

use std::fs::{self, Permissions};
use std::io;
use std::net::{self, IpAddr, SocketAddr};
use std::os::unix;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// A socket that listens, and is not looked at yet. A Unix socket's file goes with it.
pub enum Bound {
    Tcp(net::TcpListener),
    Unix(unix::net::UnixListener, SocketFile),
}

impl Bound {
    /// `listen` as the settings have it.
    pub fn at(listen: &str) -> io::Result<Self> {
        match listen.strip_prefix("unix:") {
            Some(path) => Self::at_path(Path::new(path), 0o660),
            None => {
                let address: SocketAddr = listen.parse().map_err(|_| io::ErrorKind::InvalidInput)?;
                let listener = net::TcpListener::bind(address)?;
                listener.set_nonblocking(true)?;
                Ok(Self::Tcp(listener))
            }
        }
    }

    /// Made under another name and moved into place: nobody sees it before its mode is set, and one that a crash left behind is
    /// replaced.
    pub fn at_path(path: &Path, mode: u32) -> io::Result<Self> {
        if is_in_use(path)? {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{}", std::process::id()));
        let unfinished = SocketFile(name.into());
        let listener = unix::net::UnixListener::bind(&unfinished.0)?;
        listener.set_nonblocking(true)?;
        fs::set_permissions(&unfinished.0, Permissions::from_mode(mode))?;
        fs::rename(&unfinished.0, path)?;
        Ok(Self::Unix(listener, SocketFile(path.to_owned())))
    }

    /// Of a port; a Unix socket has none.
    pub fn address(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr(),
            Self::Unix(..) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Needs a runtime around it.
    pub(super) fn open(self) -> io::Result<Door> {
        Ok(match self {
            Self::Tcp(listener) => Door::Tcp(TcpListener::from_std(listener)?),
            Self::Unix(listener, file) => Door::Unix(UnixListener::from_std(listener)?, file),
        })
    }
}

/// Where connections come in.
pub(super) enum Door {
    Tcp(TcpListener),
    Unix(UnixListener, #[expect(dead_code, reason = "it is there to be dropped")] SocketFile),
}

impl Door {
    /// And who it is, where that can be told.
    pub async fn accept(&self) -> io::Result<(Stream, Option<IpAddr>)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok((Stream::Tcp(stream), Some(peer.ip())))
            }
            Self::Unix(listener, _) => Ok((Stream::Unix(listener.accept().await?.0), None)),
        }
    }
}

/// Removed when it is dropped.
pub struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // It may have been moved or removed already.
        fs::remove_file(&self.0).ok();
    }
}

/// Whether somebody listens there. What is no socket is not ours to replace.
fn is_in_use(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
        Ok(file) if !file.file_type().is_socket() => {
            Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file of that name, and it is no socket"))
        }
        Ok(_) => Ok(unix::net::UnixStream::connect(path).is_ok()),
    }
}

/// One connection.
pub enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
