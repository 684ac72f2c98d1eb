//! The first two steps to a server, one by one: its name, and a connection.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

/// Longest wait for either.
const PATIENCE: Duration = Duration::from_secs(5);
/// The port of an address that names none.
const HTTPS: u16 = 443;

/// The addresses of a host with or without port, as in an image's name. The error says what
/// the resolver says.
pub async fn resolve(host: &str) -> Result<Vec<SocketAddr>, String> {
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let place = if has_port { host.to_owned() } else { format!("{host}:{HTTPS}") };
    match timeout(PATIENCE, lookup_host(place)).await {
        Ok(Ok(found)) => {
            let found: Vec<_> = found.collect();
            if found.is_empty() { Err("it has no address".to_owned()) } else { Ok(found) }
        }
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer in {} s", PATIENCE.as_secs())),
    }
}

/// The first of these addresses that takes a connection. The error says what the last said.
pub async fn connect(addresses: &[SocketAddr]) -> Result<SocketAddr, String> {
    let mut last = "it has no address".to_owned();
    for address in addresses {
        match timeout(PATIENCE, TcpStream::connect(address)).await {
            Ok(Ok(_)) => return Ok(*address),
            Ok(Err(error)) => last = format!("{address}: {error}"),
            Err(_) => last = format!("{address}: no answer in {} s", PATIENCE.as_secs()),
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_step_after_the_other() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(resolve(&address.to_string()).await.unwrap(), [address]);
        assert_eq!(resolve("127.0.0.1").await.unwrap(), ["127.0.0.1:443".parse().unwrap()]);
        assert!(resolve("no-such-host.invalid").await.is_err());
        assert_eq!(connect(&[address]).await, Ok(address));
        drop(listener);
        assert!(connect(&[address]).await.unwrap_err().contains("refused"));
        assert!(connect(&[]).await.is_err());
    }
}
