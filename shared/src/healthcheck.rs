//! A program asks its own running instance whether it is ready: images have neither a shell nor an HTTP client, and Docker's health check
//! must be some program.
//!
//! It is the first thing that `main` looks for, before settings, telemetry and servers: a check that needed them would be slower than what
//! it checks, and would fail with them.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use crate::settings::{Environment, SettingError};

/// The argument that asks for it.
pub const COMMAND: &str = "healthcheck";
/// Longest time for each of connecting, asking and the answer: `/readyz` looks at what is known already. Docker gives 3 s.
const DEADLINE: Duration = Duration::from_secs(2);
/// The status of an answer is within its first bytes: `HTTP/1.1 200`.
const STATUS_BYTES: usize = 12;

/// Why a program is not taken to be ready.
#[derive(Debug, thiserror::Error)]
pub enum NotReady {
    /// The settings do not say where it listens.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// Nobody answers there in time.
    #[error("{address} does not answer: {source}")]
    Silent {
        /// Where it was asked.
        address: SocketAddr,
        /// What happened instead.
        source: io::Error,
    },
    /// It says that it is not.
    #[error("{address} says {status}")]
    Says {
        /// Where it was asked.
        address: SocketAddr,
        /// The beginning of its answer.
        status: String,
    },
}

/// When `arguments` (the program's name is the first) ask for a check: how it ended, with a line on standard error when `service` is not
/// ready. `port` is where it listens when `PORT` does not say.
#[must_use]
pub fn asked_for(service: &str, port: u16, arguments: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    if !arguments.skip(1).eq([COMMAND]) {
        return None;
    }
    Some(match check(&Environment::of_process(), port) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{service}: {problem}");
            ExitCode::FAILURE
        }
    })
}

/// Whether the program that was started with `environment` on this machine is ready.
///
/// # Errors
/// It is not, or does not say so in time.
pub fn check(environment: &Environment, default_port: u16) -> Result<(), NotReady> {
    let port = environment.number("PORT", default_port, 1..=u16::MAX)?;
    let address = match environment.text("LISTEN_ADDRESS").as_deref().map(str::parse) {
        // All addresses of the machine are not one that can be called.
        Some(Ok(IpAddr::V6(address))) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        Some(Ok(IpAddr::V4(address))) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        Some(Ok(address)) => address,
        // What is no address stops the program at its start; then nobody answers here.
        Some(Err(_)) | None => Ipv4Addr::LOCALHOST.into(),
    };
    let address = SocketAddr::new(address, port);
    let status = ask(address).map_err(|source| NotReady::Silent { address, source })?;
    if status.ends_with(" 200") { Ok(()) } else { Err(NotReady::Says { address, status }) }
}

/// The beginning of the answer to `GET /readyz`.
fn ask(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, DEADLINE)?;
    stream.set_write_timeout(Some(DEADLINE))?;
    stream.set_read_timeout(Some(DEADLINE))?;
    // At once: whoever answers the first piece and closes would break the writing of the next.
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nAccept: */*\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut status = [0; STATUS_BYTES];
    stream.read_exact(&mut status)?;
    Ok(String::from_utf8_lossy(&status).into_owned())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// A program that answers one call so, and the settings that lead to it.
    fn answering(answer: &'static str) -> (thread::JoinHandle<String>, String) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("bound").port().to_string();
        let asked = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a caller");
            let mut asked = [0; 512];
            let length = stream.read(&mut asked).expect("a request");
            stream.write_all(answer.as_bytes()).expect("an answer");
            String::from_utf8_lossy(&asked[..length]).into_owned()
        });
        (asked, port)
    }

    fn checked(port: &str, address: &str) -> Result<(), String> {
        let environment = Environment::of(&[("PORT", port), ("LISTEN_ADDRESS", address)]);
        check(&environment, 1).map_err(|problem| problem.to_string())
    }

    #[test]
    fn a_program_that_is_ready_is_and_is_asked_on_its_own_port() {
        for address in ["", "0.0.0.0", "127.0.0.1"] {
            let (asked, port) = answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
            assert_eq!(checked(&port, address), Ok(()), "{address}");
            let asked = asked.join().expect("it was asked");
            assert!(asked.starts_with("GET /readyz HTTP/1.1\r\n"), "{asked}");
        }
    }

    #[test]
    fn a_program_that_is_not_ready_says_why() {
        let (_asked, port) = answering("HTTP/1.1 503 Service Unavailable\r\n\r\n");
        assert_eq!(checked(&port, ""), Err(format!("127.0.0.1:{port} says HTTP/1.1 503")));
        let (_asked, port) = answering("HTTP");
        assert!(checked(&port, "").is_err_and(|problem| problem.contains("does not answer")));
        let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
        let port = nobody.expect("a port that is free again").port().to_string();
        assert!(checked(&port, "").is_err_and(|problem| problem.contains("does not answer")));
        assert!(checked("http", "").is_err_and(|problem| problem.starts_with("PORT: ")));
    }

    #[test]
    fn only_the_one_argument_asks_for_it() {
        for arguments in [&["program"] as &[_], &["program", "serve"], &["program", COMMAND, "--help"]] {
            assert!(asked_for("program", 1, arguments.iter().map(OsString::from)).is_none(), "{arguments:?}");
        }
    }
}
